"""emohop explain: whether attention tells what a model goes by."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from emohop.cli.commands import IncludeSeen, Jobs, command, processes
from emohop.cli.outputs import check_output_file

FIGURES = (".png", ".svg", ".pdf")


@command
def explain(
    model: Annotated[
        Path, typer.Argument(help="A model folder (RUN/fold-0/seed-0/model), or a run's.")
    ],
    prepared: Annotated[Path, typer.Argument(help="A prepared corpus.")],
    as_json: Annotated[bool, typer.Option("--json", help="Every number, as JSON.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write the JSON here too.")] = None,
    figure: Annotated[
        Path | None, typer.Option(help="Draw the deletion curves: OUT.png, .svg or .pdf.")
    ] = None,
    draws: Annotated[
        int | None, typer.Option(min=1, help="Random orders to compare with. [default: 5]")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of these.")] = 0,
    include_seen: IncludeSeen = False,
    jobs: Jobs = None,
) -> None:
    """Check a model's attention on its test clips: removal of steps, no attention, other seeds."""
    check_output_file(figure, "--figure", FIGURES)
    check_output_file(out, "--out")
    from emohop.explanation import DRAWS
    from emohop.explanation import explain as check
    from emohop.reports.figures.deletion import deletion_curves
    from emohop.reports.figures.theme import save
    from emohop.reports.terminal.console import progress_bar, show
    from emohop.reports.terminal.explanation import explanation_tables
    from emohop.storage import open_prepared

    corpus = open_prepared(prepared)
    with progress_bar("clips") as progress:
        result = check(
            model,
            corpus,
            draws=draws or DRAWS,
            seed=seed,
            jobs=processes(jobs),
            include_seen=include_seen,
            progress=progress,
        )
    if as_json:
        typer.echo(json.dumps(result.to_json(), indent=1))
    else:
        show(*explanation_tables(result))
    if out is not None:
        result.write(out)
        typer.echo(f"wrote {out}", err=True)
    if figure is not None:
        save(deletion_curves(result), figure)
        typer.echo(f"wrote {figure}", err=True)
