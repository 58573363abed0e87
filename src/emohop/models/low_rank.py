"""Low-rank tensor fusion: every product of numbers of two and three modalities, by few weights."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from emohop.config import ModelSettings
from emohop.model_config import InputDims
from emohop.models.batch import Batch, Output
from emohop.models.encoder import Encoders
from emohop.models.linear import linear


class LowRankFusion(nn.Module):
    """Low-rank multimodal fusion (LMF; Liu et al. 2018, eq. 5).

    With z_m = [v_m; 1] of each encoder's vector, h = Σ_r w_r · Π_m (W_m^r z_m) + b: what a linear
    layer over the outer product of all z_m would give, if its tensor has rank `model.rank`.
    """

    def __init__(self, settings: ModelSettings, sizes: InputDims) -> None:
        """Build for two or three modalities."""
        super().__init__()
        self.encoders = Encoders(settings, sizes, settings.uses)
        self.factors = nn.ParameterDict()
        for m in settings.uses:
            size = self.encoders.vector_size(m) + 1
            factor = torch.empty(settings.rank, settings.width, size)
            limit = math.sqrt(6 / (size + settings.width))  # Glorot's, for each term of the sum
            self.factors[m.value] = nn.Parameter(nn.init.uniform_(factor, -limit, limit))
        self.ranks = nn.Parameter(torch.full((settings.rank,), 1 / math.sqrt(settings.rank)))
        self.bias = nn.Parameter(torch.zeros(settings.width))
        self.classify = linear(settings.width, sizes.classes, shared_bias=settings.shared_bias)

    def forward(self, batch: Batch) -> Output:
        """Logits [batch, classes]."""
        terms = []
        for m, encoded in self.encoders(batch).items():
            vector = functional.pad(self.encoders.vector(m, encoded.state, batch), (0, 1), value=1)
            terms.append(torch.einsum("bd,rwd->rbw", vector, self.factors[m.value]))
        fused = torch.einsum("rbw,r->bw", torch.stack(terms).prod(0), self.ranks) + self.bias
        return Output(self.classify(fused))
