"""The linear layer that projects, halves and classifies in every model."""

from __future__ import annotations

import torch
from torch import nn

INITIAL_RANGE = 0.25
"""Weights start uniform in ±0.25, biases at 0."""


def linear(inputs: int, outputs: int, *, shared_bias: bool = False) -> nn.Linear:
    """A linear layer with the original's first weights.

    With `shared_bias` its bias is one number for all outputs, as in the 2018 programs.
    """
    layer = nn.Linear(inputs, outputs)
    nn.init.uniform_(layer.weight, -INITIAL_RANGE, INITIAL_RANGE)
    layer.bias = nn.Parameter(torch.zeros(1 if shared_bias else outputs))
    return layer
