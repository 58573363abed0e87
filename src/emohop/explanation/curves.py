"""Deletion curves: how the answer fades as steps are removed, in one order or another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from emohop.clips import Modality
from emohop.explanation.orders import Scores, by_attention, by_chance, by_gradient
from emohop.explanation.removal import first_of, ranked, removed, steps_of
from emohop.models.attention import uniform_attention
from emohop.models.batch import Batch

SHARES = tuple(k / 10 for k in range(11))
"""Of the steps of each clip, removed."""
ORDERS = ("attention", "gradient", "random")
"""By which the steps of most worth go first; random is the mean of several draws."""
TOGETHER = "together"
"""The same share of every modality that is attended to, removed at once."""

Places = Mapping[Modality, NDArray[np.int64]]


@dataclass(frozen=True)
class Curves:
    """Of a batch's clips, how likely the first answer is, and whether the answer is right.

    `likely` and `right` map a target (a modality, or TOGETHER) to float [orders, shares, clips];
    `steps` to the number of its steps in each clip, int64 [clips]. `before` and `uniform` are the
    probabilities [clips, classes] of the whole clips: as trained, and with uniform attention.
    """

    likely: Mapping[str, NDArray[np.float64]]
    right: Mapping[str, NDArray[np.float64]]
    steps: Mapping[str, NDArray[np.int64]]
    before: NDArray[np.float32]
    uniform: NDArray[np.float32]


def curves_of(
    network: nn.Module, batch: Batch, stacks: Mapping[Modality, int], draws: int, seed: int
) -> Curves:
    """Remove the steps of a batch of labelled clips, in every order.

    Args:
        network: In evaluation mode, a model with hops.
        batch: Clips with classes.
        stacks: Frames in a step of each modality's encoder.
        draws: Random orders whose mean is taken.
        seed: Of these.
    """
    if batch.classes is None:
        raise ValueError("clips with classes are expected")
    with torch.inference_mode():
        output = network(batch)
        with uniform_attention():
            uniform = torch.softmax(network(batch).logits, dim=-1)
    first = torch.softmax(output.logits, dim=-1)
    predicted = output.logits.argmax(1).clone()
    attention = by_attention(output.hops)
    steps = {m: steps_of(batch, m, stacks[m]) for m in attention}
    chance = {m: by_chance(batch.ids, m, a.shape[1], draws + 1, seed) for m, a in attention.items()}
    gradient = by_gradient(network, batch, predicted, stacks)

    def places(scores: Scores) -> Places:
        return {m: ranked(scores[m], chance[m][draws], steps[m]) for m in attention}

    orders: list[list[Places]] = [
        [places(attention)],
        [places(gradient)],
        [places({m: chance[m][draw] for m in attention}) for draw in range(draws)],
    ]
    targets: dict[str, list[Modality]] = {m.value: [m] for m in attention}
    if len(targets) > 1:
        targets = {TOGETHER: list(attention), **targets}
    seen = _Seen(network, batch, stacks, predicted, batch.classes)
    likely, right = {}, {}
    for name, modalities in targets.items():
        found = np.empty((2, len(ORDERS), len(SHARES), len(batch)))
        found[:, :, 0] = seen.judged(first)[:, None]
        found[:, :, -1] = seen.after(orders[0][:1], modalities, steps, 1.0)[:, None]
        for number, rankings in enumerate(orders):
            for place, share in list(enumerate(SHARES))[1:-1]:
                found[:, number, place] = seen.after(rankings, modalities, steps, share)
        likely[name], right[name] = found
    counts = {name: np.sum([steps[m] for m in parts], axis=0) for name, parts in targets.items()}
    return Curves(likely, right, counts, first.numpy(), uniform.numpy())


@dataclass(frozen=True)
class _Seen:
    """A batch, and what the network made of it."""

    network: nn.Module
    batch: Batch
    stacks: Mapping[Modality, int]
    predicted: Tensor
    classes: Tensor

    def after(
        self,
        rankings: Sequence[Places],
        modalities: Sequence[Modality],
        steps: Mapping[Modality, NDArray[np.int64]],
        share: float,
    ) -> NDArray[np.float64]:
        """`judged` without a share of the steps of some modalities, the mean over rankings."""
        total = np.zeros((2, len(self.batch)))
        for places in rankings:
            gone = {m: first_of(places[m], steps[m], share) for m in modalities}
            with torch.inference_mode():
                logits = self.network(removed(self.batch, gone, self.stacks)).logits
            total += self.judged(torch.softmax(logits, dim=-1))
        return total / len(rankings)

    def judged(self, table: Tensor) -> NDArray[np.float64]:
        """How likely the first answer is now, and whether the answer is right, [2, clips]."""
        likely = table.gather(1, self.predicted[:, None])[:, 0]
        right = table.argmax(1) == self.classes
        return np.stack([likely.double().numpy(), right.double().numpy()])
