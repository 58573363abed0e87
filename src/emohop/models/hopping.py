"""Attentive modality hopping (Yoon, Dey, Lee, Jung; ICASSP 2020, section 3.3)."""

from __future__ import annotations

import torch
from torch import nn

from emohop.clips import Modality
from emohop.config import ModelSettings
from emohop.models.attention import attend
from emohop.models.batch import Batch, Hop, Output
from emohop.models.encoder import Encoders, Sizes

HOP_ORDER = (Modality.VIDEO, Modality.AUDIO, Modality.TEXT)
"""The paper's order of targets; modalities that a model lacks are passed over."""
INITIAL_RANGE = 0.25
"""Projections start uniform in ±0.25, their biases at 0."""


class ModalityHopping(nn.Module):
    """An encoder per modality, attention that hops between them, a linear classifier.

    Each hop projects the current vectors of the other modalities to a query, attends with it
    over the target's encoder outputs and replaces the target's vector by the context. Later hops
    see replaced vectors; what is attended to is always the encoder's own output.
    """

    def __init__(self, settings: ModelSettings, sizes: Sizes) -> None:
        """Build for two or three modalities and any number of hops."""
        super().__init__()
        self.encoders = Encoders(settings, sizes, settings.uses)
        order = [m for m in HOP_ORDER if m in settings.uses]
        self.targets = tuple(order[k % len(order)] for k in range(settings.hops))
        self.project = nn.ModuleList(
            _linear(
                sum(self.encoders.vector_size(m) for m in settings.uses if m is not target),
                self.encoders.sequence_size(target),
            )
            for target in self.targets
        )
        self.classify = _linear(
            sum(self.encoders.vector_size(m) for m in settings.uses), sizes.classes
        )

    def forward(self, batch: Batch) -> Output:
        """Logits [batch, classes] and every hop's weights [batch, time of its target]."""
        encoded = self.encoders(batch)
        vectors = {m: self.encoders.vector(m, e.state, batch) for m, e in encoded.items()}
        hops = []
        for target, project in zip(self.targets, self.project, strict=True):
            others = [vector for m, vector in vectors.items() if m is not target]
            query = project(torch.cat(others, dim=-1))
            context, weights = attend(query, encoded[target].outputs, encoded[target].lengths)
            vectors[target] = self.encoders.vector(target, context, batch)
            hops.append(Hop(target, weights))
        return Output(self.classify(torch.cat(list(vectors.values()), dim=-1)), tuple(hops))


def _linear(inputs: int, outputs: int) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.uniform_(layer.weight, -INITIAL_RANGE, INITIAL_RANGE)
    nn.init.zeros_(layer.bias)
    return layer
