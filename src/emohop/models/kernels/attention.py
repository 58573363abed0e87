"""Dot-product attention over ragged rows, forward and backward by hand."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional

from emohop.models.kernels.ragged import Ragged


class RaggedAttention(Function):
    """Both products without padding; a clip is a bag of weighted rows to torch's embedding bags.

    With padding, and with the gradients of the two products summed by autograd, attention cost
    two thirds of what the GRU does (benchmarks/RESULTS.md).
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, rows: Tensor, ragged: Ragged) -> tuple[Tensor, Tensor]:
        """Context [batch, size] and weights [batch, time] of `query` over rows [rows, size]."""
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
        """Gradients of query and rows from those of context and weights."""
        query, rows, weights = ctx.saved_tensors
        ragged: Ragged = ctx.ragged
        from_context, from_weights = grads
        grad_weights = from_weights.masked_scatter(
            ragged.valid, from_weights[ragged.valid] + _dots(rows, from_context, ragged)
        )
        scores = weights * (grad_weights - (weights * grad_weights).sum(1, keepdim=True))
        grad_scores = scores[ragged.valid]
        grad_rows = None
        if ctx.needs_input_grad[1]:
            grad_rows = _outer([weights[ragged.valid], grad_scores], [from_context, query], ragged)
        return _sums(rows, grad_scores, ragged), grad_rows, None


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
