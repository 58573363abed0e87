"""The command line. Every command forwards to the library; heavy imports sit inside."""

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
    app()
