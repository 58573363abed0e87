from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from emohop.errors import EmohopError
from emohop.evaluation import significance
from emohop.evaluation.metrics import SCORES, confusion_matrix, scores
from emohop.evaluation.significance import (
    Interval,
    cluster_intervals,
    mean_interval,
)

Ints = NDArray[np.int64]


def made_case(
    seed: int, speakers: int = 6, clips: int = 120, classes: int = 4
) -> tuple[Ints, Ints, list[str]]:
    draw = np.random.default_rng(seed)
    who = np.concatenate([np.arange(speakers), draw.integers(speakers, size=clips - speakers)])
    skill = draw.uniform(0.2, 0.9, speakers)
    true = draw.integers(classes, size=clips)
    right = draw.random(clips) < skill[who]
    predicted = np.where(right, true, draw.integers(classes, size=clips))
    return true, predicted, [f"s{number}" for number in who]


def test_as_a_plain_loop_over_resamples() -> None:
    true, predicted, speakers = made_case(1)
    names = sorted(set(speakers))
    rows = {name: [i for i, s in enumerate(speakers) if s == name] for name in names}
    draw = np.random.default_rng(3)
    found: dict[str, list[float]] = {name: [] for name in SCORES}
    for _ in range(200):
        times = draw.multinomial(len(names), np.full(len(names), 1 / len(names)))
        drawn = [i for name, k in zip(names, times, strict=True) for i in rows[name] * int(k)]
        values = scores(confusion_matrix(true[drawn], predicted[drawn], 4))
        for name in SCORES:
            found[name].append(float(values[name]))
    ours = cluster_intervals(true, predicted, speakers, 4, level=0.9, resamples=200, seed=3)
    for name in SCORES:
        low, high = np.quantile(found[name], [0.05, 0.95])
        assert ours[name] == pytest.approx((low, high), abs=1e-12)


def test_drawing_speakers_one_by_one_gives_the_same_distribution() -> None:
    true, predicted, speakers = made_case(2, speakers=8, clips=400)
    hits, totals = np.zeros(8), np.zeros(8)
    for t, p, s in zip(true, predicted, speakers, strict=True):
        hits[int(s[1:])] += t == p
        totals[int(s[1:])] += 1
    drawn = np.random.default_rng(0).integers(8, size=(20_000, 8))
    values = hits[drawn].sum(axis=1) / totals[drawn].sum(axis=1)
    ours = cluster_intervals(true, predicted, speakers, 4, resamples=20_000, seed=1)
    assert ours["accuracy"] == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])), abs=0.01)


def test_the_chunks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    true, predicted, speakers = made_case(4)
    whole = cluster_intervals(true, predicted, speakers, 4, resamples=101)
    monkeypatch.setattr(significance, "_NUMBERS_AT_ONCE", 160)  # 10 resamples at once
    assert cluster_intervals(true, predicted, speakers, 4, resamples=101) == whole


def test_the_order_of_clips_does_not_change_the_result() -> None:
    true, predicted, speakers = made_case(6)
    order = np.random.default_rng(0).permutation(len(true))
    one = cluster_intervals(true, predicted, speakers, 4, resamples=100)
    shuffled = [speakers[row] for row in order]
    assert cluster_intervals(true[order], predicted[order], shuffled, 4, resamples=100) == one


def test_every_score_has_an_interval_that_repeats_itself() -> None:
    true, predicted, speakers = made_case(5)
    everything = cluster_intervals(true, predicted, speakers, 4, resamples=300, seed=7)
    assert everything == cluster_intervals(true, predicted, speakers, 4, resamples=300, seed=7)
    for name in SCORES:
        one = everything[name]
        assert isinstance(one, Interval)
        assert one.low < one.high
    other = cluster_intervals(true, predicted, speakers, 4, resamples=300, seed=8)
    assert other != everything


def test_equal_speakers_leave_no_doubt() -> None:
    true, predicted = np.tile([0, 0, 1, 1], 5), np.tile([0, 1, 1, 1], 5)
    speakers = np.repeat(np.arange(5), 4).tolist()
    ours = cluster_intervals(true, predicted, speakers, 2, resamples=50)
    assert ours["accuracy"] == (0.75, 0.75)
    assert ours["balanced_accuracy"] == (0.75, 0.75)


def test_it_covers_the_truth_where_a_bootstrap_over_clips_does_not() -> None:
    """Speakers differ (accuracy uniform in 0.3..0.9, mean 0.6), 40 clips of each of 20."""
    draw = np.random.default_rng(11)
    covered = {"speakers": 0, "clips": 0}
    cases = 200
    for case in range(cases):
        right = (draw.random((20, 40)) < draw.uniform(0.3, 0.9, (20, 1))).ravel()
        true, predicted = np.zeros(800, dtype=np.int64), np.where(right, 0, 1)
        clusters = {"speakers": np.repeat(np.arange(20), 40), "clips": np.arange(800)}
        for name, which in clusters.items():
            found = cluster_intervals(true, predicted, which.tolist(), 2, resamples=200, seed=case)
            low, high = found["accuracy"]
            covered[name] += low <= 0.6 <= high
    assert 0.88 <= covered["speakers"] / cases <= 0.98
    assert covered["clips"] / cases < 0.7


def test_what_cannot_be_resampled_is_said() -> None:
    with pytest.raises(EmohopError, match="at least 2 speakers"):
        cluster_intervals([0, 1], [0, 1], ["a", "a"], 2)
    with pytest.raises(EmohopError, match="no clips"):
        cluster_intervals([], [], [], 2)
    with pytest.raises(ValueError, match="2 true, 2 predicted, 1 clusters"):
        cluster_intervals([0, 1], [0, 1], ["a"], 2)
    with pytest.raises(ValueError, match=r"level 95 in \(0, 1\)"):
        cluster_intervals([0, 1], [0, 1], ["a", "b"], 2, level=95)


def test_the_interval_of_a_mean_is_that_of_accuracy_of_hits() -> None:
    true, predicted, speakers = made_case(4)
    found = mean_interval(true == predicted, speakers, resamples=500, seed=2)
    assert found == pytest.approx(
        cluster_intervals(true, predicted, speakers, 4, resamples=500, seed=2)["accuracy"]
    )
    with pytest.raises(EmohopError, match="at least 2 speakers"):
        mean_interval([0.1, 0.2], ["a", "a"])
    with pytest.raises(ValueError, match="clusters"):
        mean_interval([0.1, 0.2], ["a"])
