"""emohop demo and train: models on every fold and seed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from emohop.cli.commands import Jobs, Protocol, command, processes
from emohop.errors import EmohopError


@command
def demo(
    out: Annotated[Path, typer.Argument(help="An empty or new folder.")] = Path("demo"),
    clips: Annotated[int, typer.Option(min=100, help="Labelled clips to make.")] = 400,
    seed: Annotated[int, typer.Option(min=0, help="Of the corpus and of training.")] = 0,
    jobs: Jobs = None,
) -> None:
    """Make a corpus, prepare it, train on five session folds, and show what fusion brings."""
    from emohop.demo import run_demo

    results = run_demo(out, clips=clips, seed=seed, jobs=processes(jobs), say=typer.echo)
    from emohop.reports.tables import comparison_table, results_table
    from emohop.reports.terminal import show

    show("", results_table(results[-1]), "", comparison_table(results))
    typer.echo(f"\nResults on a made corpus say nothing about people.\nEvery file lies in {out}:")
    typer.echo(
        f"  {out}/corpus    the made corpus, in IEMOCAP's layout\n"
        f"  {out}/prepared  its features\n"
        f"  {out}/runs      a run folder a model: results.json, recipe.yaml,\n"
        "                  fold-K/seed-0/{model,predictions.parquet,metrics.json,history.csv}"
    )


@command
def train(
    prepared: Annotated[Path, typer.Argument(help="A prepared corpus.")],
    out: Annotated[Path, typer.Argument(help="The run folder; continued if begun.")],
    model: Annotated[
        str | None, typer.Option(help="amh, mha, mdrea, mdre, are, tre or vre.")
    ] = None,
    hops: Annotated[int | None, typer.Option(help="Hops of amh and mha.")] = None,
    modalities: Annotated[
        str | None, typer.Option(help="Two or three of audio,text,video; mha, mdrea: two.")
    ] = None,
    protocol: Protocol = None,
    fold: Annotated[str | None, typer.Option(help="all, or folds as 0,1,….")] = None,
    seeds: Annotated[str | None, typer.Option(help="Seeds as 0,1,….")] = None,
    recipe: Annotated[
        str | None, typer.Option(help="default, demo, published-amh and others, or a YAML file.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting as key=value, as often as you like."),
    ] = None,
    jobs: Jobs = None,
) -> None:
    """Train and score a model on every fold and seed. A run folder that exists is continued."""
    from emohop.config import make_recipe
    from emohop.reports.tables import results_table
    from emohop.reports.terminal import print_epoch, show
    from emohop.training.crossval import RECIPE, stored_recipe
    from emohop.training.crossval import train as run

    asked = {
        "model.name": model,
        "model.hops": hops,
        "model.modalities": modalities,
        "protocol": protocol,
        "folds": None if fold is None or fold == "all" else _numbers("--fold", fold),
        "seeds": None if seeds is None else _numbers("--seeds", seeds),
    }
    base = recipe or (str(out / RECIPE) if stored_recipe(out) is not None else "default")
    overrides: dict[str, Any] = {k: value for k, value in asked.items() if value is not None}
    if fold == "all":
        overrides["folds"] = None
    wanted = make_recipe(base, set_ or (), overrides)
    results = run(prepared, out, wanted, jobs=processes(jobs), report=print_epoch)
    show("", results_table(results))
    typer.echo(f"\n{out}/results.json and {out}/TEST_run_result.txt hold the numbers")


def _numbers(option: str, text: str) -> list[int]:
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise EmohopError(f"{option} {text!r}: write numbers as 0,1,2") from None
