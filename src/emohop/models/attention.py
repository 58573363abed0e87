"""Dot-product attention of one vector over the outputs of an encoder."""

from __future__ import annotations

import torch
from torch import Tensor

from emohop.models.gru import step_mask


def attend(query: Tensor, outputs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Attend over the valid steps of each clip.

    score_t = query · outputs_t, without scaling; weights = softmax of the scores over
    t < length; context = Σ_t weights_t outputs_t (eqs. 3 and 4 of the paper).

    Args:
        query: float [batch, size].
        outputs: float [batch, time, size], finite in the padding too.
        lengths: int64 [batch].

    Returns:
        Context [batch, size] and weights [batch, time]. A clip of length 0 has both at 0.
    """
    scores = torch.einsum("bs,bts->bt", query, outputs)
    valid = step_mask(lengths, outputs.shape[1])
    lowest = torch.finfo(scores.dtype).min
    weights = torch.softmax(scores.masked_fill(~valid, lowest), dim=-1) * valid
    return torch.einsum("bt,bts->bs", weights, outputs), weights
