"""The command line. Every command forwards to the library; heavy imports sit inside."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from emohop import __version__
from emohop.errors import EmohopError

FAILED = 1
INCOMPLETE = 3
INTERRUPTED = 130
SHOWN_PROBLEMS = 50

app = typer.Typer(
    name="emohop",
    help="Speech emotion recognition from voice, words and face by attentive modality hopping.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the program."""
    app()


def _command(body: Callable[..., None]) -> Callable[..., None]:
    """Register a command whose errors end as one line and an exit status, not a traceback."""

    @functools.wraps(body)
    def checked(*args: Any, **options: Any) -> None:
        try:
            body(*args, **options)
        except EmohopError as error:
            _fail(str(error))
        except OSError as error:
            where = f": {error.filename}" if error.filename else ""
            _fail(f"{error.strerror or error}{where} (what is finished is kept)")
        except KeyboardInterrupt:
            typer.echo("interrupted: run the same command again to go on", err=True)
            raise typer.Exit(INTERRUPTED) from None

    return app.command(name=body.__name__.strip("_").replace("_", "-"))(checked)


def _fail(message: str) -> None:
    typer.echo(f"error: {' '.join(message.split())}", err=True)
    raise typer.Exit(FAILED)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    del version


Jobs = Annotated[
    int | None, typer.Option(min=1, help="Processes, one thread each. [default: the cores]")
]


@_command
def demo(
    out: Annotated[Path, typer.Argument(help="An empty or new folder.")] = Path("demo"),
    clips: Annotated[int, typer.Option(min=100, help="Labelled clips to make.")] = 400,
    seed: Annotated[int, typer.Option(min=0, help="Of the corpus and of training.")] = 0,
    jobs: Jobs = None,
) -> None:
    """Make a corpus, prepare it, train on five session folds, and show what fusion brings."""
    from emohop.demo import run_demo

    results = run_demo(out, clips=clips, seed=seed, jobs=_jobs(jobs), say=typer.echo)
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


@_command
def synthesize(
    folder: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    clips: Annotated[int, typer.Option(help="Clips of the seven classes to make.")] = 400,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same corpus.")] = 0,
    jobs: Jobs = None,
) -> None:
    """Make a corpus of synthetic speech, words and faces in IEMOCAP's own layout.

    Results on it say nothing about people.
    """
    from emohop.corpora.synthetic import synthesize as make
    from emohop.reports.terminal import progress_bar

    with progress_bar("clips") as progress:
        made = make(folder, clips=clips, seed=seed, jobs=_jobs(jobs), progress=progress)
    counts = ", ".join(f"{label} {count}" for label, count in made.counts.items())
    typer.echo(
        f"{folder}: {sum(made.counts.values())} clips ({counts}) in {made.dialogs} dialogs, "
        f"{made.seconds / 60:.1f} minutes of speech"
    )
    typer.echo("Results on a made corpus say nothing about people.")


Protocol = Annotated[
    str | None,
    typer.Option(help="session or fixed. [default: fixed where the corpus has its own parts]"),
]
Corpus = Annotated[str, typer.Argument(help="iemocap", metavar="CORPUS")]
Source = Annotated[Path, typer.Argument(help="The corpus's folder.", metavar="DIR")]
Seating = Annotated[
    str,
    typer.Option(help="Who sits left in IEMOCAP's videos: marker-left or woman-left."),
]


@_command
def check(
    corpus: Corpus,
    source: Source,
    frames: Annotated[
        Path | None,
        typer.Option(help="Write one sample frame per session here, the speaker's half marked."),
    ] = None,
    seating: Seating = "marker-left",
) -> None:
    """Show what is there beside what should be; exit status 1 if it cannot be used."""
    from emohop import corpora
    from emohop.reports.tables import check_table
    from emohop.reports.terminal import show

    report = corpora.check(corpus, source, frames_folder=frames, seating=seating)
    show(check_table(report))
    for problem in report.problems[:SHOWN_PROBLEMS]:
        typer.echo(str(problem))
    if len(report.problems) > SHOWN_PROBLEMS:
        typer.echo(f"... and {len(report.problems) - SHOWN_PROBLEMS} more problems")
    for line in (*report.notes, *(f"wrote {path}" for path in report.frames)):
        typer.echo(line)
    if not report.usable:
        _fail(f"{source} cannot be used: see above")


@_command
def prepare(
    corpus: Corpus,
    source: Source,
    out: Annotated[Path, typer.Argument(help="The prepared corpus; continued if begun.")],
    audio: Annotated[str | None, typer.Option(help="mfcc120, mfcc39 or none.")] = None,
    text: Annotated[str | None, typer.Option(help="words or none.")] = None,
    video: Annotated[
        str | None,
        typer.Option(
            help="resnet101 (as published; from the Hugging Face hub), hog (needs no weights), "
            "any Hugging Face image model by name or folder, or none."
        ),
    ] = None,
    prosody: Annotated[
        bool | None,
        typer.Option(
            "--prosody/--no-prosody",
            help="The 35 openSMILE functionals; openSMILE is licensed for research, not for use "
            "in products. [default: prosody]",
        ),
    ] = None,
    frames_per_second: Annotated[
        float | None, typer.Option(help="Pictures taken from each second of video.")
    ] = None,
    labels: Annotated[
        str | None, typer.Option(help="Class set. [default: the corpus's first]")
    ] = None,
    seating: Seating = "marker-left",
    jobs: Jobs = None,
) -> None:
    """Turn a corpus into features. Run it again to continue; exit status 3 if clips were left out.

    Clips that cannot be read are listed in OUT/problems.csv.
    """
    from emohop.config import FeatureSettings, checked
    from emohop.preparation import PROBLEMS
    from emohop.preparation import prepare as run
    from emohop.reports.terminal import progress_bar

    asked = {
        "audio": audio,
        "text": text,
        "video": video,
        "prosody": prosody,
        "frames_per_second": frames_per_second,
    }
    given = {
        key: None if value == "none" else value for key, value in asked.items() if value is not None
    }
    features = checked(FeatureSettings, given)
    with progress_bar("clips") as progress:
        done = run(
            corpus,
            source,
            out,
            features=features,
            labels=labels,
            jobs=_jobs(jobs),
            progress=progress,
            seating=seating,
        )
    manifest = done.manifest
    counts = ", ".join(f"{label} {count}" for label, count in manifest.label_counts.items())
    typer.echo(f"{out}: {manifest.clips} clips of {manifest.class_set} ({counts})")
    if manifest.dropped:
        dropped = ", ".join(f"{label} {count}" for label, count in manifest.dropped.items())
        typer.echo(f"outside the class set: {dropped}")
    if not done.computed:
        typer.echo("nothing to do: everything was prepared before")
    for problem in done.problems[:SHOWN_PROBLEMS]:
        typer.echo(f"left out {problem.id} ({problem.stage}): {problem.reason}", err=True)
    if done.problems:
        typer.echo(f"{len(done.problems)} clips were left out: see {out / PROBLEMS}", err=True)
        raise typer.Exit(INCOMPLETE)


@_command
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
    from emohop.reports.terminal import progress_bar

    names = None if labels is None else [name.strip() for name in labels.split(",")]
    with progress_bar("clips") as progress:
        done = run(source, out, names, progress)
    manifest = done.manifest
    counts = ", ".join(f"{label} {count}" for label, count in manifest.label_counts.items())
    typer.echo(f"{out}: {manifest.clips} clips of {manifest.class_set} ({counts})")
    sizes = ", ".join(f"{name} {size}" for name, size in manifest.sizes.items())
    vectors = manifest.word_vectors
    if vectors is not None:
        typer.echo(f"{sizes}, text of {vectors.words} words, vectors of {vectors.size} numbers")
    if not done.computed:
        typer.echo("nothing to do: everything was imported before")


@_command
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
    from emohop.reports.terminal import progress_bar

    with progress_bar("clips") as progress:
        done = run(prepared, folder, protocol=protocol, fold=fold, glove=glove, progress=progress)
    clips = ", ".join(f"{split} {count}" for split, count in done.clips.items())
    numbers = ", ".join(f"{number} {label}" for number, label in enumerate(done.labels))
    typer.echo(f"{folder}: {clips} clips; fold {done.fold.index} tests {done.fold.name}")
    typer.echo(f"labels: {numbers}")
    typer.echo(f"{done.words} words, their vectors from {done.vectors}")
    if not done.prosody:
        typer.echo("no prosody in the corpus: zeros in its place, which the program never uses")


@_command
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
    results = run(prepared, out, wanted, jobs=_jobs(jobs), report=print_epoch)
    show("", results_table(results))
    typer.echo(f"\n{out}/results.json and {out}/TEST_run_result.txt hold the numbers")


@_command
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


def _jobs(jobs: int | None) -> int:
    from emohop.processes import cores

    return jobs or cores()


def _numbers(option: str, text: str) -> list[int]:
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise EmohopError(f"{option} {text!r}: write numbers as 0,1,2") from None
