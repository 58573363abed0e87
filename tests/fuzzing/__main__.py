"""The command line: see the package."""

import sys

from tests.fuzzing.run import main

if __name__ == "__main__":  # a child process imports this module, too
    sys.exit(main())
