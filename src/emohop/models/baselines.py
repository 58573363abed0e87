"""The models without attention that the others are compared with."""

from __future__ import annotations

import torch
from torch import nn

from emohop.config import ModelSettings
from emohop.model_config import InputDims
from emohop.models.batch import Batch, Output
from emohop.models.encoder import Encoders
from emohop.models.linear import linear


class SingleEncoder(nn.Module):
    """One modality: the encoder's last state, a linear classifier.

    On audio this is the audio recurrent encoder (ARE; with `prosody`, its state and the prosody
    vector are joined), on text the text recurrent encoder (TRE) of Yoon, Byun and Jung (SLT
    2018, sections 3.1 and 3.2), on video VRE.
    """

    def __init__(self, settings: ModelSettings, sizes: InputDims) -> None:
        """Build for the modality that the model's name stands for."""
        super().__init__()
        (self.modality,) = settings.uses
        self.encoders = Encoders(settings, sizes, settings.uses)
        size = self.encoders.vector_size(self.modality)
        self.classify = linear(size, sizes.classes, shared_bias=settings.shared_bias)

    def forward(self, batch: Batch) -> Output:
        """Logits [batch, classes]."""
        state = self.encoders(batch)[self.modality].state
        return Output(self.classify(self.encoders.vector(self.modality, state, batch)))


class DualEncoder(nn.Module):
    """Dual recurrent encoder (MDRE; SLT 2018, section 3.3), for two or three modalities.

    Each modality's vector goes through a linear layer to half its size, rounded down; a linear
    layer classifies the halves together.
    """

    def __init__(self, settings: ModelSettings, sizes: InputDims) -> None:
        """Build for two or three modalities."""
        super().__init__()
        self.encoders = Encoders(settings, sizes, settings.uses)
        shared, vectors = settings.shared_bias, self.encoders.vector_size
        halves = {m: vectors(m) // 2 for m in settings.uses}
        self.halve = nn.ModuleDict(
            {m.value: linear(vectors(m), half, shared_bias=shared) for m, half in halves.items()}
        )
        self.classify = linear(sum(halves.values()), sizes.classes, shared_bias=shared)

    def forward(self, batch: Batch) -> Output:
        """Logits [batch, classes]."""
        halves = [
            self.halve[m.value](self.encoders.vector(m, e.state, batch))
            for m, e in self.encoders(batch).items()
        ]
        return Output(self.classify(torch.cat(halves, dim=-1)))
