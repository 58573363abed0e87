"""Dropout whose chances are drawn sixteen bits at a time."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_LEVELS = 1 << 16


def dropout(rows: Tensor, share: float, training: bool) -> Tensor:
    """Set a `share` of [rows, size] to 0 and scale the rest by 1 / (1 - share), in training only.

    On a CPU torch draws and computes each element by itself, which costs a tenth of a training
    step; here a share is a multiple of 1/65,536, and the scale fits it exactly.
    """
    if not training or not share:
        return rows
    if rows.device.type != "cpu":
        return functional.dropout(rows, share, training)
    dropped = round(share * _LEVELS)
    words = torch.empty((rows.numel() + 3) // 4, dtype=torch.int64).random_(-(1 << 63), None)
    noise = words.view(torch.int16)[: rows.numel()].view(rows.shape)
    kept = torch.where(noise >= dropped - _LEVELS // 2, rows, 0.0)
    return kept.mul_(_LEVELS / (_LEVELS - dropped))
