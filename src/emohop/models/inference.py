"""Running a trained network over batches."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from emohop.models.batch import Batch

BATCH_SIZE = 64
"""Clips scored together. One number for every caller: sums round alike only in equal batches."""


@torch.inference_mode()
def probabilities(network: nn.Module, batches: Iterable[Batch]) -> NDArray[np.float32]:
    """Class probabilities, float32 [clips, classes], in the order of the batches."""
    was_training = network.training
    network.eval()
    parts = [torch.softmax(network(batch).logits, dim=-1).cpu().numpy() for batch in batches]
    network.train(was_training)
    return np.concatenate(parts)
