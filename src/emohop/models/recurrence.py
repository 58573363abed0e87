"""One GRU layer over ragged rows, forward and backward by hand.

At each step only the clips that are still going are worked on; the products with the inputs are
one product before the first step, and each weight's gradient is one product after the last.
What a step's gradient needs of the activations alone is computed for many steps together.
Under autocast the matrix products are made in its lower precision, everything else is not.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

ROWS_TOGETHER = 1024
"""Rows whose gradient factors are computed together: few enough to stay in a core's cache."""
_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input
_tanh_backward = torch.ops.aten.tanh_backward.grad_input
_scratch = threading.local()


class Recurrence(Function):
    """r, u = σ(W_g [x, h] + b_g);  h' = u h + (1 - u) c.

    With the reset gate before the product, c = tanh(W_c [x, r h] + b_c), as in the original;
    after it, c = tanh(W_x x + r (W_h h) + b_c), as in cuDNN, where W_c = [W_x, W_h].
    """

    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        gates: Tensor,
        gate_bias: Tensor,
        candidate: Tensor,
        candidate_bias: Tensor,
        counts: Sequence[int],
        reset_after: bool,
    ) -> Tensor:
        """States [rows, hidden] after each step.

        Args:
            ctx: What backward is to know.
            rows: [rows, size], laid out as in `Ragged`.
            gates: Weights [2 hidden, size + hidden] of reset and update gate.
            gate_bias: [2 hidden].
            candidate: Weights [hidden, size + hidden].
            candidate_bias: [hidden].
            counts: Clips that are still going at each step.
            reset_after: Whether the reset gate acts after the product.
        """
        with _Products(rows) as products:
            hidden, size = len(candidate), rows.shape[1]
            rows = products.cast(rows)
            weights = products.cast(torch.cat([gates, candidate]))
            bias = products.cast(torch.cat([gate_bias, candidate_bias]))
            recurrent = weights[:, size:].t()
            by_gate, by_state = recurrent[:, : 2 * hidden], recurrent[:, 2 * hidden :]
            active = torch.addmm(bias, rows, weights[:, :size].t()).to(gates.dtype)
            states = torch.empty_like(active[:, :hidden])
            inner = torch.empty_like(states)  # what the reset gate makes of the state
            previous = states.new_zeros(counts[0] if counts else 0, hidden)
            blocks = zip(
                active.split(counts), states.split(counts), inner.split(counts), strict=True
            )
            for block, state, inside in blocks:
                gate, c = block[:, : 2 * hidden], block[:, 2 * hidden :]
                reset, update = gate[:, :hidden], gate[:, hidden:]
                before = previous[: len(block)]
                if reset_after:
                    product = products.of(before, recurrent)
                    gate.add_(product[:, : 2 * hidden]).sigmoid_()
                    inside.copy_(product[:, 2 * hidden :])
                    c.addcmul_(reset, inside).tanh_()
                else:
                    products.add(gate, before, by_gate)
                    gate.sigmoid_()
                    torch.mul(reset, before, out=inside)
                    products.add(c, inside, by_state)
                    c.tanh_()
                torch.lerp(c, before, update, out=state)
                previous = state
        ctx.save_for_backward(rows, gates, candidate, active, states, inner)
        ctx.counts, ctx.reset_after, ctx.products = counts, reset_after, products
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of rows, weights and biases from that of the states."""
        rows, gates, candidate, active, states, inner = ctx.saved_tensors
        counts, after, products = ctx.counts, ctx.reset_after, ctx.products
        hidden, size = len(candidate), rows.shape[1]
        before = _before(states, counts)
        flow = _buffer("flow", states).copy_(grads[0])  # later steps add to it
        slope = _buffer("slope", active)  # factors of the gradient first, then the gradient
        inward = _buffer("inward", inner) if after else inner
        _factors(slope, active, inner if after else before, before)
        by_gate, by_state = (products.cast(w[:, size:]) for w in (gates, candidate))
        blocks = [x.split(counts) for x in (slope, flow, active, inward)]
        nowhere = flow[:0]
        for t in range(len(counts) - 1, -1, -1):
            block, down, act, inside = (x[t] for x in blocks)
            reset, update = act[:, :hidden], act[:, hidden : 2 * hidden]
            block[:, hidden:].unflatten(1, (2, hidden)).mul_(down[:, None])
            dc = block[:, 2 * hidden :]
            up = blocks[1][t - 1][: len(block)] if t else nowhere
            if after:
                block[:, :hidden].mul_(dc)
                torch.mul(dc, reset, out=inside)
                if t:
                    up.addcmul_(down, update)
                    products.add(up, inside, by_state)
            else:
                product = products.of(dc, by_state)
                block[:, :hidden].mul_(product)
                if t:
                    up.addcmul_(down, update).addcmul_(product, reset)
            if t:
                products.add(up, block[:, : 2 * hidden], by_gate)
        total = slope.sum(0)
        cast = products.cast(slope)
        d_rows = None
        if ctx.needs_input_grad[0]:
            inputs = products.cast(torch.cat([gates[:, :size], candidate[:, :size]]))
            d_rows = torch.mm(cast, inputs).to(active.dtype)
        gate, c = cast[:, : 2 * hidden].t(), cast[:, 2 * hidden :].t()
        d_gates, d_candidate = torch.empty_like(gates), torch.empty_like(candidate)
        earlier = products.cast(before)
        d_gates[:, :size], d_gates[:, size:] = gate @ rows, gate @ earlier
        d_candidate[:, :size] = c @ rows
        if after:
            d_candidate[:, size:] = products.cast(inward).t() @ earlier
        else:
            d_candidate[:, size:] = c @ products.cast(inner)
        biases = total[: 2 * hidden], total[2 * hidden :]
        return d_rows, d_gates, biases[0], d_candidate, biases[1], None, None


class _Products:
    """Matrix products in the precision that autocast asks for; autocast itself is held off."""

    def __init__(self, like: Tensor) -> None:
        kind = like.device.type
        self.dtype: torch.dtype | None = None
        if torch.is_autocast_enabled(kind):
            self.dtype = torch.get_autocast_dtype(kind)
        self._off = torch.autocast(kind, enabled=False)

    def __enter__(self) -> _Products:
        self._off.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._off.__exit__(*error)

    def cast(self, tensor: Tensor) -> Tensor:
        return tensor if self.dtype is None else tensor.to(self.dtype)

    def of(self, left: Tensor, right: Tensor) -> Tensor:
        """Left · right, where `right` has been cast."""
        return torch.mm(self.cast(left), right)

    def add(self, total: Tensor, left: Tensor, right: Tensor) -> None:
        """Add left · right to `total`, where `right` has been cast."""
        if self.dtype is None:
            torch.addmm(total, left, right, out=total)
        else:
            total.add_(self.of(left, right))


def _buffer(name: str, like: Tensor) -> Tensor:
    """Memory for one backward pass, kept for the next: fresh pages cost more than what is done."""
    buffers: dict[Any, Tensor] = _scratch.__dict__.setdefault("buffers", {})
    key = (name, like.dtype, like.device)
    if key not in buffers or buffers[key].numel() < like.numel():
        buffers[key] = torch.empty(like.numel(), dtype=like.dtype, device=like.device)
    return buffers[key][: like.numel()].view(like.shape)


def _before(states: Tensor, counts: Sequence[int]) -> Tensor:
    """The state before each row's step, 0 before the first."""
    before = _buffer("before", states)
    last = torch.zeros_like(states[: counts[0]]) if counts else states
    for block, state in zip(before.split(counts), states.split(counts), strict=True):
        block.copy_(last[: len(block)])
        last = state
    return before


def _factors(slope: Tensor, active: Tensor, reset: Tensor, before: Tensor) -> None:
    """Write what the gradients of r, u and c before their activations are multiples of."""
    hidden = before.shape[1]
    whole = (slope, active, reset, before)
    for part, act, res, bef in zip(*(x.split(ROWS_TOGETHER) for x in whole), strict=True):
        r, u, c = act.split(hidden, 1)
        dr, du, dc = part.split(hidden, 1)
        _sigmoid_backward(res, r, grad_input=dr)
        _sigmoid_backward(bef - c, u, grad_input=du)
        _tanh_backward(1 - u, c, grad_input=dc)
