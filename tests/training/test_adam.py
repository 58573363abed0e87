"""TensorFlow's Adam by its formula, and that it goes on after a stop."""

from __future__ import annotations

import io

import pytest
import torch
from torch import nn

from emohop.config import TrainingSettings
from emohop.training.adam import EpsilonHatAdam, make_optimizer

GRADIENTS = [[1.0, 1e-9, -1e-7], [-0.5, 1e-9, 0.0], [0.25, -3e-9, 1e-5], [2.0, 0.0, 1e-8]]


def network() -> nn.ParameterList:
    return nn.ParameterList([torch.tensor([0.3, -0.2, 0.1], dtype=torch.float64)])


def run(modules: nn.ParameterList, optimizer: torch.optim.Optimizer, steps: list[int]) -> None:
    (weights,) = modules
    for step in steps:
        weights.grad = torch.tensor(GRADIENTS[step], dtype=torch.float64)
        optimizer.step()


def tensorflow(rate: float) -> torch.Tensor:
    weights: torch.Tensor = network()[0].detach().clone()
    m, v = torch.zeros_like(weights), torch.zeros_like(weights)
    for step, numbers in enumerate(GRADIENTS, 1):
        g = torch.tensor(numbers, dtype=torch.float64)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        corrected = rate * (1 - 0.999**step) ** 0.5 / (1 - 0.9**step)
        weights = weights - corrected * m / (v.sqrt() + 1e-8)
    return weights


def test_it_is_tensorflows_formula_and_not_torchs() -> None:
    settings = TrainingSettings(learning_rate=0.01, epsilon_hat=True)
    ours, torchs = network(), network()
    optimizer = make_optimizer(ours, settings)
    assert isinstance(optimizer, EpsilonHatAdam)
    run(ours, optimizer, [0, 1, 2, 3])
    run(torchs, make_optimizer(torchs, TrainingSettings(learning_rate=0.01)), [0, 1, 2, 3])
    expected = tensorflow(0.01)
    torch.testing.assert_close(ours[0].detach(), expected, rtol=1e-12, atol=1e-14)
    assert (torchs[0].detach() - expected).abs().max() > 1e-3  # the tiny gradients


def test_it_goes_on_after_a_stop() -> None:
    settings = TrainingSettings(epsilon_hat=True)
    whole, parted = network(), network()
    run(whole, make_optimizer(whole, settings), [0, 1, 2, 3])
    first = make_optimizer(parted, settings)
    run(parted, first, [0, 1])
    kept = io.BytesIO()
    torch.save(first.state_dict(), kept)
    kept.seek(0)
    second = make_optimizer(parted, settings)
    second.load_state_dict(torch.load(kept, weights_only=True))
    run(parted, second, [2, 3])
    assert torch.equal(whole[0], parted[0])


def test_weight_decay() -> None:
    decayed, plain = network(), network()
    run(decayed, make_optimizer(decayed, TrainingSettings(weight_decay=0.1)), [0])
    run(plain, make_optimizer(plain, TrainingSettings()), [0])
    lost = (plain[0] - decayed[0]).detach()
    torch.testing.assert_close(lost, network()[0].detach() * 0.1 * 1e-3)


def test_without_gradients_the_first_step_does_nothing() -> None:
    modules = network()
    make_optimizer(modules, TrainingSettings(epsilon_hat=True)).step()
    assert modules[0].tolist() == pytest.approx([0.3, -0.2, 0.1])
