"""emohop export: a trained model as an ONNX graph."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emohop.cli.commands import command
from emohop.cli.outputs import check_output_folder


@command
def export(
    model: Annotated[Path, typer.Argument(help="A model folder: RUN/fold-0/seed-0/model.")],
    out: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    int8: Annotated[
        bool, typer.Option("--int8", help="Weights as 8-bit integers: a quarter of the size.")
    ] = False,
) -> None:
    """Write a model as an ONNX graph, which onnxruntime runs faster; needs the extra onnx.

    OUT is a model folder for every command that predicts.
    """
    from emohop.exporting import export as run

    check_output_folder(out, "OUT")
    done = run(model, out, int8=int8)
    typer.echo(f"{out}: model.onnx, {done.size / 1e6:.1f} MB")
    typer.echo(
        f"on {done.clips} random clips: no probability differs from PyTorch's by more than "
        f"{done.difference:.1g}, {done.others} labels differ"
    )
    if int8:
        typer.echo(f"what that does to real clips: emohop evaluate {out} PREPARED")
