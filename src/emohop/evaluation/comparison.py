"""Runs beside each other: scores with their spread and interval, and how sure differences are."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from emohop.errors import EmohopError
from emohop.evaluation.metrics import SCORES
from emohop.evaluation.reservations import Reservation, footnotes
from emohop.evaluation.run_files import FoldRunScores
from emohop.evaluation.runs import Run, check_comparable
from emohop.evaluation.significance import (
    FEW,
    Difference,
    McNemar,
    holm,
    mcnemar,
    paired_differences,
    smallest_p,
)


@dataclass(frozen=True)
class ComparedRun:
    """One run. Dicts are by score; what is unknown is None.

    `pooled` scores all test predictions together; `interval` is its 95 % interval over speakers.
    `mean` and `std` run over folds and seeds, `std_seeds` over the means of each seed's folds.
    `ece_calibrated` is `ece` after each fold run's own temperature. `mark` stands beside its title
    in tables, and `Comparison.footnotes` say what it means.
    """

    title: str
    fold_runs: int
    clips: int
    mean: Mapping[str, float]
    std: Mapping[str, float | None]
    std_seeds: Mapping[str, float | None]
    pooled: Mapping[str, float]
    interval: Mapping[str, tuple[float, float] | None]
    ece: float
    ece_calibrated: float
    reservations: tuple[Reservation, ...] = ()
    """What has to be said beside its scores."""
    mark: str = ""


@dataclass(frozen=True)
class Pair:
    """Run b against run a: differences b - a by score (None where speakers are unknown).

    `holm` is p by score after Holm's correction over all pairs of the table.
    """

    a: str
    b: str
    difference: Mapping[str, Difference] | None
    holm: Mapping[str, float] | None
    mcnemar: McNemar


@dataclass(frozen=True)
class Comparison:
    """Runs of one protocol and class set, and the pairs of them that were asked for."""

    protocol: str
    class_set: str
    labels: tuple[str, ...]
    folds: tuple[int, ...]
    seeds: tuple[int, ...]
    rows: tuple[ComparedRun, ...]
    pairs: tuple[Pair, ...]
    notes: tuple[str, ...]
    """What has to be said of all of them,"""
    footnotes: tuple[tuple[str, str], ...] = ()
    """and of the rows that bear a mark."""

    @property
    def marks(self) -> dict[str, str]:
        """The mark of each run, by its title; "" for none."""
        return {row.title: row.mark for row in self.rows}

    @property
    def said(self) -> tuple[str, ...]:
        """Footnotes and notes, each as a line."""
        return (*(f"[{mark}] {text}" for mark, text in self.footnotes), *self.notes)


def compare(
    runs: Sequence[Run],
    reference: str | None = None,
    *,
    all_pairs: bool = False,
) -> Comparison:
    """Every run, and its difference from the one titled `reference` (default: the first).

    With `all_pairs`, the difference of each two. Raises EmohopError for runs that cannot stand in
    one table: of other protocols, classes, clips, folds or seeds.
    """
    check_comparable(runs)
    _check_units(runs)
    chosen = _reference(runs, reference)
    pairs = (
        list(itertools.combinations(runs, 2))
        if all_pairs
        else [(chosen, run) for run in runs if run is not chosen]
    )
    first = runs[0]
    marks, said = footnotes([run.results.reservations for run in runs])
    return Comparison(
        protocol=first.protocol,
        class_set=first.results.class_set,
        labels=first.labels,
        folds=first.results.folds,
        seeds=first.results.seeds,
        rows=tuple(_row(run, mark) for run, mark in zip(runs, marks, strict=True)),
        pairs=_pairs(pairs),
        notes=_notes(runs),
        footnotes=tuple(said),
    )


def _row(run: Run, mark: str) -> ComparedRun:
    results = run.results
    return ComparedRun(
        title=run.title,
        fold_runs=len(run.fold_runs),
        clips=int(results.pooled["n"]),
        mean=results.mean,
        std=results.std,
        std_seeds={name: _std_over_seeds(results.fold_runs, name) for name in SCORES},
        pooled=results.pooled,
        interval=results.interval_95,
        ece=results.calibration.ece,
        ece_calibrated=results.calibration.ece_calibrated,
        reservations=results.reservations,
        mark=mark,
    )


def _std_over_seeds(fold_runs: Sequence[FoldRunScores], name: str) -> float | None:
    by_seed: dict[int, list[float]] = {}
    for fold_run in fold_runs:
        by_seed.setdefault(fold_run.seed, []).append(fold_run.test[name])
    means = [float(np.mean(values)) for values in by_seed.values()]
    return float(np.std(means, ddof=1)) if len(means) > 1 else None


@dataclass(frozen=True, eq=False)
class _Tested:
    """The test predictions of a run in one order: by seed, then clip; arrays are [n]."""

    keys: list[tuple[int, str]]
    true: NDArray[np.int64]
    predicted: NDArray[np.int64]
    speakers: list[str | None]

    @classmethod
    def of(cls, run: Run) -> _Tested:
        lines = []
        for fold_run in run.fold_runs:
            test = fold_run.predictions.part("test")
            columns = (test.id, test.true_numbers, test.predicted_numbers, test.speaker)
            lines += [((fold_run.seed, line[0]), *line[1:]) for line in zip(*columns, strict=True)]
        lines.sort(key=lambda line: line[0])
        keys, true, predicted, speakers = (list(column) for column in zip(*lines, strict=True))
        return cls(keys, np.array(true), np.array(predicted), speakers)


def _pairs(pairs: Sequence[tuple[Run, Run]]) -> tuple[Pair, ...]:
    tested = {run.title: _Tested.of(run) for pair in pairs for run in pair}
    made = []
    for a, b in pairs:
        one, other = tested[a.title], tested[b.title]
        _check_paired(a, b, one, other)
        difference = None
        if None not in one.speakers and len(set(one.speakers)) > 1:
            said = (one.predicted, other.predicted)
            difference = paired_differences(one.true, *said, one.speakers, len(a.labels))
        # a clip counts once: the first seed's prediction stands for it
        once = np.array([seed == one.keys[0][0] for seed, _ in one.keys])
        hits = [(side.predicted == side.true)[once] for side in (one, other)]
        made.append(Pair(a.title, b.title, difference, None, mcnemar(*hits)))
    return _corrected(made)


def _corrected(pairs: Sequence[Pair]) -> tuple[Pair, ...]:
    """The pairs with Holm's p; all of them are known, or none is: they have the same speakers."""
    found = [pair.difference for pair in pairs if pair.difference is not None]
    by_score = {name: holm([difference[name].p for difference in found]) for name in SCORES}
    return tuple(
        pair if not found else replace(pair, holm={name: by_score[name][i] for name in SCORES})
        for i, pair in enumerate(pairs)
    )


def _check_paired(a: Run, b: Run, one: _Tested, other: _Tested) -> None:
    if one.keys != other.keys:
        strange = min(set(one.keys) ^ set(other.keys))
        raise EmohopError(
            f"{a.folder} and {b.folder} do not test the same clips: {strange[1]} with seed "
            f"{strange[0]} is in one of them only"
        )
    if (one.true != other.true).any():
        clip = one.keys[int((one.true != other.true).argmax())][1]
        raise EmohopError(f"{a.folder} and {b.folder} differ in the true class of clip {clip}")


def _check_units(runs: Sequence[Run]) -> None:
    """Every run has the fold runs of the first."""
    first = {(fold_run.fold, fold_run.seed) for fold_run in runs[0].fold_runs}
    for run in runs[1:]:
        differing = first ^ {(fold_run.fold, fold_run.seed) for fold_run in run.fold_runs}
        if differing:
            fold, seed = min(differing)
            raise EmohopError(
                f"{run.folder} and {runs[0].folder} have other folds or seeds: fold {fold} with "
                f"seed {seed} is in one of them only; train the one that lacks it"
            )


def _reference(runs: Sequence[Run], title: str | None) -> Run:
    if title is None:
        return runs[0]
    for run in runs:
        if title in (run.title, str(run.folder), run.folder.name):
            return run
    titles = [run.title for run in runs]
    near = difflib.get_close_matches(title, titles, n=1, cutoff=0.0)[0]
    raise EmohopError(f"no run {title!r} to compare with: did you mean {near!r}?")


def _notes(runs: Sequence[Run]) -> tuple[str, ...]:
    """What must be said of all runs, which have the same test clips."""
    first = runs[0].results
    if None in first.interval_95.values():
        return ("speakers are unknown, or there is only one: no intervals, no differences",)
    if first.speakers < FEW:
        p = f"{smallest_p(first.speakers):.2g}"
        return (f"{first.speakers} speakers are few: no p can be below {p}",)
    return ()
