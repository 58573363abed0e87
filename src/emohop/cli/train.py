"""emohop demo and train: models on every fold and seed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emohop.cli.commands import INCOMPLETE, Engine, Jobs, Protocol, command, processes
from emohop.registry.models import MODELS, names_where


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
    from emohop.reports.terminal.console import show
    from emohop.reports.terminal.tables import comparison_table, results_table

    show("", results_table(results[-1]), "", comparison_table(results))
    typer.echo(
        f"\nResults on a synthetic corpus say nothing about people.\nEvery file lies in {out}:"
    )
    typer.echo(
        f"  {out}/report.html  everything on one page: open it in a browser\n"
        f"  {out}/corpus       the synthetic corpus, in IEMOCAP's layout\n"
        f"  {out}/prepared     its features\n"
        f"  {out}/runs         one run folder per model: results.json, recipe.yaml,\n"
        "                     fold-K/seed-0/{model,predictions.parquet,metrics.json,history.csv}\n"
        f"Try a model: emohop predict {out}/runs/amh/fold-0/seed-0/model CLIP, or emohop serve"
    )


@command
def train(
    folders: Annotated[
        list[Path],
        typer.Argument(
            help="A prepared corpus, or several to be joined; then the run folder, continued if "
            "begun.",
            metavar="PREPARED... OUT",
        ),
    ],
    test: Annotated[
        list[Path] | None,
        typer.Option(help="A prepared corpus to test on, all of it, as often as you like."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help=f"{', '.join(MODELS.names())}; several as amh,mdre,…."),
    ] = None,
    hops: Annotated[
        str | None, typer.Option(help=f"Hops of {names_where('hops')}; several as 1,3,7.")
    ] = None,
    modalities: Annotated[
        str | None,
        typer.Option(
            help="Of audio,text,video, as many as the model takes (emohop models). Several choices "
            "as audio+text,audio+text+video."
        ),
    ] = None,
    protocol: Protocol = None,
    groups: Annotated[
        int | None,
        typer.Option(help="Of protocol speaker: leave one of so many groups of speakers out."),
    ] = None,
    fold: Annotated[str | None, typer.Option(help="all, or folds as 0,1,….")] = None,
    seeds: Annotated[str | None, typer.Option(help="Seeds as 0,1,….")] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="default, demo, published-amh and others, or a YAML file; one with `rows` or "
            "`vary` is an experiment."
        ),
    ] = None,
    override: Annotated[
        str | None,
        typer.Option(help="A recipe put over it: small makes the papers' experiments small."),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting as key=value, as often as you like."),
    ] = None,
    jobs: Jobs = None,
    engine: Engine = "local",
    log: Annotated[
        list[str] | None,
        typer.Option(help="mlflow or wandb: told of every fold run, beside TensorBoard."),
    ] = None,
) -> None:
    """Train and score a model on every fold and seed. A run folder that exists is continued.

    Several models, hops or modalities, or an experiment file, make an experiment: OUT then holds
    a run folder for each row of its table. Exit status 3 if a fold run failed; the others are kept.
    """
    from emohop.cli.options import asked_for, corpus_and_out
    from emohop.reports.terminal.console import print_epoch, show
    from emohop.reports.terminal.progress import watching
    from emohop.reports.terminal.tables import comparison_tables, results_table
    from emohop.training.experiment import Experiment, train_rows
    from emohop.training.run import train as train_run
    from emohop.training.scheduler import FoldRunsFailedError

    lists = {"model.name": model, "model.hops": hops, "model.modalities": modalities}
    count = processes(jobs)
    try:
        with corpus_and_out(folders, test or ()) as (prepared, out, held):
            wanted = asked_for(
                out, recipe, override, set_ or (), lists, protocol, fold, seeds, groups
            )
            if isinstance(wanted, Experiment):
                for line in wanted.left_out:
                    typer.echo(f"left out: {line}", err=True)
                with watching(count) as board:
                    results = train_rows(
                        prepared, out, wanted, jobs=count, engine=engine,
                        begun=board.begin, ended=board.end, held=held,
                    )  # fmt: skip
                for table in comparison_tables(results):
                    show("", table)
                typer.echo(f"\n{out} holds a run folder for each row: emohop compare {out}")
            else:
                found = train_run(
                    prepared,
                    out,
                    wanted,
                    jobs=count,
                    engine=engine,
                    report=print_epoch,
                    trackers=log or (),
                    held=held,
                )
                show("", results_table(found))
                typer.echo(f"\n{out}/results.json and {out}/TEST_run_result.txt hold the numbers")
    except FoldRunsFailedError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(INCOMPLETE) from None
