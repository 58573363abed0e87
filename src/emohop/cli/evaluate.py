"""emohop evaluate: what a trained model is worth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emohop.cli.commands import command


@command
def evaluate(
    model: Annotated[Path, typer.Argument(help="A model folder: RUN/fold-0/seed-0/model.")],
    prepared: Annotated[Path, typer.Argument(help="A prepared corpus.")],
    as_json: Annotated[bool, typer.Option("--json", help="As metrics.json has it.")] = False,
) -> None:
    """Score a trained model: dev and test of its own fold, or all of another corpus."""
    import json

    from emohop import load
    from emohop.evaluation.results import SPLITS
    from emohop.reports.tables import metrics_table
    from emohop.reports.terminal import show
    from emohop.storage import open_prepared

    predictions = load(model).evaluate(open_prepared(prepared))
    blocks = {s: predictions.part(s).metrics() for s in SPLITS if s in predictions.split}
    if as_json:
        typer.echo(json.dumps(blocks, indent=1))
    else:
        show(metrics_table(blocks))
