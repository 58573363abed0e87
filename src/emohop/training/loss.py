"""What training makes small."""

from __future__ import annotations

from typing import Literal

from torch import Tensor
from torch.nn import functional

Loss = Literal["softmax", "sigmoid"]


def mean_loss(logits: Tensor, classes: Tensor, kind: Loss) -> Tensor:
    """The mean loss of logits [batch, classes] against class numbers [batch].

    `softmax` is the cross entropy of the softmax, mean over the batch. `sigmoid`, the loss of the
    2018 programs, is the cross entropy of each class's sigmoid against one-hot labels, mean over
    batch and classes.
    """
    if kind == "softmax":
        return functional.cross_entropy(logits, classes)
    one_hot = functional.one_hot(classes, logits.shape[1]).to(logits.dtype)
    return functional.binary_cross_entropy_with_logits(logits, one_hot)
