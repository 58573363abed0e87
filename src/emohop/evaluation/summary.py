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
from emohop.evaluation.results import PREDICTIONS, SPLITS, Predictions, read_predictions
from emohop.evaluation.significance import RESAMPLES, cluster_intervals

VERSION = 1
RESULTS = "results.json"
RESULT_LINES = "TEST_run_result.txt"
AVERAGED = (*SCORES, "ece")


@dataclass(frozen=True, slots=True, eq=False)
class UnitResult:
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
    def of(cls, fold: int, seed: int, name: str, predictions: Predictions) -> UnitResult:
        """The result that predictions of dev and test amount to."""
        dev, test = (predictions.part(split) for split in SPLITS)
        temperature = fit_temperature(dev.probabilities, dev.true_numbers)
        return cls(fold, seed, name, dev.metrics(), test.metrics(), test, temperature)

    @classmethod
    def read(cls, folder: Path, fold: int, seed: int, name: str) -> UnitResult:
        """The result of a unit's folder, computed anew from its predictions."""
        return cls.of(fold, seed, name, read_predictions(folder / PREDICTIONS))


def summarise(
    units: Sequence[UnitResult],
    protocol: str,
    class_set: str,
    labels: Sequence[str],
    resamples: int = RESAMPLES,
) -> dict[str, Any]:
    """The content of results.json: each unit, and the test scores over all of them.

    `mean` and `std` (n - 1 in the divisor; null for one unit) run over units; `pooled` scores
    the test predictions of all units together, and `interval_95` is its bootstrap over speakers
    (null when a speaker is unknown or there is only one). `calibration` has the mean of the units'
    temperatures and the pooled calibration error without and with them.
    Raises EmohopError when units repeat or a seed's folds share a test clip.
    """
    ordered = sorted(units, key=lambda unit: (unit.fold, unit.seed))
    _check_units(ordered, tuple(labels))
    parts = [unit.predictions for unit in ordered]
    true = np.concatenate([part.true_numbers for part in parts])
    speakers = [speaker for part in parts for speaker in part.speaker]
    calibrated = [apply_temperature(u.predictions.probabilities, u.temperature) for u in ordered]
    pooled = metrics(true, np.concatenate([part.probabilities for part in parts]))
    tests = {name: np.array([unit.test[name] for unit in ordered]) for name in AVERAGED}
    intervals: dict[str, list[float] | None] = dict.fromkeys(SCORES)
    if None not in speakers and len(set(speakers)) > 1:
        said = np.concatenate([part.predicted_numbers for part in parts])
        found = cluster_intervals(true, said, speakers, len(labels), resamples=resamples)
        intervals.update({name: list(interval) for name, interval in found.items()})
    return {
        "version": VERSION,
        "protocol": protocol,
        "class_set": class_set,
        "labels": list(labels),
        "folds": sorted({unit.fold for unit in ordered}),
        "seeds": sorted({unit.seed for unit in ordered}),
        "speakers": len(set(speakers) - {None}),
        "units": [
            {
                "fold": unit.fold,
                "seed": unit.seed,
                "name": unit.name,
                "dev": unit.dev,
                "test": unit.test,
            }
            for unit in ordered
        ],
        "mean": {name: float(values.mean()) for name, values in tests.items()},
        "std": {
            name: float(values.std(ddof=1)) if len(values) > 1 else None
            for name, values in tests.items()
        },
        "pooled": pooled,
        "interval_95": intervals,
        "calibration": {
            "temperature": float(np.mean([unit.temperature for unit in ordered])),
            "ece": pooled["ece"],
            "ece_calibrated": expected_calibration_error(np.concatenate(calibrated), true),
        },
    }


def result_lines(units: Sequence[UnitResult], data: str, run: str, time: str) -> list[str]:
    """The lines of TEST_run_result.txt, one a fold and seed, without line ends.

    Tab separated: `time` (ISO 8601), `data`, `run`/fold-F/seed-S, dev WA, dev UA, test WA, test
    UA. WA is accuracy and UA balanced accuracy. The original wrote weighted and macro PRECISION
    in these places.
    """
    lines = []
    for unit in sorted(units, key=lambda unit: (unit.fold, unit.seed)):
        texts = [time, data, f"{run}/fold-{unit.fold}/seed-{unit.seed}"]
        numbers = [block[key] for block in (unit.dev, unit.test) for key in SCORES[:2]]
        fields = [" ".join(text.split()) for text in texts] + [f"{n:.4f}" for n in numbers]
        lines.append("\t".join(fields))
    return lines


def _check_units(units: Sequence[UnitResult], labels: tuple[str, ...]) -> None:
    if not units:
        raise EmohopError("there are no results to summarise: no fold has been trained")
    (pair, times), *_ = Counter((unit.fold, unit.seed) for unit in units).most_common(1)
    if times > 1:
        raise EmohopError(f"fold {pair[0]} with seed {pair[1]} is given {times} times")
    tested: dict[tuple[int, str], int] = {}
    for unit in units:
        if unit.predictions.labels != labels:
            raise EmohopError(
                f"fold {unit.fold}, seed {unit.seed} has the labels {unit.predictions.labels}, "
                f"the run has {labels}: results of different class sets do not mix"
            )
        for clip in unit.predictions.id:
            before = tested.setdefault((unit.seed, clip), unit.fold)
            if before != unit.fold:
                raise EmohopError(
                    f"clip {clip} is tested in folds {before} and {unit.fold} of seed {unit.seed}"
                )
