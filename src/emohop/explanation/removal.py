"""Clips with some of their steps taken away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from emohop.clips import Modality
from emohop.models.batch import Batch
from emohop.models.kernels import step_mask


def steps_of(batch: Batch, modality: Modality, stack: int) -> NDArray[np.int64]:
    """How many steps an encoder that joins `stack` frames sees of each clip, int64 [batch]."""
    lengths: NDArray[np.int64] = batch.lengths[modality].numpy()
    return -(-lengths // stack)


def ranked(
    scores: NDArray[np.floating], ties: NDArray[np.floating], steps: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The place of each step in the order of removal, 0 for the highest score.

    Args:
        scores: Float [batch, time].
        ties: Which of equal scores goes first: that with the higher number here, as scores. The
            place in the clip must not decide, since ends differ from beginnings.
        steps: The number of steps of each clip, int64 [batch]; what is beyond comes last.
    """
    there = np.arange(scores.shape[1]) < steps[:, None]
    order = np.lexsort((-ties, -np.where(there, scores, 0.0), ~there), axis=-1)
    places: NDArray[np.int64] = np.empty_like(order)
    np.put_along_axis(places, order, np.arange(scores.shape[1])[None], axis=-1)
    return places


def first_of(
    places: NDArray[np.int64], steps: NDArray[np.int64], share: float
) -> NDArray[np.bool_]:
    """Which steps are the first `share` of each clip's, rounded half up, bool [batch, time]."""
    wanted = np.floor(share * steps + 0.5)
    return np.asarray(places < wanted[:, None])


def removed(
    batch: Batch, gone: Mapping[Modality, NDArray[np.bool_]], stacks: Mapping[Modality, int]
) -> Batch:
    """The batch without the steps of `gone`, bool [batch, steps of the encoder].

    What is left moves together: the clip is shorter, nothing stands in for what is gone. A clip
    of which no step of a modality is left lacks that modality (`Batch.without`).
    """
    steps, lengths = dict(batch.sequences), dict(batch.lengths)
    absent: dict[Modality, Tensor] = {}
    clip = torch.arange(len(batch))[:, None]
    for modality, mask in gone.items():
        padded, before = steps[modality], lengths[modality]
        time = padded.shape[1]
        frames = torch.from_numpy(mask).repeat_interleave(stacks[modality], 1)[:, :time]
        kept = step_mask(before, time) & ~frames
        after = kept.sum(1)
        order = torch.argsort((~kept).byte(), dim=1, stable=True)
        steps[modality] = padded[clip, order[:, : max(1, int(after.max()))]]
        lengths[modality] = after
        emptied = (before > 0) & (after == 0)
        if emptied.any():
            absent[modality] = emptied
    return replace(batch, sequences=steps, lengths=lengths).without(absent)
