"""Confidence intervals by bootstrap over speakers: clips of one speaker are not independent."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emohop.errors import EmohopError
from emohop.evaluation.metrics import SCORES, class_numbers, scores

RESAMPLES = 10_000
LEVEL = 0.95
_NUMBERS_AT_ONCE = 4_000_000  # float64: 32 MB


class Interval(NamedTuple):
    """A confidence interval, both ends in the score's own unit."""

    low: float
    high: float


def cluster_interval(
    true: ArrayLike,
    predicted: ArrayLike,
    clusters: Sequence[Hashable],
    classes: int,
    score: str = "accuracy",
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """The interval of one score: see `cluster_intervals`."""
    if score not in SCORES:
        raise EmohopError(f"no interval for score {score!r}: one of {', '.join(SCORES)}")
    return cluster_intervals(true, predicted, clusters, classes, level, resamples, seed)[score]


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
    if not 0 < level < 1 or resamples < 1:
        raise ValueError(f"level {level} in (0, 1) and resamples {resamples} >= 1 are expected")
    tables = _cluster_tables(true, predicted, clusters, classes)
    count = len(tables)
    if count < 2:
        raise EmohopError("a bootstrap over speakers needs at least 2 speakers, not 1")
    flat = tables.reshape(count, classes * classes)
    chance = np.full(count, 1 / count)
    draw = np.random.default_rng(seed)
    chunk = max(1, _NUMBERS_AT_ONCE // max(flat.shape))
    parts: dict[str, list[NDArray[np.float64]]] = {name: [] for name in SCORES}
    for start in range(0, resamples, chunk):
        drawn = draw.multinomial(count, chance, size=min(chunk, resamples - start))
        sums = drawn.astype(np.float64) @ flat
        for name, values in scores(sums.reshape(-1, classes, classes)).items():
            parts[name].append(values)
    ends = ((1 - level) / 2, (1 + level) / 2)
    return {name: _interval(np.concatenate(parts[name]), ends) for name in SCORES}


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
