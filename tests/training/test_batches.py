"""Which clips make a batch: by epochs, with replacement, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pytest

from emohop.training.batches import Balanced, BucketSampler, InOrder, WithReplacement


@pytest.mark.parametrize(
    ("count", "batch", "rounds"),
    [
        (1000, 128, 3),
        (4000, 128, 10),
        (5, 128, 1),
        (427, 1, 129),
        (800, 128, 2),  # 1.875 batches: cut off, neither rounded nor made up to a whole one
        (1280, 128, 4),  # 3 batches and one more
    ],
)
def test_a_round_is_as_long_as_the_originals(count: int, batch: int, rounds: int) -> None:
    sampler = WithReplacement(count, batch, seed=0, epoch=lambda: 0)
    drawn = list(sampler)
    assert len(drawn) == len(sampler) == rounds
    assert {len(one) for one in drawn} == {batch}
    assert {i for one in drawn for i in one} <= set(range(count))


def test_draws_are_with_replacement_and_even() -> None:
    sampler = WithReplacement(50, 40, seed=1, epoch=lambda: 0)
    assert any(len(set(one)) < len(one) for one in sampler)
    rounds = [WithReplacement(50, 400, 1, lambda e=e: e) for e in range(200)]  # type: ignore[misc]
    counts = np.bincount([i for one in rounds for batch in one for i in batch], minlength=50)
    assert counts.min() > 0.85 * counts.mean()
    assert counts.max() < 1.15 * counts.mean()


SAMPLERS: dict[str, Callable[[int, Callable[[], int]], Iterable[list[int]]]] = {
    "replacement": lambda seed, epoch: WithReplacement(50, 40, seed, epoch),
    "epochs": lambda seed, epoch: BucketSampler(np.arange(50), 8, seed, epoch),
    "balanced": lambda seed, epoch: Balanced(np.arange(50) % 3, 8, seed, epoch),
}


@pytest.mark.parametrize("kind", SAMPLERS)
def test_seed_and_epoch_decide(kind: str) -> None:
    def draw(seed: int, epoch: int) -> list[list[int]]:
        return list(SAMPLERS[kind](seed, lambda: epoch))

    assert draw(1, 2) == draw(1, 2)
    assert len({str(draw(s, e)) for s in (1, 2) for e in (0, 1)}) == 4


def test_an_epoch_has_every_clip_once() -> None:
    steps = np.arange(100)[::-1].copy()
    drawn = list(BucketSampler(steps, 8, seed=0, epoch=lambda: 3))
    assert sorted(i for batch in drawn for i in batch) == list(range(100))
    assert [len(batch) for batch in drawn].count(8) >= 12


def test_batches_are_of_clips_of_like_length() -> None:
    steps = np.random.default_rng(1).permutation(64)  # one bucket
    drawn = [sorted(steps[batch].tolist()) for batch in BucketSampler(steps, 8, 0, lambda: 0)]
    assert sorted(drawn) == [list(range(first, first + 8)) for first in range(0, 64, 8)]


def test_in_order() -> None:
    assert list(InOrder(5, 2)) == [[0, 1], [2, 3], [4]]
