"""How sure a score or a difference is: t over speakers, exact swaps, McNemar, Holm.

Clips of one speaker are not independent, so whole speakers count. docs/evaluation.md has how often
these intervals hold the truth, and those that they were chosen from do.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emohop.errors import EmohopError
from emohop.evaluation.metrics import SCORES, class_numbers, scores

LEVEL = 0.95
ENUMERATED = 13
"""Up to so many speakers, every way to swap two runs is gone through."""
SWAPS = 10_000
"""Ways that are drawn where there are more."""
FEW = 10
"""With fewer speakers than these, tables say how small p can be."""
_NUMBERS_AT_ONCE = 4_000_000  # float64: 32 MB
_EQUAL = 1e-9  # differences of scores that count as equal


class Interval(NamedTuple):
    """A confidence interval, both ends in the score's own unit."""

    low: float
    high: float


def cluster_intervals(
    true: ArrayLike,
    predicted: ArrayLike,
    clusters: Sequence[Hashable],
    classes: int,
    level: float = LEVEL,
) -> dict[str, Interval]:
    """Intervals of the six scores over whole clusters (speakers, or dialogs), around the score.

    With S clusters and x_s the score of all clips but those of cluster s, its standard error is
    sqrt((S - 1) / S * sum_s (x_s - mean x)^2), the delete-one jackknife (Efron and Tibshirani 1993,
    11.5), and the interval the score ± t of S - 1 degrees of freedom times that, within [0, 1].
    `true`, `predicted` and `clusters` are [n]. Raises EmohopError for fewer than 2 clusters.
    """
    tables = _cluster_tables(true, predicted, clusters, classes)
    whole, without = scores(tables.sum(axis=0)), _without_one(tables, level)
    return {name: _around(float(whole[name]), without[name], level, (0.0, 1.0)) for name in SCORES}


def mean_interval(
    values: ArrayLike, clusters: Sequence[Hashable], level: float = LEVEL
) -> Interval:
    """The interval of a mean over clips, float [n], as `cluster_intervals` makes it.

    A speaker of many clips counts for more. EmohopError for fewer than 2 clusters.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.shape != (len(clusters),):
        raise ValueError(f"values of {numbers.shape}, {len(clusters)} clusters: [n] is expected")
    names = {name: number for number, name in enumerate(sorted(set(clusters), key=str))}
    _check(len(names), level)
    which = np.array([names[name] for name in clusters])
    sums = np.bincount(which, numbers, len(names))
    counts = np.bincount(which, minlength=len(names)).astype(np.float64)
    without = (sums.sum() - sums) / (counts.sum() - counts)
    return _around(float(numbers.mean()), without, level, (-np.inf, np.inf))


class Difference(NamedTuple):
    """Score of b minus score of a, its interval, and how likely so large a one is by chance."""

    value: float
    low: float
    high: float
    p: float


class McNemar(NamedTuple):
    """Clips that only a, and only b, got right, and the exact two-sided p of so uneven a split."""

    only_a: int
    only_b: int
    p: float


def paired_differences(
    true: ArrayLike,
    predicted_a: ArrayLike,
    predicted_b: ArrayLike,
    clusters: Sequence[Hashable],
    classes: int,
    level: float = LEVEL,
    seed: int = 0,
) -> dict[str, Difference]:
    """The six scores of b minus those of a on the same clips, paired over clusters.

    The interval is that of `cluster_intervals` for the difference. p is of an exact permutation
    test: if a and b are alike, each cluster's predictions might as well be the other's, and p is
    the share of all 2^S ways to swap them under which the scores differ by as much. Above
    ENUMERATED clusters, R = SWAPS ways are drawn by `seed`, and p = (1 + those) / (1 + R). With two
    clusters p is never below 0.5. All arguments are [n]; EmohopError for fewer than 2 clusters.
    """
    a, b = (
        _cluster_tables(true, predicted, clusters, classes)
        for predicted in (predicted_a, predicted_b)
    )
    whole_a, whole_b = (scores(tables.sum(axis=0)) for tables in (a, b))
    without_a, without_b = (_without_one(tables, level) for tables in (a, b))
    p = _swapped(a, b, seed)
    found = {}
    for name in SCORES:
        value = float(whole_b[name] - whole_a[name])
        gaps = without_b[name] - without_a[name]
        found[name] = Difference(value, *_around(value, gaps, level, (-1.0, 1.0)), p[name])
    return found


def smallest_p(clusters: int) -> float:
    """The smallest p that `paired_differences` can give of so many clusters."""
    return 2 / 2**clusters if clusters <= ENUMERATED else 1 / (1 + SWAPS)


def mcnemar(correct_a: ArrayLike, correct_b: ArrayLike) -> McNemar:
    """The exact McNemar test of paired hits, bool [n]: a binomial test of the clips that differ.

    Each clip counts alone: clips of one speaker are alike, so p is smaller than it should be. The
    paired bootstrap over speakers is the test to trust.
    """
    from scipy.stats import binomtest

    a, b = np.asarray(correct_a, dtype=bool), np.asarray(correct_b, dtype=bool)
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"hits of {a.shape} and {b.shape}: the same clips [n] are expected")
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    p = float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0
    return McNemar(only_a, only_b, p)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's correction: p of each of m tests such that all of them together err at its level."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, running = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = running
    return adjusted


def _without_one(tables: NDArray[np.float64], level: float) -> dict[str, NDArray[np.float64]]:
    """Scores [clusters] of all tables [clusters, classes, classes] but one."""
    _check(len(tables), level)
    return dict(scores(tables.sum(axis=0) - tables))


def _around(
    value: float, without: NDArray[np.float64], level: float, limits: tuple[float, float]
) -> Interval:
    """A value ± t times its jackknife error, within limits."""
    from scipy.stats import t

    count = len(without)
    error = np.sqrt((count - 1) / count * np.square(without - without.mean()).sum())
    half = t.ppf((1 + level) / 2, count - 1) * error
    low, high = (float(np.clip(end, *limits)) for end in (value - half, value + half))
    return Interval(low, high)


def _swapped(a: NDArray[np.float64], b: NDArray[np.float64], seed: int) -> dict[str, float]:
    """How often two runs differ by as much when clusters change sides, by score."""
    count, classes = a.shape[:2]
    flat_a, flat_b = (tables.reshape(count, classes * classes) for tables in (a, b))
    total_a, total_b, gap = flat_a.sum(0), flat_b.sum(0), flat_b - flat_a
    seen = dict.fromkeys(SCORES, 0)
    there = {name: abs(d) for name, d in _gaps(total_a, total_b, classes).items()}
    ways = 0
    for swapped in _ways(count, seed, max(count, classes * classes)):
        moved = swapped @ gap
        gaps = _gaps(total_a + moved, total_b - moved, classes)
        ways += len(swapped)
        for name in SCORES:
            seen[name] += int((abs(gaps[name]) >= there[name] - _EQUAL).sum())
    if count <= ENUMERATED:
        return {name: seen[name] / ways for name in SCORES}
    return {name: (1 + seen[name]) / (1 + ways) for name in SCORES}


def _gaps(
    a: NDArray[np.float64], b: NDArray[np.float64], classes: int
) -> dict[str, NDArray[np.float64]]:
    """Scores of b minus those of a, of flat confusion matrices [..., classes * classes]."""
    sides = [scores(side.reshape(*side.shape[:-1], classes, classes)) for side in (a, b)]
    return {name: np.asarray(sides[1][name] - sides[0][name]) for name in SCORES}


def _ways(count: int, seed: int, width: int) -> Iterator[NDArray[np.float64]]:
    """Which clusters change sides, 0 or 1, [some, count]; each brings up to `width` numbers."""
    chunk = max(1, _NUMBERS_AT_ONCE // width)
    if count <= ENUMERATED:
        every = np.array(list(itertools.product((0.0, 1.0), repeat=count)))
        yield from (every[at : at + chunk] for at in range(0, len(every), chunk))
        return
    draw = np.random.default_rng(seed)
    for start in range(0, SWAPS, chunk):
        size = (min(chunk, SWAPS - start), count)
        yield draw.integers(0, 2, size).astype(np.float64)


def _check(count: int, level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level {level}: in (0, 1) is expected")
    if count < 2:
        raise EmohopError("an interval over speakers needs at least 2 speakers, not 1")


def _cluster_tables(
    true: ArrayLike, predicted: ArrayLike, clusters: Sequence[Hashable], classes: int
) -> NDArray[np.float64]:
    """One confusion matrix for each cluster, in order of their names: clips may come in any."""
    rows, columns = class_numbers(true, classes, "true"), class_numbers(predicted, classes)
    if not len(rows) == len(columns) == len(clusters):
        raise ValueError(f"{len(rows)} true, {len(columns)} predicted, {len(clusters)} clusters")
    numbers = {name: number for number, name in enumerate(sorted(set(clusters), key=str))}
    which = np.array([numbers[name] for name in clusters], dtype=np.int64)
    cells = (which * classes + rows) * classes + columns
    counts = np.bincount(cells, minlength=len(numbers) * classes * classes)
    return counts.reshape(len(numbers), classes, classes).astype(np.float64)
