"""Temperature and reliability against a search by hand and the calibration error."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax

from emohop.evaluation.calibration import (
    COLDEST,
    HOTTEST,
    apply_temperature,
    fit_temperature,
    reliability,
)
from emohop.evaluation.metrics import expected_calibration_error


def made(seed: int, clips: int = 400, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that are right if `scale` is 1, and true classes drawn from them."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(clips, 4)) * 2
    honest = softmax(logits, axis=1)
    true = np.array([rng.choice(4, p=row) for row in honest])
    return softmax(logits * scale, axis=1), true


@pytest.mark.parametrize("scale", [0.4, 1.0, 3.0])
def test_the_temperature_is_the_most_likely_one(scale: float) -> None:
    table, true = made(1, scale=scale)
    found = fit_temperature(table, true)
    grid = np.exp(np.linspace(np.log(0.1), np.log(10), 2001))
    rows = np.arange(len(true))
    losses = [-log_softmax(np.log(table) / t, axis=1)[rows, true].mean() for t in grid]
    assert found == pytest.approx(grid[int(np.argmin(losses))], rel=3e-3)
    assert found == pytest.approx(scale, rel=0.25)


@given(st.integers(0, 1000), st.sampled_from([0.3, 1.0, 4.0]))
def test_calibrated_on_dev_it_is_better_on_test(seed: int, scale: float) -> None:
    dev, test = made(seed, 1500, scale), made(seed + 5000, 1500, scale)
    temperature = fit_temperature(*dev)
    before = expected_calibration_error(*test)
    after = expected_calibration_error(apply_temperature(test[0], temperature), test[1])
    assert after < 0.06
    if scale != 1.0:
        assert after < before


@given(st.integers(0, 1000), st.floats(0.1, 10))
def test_a_temperature_changes_no_prediction_and_can_be_undone(seed: int, heat: float) -> None:
    table, _ = made(seed, 30)
    changed = apply_temperature(table, heat)
    assert changed.argmax(axis=1).tolist() == table.argmax(axis=1).tolist()
    assert changed.sum(axis=1) == pytest.approx(np.ones(30))
    sure, was = changed.max(axis=1), table.max(axis=1)
    assert (sure <= was + 1e-9).all() if heat > 1 else (sure >= was - 1e-9).all()
    if 0.5 < heat < 2:
        assert apply_temperature(changed, 1 / heat) == pytest.approx(table, abs=1e-6)


def test_the_ends_of_the_search() -> None:
    sure = np.array([[0.9, 0.1], [0.2, 0.8]])
    assert fit_temperature(sure, [0, 1]) == pytest.approx(COLDEST, rel=1e-3)
    assert fit_temperature(sure, [1, 0]) == pytest.approx(HOTTEST, rel=1e-3)
    certain = np.array([[1.0, 0.0], [0.0, 1.0]])  # float32 rounds small ones to 0
    assert np.isfinite(apply_temperature(certain, 5.0)).all()
    assert fit_temperature(certain, [0, 0]) > 1
    with pytest.raises(ValueError, match="above 0"):
        apply_temperature(sure, 0)


@given(st.integers(0, 1000), st.integers(1, 20))
def test_reliability_adds_up_to_the_calibration_error(seed: int, bins: int) -> None:
    table, true = made(seed, 50, 2.0)
    found = reliability(table, true, bins)
    assert found.count.sum() == 50
    assert found.error == pytest.approx(expected_calibration_error(table, true, bins))
    for k in range(bins):
        inside = (table.max(axis=1) > k / bins) & (table.max(axis=1) <= (k + 1) / bins)
        assert found.count[k] == inside.sum()
        if inside.any():
            right = table.argmax(axis=1) == true
            assert found.accuracy[k] == pytest.approx(right[inside].mean())
            assert found.confidence[k] == pytest.approx(table.max(axis=1)[inside].mean())
        else:
            assert np.isnan(found.accuracy[k])
