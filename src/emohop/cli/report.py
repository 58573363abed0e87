"""emohop report: one page of everything that runs came to."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from emohop.cli.commands import command
from emohop.cli.outputs import check_output_folder
from emohop.errors import EmohopError


@command
def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="Run folders (an experiment's stands for all its rows), then the page to write.",
            metavar="RUN... OUT.html",
        ),
    ],
    prepared: Annotated[
        Path | None,
        typer.Option(help="The prepared corpus: shows attention weights in test clips."),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            help="The corpus's folder: their audio and video, too. They end up in the page: "
            "mind the corpus's licence before you pass it on."
        ),
    ] = None,
    clips: Annotated[
        str | None, typer.Option(help="Those clips, as ID,ID,…. [default: three telling ones]")
    ] = None,
    reference: Annotated[
        str | None, typer.Option(help="The run that others are compared with. [default: the first]")
    ] = None,
    figures: Annotated[
        Path | None, typer.Option(help="Write every plot to this folder, too, for papers.")
    ] = None,
    format_: Annotated[str, typer.Option("--format", help="Of those: pdf, svg or png.")] = "pdf",
) -> None:
    """One self-contained page: scores, intervals, differences, confusions, curves, attention."""
    from emohop.reports.page.page import write_report

    *folders, out = runs
    if not folders:
        raise EmohopError("name at least one run folder, and the page as last word: RUN OUT.html")
    chosen = [] if clips is None else [clip.strip() for clip in clips.split(",")]
    check_output_folder(figures, "--figures")
    words = ["emohop", *sys.argv[1:]]
    made = write_report(
        folders,
        out,
        prepared=prepared,
        source=source,
        clips=chosen,
        figures=figures,
        kind=format_,
        reference=reference,
        command=shlex.join(words),
    )
    plots = sum(len(section.plots) for section in made.sections)
    typer.echo(f"wrote {out}: {len(made.sections)} sections, {plots} plots")
    if figures is not None:
        typer.echo(f"wrote {figures}: {plots} {format_} files")
    looked = any(section.anchor == "attention" for section in made.sections)
    if prepared is not None and not looked:
        typer.echo("no run has attention: --prepared added nothing")
    elif looked:
        held = "words" if source is None else "text, audio and video"
        typer.echo(f"{held} of the corpus are in it: mind its licence")
