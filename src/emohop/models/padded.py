"""Padded batches in the place of ragged rows, for graphs that cannot follow each clip's length.

Ragged rows are laid out anew for every batch, step by step in Python, which no exported graph can
do. Within `padding`, models lay their steps out as they came, [batch, time, size], and mask what
is beyond each clip's length. The results are the same, only slower in torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

from emohop.models.kernels import Ragged, Recurrence, step_mask

_PADDING: ContextVar[bool] = ContextVar("padding", default=False)


class Padded:
    """The layout of `Ragged` whose rows are a padded batch: float [batch, time, size]."""

    def __init__(self, lengths: Tensor, time: int) -> None:
        """Lay out clips of `lengths`, int64 [batch], from 0 to `time`."""
        self.lengths, self.time = lengths, time
        self.valid = step_mask(lengths, time)

    def pack(self, padded: Tensor) -> Tensor:
        """Rows of a padded batch: itself, 0 where there is no step."""
        mask = self.valid.view(*self.valid.shape, *[1] * (padded.dim() - 2))
        return torch.where(mask, padded, 0)

    def pad(self, rows: Tensor) -> Tensor:
        """A padded batch of rows, 0 where there are none."""
        return self.pack(rows)

    def last(self, rows: Tensor) -> Tensor:
        """The last row of each clip, [batch, size], 0 for clips without a row."""
        ends = (self.lengths - 1).clamp(min=0)[:, None, None].expand(-1, 1, rows.shape[2])
        return torch.where(self.lengths[:, None] > 0, rows.gather(1, ends)[:, 0], 0.0)

    def turn(self, rows: Tensor) -> Tensor:
        """For each row, the row of the same clip as far from the clip's other end."""
        steps = torch.arange(self.time, device=rows.device)
        places = (self.lengths[:, None] - 1 - steps).clamp(min=0)
        return rows.gather(1, places[..., None].expand(-1, -1, rows.shape[2]))


Layout = Ragged | Padded


@contextmanager
def padding() -> Iterator[None]:
    """Within this, models lay out their steps as `Padded`; for export and its check."""
    before = _PADDING.set(True)
    try:
        yield
    finally:
        _PADDING.reset(before)


def laid_out(lengths: Tensor, time: int) -> Layout:
    """How a batch's steps are laid out: ragged, or within `padding` as they came."""
    return Padded(lengths, time) if _PADDING.get() else Ragged(lengths, time)


@torch.library.custom_op("emohop::gru", mutates_args=())
def gru(
    rows: Tensor,
    lengths: Tensor,
    gates: Tensor,
    gate_bias: Tensor,
    candidate: Tensor,
    candidate_bias: Tensor,
    reset_after: bool,
) -> Tensor:
    """States float [batch, time, hidden] of `Recurrence` over padded rows [batch, time, size].

    One operation of an exported graph; it has no gradients.
    """
    ragged = Ragged(lengths, rows.shape[1])
    states = Recurrence.apply(
        ragged.pack(rows), gates, gate_bias, candidate, candidate_bias, ragged.counts, reset_after
    )
    return ragged.pad(states)


@gru.register_fake
def _(
    rows: Tensor,
    lengths: Tensor,
    gates: Tensor,
    gate_bias: Tensor,
    candidate: Tensor,
    *rest: object,
) -> Tensor:
    del lengths, gates, gate_bias, rest
    return rows.new_empty(*rows.shape[:2], candidate.shape[0])
