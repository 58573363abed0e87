"""Dot-product attention of one vector over the outputs of an encoder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional

from emohop.models.padded import Layout, Padded
from emohop.models.ragged import Ragged

_UNIFORM: ContextVar[bool] = ContextVar("uniform_attention", default=False)


@contextmanager
def uniform_attention() -> Iterator[None]:
    """Within this, every weight over a clip's steps is 1 / their number, whatever was learned.

    What attention is worth in a trained model is seen by what changes without it
    (`emohop.explanation`). Attention within the blocks of `mult` is left as it is.
    """
    before = _UNIFORM.set(True)
    try:
        yield
    finally:
        _UNIFORM.reset(before)


def levelled(scores: Tensor) -> Tensor:
    """What decides about weights, or 0 for all of it within `uniform_attention`."""
    return torch.zeros_like(scores) if _UNIFORM.get() else scores


def attend(query: Tensor, rows: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
    """Attend over the steps of each clip.

    score_t = query · output_t, without scaling; weights = softmax of the scores over t < length;
    context = Σ_t weight_t output_t (eqs. 3 and 4 of the paper).

    Args:
        query: float [batch, size].
        rows: Outputs, float [rows, size], laid out by `layout`.
        layout: Which step of which clip each row is.

    Returns:
        Context [batch, size] and weights [batch, time]. A clip of length 0 has both at 0.
    """
    query = levelled(query.to(rows.dtype))
    if isinstance(layout, Padded):
        scores = (rows @ query[:, :, None])[..., 0].masked_fill(~layout.valid, -torch.inf)
        weights = torch.where(layout.valid, torch.softmax(scores, dim=-1), 0.0)
        return (weights[:, None] @ layout.pad(rows))[:, 0], weights
    context, weights = _Attention.apply(query, rows, layout)
    return context, weights


class _Attention(Function):
    """Both products without padding; a clip is a bag of weighted rows to torch's embedding bags.

    With padding, and with the gradients of the two products summed by autograd, attention cost
    two thirds of what the GRU does (benchmarks/RESULTS.md).
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, rows: Tensor, ragged: Ragged) -> tuple[Tensor, Tensor]:
        scores = _dots(rows, query, ragged)
        padded = scores.new_full(ragged.valid.shape, -torch.inf).masked_scatter(
            ragged.valid, scores
        )
        weights = torch.where(ragged.valid, torch.softmax(padded, dim=-1), 0.0)
        ctx.save_for_backward(query, rows, weights)
        ctx.ragged = ragged
        return _sums(rows, weights[ragged.valid], ragged), weights

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        query, rows, weights = ctx.saved_tensors
        ragged: Ragged = ctx.ragged
        from_context, from_weights = grads
        down = from_weights.masked_scatter(
            ragged.valid, from_weights[ragged.valid] + _dots(rows, from_context, ragged)
        )
        scores = weights * (down - (weights * down).sum(1, keepdim=True))
        along = scores[ragged.valid]
        d_rows = None
        if ctx.needs_input_grad[1]:
            d_rows = _outer([weights[ragged.valid], along], [from_context, query], ragged)
        return _sums(rows, along, ragged), d_rows, None


def _dots(rows: Tensor, vectors: Tensor, ragged: Ragged) -> Tensor:
    """The product of each step's row with its clip's vector, clip after clip, [rows]."""
    dots: Tensor = torch.ops.aten._embedding_bag_per_sample_weights_backward(
        vectors, rows, ragged.rows, ragged.starts, ragged.clips, _SUM
    )
    return dots


def _sums(rows: Tensor, weights: Tensor, ragged: Ragged) -> Tensor:
    """The weighted sum of each clip's rows, [batch, size]; weights clip after clip, [rows]."""
    return functional.embedding_bag(
        ragged.rows, rows, ragged.starts, mode="sum", per_sample_weights=weights
    )


def _outer(weights: list[Tensor], vectors: list[Tensor], ragged: Ragged) -> Tensor:
    """The sum over pairs of each row's weight times its clip's vector, [rows, size]."""
    many, batch, count = len(weights), len(ragged.lengths), len(ragged.rows)
    unused = ragged.lengths.new_zeros(many * batch)
    sums: Tensor = torch.ops.aten._embedding_bag_dense_backward(
        torch.cat(vectors),
        ragged.rows.repeat(many),
        torch.cat([ragged.clips + batch * k for k in range(many)]),
        unused,
        unused,
        count,
        False,
        _SUM,
        torch.cat(weights),
    )
    return sums


_SUM = 0
"""What torch numbers the mode "sum"."""
