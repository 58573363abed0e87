"""The command line. Every command forwards to the library; heavy imports sit inside."""

import io
import sys

from emohop.cli import (  # noqa: F401  (they register)
    arrays,
    compare,
    data,
    evaluate,
    explain,
    export,
    finetune,
    listing,
    predict,
    report,
    serve,
    train,
    tune,
)
from emohop.cli.commands import FAILED, INCOMPLETE, INTERRUPTED, app

__all__ = ["FAILED", "INCOMPLETE", "INTERRUPTED", "app", "main"]


def main() -> None:
    """Run the program."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names and words that a console cannot show
            stream.reconfigure(errors="backslashreplace")
    app()
