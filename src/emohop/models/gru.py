"""A GRU over clips of different lengths, in one or both directions, without packing.

A forward GRU needs no packing: it runs over the padded batch, its state is taken at the last
valid step and its outputs are zeroed beyond. Packed sequences cost thirty times as much on a CPU
(docs/architecture.md). The reverse direction reads each clip turned around within its own length.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class GRU(nn.Module):
    """Stacked GRUs with dropout on every layer's input.

    The two directions are separate stacks that are joined at the top only, as in the original;
    their outputs are aligned in time: step t holds what each direction knows at step t.
    """

    def __init__(
        self, size: int, hidden: int, layers: int = 1, *, bidirectional: bool, dropout: float
    ) -> None:
        """Read `size` numbers a step; give `hidden` numbers a step and direction."""
        super().__init__()
        self.dropout = dropout
        self.output_size = hidden * (2 if bidirectional else 1)
        self.forward_stack = _stack(size, hidden, layers)
        self.backward_stack = _stack(size, hidden, layers) if bidirectional else None

    def forward(self, steps: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encode a padded batch.

        Args:
            steps: float [batch, time, size]; what the padding holds never matters.
            lengths: int64 [batch], from 0 to time.

        Returns:
            Outputs [batch, time, output_size], 0 from `lengths` on, and the states after the last
            valid step [batch, output_size], 0 for a clip of length 0.
        """
        valid = step_mask(lengths, steps.shape[1])
        outputs = self._run(self.forward_stack, steps)
        states = _at_last(outputs, lengths)
        if self.backward_stack is not None:
            turn = _turned(lengths, steps.shape[1])
            backward = self._run(self.backward_stack, _gather(steps, turn))
            states = torch.cat([states, _at_last(backward, lengths)], dim=-1)
            outputs = torch.cat([outputs, _gather(backward, turn)], dim=-1)
        return torch.where(valid[..., None], outputs, 0.0), states

    def _run(self, stack: nn.ModuleList, steps: Tensor) -> Tensor:
        for layer in stack:
            steps = functional.dropout(steps, self.dropout, self.training)
            steps, _ = layer(steps)
        return steps


def step_mask(lengths: Tensor, time: int) -> Tensor:
    """Which steps are valid, bool [batch, time]."""
    return torch.arange(time, device=lengths.device) < lengths[:, None]


def _stack(size: int, hidden: int, layers: int) -> nn.ModuleList:
    stack = nn.ModuleList()
    for layer in range(layers):
        gru = nn.GRU(size if layer == 0 else hidden, hidden, batch_first=True)
        _initialise(gru)
        stack.append(gru)
    return stack


def _initialise(gru: nn.GRU) -> None:
    """Orthogonal kernels over input and state together, gate biases 1, candidate bias 0."""
    hidden, size = gru.hidden_size, gru.input_size
    with torch.no_grad():
        gates = nn.init.orthogonal_(torch.empty(2 * hidden, size + hidden))
        candidate = nn.init.orthogonal_(torch.empty(hidden, size + hidden))
        kernel = torch.cat([gates, candidate])
        bias = torch.cat([torch.ones(2 * hidden), torch.zeros(hidden)])
        weights = dict(gru.named_parameters())
        weights["weight_ih_l0"].copy_(kernel[:, :size])
        weights["weight_hh_l0"].copy_(kernel[:, size:])
        weights["bias_ih_l0"].copy_(bias)
        weights["bias_hh_l0"].zero_()


def _turned(lengths: Tensor, time: int) -> Tensor:
    """Indices [batch, time] that turn each clip around within its length; padding stays."""
    step = torch.arange(time, device=lengths.device).expand(len(lengths), time)
    return torch.where(step < lengths[:, None], lengths[:, None] - 1 - step, step)


def _gather(steps: Tensor, index: Tensor) -> Tensor:
    return steps.gather(1, index[..., None].expand(-1, -1, steps.shape[-1]))


def _at_last(outputs: Tensor, lengths: Tensor) -> Tensor:
    rows = torch.arange(len(lengths), device=lengths.device)
    last = outputs[rows, (lengths - 1).clamp(min=0)]
    return torch.where((lengths > 0)[:, None], last, 0.0)
