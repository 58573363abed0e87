"""Gated fusion: each modality says how much it should count."""

from __future__ import annotations

import torch
from torch import nn

from emohop.config import ModelSettings
from emohop.model_config import InputDims
from emohop.models.batch import Batch, Output
from emohop.models.encoder import Encoders
from emohop.models.linear import linear


class GatedFusion(nn.Module):
    """Gated multimodal units (Arevalo, Solorio, Montes-y-Gómez and González 2017, section 3.1).

    With v_m the encoders' vectors and v all of them joined, h = Σ_m σ(U_m v) * tanh(W_m v_m). A
    modality that a clip lacks adds nothing.
    """

    def __init__(self, settings: ModelSettings, sizes: InputDims) -> None:
        """Build for two or three modalities."""
        super().__init__()
        self.encoders = Encoders(settings, sizes, settings.uses)
        widths = {m: self.encoders.vector_size(m) for m in settings.uses}
        joined = sum(widths.values())
        self.values = nn.ModuleDict(
            {m.value: nn.Linear(n, settings.width) for m, n in widths.items()}
        )
        self.gates = nn.ModuleDict({m.value: nn.Linear(joined, settings.width) for m in widths})
        self.classify = linear(settings.width, sizes.classes, shared_bias=settings.shared_bias)

    def forward(self, batch: Batch) -> Output:
        """Logits [batch, classes]."""
        vectors = {
            m: self.encoders.vector(m, e.state, batch) for m, e in self.encoders(batch).items()
        }
        joined = torch.cat(list(vectors.values()), dim=-1)
        parts = [
            torch.sigmoid(self.gates[m.value](joined))
            * torch.tanh(self.values[m.value](vector))
            * batch.has(m)[:, None]
            for m, vector in vectors.items()
        ]
        return Output(self.classify(torch.stack(parts).sum(0)))
