"""Weights, focal loss, smoothing and votes against PyTorch's cross entropy and by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from emohop.config import TrainingSettings
from emohop.errors import EmohopError
from emohop.training.batches import Balanced
from emohop.training.loss import Objective, balanced_weights

COUNTS = torch.tensor([9, 30, 4, 7])
LOGITS = torch.randn(16, 4, generator=torch.Generator().manual_seed(0))
CLASSES = torch.tensor([0, 1, 2, 3, 1, 1, 0, 3] * 2)


def objective(**settings: Any) -> Objective:
    return Objective(TrainingSettings(**settings), COUNTS)


def test_weights_are_inverse_frequencies() -> None:
    torch.testing.assert_close(
        balanced_weights(COUNTS), torch.tensor([50 / 36, 50 / 120, 50 / 16, 50 / 28])
    )


@pytest.mark.parametrize("weights", ["none", "balanced"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.6])
def test_weights_and_smoothing_are_pytorchs(weights: str, smoothing: float) -> None:
    found = objective(class_weights=weights, label_smoothing=smoothing)(LOGITS, CLASSES)
    by_class = balanced_weights(COUNTS) if weights == "balanced" else None
    expected = functional.cross_entropy(LOGITS, CLASSES, by_class, label_smoothing=smoothing)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal(gamma: float) -> None:
    p = np.exp(LOGITS.double().numpy())
    right = (p / p.sum(1, keepdims=True))[np.arange(16), CLASSES.numpy()]
    each = -((1 - right) ** gamma) * np.log(right)
    found = objective(loss="focal", focal_gamma=gamma)(LOGITS, CLASSES)
    assert float(found) == pytest.approx(each.mean(), rel=1e-5)
    w = balanced_weights(COUNTS).numpy()[CLASSES.numpy()]
    both = objective(loss="focal", focal_gamma=gamma, class_weights="balanced")(LOGITS, CLASSES)
    assert float(both) == pytest.approx((w * each).sum() / w.sum(), rel=1e-5)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_a_clip_told_for_certain_has_a_finite_slope(gamma: float) -> None:
    logits = (200 * torch.eye(4)).requires_grad_()
    loss = objective(loss="focal", focal_gamma=gamma)(logits, torch.tensor([0, 1, 2, 2]))
    loss.backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    assert logits.grad[3].abs().max() > 0.1  # the one that is wrong still pulls


def test_votes_are_the_targets_and_the_label_where_there_are_none() -> None:
    votes = torch.tensor([[0.5, 0.5, 0, 0], [0, 0, 0, 0], [0.25, 0, 0, 0.75]])
    logits, classes = LOGITS[:3].clone().requires_grad_(), torch.tensor([0, 2, 3])
    shares = votes.clone()
    shares[1, 2] = 1
    found = objective(soft_labels=True)(logits, classes, votes)
    torch.testing.assert_close(found, functional.cross_entropy(logits, shares))
    found.backward()
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, (torch.softmax(logits, 1) - shares).detach() / 3)
    plain = objective()(logits, classes, votes)
    torch.testing.assert_close(plain, functional.cross_entropy(logits, classes))


@pytest.mark.parametrize(
    "settings",
    [{"class_weights": "balanced"}, {"label_smoothing": 0.1}, {"soft_labels": True}],
)
def test_the_loss_of_2018_stays_as_it_is(settings: dict[str, Any]) -> None:
    with pytest.raises(EmohopError, match="go with softmax or focal"):
        objective(loss="sigmoid", **settings)


def test_classes_are_evened_out_once() -> None:
    with pytest.raises(EmohopError, match="twice: take one"):
        objective(class_weights="balanced", sampling="balanced")


def test_balanced_draws_are_even_over_classes_and_as_long_as_the_part() -> None:
    classes = np.repeat([0, 2, 3], [90, 9, 1])  # nobody of class 1

    def draw(seed: int, epoch: int) -> list[list[int]]:
        sampler = Balanced(classes, 16, seed, lambda: epoch)
        batches = list(sampler)
        assert len(batches) == len(sampler) == 7
        return batches

    assert draw(1, 2) == draw(1, 2)
    assert len({str(draw(s, e)) for s in (1, 2) for e in (0, 1)}) == 4
    drawn = np.concatenate([i for epoch in range(100) for i in draw(0, epoch)])
    assert len(drawn) == 100 * 100
    counts = np.bincount(classes[drawn], minlength=4)
    assert counts[1] == 0
    # a count of 10,000 draws at 1/3 has a deviation of 47
    assert np.abs(counts[[0, 2, 3]] - 10_000 / 3).max() < 5 * 47
    within = np.bincount(drawn, minlength=100)[90:99]
    assert within.min() > 0.7 * within.mean()
