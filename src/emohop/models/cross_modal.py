"""A small cross-modal transformer: each modality reads the steps of the others."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from emohop.clips import Modality
from emohop.config import ModelSettings
from emohop.errors import EmohopError
from emohop.model_config import InputDims
from emohop.models.batch import Batch, Output
from emohop.models.encoder import InputLayer
from emohop.models.kernels import dropout, step_mask
from emohop.models.missing import Absent

FEED_FORWARD = 4
"""The inner layer of a block, in widths."""


class CrossModal(nn.Module):
    """The multimodal transformer (MulT; Tsai et al. 2019, section 3), made small.

    Steps are projected to `model.width` numbers and given sinusoidal positions. For each target, a
    stack of blocks a source attends from the target's steps to the source's; what they give is
    joined, read by a stack of self-attention, and its mean over the target's steps is the
    target's vector. A linear layer classifies all vectors. The convolutions before the original's
    projections are left out, and its last step is the mean here.
    """

    def __init__(self, settings: ModelSettings, sizes: InputDims) -> None:
        """Build for two or three modalities."""
        super().__init__()
        self.settings, self.modalities = settings, settings.uses
        width, heads = settings.width, settings.heads
        if width % heads:
            raise EmohopError(f"model.heads = {heads} does not divide model.width = {width}")
        steps = {m: InputLayer.of(settings, sizes, m) for m in self.modalities}
        self.steps = nn.ModuleDict({m.value: module for m, module in steps.items()})
        self.project = nn.ModuleDict(
            {m.value: nn.Linear(module.size, width) for m, module in steps.items()}
        )
        self.across, self.within = nn.ModuleDict(), nn.ModuleDict()
        joined = width * (len(self.modalities) - 1)
        for target in self.modalities:
            for source in self.modalities:
                if source is not target:
                    self.across[f"{source}_{target}"] = Blocks(settings.blocks, width, heads)
            self.within[target.value] = Blocks(settings.blocks, joined, heads)
        self.prosody = sizes.prosody if settings.prosody and Modality.AUDIO in steps else 0
        widths = dict.fromkeys(self.modalities, joined)
        if self.prosody:
            widths[Modality.AUDIO] += self.prosody
        self.absent = Absent(widths) if settings.missing_modality == "learned" else None
        self.classify = nn.Linear(sum(widths.values()), sizes.classes)

    def forward(self, batch: Batch) -> Output:
        """Logits [batch, classes]."""
        found = {m: self._projected(m, batch) for m in self.modalities}
        vectors = []
        for target, (query_steps, query_mask) in found.items():
            parts = []
            for source, (source_steps, source_mask) in found.items():
                if source is not target:
                    across = self.across[f"{source}_{target}"]
                    parts.append(across(query_steps, source_steps, source_mask))
            joined = self.within[target.value](torch.cat(parts, dim=-1), None, query_mask)
            count = query_mask.sum(1, keepdim=True).clamp(min=1)
            vector = (joined * query_mask[..., None]).sum(1) / count
            if target is Modality.AUDIO and self.prosody and batch.prosody is not None:
                vector = torch.cat([vector, batch.prosody], dim=-1)
            vectors.append(vector if self.absent is None else self.absent(target, vector, batch))
        return Output(self.classify(torch.cat(vectors, dim=-1)))

    def _projected(self, modality: Modality, batch: Batch) -> tuple[Tensor, Tensor]:
        """Steps [batch, time, width] with their positions, and which of them there are."""
        rows, layout = self.steps[modality.value](
            batch.sequences[modality], batch.lengths[modality]
        )
        rows = dropout(rows, self.settings.encoder(modality).dropout, self.training)
        padded = layout.pad(self.project[modality.value](rows))
        positions = sinusoids(padded.shape[1], padded.shape[2]).to(padded)
        mask = step_mask(layout.lengths, padded.shape[1])
        return (padded + positions) * mask[..., None], mask


class Blocks(nn.Module):
    """A stack of blocks."""

    def __init__(self, count: int, width: int, heads: int) -> None:
        """Build `count` blocks for steps of `width` numbers."""
        super().__init__()
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(count))

    def forward(self, query_steps: Tensor, source_steps: Tensor | None, mask: Tensor) -> Tensor:
        """Steps [batch, time, width] that have read `source_steps`, None: themselves."""
        read: Tensor = query_steps
        for block in self.blocks:
            read = block(read, read if source_steps is None else source_steps, mask)
        return read


class Block(nn.Module):
    """One block of a transformer: attention, then a feed-forward layer, each added to its input."""

    def __init__(self, width: int, heads: int) -> None:
        """Build for steps of `width` numbers."""
        super().__init__()
        self.heads = heads
        self.before, self.sources, self.after = (nn.LayerNorm(width) for _ in range(3))
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.widen = nn.Linear(width, FEED_FORWARD * width)
        self.narrow = nn.Linear(FEED_FORWARD * width, width)

    def forward(self, query_steps: Tensor, source_steps: Tensor, mask: Tensor) -> Tensor:
        """Steps [batch, time, width] that have read `source_steps` [batch, its time, width].

        Only steps of `mask`, bool [batch, its time], are read; where there is none, nothing is.
        """
        source = self.sources(source_steps)
        query = self._split(self.query(self.before(query_steps)))
        key, value = self._split(self.key(source)), self._split(self.value(source))
        any_step = mask.any(1)
        open_ = mask | ~any_step[:, None]  # a softmax over nothing would be NaN
        read = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=open_[:, None, None, :]
        )
        read = self.out(read.transpose(1, 2).flatten(2))
        steps = query_steps + torch.where(any_step[:, None, None], read, 0.0)
        more: Tensor = self.narrow(torch.relu(self.widen(self.after(steps))))
        return steps + more

    def _split(self, steps: Tensor) -> Tensor:
        """[batch, time, width] as [batch, heads, time, width / heads]."""
        batch, time, width = steps.shape
        return steps.view(batch, time, self.heads, width // self.heads).transpose(1, 2)


def sinusoids(time: int, width: int) -> Tensor:
    """The positions of Vaswani et al. (2017), float [time, width]."""
    places = torch.arange(time, dtype=torch.float32)[:, None]
    rates = torch.exp(torch.arange(0, width, 2, dtype=torch.float32) * (-math.log(1e4) / width))
    table = torch.zeros(time, width)
    table[:, 0::2] = torch.sin(places * rates)
    table[:, 1::2] = torch.cos(places * rates[: width // 2])
    return table
