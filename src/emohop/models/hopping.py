"""Models whose attention hops from one modality to the next."""

from __future__ import annotations

import torch
from torch import nn

from emohop.config import ModelSettings
from emohop.model_config import InputDims
from emohop.models.attention import attend
from emohop.models.batch import Batch, Hop, Output
from emohop.models.encoder import Encoders
from emohop.models.linear import linear


class ModalityHopping(nn.Module):
    """Attentive modality hopping (AMH; Yoon, Dey, Lee, Jung; ICASSP 2020, section 3.3).

    Each hop projects the current vectors of the other modalities to a query, attends with it
    over the target's encoder outputs and replaces the target's vector by the context. Later hops
    see replaced vectors; what is attended to is always the encoder's own output. A linear layer
    classifies the vectors of all modalities.
    """

    def __init__(self, settings: ModelSettings, sizes: InputDims) -> None:
        """Build for two or three modalities and any number of hops."""
        super().__init__()
        self.encoders = Encoders(settings, sizes, settings.uses)
        order = settings.attended
        self.targets = tuple(order[k % len(order)] for k in range(settings.hops))
        self.project = nn.ModuleList(
            self.projection(
                sum(self.encoders.vector_size(m) for m in settings.uses if m is not target),
                self.encoders.sequence_size(target),
                shared_bias=settings.shared_bias,
            )
            for target in self.targets
        )
        self.classify = linear(
            sum(self.encoders.vector_size(m) for m in settings.uses),
            sizes.classes,
            shared_bias=settings.shared_bias,
        )

    @staticmethod
    def projection(inputs: int, outputs: int, *, shared_bias: bool) -> nn.Module:
        """What makes a hop's query of the other vectors; every hop has its own."""
        return linear(inputs, outputs, shared_bias=shared_bias)

    def forward(self, batch: Batch) -> Output:
        """Logits [batch, classes] and every hop."""
        encoded = self.encoders(batch)
        vectors = {m: self.encoders.vector(m, e.state, batch) for m, e in encoded.items()}
        hops = []
        for target, project in zip(self.targets, self.project, strict=True):
            others = [vector for m, vector in vectors.items() if m is not target]
            query = project(torch.cat(others, dim=-1))
            context, weights = attend(query, encoded[target].rows, encoded[target].layout)
            vectors[target] = self.encoders.vector(target, context, batch)
            hops.append(Hop(target, query, weights, context))
        return Output(self.classify(torch.cat(list(vectors.values()), dim=-1)), tuple(hops))


class MultiHop(ModalityHopping):
    """Multi-hop attention (MHA; Yoon, Byun, Dey, Jung; ICASSP 2019) between two modalities.

    MHA-1: the last state of one modality attends over the other's outputs. MHA-2: what was found
    attends back over the first one's outputs; MHA-3: and over the second again. The vector of the
    other modality is the query itself; it is projected only where the two encoders differ in
    size, which the paper's do not. The paper's encoders read in both directions
    (`model.audio.bidirectional` and so on).
    """

    @staticmethod
    def projection(inputs: int, outputs: int, *, shared_bias: bool) -> nn.Module:
        """Nothing between encoders of one size."""
        if inputs == outputs:
            return nn.Identity()
        return linear(inputs, outputs, shared_bias=shared_bias)


class DualAttention(nn.Module):
    """Dual recurrent encoder with attention (MDREA; Yoon, Byun, Jung; SLT 2018, section 3.3).

    One modality's vector, projected, attends over the other's outputs; a linear layer classifies
    the context and the query. The last state of the attended modality is not used.
    """

    def __init__(self, settings: ModelSettings, sizes: InputDims) -> None:
        """Build for two modalities; the first of their order is attended to."""
        super().__init__()
        self.target, self.source = settings.attended
        self.encoders = Encoders(settings, sizes, settings.uses)
        size, shared = self.encoders.sequence_size(self.target), settings.shared_bias
        self.project = linear(self.encoders.vector_size(self.source), size, shared_bias=shared)
        extra = self.encoders.vector_size(self.target)
        self.classify = linear(extra + size, sizes.classes, shared_bias=shared)

    def forward(self, batch: Batch) -> Output:
        """Logits [batch, classes] and the one hop."""
        encoded = self.encoders(batch)
        target = encoded[self.target]
        query = self.project(self.encoders.vector(self.source, encoded[self.source].state, batch))
        context, weights = attend(query, target.rows, target.layout)
        vector = self.encoders.vector(self.target, context, batch)
        hop = Hop(self.target, query, weights, context)
        return Output(self.classify(torch.cat([vector, query], dim=-1)), (hop,))
