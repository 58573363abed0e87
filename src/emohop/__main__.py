"""`python -m emohop`."""

from emohop.cli import main

main()
