"""Late fusion: a model for each modality, their probabilities averaged."""

from __future__ import annotations

import torch
from torch import nn

from emohop.config import ModelSettings
from emohop.model_config import InputDims
from emohop.models.batch import Batch, Output
from emohop.models.encoder import Encoders
from emohop.models.linear import linear


class LateFusion(nn.Module):
    """Each modality's last state is classified by itself; the class probabilities are averaged.

    The modalities are trained alone, each with its own loss, and meet in the mean only. A clip
    is judged by the modalities that it has.
    """

    def __init__(self, settings: ModelSettings, sizes: InputDims) -> None:
        """Build for two or three modalities."""
        super().__init__()
        self.encoders = Encoders(settings, sizes, settings.uses)
        self.classify = nn.ModuleDict(
            {
                m.value: linear(
                    self.encoders.vector_size(m), sizes.classes, shared_bias=settings.shared_bias
                )
                for m in settings.uses
            }
        )

    def forward(self, batch: Batch) -> Output:
        """Logits [batch, classes], the logarithms of the mean probabilities; and each one's own."""
        alone = {
            m: self.classify[m.value](self.encoders.vector(m, e.state, batch))
            for m, e in self.encoders(batch).items()
        }
        present = torch.stack([batch.has(m) for m in alone])[..., None]
        log_probs = torch.log_softmax(torch.stack(list(alone.values())), dim=-1)
        # without any modality there is nothing to go by: all of them count, at 0 steps
        present = present | ~present.any(0)
        summed = torch.logsumexp(log_probs.masked_fill(~present, -torch.inf), dim=0)
        return Output(summed - present.sum(0).log(), alone=alone)
