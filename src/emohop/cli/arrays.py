"""emohop import-arrays and export-arrays: the .npy folder of the 2018 and 2019 programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emohop.cli.commands import Protocol, command, counted
from emohop.cli.outputs import check_output_folder


@command
def import_arrays(
    source: Annotated[Path, typer.Argument(help="The .npy folder.", metavar="DIR")],
    out: Annotated[Path, typer.Argument(help="The prepared corpus, a new folder.")],
    labels: Annotated[
        str | None,
        typer.Option(help="Names of the classes 0, 1, … as a,b,…. [default: the releases' 7 or 4]"),
    ] = None,
) -> None:
    """Turn the .npy folder of the 2018 and 2019 programs into a prepared corpus."""
    from emohop.release_arrays import import_arrays as run
    from emohop.reports.terminal.console import progress_bar

    check_output_folder(out, "OUT")
    names = None if labels is None else [name.strip() for name in labels.split(",")]
    with progress_bar("clips") as progress:
        done = run(source, out, names, progress)
    manifest = done.manifest
    held = counted(manifest.label_counts)
    typer.echo(f"{out}: {manifest.clips} clips of {manifest.class_set} ({held})")
    sizes = counted(manifest.sizes)
    vectors = manifest.word_vectors
    if vectors is not None:
        typer.echo(f"{sizes}, text of {vectors.words} words, vectors of {vectors.size} numbers")
    if not done.computed:
        typer.echo("nothing to do: everything was imported before")


@command
def export_arrays(
    prepared: Annotated[Path, typer.Argument(help="A prepared corpus.")],
    folder: Annotated[Path, typer.Argument(help="A new or empty folder.", metavar="DIR")],
    protocol: Protocol = None,
    fold: Annotated[int, typer.Option(min=0, help="The fold whose parts are written.")] = 0,
    glove: Annotated[
        Path | None,
        typer.Option(help="Word vectors in GloVe's format. [default: the corpus's, or chance]"),
    ] = None,
) -> None:
    """Write a prepared corpus as the .npy folder that the 2019 program reads."""
    from emohop.release_arrays import export_arrays as run
    from emohop.reports.terminal.console import progress_bar

    check_output_folder(folder, "DIR")
    with progress_bar("clips") as progress:
        done = run(prepared, folder, protocol=protocol, fold=fold, glove=glove, progress=progress)
    clips = counted(done.clips)
    numbers = ", ".join(f"{number} {label}" for number, label in enumerate(done.labels))
    typer.echo(f"{folder}: {clips} clips; fold {done.fold.index} tests {done.fold.name}")
    typer.echo(f"labels: {numbers}")
    typer.echo(f"{done.words} words, their vectors from {done.vectors}")
    if not done.prosody:
        typer.echo("no prosody in the corpus: zeros in its place, which the program never uses")
