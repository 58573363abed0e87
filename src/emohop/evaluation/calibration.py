"""Probabilities that mean what they say: temperature scaling fitted on dev, reliability bins.

Guo et al. 2017, "On Calibration of Modern Neural Networks".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emohop.evaluation.metrics import (
    CALIBRATION_BINS,
    by_confidence,
    checked_probabilities,
    class_numbers,
    expected_calibration_error,
)

COLDEST, HOTTEST = 0.05, 20.0
"""Temperatures that are searched: a dev part that is all right would want 0, all wrong infinity."""
_SMALLEST = 1e-30  # of float32 probabilities that became 0


@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """Clips by confidence, in bins (k / bins, (k + 1) / bins]; all arrays are [bins].

    `confidence` and `accuracy` are means over a bin's clips, NaN where it has none.
    """

    count: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    error: float
    """`metrics.expected_calibration_error` of the same bins."""


def fit_temperature(probabilities: ArrayLike, true: ArrayLike) -> float:
    """The temperature that makes the true classes of dev most likely.

    It minimises -mean log softmax(log p / T)[true] over log T, between COLDEST and HOTTEST.
    `probabilities` is [n, classes], `true` [n].
    """
    from scipy.optimize import minimize_scalar

    table = checked_probabilities(probabilities)
    truth = class_numbers(true, table.shape[1], "true")
    logs = np.log(np.maximum(table, _SMALLEST))

    def loss(log_temperature: float) -> float:
        scaled = logs / np.exp(log_temperature)
        top = scaled.max(axis=1)
        total = top + np.log(np.exp(scaled - top[:, None]).sum(axis=1))
        return float((total - scaled[np.arange(len(truth)), truth]).mean())

    bounds = (float(np.log(COLDEST)), float(np.log(HOTTEST)))
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


def apply_temperature(probabilities: ArrayLike, temperature: float) -> NDArray[np.float64]:
    """softmax(log p / T), [n, classes]: above 1 less sure, below 1 surer, the same prediction."""
    if not temperature > 0:
        raise ValueError(f"temperature {temperature}: a number above 0 is expected")
    table = checked_probabilities(probabilities)
    scaled = np.log(np.maximum(table, _SMALLEST)) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    result: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return result


def reliability(
    probabilities: ArrayLike, true: ArrayLike, bins: int = CALIBRATION_BINS
) -> Reliability:
    """Clips by the confidence of their prediction; `probabilities` [n, classes], `true` [n]."""
    which, confidence, correct = by_confidence(probabilities, true, bins)
    count = np.bincount(which, minlength=bins)
    with np.errstate(invalid="ignore"):
        return Reliability(
            count=count.astype(np.int64),
            confidence=np.bincount(which, confidence, bins) / count,
            accuracy=np.bincount(which, correct, bins) / count,
            error=expected_calibration_error(probabilities, true, bins),
        )
