"""Stacked GRUs over clips of different lengths, in one or both directions, without packing.

Packed sequences cost thirty times a padded pass on a CPU; ragged rows cost half of one
(benchmarks/RESULTS.md).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from emohop.config import EncoderSettings
from emohop.models.kernels import Ragged, Recurrence, continued, dropout
from emohop.models.padded import Layout, Padded, gru


class GRU(nn.Module):
    """Layers of one or two directions, with dropout on every layer's inputs and outputs.

    The two directions are separate stacks that are joined at the top only, as in the original.
    `align_backward` makes step t of the outputs hold what both directions know at step t; the
    original turns the backward outputs around once more, so that step t holds what the backward
    direction knew at step length - 1 - t.
    """

    def __init__(
        self, size: int, settings: EncoderSettings, *, reset_after: bool, align_backward: bool
    ) -> None:
        """Read `size` numbers a step; give `hidden` numbers a step and direction."""
        super().__init__()
        self.dropout, self.output_dropout = settings.dropout, settings.output_dropout
        self.residual, self.align_backward = settings.residual, align_backward
        self.output_size = settings.hidden * (2 if settings.bidirectional else 1)
        stacks = [_stack(size, settings, reset_after) for _ in range(1 + settings.bidirectional)]
        self.forward_stack = stacks[0]
        self.backward_stack = stacks[1] if settings.bidirectional else None

    def forward(self, rows: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
        """Encode the steps of a batch.

        Args:
            rows: float [rows, size], laid out by `layout`.
            layout: Which step of which clip each row is.

        Returns:
            Outputs [rows, output_size], and the states after each clip's last step
            [batch, output_size], 0 for a clip of length 0.
        """
        outputs, states = self._run(self.forward_stack, rows, layout)
        if self.backward_stack is not None:
            backward, last = self._run(self.backward_stack, layout.turn(rows), layout)
            if self.align_backward:
                backward = layout.turn(backward)
            outputs = torch.cat([outputs, backward], dim=-1)
            states = torch.cat([states, last], dim=-1)
        return outputs, states

    def start(self) -> list[Tensor]:
        """The state of each layer before a clip's first step, [1, hidden]."""
        return [torch.zeros(1, layer.hidden) for layer in self._layers]

    def continued(self, rows: Tensor, states: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Encode more steps [steps, size] of one clip, after these states of the layers.

        For a stack that reads forwards only; there are no gradients and no dropout. Returns outputs
        [steps, output_size] and the states to go on from.
        """
        after = []
        for layer, start in zip(self._layers, states, strict=True):
            found = continued(
                rows, layer.gates, layer.candidate, start, reset_after=layer.reset_after
            )
            after.append(found[-1:])
            rows = rows + found if self.residual else found
        return rows, after

    @property
    def _layers(self) -> list[Layer]:
        return [layer for layer in self.forward_stack if isinstance(layer, Layer)]

    def _run(self, stack: nn.ModuleList, rows: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
        states = rows
        for layer in stack:
            states = layer(dropout(rows, self.dropout, self.training), layout)
            outputs = dropout(states, self.output_dropout, self.training)
            rows = rows + outputs if self.residual else outputs
        return rows, layout.last(states)


class Layer(nn.Module):
    """One GRU layer in one direction.

    r, u = σ(W_g [x, h] + b_g);  c = tanh(W_c [x, r h] + b_c);  h' = u h + (1 - u) c, or with
    `reset_after` the form that cuDNN computes; `Recurrence` has both. The parameters are the
    same in both forms.
    """

    def __init__(self, size: int, hidden: int, *, reset_after: bool) -> None:
        """Orthogonal weights over input and state together, gate biases 1, candidate bias 0."""
        super().__init__()
        self.size, self.hidden, self.reset_after = size, hidden, reset_after
        self.gates = nn.Linear(size + hidden, 2 * hidden)
        self.candidate = nn.Linear(size + hidden, hidden)
        nn.init.orthogonal_(self.gates.weight)
        nn.init.orthogonal_(self.candidate.weight)
        nn.init.ones_(self.gates.bias)
        nn.init.zeros_(self.candidate.bias)

    def forward(self, rows: Tensor, layout: Layout) -> Tensor:
        """States [rows, hidden] after each step of [rows, size]."""
        gates, candidate = self.gates, self.candidate
        weights = (gates.weight, gates.bias, candidate.weight, candidate.bias)
        states: Tensor
        if isinstance(layout, Padded):
            states = gru(rows, layout.lengths, *weights, self.reset_after)
        elif rows.is_cuda and self.reset_after:
            states = self.padded(rows, layout)
        else:
            states = Recurrence.apply(rows, *weights, layout.counts, self.reset_after)
        return states

    def padded(self, rows: Tensor, ragged: Ragged) -> Tensor:
        """The same by torch's own GRU over padded clips: cuDNN's where there is a GPU."""
        weights = torch.cat([self.gates.weight, self.candidate.weight])
        bias = torch.cat([self.gates.bias, self.candidate.bias])
        apart = [weights[:, : self.size], weights[:, self.size :], bias, torch.zeros_like(bias)]
        # one piece of memory, as cuDNN wants them; else it copies them at every call, and warns
        together = torch.cat([part.reshape(-1) for part in apart])
        pieces = together.split([part.numel() for part in apart])
        parameters = [piece.view_as(part) for piece, part in zip(pieces, apart, strict=True)]
        start = rows.new_zeros(1, len(ragged.lengths), self.hidden)
        outputs, _ = torch.gru(
            ragged.pad(rows),
            start,
            parameters,
            has_biases=True,
            num_layers=1,
            dropout=0.0,
            train=True,  # what cuDNN calls it when there may be gradients; it has no dropout
            bidirectional=False,
            batch_first=True,
        )
        return ragged.pack(outputs).to(rows.dtype)  # under autocast they are of a lower one


def _stack(size: int, settings: EncoderSettings, reset_after: bool) -> nn.ModuleList:
    sizes = [size] + [settings.hidden] * (settings.layers - 1)
    return nn.ModuleList(Layer(n, settings.hidden, reset_after=reset_after) for n in sizes)
