"""Steps of many clips as rows without padding, in the order of time.

Clips are sorted by length, the longest first. The rows of step 0 of all clips come first, then
those of step 1 of the clips that have one, and so on: at every step the clips that are still
going are the first ones, and a recurrence works on ever smaller blocks.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class Ragged:
    """Where each step of a padded batch lies among the rows.

    `counts` has the number of clips that are still going at each step; their sum is the number of
    rows. Clips of length 0 have no row. Clip after clip, `rows` has the number of each step's row
    and `clips` the clip's number, both int64 [rows]; `starts` says where each clip begins there,
    int64 [batch]. `valid` is the mask of the padded batch, bool [batch, time].
    """

    def __init__(self, lengths: Tensor, time: int) -> None:
        """Lay out clips of `lengths`, int64 [batch], from 0 to `time`."""
        self.lengths, self.time = lengths, time
        self.valid = step_mask(lengths, time)
        ordered, order = lengths.sort(descending=True, stable=True)
        going = torch.arange(time, device=lengths.device)[:, None] < ordered
        self.counts: Sequence[int] = [n for n in going.sum(1).tolist() if n]
        self._step, place = going.nonzero(as_tuple=True)
        self._clip = order[place]
        self._cells = self._clip * time + self._step
        numbers = torch.empty(self.valid.numel(), dtype=torch.long, device=lengths.device)
        numbers[self._cells] = torch.arange(len(self._cells), device=lengths.device)
        self._numbers = numbers.view(self.valid.shape)
        self.rows = self._numbers[self.valid]
        self.starts = lengths.cumsum(0) - lengths
        clip = torch.arange(len(lengths), device=lengths.device)
        self.clips = clip[:, None].expand(self.valid.shape)[self.valid]

    def pack(self, padded: Tensor) -> Tensor:
        """Rows [rows, …] of a padded batch [batch, time, …]."""
        return padded.flatten(0, 1).index_select(0, self._cells)

    def pad(self, rows: Tensor) -> Tensor:
        """A padded batch [batch, time, size] of rows [rows, size], 0 where there are none."""
        cells = rows.new_zeros(self.valid.numel(), rows.shape[1])
        return cells.index_copy(0, self._cells, rows).view(*self.valid.shape, -1)

    def last(self, rows: Tensor) -> Tensor:
        """The last row of each clip, [batch, size], 0 for clips without a row."""
        found = (self.lengths > 0).nonzero()[:, 0]
        states = rows.new_zeros(len(self.lengths), rows.shape[1])
        numbers = self._numbers[found, self.lengths[found] - 1]
        return states.index_copy(0, found, rows.index_select(0, numbers))

    def turn(self, rows: Tensor) -> Tensor:
        """For each row, the row of the same clip as far from the clip's other end."""
        return rows[self._numbers[self._clip, self.lengths[self._clip] - 1 - self._step]]


def step_mask(lengths: Tensor, time: int) -> Tensor:
    """Which steps of a padded batch are valid, bool [batch, time]."""
    return torch.arange(time, device=lengths.device) < lengths[:, None]
