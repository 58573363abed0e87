"""What each step of a clip is worth: by attention, by gradients, by chance."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from emohop.clips import Modality
from emohop.models.batch import Batch, Hop
from emohop.models.encoder import InputLayer

Scores = dict[Modality, NDArray[np.float64]]
"""Of each step that an encoder sees, float [batch, time], by modality."""


def by_attention(hops: Sequence[Hop]) -> Scores:
    """The weights of all hops that attend to a modality, summed."""
    found: dict[Modality, Tensor] = {}
    for hop in hops:
        found[hop.target] = found.get(hop.target, 0.0) + hop.weights.detach()
    return {modality: weights.double().numpy() for modality, weights in found.items()}


def by_gradient(
    network: nn.Module, batch: Batch, predicted: Tensor, stacks: Mapping[Modality, int]
) -> Scores:
    """Gradient times input, summed over a step's numbers: how far it speaks for the prediction.

    The gradient is that of the logarithm of the probability of the class `predicted`, int64
    [batch], by the standardised frames, or by the vectors of words.
    """
    tables = [m.embedding for m in network.modules() if isinstance(m, InputLayer)]
    vectors = next((table for table in tables if table is not None), nn.Identity())
    steps = {}
    for modality, padded in batch.sequences.items():
        taken = padded if padded.is_floating_point() else vectors(padded)
        steps[modality] = taken.detach().clone().requires_grad_()
    with torch.enable_grad():
        logits = network(replace(batch, sequences=steps)).logits
        said = torch.log_softmax(logits, dim=-1).gather(1, predicted[:, None])
        slopes: Sequence[Tensor | None] = torch.autograd.grad(
            said.sum(), list(steps.values()), allow_unused=True
        )
    found = {}
    for (modality, taken), slope in zip(steps.items(), slopes, strict=True):
        if slope is None:
            frames = np.zeros(taken.shape[:2])
        else:
            frames = (slope * taken.detach()).sum(-1).double().numpy()
        found[modality] = _joined(frames, stacks[modality])
    return found


def by_chance(
    ids: Sequence[str], modality: Modality, time: int, draws: int, seed: int
) -> NDArray[np.float64]:
    """Random scores, float [draws, batch, time].

    They depend on the clip's name, the modality and the seed alone: not on the clips beside it.
    """
    drawn = []
    for name in ids:
        words = [seed, zlib.crc32(name.encode()), zlib.crc32(modality.value.encode())]
        # step by step, so that a longer batch continues what a shorter one begins with
        drawn.append(np.random.default_rng(words).random((time, draws)).T)
    return np.stack(drawn, axis=1)


def _joined(frames: NDArray[np.float64], stack: int) -> NDArray[np.float64]:
    """The sums of `stack` frames each, [batch, steps]; the last may have fewer."""
    short = -frames.shape[1] % stack
    whole = np.pad(frames, ((0, 0), (0, short)))
    summed: NDArray[np.float64] = whole.reshape(len(frames), -1, stack).sum(-1)
    return summed
