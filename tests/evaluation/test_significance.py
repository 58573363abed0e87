"""Intervals over speakers, exact p of differences: against plain loops and simulations."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import t

from emohop.errors import EmohopError
from emohop.evaluation import significance
from emohop.evaluation.metrics import SCORES, confusion_matrix, scores
from emohop.evaluation.significance import (
    Interval,
    cluster_intervals,
    mean_interval,
    paired_differences,
    smallest_p,
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


def test_as_a_plain_loop_over_speakers() -> None:
    true, predicted, speakers = made_case(1)
    names = sorted(set(speakers))
    found: dict[str, list[float]] = {name: [] for name in SCORES}
    for name in names:
        rest = [i for i, who in enumerate(speakers) if who != name]
        for score, value in scores(confusion_matrix(true[rest], predicted[rest], 4)).items():
            found[score].append(float(value))
    ours = cluster_intervals(true, predicted, speakers, 4, level=0.9)
    whole = scores(confusion_matrix(true, predicted, 4))
    for name in SCORES:
        values = np.array(found[name])
        error = (5 / 6 * ((values - values.mean()) ** 2).sum()) ** 0.5
        half = t.ppf(0.95, 5) * error
        expected = np.clip([whole[name] - half, whole[name] + half], 0, 1)
        assert ours[name] == pytest.approx(tuple(expected), abs=1e-12)


def test_of_a_mean_of_equal_speakers_it_is_student_s() -> None:
    """The mean of speakers' means with its t interval, where all have as many clips."""
    hits = np.random.default_rng(0).random((7, 20)) < 0.6
    speakers = np.repeat(np.arange(7), 20).tolist()
    means = hits.mean(axis=1)
    half = t.ppf(0.975, 6) * means.std(ddof=1) / 7**0.5
    low, high = mean_interval(hits.ravel(), speakers)
    assert (low, high) == pytest.approx((means.mean() - half, means.mean() + half))


def test_the_order_of_clips_does_not_change_the_result() -> None:
    true, predicted, speakers = made_case(6)
    order = np.random.default_rng(0).permutation(len(true))
    one = cluster_intervals(true, predicted, speakers, 4)
    shuffled = [speakers[row] for row in order]
    assert cluster_intervals(true[order], predicted[order], shuffled, 4) == one


def test_every_score_has_an_interval_around_it() -> None:
    true, predicted, speakers = made_case(5)
    everything = cluster_intervals(true, predicted, speakers, 4)
    whole = scores(confusion_matrix(true, predicted, 4))
    for name in SCORES:
        one = everything[name]
        assert isinstance(one, Interval)
        assert 0 <= one.low < float(whole[name]) < one.high <= 1


def test_equal_speakers_leave_no_doubt() -> None:
    true, predicted = np.tile([0, 0, 1, 1], 5), np.tile([0, 1, 1, 1], 5)
    speakers = np.repeat(np.arange(5), 4).tolist()
    ours = cluster_intervals(true, predicted, speakers, 2)
    assert ours["accuracy"] == pytest.approx((0.75, 0.75))
    assert ours["balanced_accuracy"] == pytest.approx((0.75, 0.75))


@pytest.mark.parametrize("speakers", [2, 5, 20])
def test_it_covers_the_truth_where_clips_do_not(speakers: int) -> None:
    """Speakers differ (accuracy uniform in 0.3..0.9, mean 0.6), 40 clips of each."""
    draw = np.random.default_rng(11)
    covered = {"speakers": 0, "clips": 0}
    cases, count = 300, 40 * speakers
    for _ in range(cases):
        right = (draw.random((speakers, 40)) < draw.uniform(0.3, 0.9, (speakers, 1))).ravel()
        true, predicted = np.zeros(count, dtype=np.int64), np.where(right, 0, 1)
        clusters = {"speakers": np.repeat(np.arange(speakers), 40), "clips": np.arange(count)}
        for name, which in clusters.items():
            low, high = cluster_intervals(true, predicted, which.tolist(), 2)["accuracy"]
            covered[name] += low <= 0.6 <= high
    assert 0.91 <= covered["speakers"] / cases <= 0.99
    assert covered["clips"] / cases < 0.7


def test_balanced_accuracy_does_not_lean_where_a_class_is_of_few_speakers() -> None:
    """Of eight speakers two say the rare class; a bootstrap misses above the truth alone."""
    draw, low_misses, high_misses, cases = np.random.default_rng(3), 0, 0, 400
    for _ in range(cases):
        clips = []
        for speaker in range(8):
            chances = np.clip(draw.normal((0.8, 0.5, 0.2), 0.1), 0, 1)
            for k, number in enumerate((20, 20, 6 if speaker < 2 else 0)):
                right = draw.random(number) < chances[k]
                clips += [(k, k if hit else (k + 1) % 3, speaker) for hit in right]
        true, predicted, who = (np.array(column) for column in zip(*clips, strict=True))
        low, high = cluster_intervals(true, predicted, who.tolist(), 3)["balanced_accuracy"]
        low_misses += high < 0.5
        high_misses += low > 0.5
    assert low_misses + high_misses < 0.16 * cases
    assert 0.02 * cases < min(low_misses, high_misses)
    assert max(low_misses, high_misses) < 0.1 * cases


def test_what_cannot_be_said_is_refused() -> None:
    with pytest.raises(EmohopError, match="at least 2 speakers"):
        cluster_intervals([0, 1], [0, 1], ["a", "a"], 2)
    with pytest.raises(EmohopError, match="no clips"):
        cluster_intervals([], [], [], 2)
    with pytest.raises(ValueError, match="2 true, 2 predicted, 1 clusters"):
        cluster_intervals([0, 1], [0, 1], ["a"], 2)
    with pytest.raises(ValueError, match=r"level 95: in \(0, 1\)"):
        cluster_intervals([0, 1], [0, 1], ["a", "b"], 2, level=95)
    with pytest.raises(EmohopError, match="at least 2 speakers"):
        mean_interval([0.1, 0.2], ["a", "a"])
    with pytest.raises(ValueError, match="clusters"):
        mean_interval([0.1, 0.2], ["a"])


def test_the_interval_of_a_mean_is_that_of_accuracy_of_hits() -> None:
    true, predicted, speakers = made_case(4)
    found = mean_interval(true == predicted, speakers)
    assert found == pytest.approx(cluster_intervals(true, predicted, speakers, 4)["accuracy"])


def test_p_is_the_share_of_swaps_that_differ_as_much() -> None:
    true, a, speakers = made_case(2, speakers=5)
    b = np.where(np.random.default_rng(9).random(len(true)) < 0.3, true, a)
    names = sorted(set(speakers))
    who = np.array(speakers)

    def gap(one: Ints, other: Ints) -> float:
        sides = [scores(confusion_matrix(true, side, 4))["f1_macro"] for side in (one, other)]
        return abs(float(sides[1] - sides[0]))

    as_much = 0
    for swaps in itertools.product((False, True), repeat=len(names)):
        moved = np.isin(who, [n for n, swap in zip(names, swaps, strict=True) if swap])
        one, other = np.where(moved, b, a), np.where(moved, a, b)
        as_much += gap(one, other) >= gap(a, b) - 1e-9
    found = paired_differences(true, a, b, speakers, 4)["f1_macro"]
    assert found.p == as_much / 2 ** len(names)


def test_no_p_is_smaller_than_so_few_speakers_allow() -> None:
    true = np.tile([0, 1], 40)
    for count in (2, 5, 9):
        speakers = (np.arange(80) % count).tolist()
        found = paired_differences(true, 1 - true, true, speakers, 2)["accuracy"]
        assert (found.value, found.p) == (1, smallest_p(count)) == (1, 2 / 2**count)


def test_p_of_runs_that_are_alike_is_not_small_too_often() -> None:
    """Of 7 speakers; p is exact, so that at most 5 in 100 are below 0.05."""
    draw, small, cases = np.random.default_rng(5), 0, 300
    for _ in range(cases):
        skill = np.repeat(draw.uniform(0.3, 0.9, 7), 30)
        true = draw.integers(0, 3, 210)
        a, b = (np.where(draw.random(210) < skill, true, (true + 1) % 3) for _ in range(2))
        speakers = np.repeat(np.arange(7), 30).tolist()
        small += paired_differences(true, a, b, speakers, 3)["balanced_accuracy"].p < 0.05
    assert small / cases < 0.08


def test_with_many_speakers_swaps_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    true, a, speakers = made_case(8, speakers=12, clips=600)
    b = np.where(np.random.default_rng(1).random(600) < 0.02, true, a)
    exact = paired_differences(true, a, b, speakers, 4)
    monkeypatch.setattr(significance, "ENUMERATED", 3)
    drawn = paired_differences(true, a, b, speakers, 4, seed=4)
    assert drawn == paired_differences(true, a, b, speakers, 4, seed=4)
    for name in SCORES:
        assert drawn[name].p == pytest.approx(exact[name].p, abs=0.02)
    monkeypatch.setattr(significance, "_NUMBERS_AT_ONCE", 160)  # 10 ways at once
    assert paired_differences(true, a, b, speakers, 4, seed=4) == drawn
    perfect = paired_differences(true, (true + 1) % 4, true, speakers, 4)["accuracy"]
    assert perfect.p == pytest.approx(2 / 2**12, abs=5e-4)
