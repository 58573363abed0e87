"""The linear layer that projects, halves and classifies in every model."""

from __future__ import annotations

import torch
from torch import Tensor, nn

INITIAL_RANGE = 0.25
"""Weights start uniform in ±0.25, biases at 0."""


INITIAL_DEVIATION = 0.01
"""Word vectors, the projection of a residual encoder and classifiers of pooled steps start normal
with this deviation."""


def linear(inputs: int, outputs: int, *, shared_bias: bool = False) -> nn.Linear:
    """A linear layer with the original's first weights.

    With `shared_bias` its bias is one number for all outputs, as in the 2018 programs.
    """
    layer = nn.Linear(inputs, outputs)
    nn.init.uniform_(layer.weight, -INITIAL_RANGE, INITIAL_RANGE)
    layer.bias = nn.Parameter(torch.zeros(1 if shared_bias else outputs))
    return layer


def embedding(count: int, size: int, padding: int) -> nn.Embedding:
    """Vectors of `size` numbers for `count` words, normal around 0; 0 for the padding."""
    table = torch.empty(count, size)
    if table.is_meta:  # weights from a file will follow
        return nn.Embedding(count, size, padding_idx=padding, _weight=table)
    layer = nn.Embedding(count, size, padding_idx=padding)
    draw_normal(layer.weight)
    with torch.no_grad():
        layer.weight[padding] = 0.0
    return layer


def draw_normal(weight: Tensor) -> None:
    """Draw weights around 0, but none for weights without memory."""
    if not weight.is_meta:  # torch would import its compiler to do nothing
        nn.init.normal_(weight, 0.0, INITIAL_DEVIATION)
