"""emohop evaluate: what a trained model is worth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from emohop.cli.commands import IncludeSeen, Jobs, command, processes
from emohop.cli.outputs import check_output_file
from emohop.errors import EmohopError


@command
def evaluate(
    model: Annotated[
        Path,
        typer.Argument(help="A model folder (RUN/fold-0/seed-0/model); to --degrade, or a run's."),
    ],
    prepared: Annotated[Path, typer.Argument(help="A prepared corpus.")],
    as_json: Annotated[bool, typer.Option("--json", help="As the files have it.")] = False,
    degrade: Annotated[
        list[str] | None,
        typer.Option(
            help="Score test under damage, as noise:10,words:0.3,video:blur:4,missing:audio, or "
            "standard for the usual ones (docs/robustness.md)."
        ),
    ] = None,
    source: Annotated[
        Path | None, typer.Option(help="The corpus's folder, to damage its audio and video.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Write the scores under damage here. [default: RUN/robustness.json]"),
    ] = None,
    asr: Annotated[
        str | None,
        typer.Option(
            help="Score test on words as a Whisper model hears them, beside the given ones; with "
            "--source. What it heard is kept in RUN/heard.csv, or in --out."
        ),
    ] = None,
    include_seen: IncludeSeen = False,
    jobs: Jobs = None,
) -> None:
    """Score a trained model: dev and test of its own fold, or what is unseen of another corpus.

    Clips are known by what they hold, whatever they are called and however they were prepared.
    """
    from emohop import load
    from emohop.evaluation.results import SPLITS
    from emohop.reports.terminal.console import show
    from emohop.reports.terminal.tables import metrics_table
    from emohop.storage import open_prepared

    check_output_file(out, "--out")
    corpus = open_prepared(prepared)
    if asr is not None:
        if degrade or source is None:
            raise EmohopError("--asr needs --source, the corpus's folder, and no --degrade")
        _heard(model, corpus, asr, source, out, processes(jobs), as_json, include_seen)
        return
    if degrade:
        _damaged(model, corpus, degrade, source, out, processes(jobs), as_json, include_seen)
        return
    if source is not None or out is not None:
        raise EmohopError("--source and --out go with --degrade")
    predictor = load(model)
    rows = predictor.judged(corpus, include_seen=include_seen)
    predictions = predictor.score(corpus, rows)
    blocks = {s: predictions.part(s).metrics() for s in SPLITS if s in predictions.split}
    if as_json:
        said = [one.model_dump() for one in rows.reservations]
        typer.echo(json.dumps({**blocks, "reservations": said}, indent=1))
        return
    show(metrics_table(blocks, rows.reservations))
    held = corpus.manifest.features.modalities
    lacking = [str(m) for m in predictor.preprocessor.max_length if m not in held]
    if lacking:
        typer.echo(f"{prepared} holds no {', '.join(lacking)}: the model did without")
    from emohop.evaluation.calibration import apply_temperature
    from emohop.evaluation.metrics import expected_calibration_error

    for split in blocks:
        part = predictions.part(split)
        cooled = apply_temperature(part.probabilities, predictor.temperature)
        error = expected_calibration_error(cooled, part.true_numbers)
        typer.echo(
            f"{split}: calibration error {error:.3f} by the temperature of dev, "
            f"{predictor.temperature:.2f}"
        )


def _damaged(
    model: Path,
    corpus: Any,
    degrade: list[str],
    source: Path | None,
    out: Path | None,
    jobs: int,
    as_json: bool,
    include_seen: bool,
) -> None:
    from emohop.features.degradation import parse_conditions
    from emohop.reports.terminal.console import progress_bar, show
    from emohop.reports.terminal.tables import robustness_table
    from emohop.robustness import ConditionScores, evaluate_damaged, modalities_of

    conditions = parse_conditions(degrade, modalities_of(model))
    found: list[ConditionScores] = []
    try:
        with progress_bar("clips") as progress:
            result = evaluate_damaged(
                model,
                corpus,
                conditions,
                source=source,
                out=out,
                jobs=jobs,
                include_seen=include_seen,
                done=found.append,
                progress=progress,
            )
    except OSError:  # a full disk takes nothing along that was found
        for entry in found:
            typer.echo(json.dumps({entry.name: entry.metrics}))
        raise
    if as_json:
        typer.echo(json.dumps(result.to_json(), indent=1))
    else:
        show(robustness_table(result))


def _heard(
    model: Path,
    corpus: Any,
    name: str,
    source: Path,
    out: Path | None,
    jobs: int,
    as_json: bool,
    include_seen: bool,
) -> None:
    from emohop.evaluation.run_folder import RunFolder
    from emohop.reports.terminal.console import progress_bar, show
    from emohop.reports.terminal.tables import robustness_table
    from emohop.robustness.asr import evaluate_heard

    heard = out or (model / "heard.csv" if RunFolder(model).begun else None)
    with progress_bar("clips") as progress:
        result = evaluate_heard(
            model, corpus, source, name,
            heard=heard, jobs=jobs, include_seen=include_seen, progress=progress,
        )  # fmt: skip
    if as_json:
        typer.echo(json.dumps(result.to_json(), indent=1))
        return
    show(robustness_table(result))
    typer.echo(f"word error rate of {name}: {result.conditions[1].wer:.3f}")
