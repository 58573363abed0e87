"""emohop compare: runs beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emohop.cli.commands import command
from emohop.cli.outputs import check_output_file
from emohop.errors import EmohopError


@command
def compare(
    runs: Annotated[
        list[Path], typer.Argument(help="Run folders; an experiment's stands for all its rows.")
    ],
    reference: Annotated[
        str | None, typer.Option(help="The run that others are compared with. [default: the first]")
    ] = None,
    all_pairs: Annotated[
        bool, typer.Option("--all-pairs", help="Compare each two, not each with the reference.")
    ] = False,
    format_: Annotated[
        str, typer.Option("--format", help="table, markdown, latex or csv.")
    ] = "table",
    out: Annotated[Path | None, typer.Option(help="Write to this file instead.")] = None,
) -> None:
    """Runs beside each other: mean ± std, intervals, differences and how sure they are.

    Runs of different protocols, class sets or clips are refused.
    """
    from emohop.evaluation.comparison import compare as run
    from emohop.evaluation.runs import read_runs
    from emohop.files import write_text
    from emohop.reports.terminal.comparison import FORMATS, terminal_tables
    from emohop.reports.terminal.console import show

    known = ("table", *FORMATS)
    if format_ not in known:
        raise EmohopError(f"--format {format_!r}: one of {', '.join(known)}")
    if out is not None and format_ == "table":
        raise EmohopError("--out needs a --format for files: markdown, latex or csv")
    check_output_file(out, "--out")
    comparison = run(read_runs(runs), reference, all_pairs=all_pairs)
    if format_ == "table":
        for table in terminal_tables(comparison):
            show("", table)
    elif out is None:
        typer.echo(FORMATS[format_](comparison), nl=False)
    else:
        write_text(out, FORMATS[format_](comparison))
        typer.echo(f"wrote {out}")
