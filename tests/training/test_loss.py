"""The two losses by their definitions."""

from __future__ import annotations

import torch

from emohop.training.loss import mean_loss

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.0, 3.0, -2.0]])
CLASSES = torch.tensor([0, 2])


def test_softmax() -> None:
    chosen = torch.softmax(LOGITS, dim=-1)[[0, 1], CLASSES]
    torch.testing.assert_close(mean_loss(LOGITS, CLASSES, "softmax"), -chosen.log().mean())


def test_sigmoid_is_the_mean_over_clips_and_classes() -> None:
    one_hot = torch.tensor([[1.0, 0, 0], [0, 0, 1]])
    p = torch.sigmoid(LOGITS)
    expected = -(one_hot * p.log() + (1 - one_hot) * (1 - p).log()).sum() / 6
    torch.testing.assert_close(mean_loss(LOGITS, CLASSES, "sigmoid"), expected)
