"""One GRU layer over ragged rows, forward and backward by hand.

At each step only the clips that are still going are worked on. The products with the inputs are
one product before the first step; on the way back, what a step's gradient needs of the
activations alone and the gradients of the weights are computed for stretches of steps together.
Under autocast the matrix products are made in its lower precision, everything else is not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

ROWS_TOGETHER = 4096
"""Rows of one stretch of the backward pass: few enough that its memory is not asked for anew."""
_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input
_tanh_backward = torch.ops.aten.tanh_backward.grad_input


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
            active = torch.addmm(bias, rows, weights[:, :size].t()).to(gates.dtype)
            states = torch.empty_like(active[:, :hidden])
            # what the reset gate acts on; before the product that is the state itself
            inner = torch.empty_like(states) if reset_after else states.new_empty(0, hidden)
            recurrent = weights[:, size:].t()
            _steps_forward(active, states, inner, counts, recurrent, products)
        ctx.save_for_backward(rows, gates, candidate, active, states, inner)
        ctx.counts, ctx.reset_after, ctx.products = counts, reset_after, products
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of rows, weights and biases from that of the states, from the end on."""
        rows, gates, candidate, active, states, inner = ctx.saved_tensors
        counts, after, products = ctx.counts, ctx.reset_after, ctx.products
        hidden, size = len(candidate), rows.shape[1]
        recurrent = products.cast(torch.cat([gates[:, size:], candidate[:, size:]]))
        by_input = products.cast(torch.cat([gates[:, :size], candidate[:, :size]]))
        grad_rows = states.new_empty(rows.shape) if ctx.needs_input_grad[0] else None
        grad_by_input, grad_bias = states.new_zeros(3 * hidden, size), states.new_zeros(3 * hidden)
        grad_by_gate = states.new_zeros(2 * hidden, hidden)
        grad_by_state = states.new_zeros(hidden, hidden)
        grad_carried = states[:0]  # to the last state of a stretch from the step after it
        for steps, part in _stretches(counts):
            act, sizes = active[part], counts[steps]
            before = _before(states[: part.stop], counts[: steps.stop], steps.start)
            grad_active = _factors(act, inner[part] if after else before, before)
            grad_state = grads[0][part].clone()
            grad_state[len(grad_state) - sizes[-1] :][: len(grad_carried)] += grad_carried
            # the gradient that reaches c before its activation by way of the state
            grad_inner = torch.empty_like(before) if after else inner
            grad_carried = torch.zeros_like(before[: sizes[0]])
            _steps_backward(
                grad_active, act, grad_state, grad_inner, grad_carried, sizes, recurrent, products
            )
            grad_bias += grad_active.sum(0)
            cast = products.cast(grad_active)
            products.add(grad_by_input, cast.t(), rows[part])
            if grad_rows is not None:
                grad_rows[part] = cast @ by_input
            gate, c = cast[:, : 2 * hidden].t(), cast[:, 2 * hidden :].t()
            products.add(grad_by_gate, gate, products.cast(before))
            if after:
                products.add(grad_by_state, grad_inner.t(), products.cast(before))
            else:
                products.add(grad_by_state, c, products.cast(before.mul_(act[:, :hidden])))
        grad_gates = torch.cat([grad_by_input[: 2 * hidden], grad_by_gate], dim=1)
        grad_candidate = torch.cat([grad_by_input[2 * hidden :], grad_by_state], dim=1)
        return (
            grad_rows,
            grad_gates,
            grad_bias[: 2 * hidden],
            grad_candidate,
            grad_bias[2 * hidden :],
            None,
            None,
        )


def continued(
    rows: Tensor,
    gates: nn.Linear,
    candidate: nn.Linear,
    start: Tensor,
    *,
    reset_after: bool,
) -> Tensor:
    """States [steps, hidden] after each step [steps, size] of one clip that goes on; no gradients.

    `start` is the state before the first of them, [1, hidden].
    """
    hidden, size = start.shape[1], rows.shape[1]
    with torch.no_grad(), _Products(rows) as products:
        weights = torch.cat([gates.weight, candidate.weight])
        active = torch.addmm(torch.cat([gates.bias, candidate.bias]), rows, weights[:, :size].t())
        states = torch.empty_like(active[:, :hidden])
        inner = torch.empty_like(states) if reset_after else states.new_empty(0, hidden)
        recurrent, counts = weights[:, size:].t(), [1] * len(rows)
        _steps_forward(active, states, inner, counts, recurrent, products, start)
    return states


def _steps_forward(
    active: Tensor,
    states: Tensor,
    inner: Tensor,
    counts: Sequence[int],
    recurrent: Tensor,
    products: _Products,
    start: Tensor | None = None,
) -> None:
    """From the inputs' products, make activations (in place), states and what is reset.

    `inner` is empty where the reset gate acts on the state itself. Clips begin with the states
    `start`, or with 0.
    """
    hidden = len(recurrent)
    by_gate, by_state = recurrent[:, : 2 * hidden], recurrent[:, 2 * hidden :]
    inside = _blocks(inner, counts) if len(inner) else None
    if start is None:
        start = states.new_zeros(counts[0] if counts else 0, hidden)
    previous = start
    blocks = (_blocks(x, counts) for x in (active, states))
    for step, (block, state) in enumerate(zip(*blocks, strict=True)):
        gate, c = block[:, : 2 * hidden], block[:, 2 * hidden :]
        reset, update = gate[:, :hidden], gate[:, hidden:]
        before = previous[: len(block)]
        if inside is not None:
            product = products.of(before, recurrent)
            gate.add_(product[:, : 2 * hidden]).sigmoid_()
            c.addcmul_(reset, inside[step].copy_(product[:, 2 * hidden :])).tanh_()
        else:
            products.add(gate, before, by_gate)
            gate.sigmoid_()
            products.add(c, reset * before, by_state)
            c.tanh_()
        torch.lerp(c, before, update, out=state)
        previous = state


def _steps_backward(
    grad_active: Tensor,
    active: Tensor,
    grad_state: Tensor,
    grad_inner: Tensor,
    grad_carried: Tensor,
    counts: Sequence[int],
    recurrent: Tensor,
    products: _Products,
) -> None:
    """From the states' gradients, turn factors into gradients before the activations (in place).

    What reaches the state before the first step is added to `grad_carried`. `grad_inner` is empty
    where the reset gate acts on the state itself.
    """
    hidden = recurrent.shape[1]
    by_gate, by_state = recurrent[: 2 * hidden], recurrent[2 * hidden :]
    grad_actives, acts, grad_states = (
        _blocks(x, counts) for x in (grad_active, active, grad_state)
    )
    inside = _blocks(grad_inner, counts) if len(grad_inner) else None
    for step in range(len(grad_actives) - 1, -1, -1):
        block, act, grad_step = grad_actives[step], acts[step], grad_states[step]
        reset, update = act[:, :hidden], act[:, hidden : 2 * hidden]
        grad_reset, grad_c = block[:, :hidden], block[:, 2 * hidden :]
        block[:, hidden:].unflatten(1, (2, hidden)).mul_(grad_step[:, None])
        grad_before = grad_states[step - 1] if step else grad_carried
        grad_before = grad_before[: len(block)].addcmul_(grad_step, update)
        if inside is not None:
            grad_reset.mul_(grad_c)
            products.add(grad_before, torch.mul(grad_c, reset, out=inside[step]), by_state)
        else:
            product = products.of(grad_c, by_state)
            grad_reset.mul_(product)
            grad_before.addcmul_(product, reset)
        products.add(grad_before, block[:, : 2 * hidden], by_gate)


def _blocks(rows: Tensor, counts: Sequence[int]) -> tuple[Tensor, ...]:
    """The rows of each step."""
    blocks: tuple[Tensor, ...] = rows.split(counts)
    return blocks


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


def _stretches(counts: Sequence[int]) -> Iterator[tuple[slice, slice]]:
    """Steps and their rows, cut into stretches of some ROWS_TOGETHER rows, the last one first."""
    last, end = len(counts), sum(counts)
    first, start = last, end
    while first:
        first, start = first - 1, start - counts[first - 1]
        if end - start >= ROWS_TOGETHER or not first:
            yield slice(first, last), slice(start, end)
            last, end = first, start


def _before(states: Tensor, counts: Sequence[int], first: int) -> Tensor:
    """The state before each row's step, from step `first` to the last of `counts`."""
    blocks = states.split(counts)
    earlier = [
        b[:n] for b, n in zip(blocks[max(0, first - 1) : -1], counts[max(1, first) :], strict=True)
    ]
    start = [] if first else [torch.zeros_like(blocks[0])]
    return torch.cat([*start, *earlier])


def _factors(active: Tensor, reset: Tensor, before: Tensor) -> Tensor:
    """What the gradients of r, u and c before their activations are multiples of."""
    hidden = before.shape[1]
    grad_active = torch.empty_like(active)
    r, u, c = active.split(hidden, 1)
    grad_r, grad_u, grad_c = grad_active.split(hidden, 1)
    _sigmoid_backward(reset, r, grad_input=grad_r)
    _sigmoid_backward(before - c, u, grad_input=grad_u)
    _tanh_backward(1 - u, c, grad_input=grad_c)
    return grad_active
