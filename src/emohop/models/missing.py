"""Clips that lack a modality: what stands in for it, and training that takes some away."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from emohop.clips import Modality
from emohop.models.batch import Batch


class Absent(nn.Module):
    """A learned vector for each modality that stands in where a clip lacks it; 0 at first."""

    def __init__(self, sizes: Mapping[Modality, int]) -> None:
        """Learn a vector of the size that each modality's has."""
        super().__init__()
        self.vectors = nn.ParameterDict(
            {m.value: nn.Parameter(torch.zeros(size)) for m, size in sizes.items()}
        )

    def forward(self, modality: Modality, vector: Tensor, batch: Batch) -> Tensor:
        """Vectors [batch, size], those of clips without the modality replaced."""
        return torch.where(batch.has(modality)[:, None], vector, self.vectors[modality.value])


def drop(batch: Batch, share: float) -> Batch:
    """Take each modality away from each clip with the chance `share`, but never a clip's last one.

    Drawn from torch's global generator. Modality dropout of whole clips, as Neverova et al. (2016,
    ModDrop) train with.
    """
    present = torch.stack([batch.has(m) for m in batch.sequences]).cpu()
    chance = torch.rand(present.shape)
    kept = present & (chance >= share)
    emptied = (present.any(0) & ~kept.any(0)).nonzero()[:, 0]
    luckiest = torch.where(present, chance, -1.0).argmax(0)
    kept[luckiest[emptied], emptied] = True
    gone = (present & ~kept).to(next(iter(batch.sequences.values())).device)
    return batch.without(dict(zip(batch.sequences, gone, strict=True)))
