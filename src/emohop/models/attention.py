"""Dot-product attention of one vector over the outputs of an encoder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

from emohop.models.kernels import RaggedAttention
from emohop.models.padded import Layout, Padded

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
    context, weights = RaggedAttention.apply(query, rows, layout)
    return context, weights
