from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from emohop.errors import EmohopError
from emohop.evaluation.metrics import (
    SCORES,
    TITLES,
    confusion_matrix,
    expected_calibration_error,
    metrics,
    scores,
)

GOLDEN = Path(__file__).parents[1] / "golden" / "metrics.json"
CLASSES = 5
Pairs = list[tuple[int, int]]
PAIRS = st.lists(
    st.tuples(st.integers(0, CLASSES - 1), st.integers(0, CLASSES - 1)), min_size=1, max_size=60
)


def table_of(pairs: Pairs) -> NDArray[np.int64]:
    return confusion_matrix([p[0] for p in pairs], [p[1] for p in pairs], CLASSES)


def by_sklearn(true: list[int], predicted: list[int]) -> dict[str, float]:
    from sklearn.metrics import (
        accuracy_score,
        balanced_accuracy_score,
        f1_score,
        precision_score,
    )

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # classes that are predicted and not true
        return {
            "accuracy": accuracy_score(true, predicted),
            "balanced_accuracy": balanced_accuracy_score(true, predicted),
            "f1_macro": f1_score(true, predicted, average="macro", zero_division=0),
            "f1_weighted": f1_score(true, predicted, average="weighted", zero_division=0),
            "precision_macro": precision_score(true, predicted, average="macro", zero_division=0),
            "precision_weighted": precision_score(
                true, predicted, average="weighted", zero_division=0
            ),
        }


@given(PAIRS)
@settings(max_examples=60, deadline=None)
def test_scores_are_those_of_scikit_learn(pairs: Pairs) -> None:
    true, predicted = [p[0] for p in pairs], [p[1] for p in pairs]
    ours = scores(confusion_matrix(true, predicted, CLASSES))
    assert set(ours) == set(SCORES)
    for name, value in by_sklearn(true, predicted).items():
        assert ours[name] == pytest.approx(value, abs=1e-12), name


@pytest.mark.parametrize("case", ["whole", "no_class6_in_true"])
def test_scores_are_those_of_the_release(case: str) -> None:
    golden: dict[str, Any] = json.loads(GOLDEN.read_text("utf-8"))
    values = golden if case == "whole" else golden[case]
    ours = scores(confusion_matrix(values["y_true"], values["y_pred"], 7))
    for name, release in {
        "accuracy": "weighted_accuracy",
        "balanced_accuracy": "unweighted_accuracy",
        "precision_macro": "precision_macro",
        "precision_weighted": "precision_weighted",
    }.items():
        assert ours[name] == pytest.approx(values[release], abs=1e-14), name


@given(st.lists(PAIRS, min_size=1, max_size=6))
@settings(max_examples=20, deadline=None)
def test_many_matrices_at_once_score_as_one_by_one(cases: list[Pairs]) -> None:
    tables = [table_of(pairs) for pairs in cases]
    together = scores(np.stack(tables)[None])
    for name in SCORES:
        assert together[name].shape == (1, len(cases))
        assert together[name][0].tolist() == [float(scores(table)[name]) for table in tables]


@given(PAIRS, st.permutations(range(CLASSES)))
@settings(max_examples=30, deadline=None)
def test_scores_do_not_depend_on_the_order_of_classes(pairs: Pairs, order: list[int]) -> None:
    table = table_of(pairs)
    one, other = scores(table), scores(table[np.ix_(order, order)])
    for name in SCORES:
        assert one[name] == pytest.approx(other[name], abs=1e-12)


def test_confusion_matrix_has_true_classes_in_rows() -> None:
    table = confusion_matrix([0, 0, 2], [0, 1, 1], 3)
    assert table.dtype == np.int64
    assert table.tolist() == [[1, 1, 0], [0, 0, 0], [0, 1, 0]]


def test_accuracy_and_balanced_accuracy_are_not_swapped() -> None:
    # nine of ten neutral right, none of two angry
    ours = scores([[9, 1], [2, 0]])
    assert ours["accuracy"] == pytest.approx(9 / 12)
    assert ours["balanced_accuracy"] == pytest.approx((0.9 + 0) / 2)
    assert TITLES["accuracy"] == "accuracy (WA)"
    assert TITLES["balanced_accuracy"] == "balanced accuracy (UA)"


def random_case(n: int, classes: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    draw = np.random.default_rng(n)
    return draw.integers(classes, size=n), draw.dirichlet(np.full(classes, 0.4), size=n)


@pytest.mark.parametrize(("n", "bins"), [(1, 15), (7, 3), (500, 15), (500, 1)])
def test_calibration_error_is_the_sum_over_bins(n: int, bins: int) -> None:
    true, table = random_case(n, 4)
    expected = 0.0
    for k in range(bins):
        inside = [i for i in range(n) if k / bins < table[i].max() <= (k + 1) / bins]
        if inside:
            right = sum(int(table[i].argmax() == true[i]) for i in inside) / len(inside)
            confidence = sum(float(table[i].max()) for i in inside) / len(inside)
            expected += len(inside) / n * abs(right - confidence)
    assert expected_calibration_error(table, true, bins) == pytest.approx(expected, abs=1e-12)


def test_calibration_error_is_0_when_certain_and_right_and_1_when_certain_and_wrong() -> None:
    certain = np.eye(3)
    assert expected_calibration_error(certain, [0, 1, 2]) == 0
    assert expected_calibration_error(certain, [1, 2, 0]) == 1


def test_metrics_block() -> None:
    true, table = random_case(300, 4)
    block = metrics(true, table.astype(np.float32))
    assert list(block) == ["n", *SCORES, "ece"] == ["n", *TITLES]
    assert block["n"] == 300
    wanted = by_sklearn(true.tolist(), table.argmax(axis=1).tolist())
    assert {name: block[name] for name in SCORES} == pytest.approx(wanted)
    json.dumps(block, allow_nan=False)


def test_nothing_to_score_is_an_error() -> None:
    for call in (
        lambda: confusion_matrix([], [], 3),
        lambda: scores(np.zeros((2, 3, 3))),
        lambda: metrics([], np.zeros((0, 3))),
    ):
        with pytest.raises(EmohopError, match="no clips to score"):
            call()


@pytest.mark.parametrize("bad", [[np.nan, 1.0], [0.2, 0.2], [-0.5, 1.5], [np.inf, 0.0]])
def test_probabilities_that_are_none_are_refused(bad: list[float]) -> None:
    with pytest.raises(EmohopError, match="row 1 of the probabilities"):
        metrics([0, 1], [[0.5, 0.5], bad])


@pytest.mark.parametrize(
    ("true", "predicted"),
    [
        ([0, 3], [0, 0]),
        ([0, -1], [0, 0]),
        ([0.0, 1.0], [0, 1]),
        ([0, 1, 1], [0, 1]),
        ([[0]], [[0]]),
    ],
)
def test_class_numbers_are_checked(true: Any, predicted: Any) -> None:
    with pytest.raises(ValueError, match=r"expected|classes"):
        confusion_matrix(true, predicted, 3)


def test_shapes_are_checked() -> None:
    with pytest.raises(ValueError, match="confusion matrices"):
        scores(np.ones((2, 3)))
    with pytest.raises(ValueError, match="probabilities of 1"):
        metrics([0, 1], [[0.5, 0.5]])
    with pytest.raises(ValueError, match="probabilities of 1"):
        expected_calibration_error([[0.5, 0.5]], [0, 1])
    with pytest.raises(ValueError, match=r"\[n, classes\]"):
        metrics([0], [0.5])
