"""Rows without padding: there and back, the last ones, turned around."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from emohop.models.kernels import Ragged, step_mask

LENGTHS = st.lists(st.integers(0, 6), min_size=1, max_size=5)


def numbered(lengths: list[int], extra: int = 1) -> tuple[Ragged, torch.Tensor]:
    """A padded batch [batch, time, 2] of clip and step numbers, -1 in the padding."""
    time = max(lengths) + extra
    clip, step = torch.meshgrid(torch.arange(len(lengths)), torch.arange(time), indexing="ij")
    padded = torch.stack([clip, step], dim=-1)
    padded[~step_mask(torch.tensor(lengths), time)] = -1
    return Ragged(torch.tensor(lengths), time), padded


@given(LENGTHS)
def test_there_and_back(lengths: list[int]) -> None:
    ragged, padded = numbered(lengths)
    rows = ragged.pack(padded)
    assert sum(ragged.counts) == len(rows) == sum(lengths)
    assert list(ragged.counts) == sorted(ragged.counts, reverse=True)
    again = ragged.pad(rows)
    valid = padded >= 0
    assert torch.equal(again[valid], padded[valid])
    assert not again[~valid].any()


@given(LENGTHS)
def test_every_block_is_one_step_of_the_clips_that_go_on(lengths: list[int]) -> None:
    ragged, padded = numbered(lengths)
    clips: list[int] = []
    for step, block in enumerate(ragged.pack(padded).split(list(ragged.counts))):
        assert set(block[:, 1].tolist()) == {step}
        clips = clips or block[:, 0].tolist()
        assert block[:, 0].tolist() == clips[: len(block)]


@given(LENGTHS)
def test_last_and_turn(lengths: list[int]) -> None:
    ragged, padded = numbered(lengths)
    rows = ragged.pack(padded)
    for clip, (length, last) in enumerate(zip(lengths, ragged.last(rows).tolist(), strict=True)):
        assert last == ([clip, length - 1] if length else [0, 0])
    for (clip, step), (same, other) in zip(rows.tolist(), ragged.turn(rows).tolist(), strict=True):
        assert same == clip
        assert other == lengths[clip] - 1 - step
