"""emohop tune: settings chosen on dev."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emohop.cli.commands import Jobs, Protocol, command, processes
from emohop.cli.outputs import check_output_folder


@command
def tune(
    prepared: Annotated[Path, typer.Argument(help="A prepared corpus.")],
    out: Annotated[Path, typer.Argument(help="The search's folder; continued if begun.")],
    recipe: Annotated[str, typer.Option(help="A recipe's name, or a YAML file.")] = "default",
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="A setting as key=value, as in train.")
    ] = None,
    protocol: Protocol = None,
    fold: Annotated[str | None, typer.Option(help="all, or folds as 0,1,….")] = None,
    trials: Annotated[int, typer.Option(min=1, help="Trials for each fold, in all.")] = 40,
    space: Annotated[
        Path | None,
        typer.Option(help="What to search, as YAML (docs/tuning.md). [default: what matters most]"),
    ] = None,
    jobs: Jobs = None,
) -> None:
    """Search settings by Optuna on dev, each fold for itself; test labels are out of reach.

    OUT/best.yaml is the recipe to train with what was found.
    """
    from emohop.cli.options import numbers
    from emohop.recipes import make_recipe
    from emohop.reports.terminal.console import print_trial, show
    from emohop.reports.terminal.tables import tuning_table
    from emohop.training.space import read_space
    from emohop.training.tuning import BEST, best_trials
    from emohop.training.tuning import tune as run

    asked = {
        "protocol": protocol,
        "folds": None if fold in (None, "all") else numbers("--fold", str(fold)),
    }
    overrides = {key: value for key, value in asked.items() if value is not None}
    wanted = make_recipe(recipe, set_ or (), overrides)
    chosen = None if space is None else read_space(space, wanted)
    check_output_folder(out, "OUT")
    tried = run(
        prepared,
        out,
        wanted,
        space=chosen,
        trials=trials,
        jobs=processes(jobs),
        report=print_trial,
    )
    show(tuning_table(tried, best_trials(wanted, tried), wanted.training.monitor))
    typer.echo(f"\nemohop train {prepared} RUN --recipe {out / BEST}")
