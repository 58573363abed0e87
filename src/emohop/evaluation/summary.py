"""What a whole run comes to: results.json and the lines of TEST_run_result.txt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emohop.errors import EmohopError
from emohop.evaluation.calibration import apply_temperature, fit_temperature
from emohop.evaluation.metrics import SCORES, expected_calibration_error, metrics
from emohop.evaluation.results import SPLITS, Predictions, read_predictions
from emohop.evaluation.run_files import CalibrationScores, FoldRunScores, Interval, RunSummary
from emohop.evaluation.run_folder import FoldRunFolder
from emohop.evaluation.significance import cluster_intervals

AVERAGED = (*SCORES, "ece")


@dataclass(frozen=True, slots=True, eq=False)
class FoldRunResult:
    """One fold and seed of a run: `name` says what its fold tests."""

    fold: int
    seed: int
    name: str
    dev: dict[str, Any]
    test: dict[str, Any]
    predictions: Predictions
    """Of the test part only."""
    temperature: float
    """Fitted on dev: see `calibration`."""

    @classmethod
    def of(cls, fold: int, seed: int, name: str, predictions: Predictions) -> FoldRunResult:
        """The result that predictions of dev and test amount to."""
        dev, test = (predictions.part(split) for split in SPLITS)
        temperature = fit_temperature(dev.probabilities, dev.true_numbers)
        return cls(fold, seed, name, dev.metrics(), test.metrics(), test, temperature)

    @classmethod
    def read(cls, folder: Path, fold: int, seed: int, name: str) -> FoldRunResult:
        """The result of a fold run's folder, computed anew from its predictions."""
        return cls.of(fold, seed, name, read_predictions(FoldRunFolder(folder).predictions_file))


def summarise(
    fold_runs: Sequence[FoldRunResult],
    protocol: str,
    class_set: str,
    labels: Sequence[str],
) -> RunSummary:
    """The scores of results.json: each fold run, and the test scores over all of them.

    `mean` and `std` (n - 1 in the divisor; null for one) are over fold runs; `pooled` scores
    the test predictions of all fold runs together, and `interval_95` is its interval over speakers
    (null when a speaker is unknown or there is only one). `calibration` has the mean of the
    temperatures and the pooled calibration error without and with them.
    Raises EmohopError when fold runs repeat or a seed's folds share a test clip.
    """
    ordered = sorted(fold_runs, key=lambda fold_run: (fold_run.fold, fold_run.seed))
    _check_units(ordered, tuple(labels))
    parts = [fold_run.predictions for fold_run in ordered]
    true = np.concatenate([part.true_numbers for part in parts])
    speakers = [speaker for part in parts for speaker in part.speaker]
    calibrated = [apply_temperature(u.predictions.probabilities, u.temperature) for u in ordered]
    pooled = metrics(true, np.concatenate([part.probabilities for part in parts]))
    tests = {name: np.array([fold_run.test[name] for fold_run in ordered]) for name in AVERAGED}
    intervals: dict[str, Interval | None] = dict.fromkeys(SCORES)
    if None not in speakers and len(set(speakers)) > 1:
        said = np.concatenate([part.predicted_numbers for part in parts])
        intervals.update(cluster_intervals(true, said, speakers, len(labels)))
    return RunSummary(
        protocol=protocol,
        class_set=class_set,
        labels=tuple(labels),
        folds=tuple(sorted({fold_run.fold for fold_run in ordered})),
        seeds=tuple(sorted({fold_run.seed for fold_run in ordered})),
        speakers=len(set(speakers) - {None}),
        fold_runs=tuple(
            FoldRunScores(fold=one.fold, seed=one.seed, name=one.name, dev=one.dev, test=one.test)
            for one in ordered
        ),
        mean={name: float(values.mean()) for name, values in tests.items()},
        std={
            name: float(values.std(ddof=1)) if len(values) > 1 else None
            for name, values in tests.items()
        },
        pooled=pooled,
        interval_95=intervals,
        calibration=CalibrationScores(
            temperature=float(np.mean([fold_run.temperature for fold_run in ordered])),
            ece=pooled["ece"],
            ece_calibrated=expected_calibration_error(np.concatenate(calibrated), true),
        ),
    )


def result_lines(fold_runs: Sequence[FoldRunResult], data: str, run: str, time: str) -> list[str]:
    """The lines of TEST_run_result.txt, one a fold and seed, without line ends.

    Tab separated: `time` (ISO 8601), `data`, `run`/fold-F/seed-S, dev WA, dev UA, test WA, test
    UA. WA is accuracy and UA balanced accuracy. The original wrote weighted and macro PRECISION
    in these places.
    """
    lines = []
    for fold_run in sorted(fold_runs, key=lambda fold_run: (fold_run.fold, fold_run.seed)):
        texts = [time, data, f"{run}/fold-{fold_run.fold}/seed-{fold_run.seed}"]
        numbers = [block[key] for block in (fold_run.dev, fold_run.test) for key in SCORES[:2]]
        fields = [" ".join(text.split()) for text in texts] + [f"{n:.4f}" for n in numbers]
        lines.append("\t".join(fields))
    return lines


def _check_units(fold_runs: Sequence[FoldRunResult], labels: tuple[str, ...]) -> None:
    if not fold_runs:
        raise EmohopError("there are no results to summarise: no fold has been trained")
    (pair, times), *_ = Counter(
        (fold_run.fold, fold_run.seed) for fold_run in fold_runs
    ).most_common(1)
    if times > 1:
        raise EmohopError(f"fold {pair[0]} with seed {pair[1]} is given {times} times")
    tested: dict[tuple[int, str], int] = {}
    for fold_run in fold_runs:
        if fold_run.predictions.labels != labels:
            raise EmohopError(
                f"fold {fold_run.fold}, seed {fold_run.seed} has the labels "
                f"{fold_run.predictions.labels}, "
                f"the run has {labels}: results of different class sets do not mix"
            )
        for clip in fold_run.predictions.id:
            before = tested.setdefault((fold_run.seed, clip), fold_run.fold)
            if before != fold_run.fold:
                raise EmohopError(
                    f"clip {clip} is tested in folds {before} and {fold_run.fold} of seed "
                    f"{fold_run.seed}"
                )
