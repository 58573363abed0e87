"""How sure a score or a difference is: bootstrap over speakers, McNemar, Holm.

Clips of one speaker are not independent, so whole speakers are drawn.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emohop.errors import EmohopError
from emohop.evaluation.metrics import SCORES, class_numbers, scores

RESAMPLES = 10_000
LEVEL = 0.95
_NUMBERS_AT_ONCE = 4_000_000  # float64: 32 MB


class Interval(NamedTuple):
    """A confidence interval, both ends in the score's own fold run."""

    low: float
    high: float


def cluster_intervals(
    true: ArrayLike,
    predicted: ArrayLike,
    clusters: Sequence[Hashable],
    classes: int,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Interval]:
    """Percentile bootstrap of the six scores over whole clusters (speakers, or dialogs).

    Each resample draws as many clusters as there are, with replacement, and scores the clips of
    all of them together; the interval runs between the (1 - level) / 2 and (1 + level) / 2
    quantiles (linear interpolation). Drawing clusters is drawing a multinomial count for each,
    and the confusion matrix of a resample is the sum of the clusters' matrices by these counts.
    `true`, `predicted` and `clusters` are [n]. Raises EmohopError for fewer than 2 clusters.
    """
    tables = _cluster_tables(true, predicted, clusters, classes)
    (drawn,) = _resampled_scores([tables], level, resamples, seed)
    return {name: _interval(drawn[name], _ends(level)) for name in SCORES}


def mean_interval(
    values: ArrayLike,
    clusters: Sequence[Hashable],
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap of a mean over clips, float [n], as `cluster_intervals` draws clusters.

    The mean of a resample is over the clips of all clusters drawn, so a speaker of many clips
    counts for more. EmohopError for fewer than 2 clusters.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.shape != (len(clusters),):
        raise ValueError(f"values of {numbers.shape}, {len(clusters)} clusters: [n] is expected")
    names = {name: number for number, name in enumerate(sorted(set(clusters), key=str))}
    _check(len(names), level, resamples)
    which = np.array([names[name] for name in clusters])
    sums = np.bincount(which, numbers, len(names))
    counts = np.bincount(which, minlength=len(names)).astype(np.float64)
    parts = [d @ sums / (d @ counts) for d in _drawn(len(names), resamples, seed, len(names))]
    return _interval(np.concatenate(parts), _ends(level))


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
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Difference]:
    """The six scores of b minus those of a on the same clips, by paired bootstrap over clusters.

    Both are scored on the same drawn clusters, so that a hard speaker is hard for both. With d
    the difference of a resample and R resamples, p = min(1, 2 (1 + min(#d <= 0, #d >= 0)) /
    (R + 1)): twice the share of resamples on the far side of no difference. All arguments are
    [n]; the draws are those of `cluster_intervals`. EmohopError for fewer than 2 clusters.
    """
    sides = [
        _cluster_tables(true, predicted, clusters, classes)
        for predicted in (predicted_a, predicted_b)
    ]
    drawn_a, drawn_b = _resampled_scores(sides, level, resamples, seed)
    whole_a, whole_b = (scores(tables.sum(axis=0)) for tables in sides)
    found = {}
    for name in SCORES:
        gaps = drawn_b[name] - drawn_a[name]
        low, high = _interval(gaps, _ends(level))
        rarer = min(int((gaps <= 0).sum()), int((gaps >= 0).sum()))
        p = min(1.0, 2 * (1 + rarer) / (resamples + 1))
        found[name] = Difference(float(whole_b[name] - whole_a[name]), low, high, p)
    return found


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


def _resampled_scores(
    sides: Sequence[NDArray[np.float64]], level: float, resamples: int, seed: int
) -> list[dict[str, NDArray[np.float64]]]:
    """Scores [resamples] of each side's tables [clusters, classes, classes], on the same draws."""
    count, classes = sides[0].shape[:2]
    _check(count, level, resamples)
    flat = [tables.reshape(count, classes * classes) for tables in sides]
    parts: list[list[dict[str, NDArray[np.float64]]]] = [[] for _ in sides]
    for drawn in _drawn(count, resamples, seed, max(flat[0].shape)):
        for part, side in zip(parts, flat, strict=True):
            sums = drawn @ side
            part.append(scores(sums.reshape(-1, classes, classes)))
    return [{name: np.concatenate([p[name] for p in part]) for name in SCORES} for part in parts]


def _check(count: int, level: float, resamples: int) -> None:
    if not 0 < level < 1 or resamples < 1:
        raise ValueError(f"level {level} in (0, 1) and resamples {resamples} >= 1 are expected")
    if count < 2:
        raise EmohopError("a bootstrap over speakers needs at least 2 speakers, not 1")


def _drawn(count: int, resamples: int, seed: int, width: int) -> Iterator[NDArray[np.float64]]:
    """How often each of `count` clusters is drawn, [some, count], until there are `resamples`.

    Each brings up to `width` numbers, which bounds how many are drawn at once.
    """
    draw, chance = np.random.default_rng(seed), np.full(count, 1 / count)
    chunk = max(1, _NUMBERS_AT_ONCE // width)
    for start in range(0, resamples, chunk):
        drawn = draw.multinomial(count, chance, size=min(chunk, resamples - start))
        yield drawn.astype(np.float64)


def _ends(level: float) -> tuple[float, float]:
    return (1 - level) / 2, (1 + level) / 2


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


def _interval(values: NDArray[np.float64], ends: tuple[float, float]) -> Interval:
    low, high = np.quantile(values, ends)
    return Interval(float(low), float(high))
