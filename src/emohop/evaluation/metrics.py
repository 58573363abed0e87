"""Scores of a classifier, each named by what it computes.

All but the calibration error come from a confusion matrix and work on any number of matrices at
once, so that many resamples cost one call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emohop.errors import EmohopError

SCORES = (
    "accuracy",
    "balanced_accuracy",
    "f1_macro",
    "f1_weighted",
    "precision_macro",
    "precision_weighted",
)
"""What `scores` gives, in the order of tables."""

TITLES: Mapping[str, str] = {
    "accuracy": "accuracy (WA)",
    "balanced_accuracy": "balanced accuracy (UA)",
    "f1_macro": "F1 macro",
    "f1_weighted": "F1 weighted",
    "precision_macro": "precision macro",
    "precision_weighted": "precision weighted",
    "ece": "expected calibration error",
}
"""The name of each score in tables, with the field's abbreviation beside it."""

CALIBRATION_BINS = 15
_SUM_TOLERANCE = 1e-3


def confusion_matrix(true: ArrayLike, predicted: ArrayLike, classes: int) -> NDArray[np.int64]:
    """Count clips by true class (rows) and predicted class (columns): [classes, classes].

    `true` and `predicted` are class numbers from 0, [n].
    """
    rows, columns = class_numbers(true, classes, "true"), class_numbers(predicted, classes)
    if len(rows) != len(columns):
        raise ValueError(f"{len(rows)} true classes and {len(columns)} predictions")
    counts = np.bincount(rows * classes + columns, minlength=classes * classes)
    return counts.reshape(classes, classes).astype(np.int64)


def class_numbers(values: ArrayLike, classes: int, name: str = "predicted") -> NDArray[np.int64]:
    """Check class numbers `[n]`: whole numbers from 0 to `classes` - 1, at least one."""
    array = np.asarray(values)
    if array.size == 0:
        raise EmohopError(f"no clips to score: `{name}` is empty")
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise ValueError(f"`{name}` is {array.dtype}{list(array.shape)}: integers [n] are expected")
    if array.min() < 0 or array.max() >= classes:
        raise ValueError(f"`{name}` holds classes {array.min()}..{array.max()} of {classes}")
    return array.astype(np.int64)


def scores(confusion: ArrayLike) -> dict[str, NDArray[np.float64]]:
    """The six `SCORES` of confusion matrices [..., classes, classes]; each has shape [...].

    With n_ij clips of class i called j, row sums r_i, column sums c_i and n clips in all:
    recall_i = n_ii / r_i, precision_i = n_ii / c_i, F1_i = 2 n_ii / (r_i + c_i), each 0 where the
    divisor is 0. Accuracy = sum n_ii / n. Balanced accuracy = mean recall over classes with
    r_i > 0. Macro = mean over classes with r_i + c_i > 0. Weighted = sum r_i x_i / n.
    Raises EmohopError when a matrix holds no clip.
    """
    counts = np.asarray(confusion, dtype=np.float64)
    if counts.ndim < 2 or counts.shape[-1] != counts.shape[-2]:
        raise ValueError(f"confusion matrices [..., classes, classes], not {list(counts.shape)}")
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    support, called = counts.sum(axis=-1), counts.sum(axis=-2)
    total = support.sum(axis=-1)
    if not np.all(total > 0):
        raise EmohopError("no clips to score: a confusion matrix is empty")
    recall, precision = _ratio(hits, support), _ratio(hits, called)
    f1 = _ratio(2 * hits, support + called)
    in_truth, seen = (support > 0).sum(axis=-1), (support + called > 0).sum(axis=-1)
    return {
        "accuracy": hits.sum(axis=-1) / total,
        "balanced_accuracy": recall.sum(axis=-1) / in_truth,
        "f1_macro": f1.sum(axis=-1) / seen,
        "f1_weighted": (f1 * support).sum(axis=-1) / total,
        "precision_macro": precision.sum(axis=-1) / seen,
        "precision_weighted": (precision * support).sum(axis=-1) / total,
    }


def expected_calibration_error(
    probabilities: ArrayLike, true: ArrayLike, bins: int = CALIBRATION_BINS
) -> float:
    """How far confidence is from accuracy, on average: 0 is perfect.

    Confidence is the highest probability of a clip. It falls in one of `bins` equal intervals
    (k / bins, (k + 1) / bins]; the error is sum_k n_k / n * |accuracy_k - mean confidence_k|.
    `probabilities` is [n, classes], `true` [n].
    """
    which, confidence, correct = by_confidence(probabilities, true, bins)
    gap = np.bincount(which, weights=correct - confidence, minlength=bins)
    return float(np.abs(gap).sum() / len(which))


def by_confidence(
    probabilities: ArrayLike, true: ArrayLike, bins: int = CALIBRATION_BINS
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_]]:
    """Each clip's bin of confidence, its confidence and whether it is right, all [n]."""
    table = checked_probabilities(probabilities)
    truth = class_numbers(true, table.shape[1], "true")
    _same_length(table, truth)
    confidence: NDArray[np.float64] = table.max(axis=1)
    correct: NDArray[np.bool_] = table.argmax(axis=1) == truth
    which = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    return which, confidence, correct


def metrics(true: ArrayLike, probabilities: ArrayLike) -> dict[str, Any]:
    """A block of `metrics.json`: n, the six `SCORES` and ece.

    `true` is [n], `probabilities` [n, classes]; the prediction is the most probable class, the
    first one of several equal.
    """
    table = checked_probabilities(probabilities)
    truth = class_numbers(true, table.shape[1], "true")
    _same_length(table, truth)
    values = scores(confusion_matrix(truth, table.argmax(axis=1), table.shape[1]))
    return {
        "n": len(truth),
        **{name: float(values[name]) for name in SCORES},
        "ece": expected_calibration_error(table, truth),
    }


def checked_probabilities(probabilities: ArrayLike) -> NDArray[np.float64]:
    """Probabilities [n, classes] as float64; EmohopError unless each row is a distribution."""
    table = np.asarray(probabilities, dtype=np.float64)
    if table.ndim != 2:
        raise ValueError(f"probabilities [n, classes] are expected, not {list(table.shape)}")
    if table.size == 0:
        raise EmohopError("no clips to score: there are no probabilities")
    sums = table.sum(axis=1)
    wrong = ~((table >= 0).all(axis=1) & (np.abs(sums - 1) <= _SUM_TOLERANCE))  # NaN is wrong too
    if wrong.any():
        row = int(wrong.argmax())
        raise EmohopError(
            f"row {row} of the probabilities is not a distribution (sum {sums[row]:.4g}): "
            "give softmax outputs; with NaN the training has diverged"
        )
    return table


def _ratio(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    result: NDArray[np.float64] = np.divide(above, below, out=np.zeros_like(below), where=below > 0)
    return result


def _same_length(table: NDArray[np.float64], truth: NDArray[np.int64]) -> None:
    if len(table) != len(truth):
        raise ValueError(f"{len(truth)} true classes and probabilities of {len(table)} clips")


def vote_divergences(shares: ArrayLike, probabilities: ArrayLike) -> dict[str, float]:
    """How far probabilities are from what raters said, in nats, mean over clips with votes.

    `shares` are votes by class and `probabilities` predictions, both [n, classes]. `votes_kl` is
    the sum over classes of q log(q / p) with q the votes, `votes_js` the Jensen-Shannon
    divergence, which is at most log 2; {} where no clip has votes.
    """
    said, found = np.asarray(shares, np.float64), checked_probabilities(probabilities)
    rated = said.sum(axis=1) > 0
    if not rated.any():
        return {}
    said, found = said[rated], found[rated].astype(np.float64)
    middle = (said + found) / 2
    apart = _kullback_leibler(said, middle) + _kullback_leibler(found, middle)
    return {
        "votes_kl": float(_kullback_leibler(said, found).mean()),
        "votes_js": float(apart.mean() / 2),
    }


def _kullback_leibler(of: NDArray[np.float64], to: NDArray[np.float64]) -> NDArray[np.float64]:
    some = of > 0
    ratio = np.where(some, of, 1.0) / np.where(some, np.maximum(to, np.finfo(float).tiny), 1.0)
    return np.asarray((np.where(some, of, 0.0) * np.log(ratio)).sum(axis=1))
