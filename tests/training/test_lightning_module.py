"""What a training step loses where clips lack modalities."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from emohop.clips import MODALITIES
from emohop.config import TrainingSettings
from emohop.models import build
from emohop.models.batch import Batch, Output
from emohop.training.lightning_module import Training
from emohop.training.loss import Objective
from tests.models.made import SIZES, batch, settings

A, T, V = MODALITIES
LENGTHS = {A: [4, 6, 2, 5], T: [2, 3, 5, 1], V: [3, 1, 2, 4]}


class Seen(nn.Module):
    """A network that keeps the batches that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.scores = nn.Parameter(torch.zeros(7))
        self.batches: list[Batch] = []

    def forward(self, clips: Batch) -> Output:
        self.batches.append(clips)
        return Output(self.scores.expand(len(clips), -1))


def training(network: nn.Module, **changes: object) -> Training:
    chosen = TrainingSettings.model_validate(changes)
    module = Training(network, chosen, Objective(chosen, torch.ones(7)), seed=0, epoch=lambda: 0)
    module.log = lambda *_, **__: None  # type: ignore[method-assign]
    return module


def gone(*clips: int) -> Tensor:
    return torch.tensor([number in clips for number in range(4)])


def test_late_loses_what_each_modality_loses_over_the_clips_that_have_it() -> None:
    network = build(settings(name="late"), SIZES).eval()
    clips = batch(LENGTHS).without({A: gone(1), V: gone(0, 1, 2, 3)})
    classes, alone = clips.classes, network(clips).alone
    assert classes is not None
    kept = [0, 2, 3]
    expected = (cross_entropy(alone[A][kept], classes[kept]) + cross_entropy(alone[T], classes)) / 2
    loss = training(network).training_step(clips, 0)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    slopes = {m: network.get_parameter(f"classify.{m}.weight").grad for m in MODALITIES}
    heard = slopes[A]
    assert heard is not None
    assert heard.abs().sum() > 0
    assert slopes[V] is None


@pytest.mark.parametrize("name", ["late", "mult"])
def test_clips_without_anything_have_a_finite_loss(name: str) -> None:
    clips = batch(LENGTHS).without({m: gone(0, 1, 2, 3) for m in MODALITIES})
    network = build(settings(name=name), SIZES)
    loss = training(network).training_step(clips, 0)
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


def test_modality_dropout_is_of_training_steps_alone_and_repeats() -> None:
    network, clips = Seen(), batch({m: [2] * 64 for m in MODALITIES})
    module = training(network, modality_dropout=0.5)
    for _ in range(2):
        module.on_train_batch_start(clips, 0)
        module.training_step(clips, 0)
    module.validation_step(clips, 0)
    first, again, dev = network.batches
    for m in MODALITIES:
        assert 0 < int(first.has(m).sum()) < 64
        assert (first.has(m) == again.has(m)).all()
        assert dev.has(m).all()
    assert torch.stack([first.has(m) for m in MODALITIES]).any(0).all()
