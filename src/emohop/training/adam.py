"""The optimiser: AdamW, and the form of Adam that TensorFlow computes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from emohop.config import TrainingSettings

BETAS = (0.9, 0.999)
EPSILON = 1e-8


class EpsilonHatAdam(torch.optim.AdamW):
    """Adam as TensorFlow computes it, with "epsilon hat" (Kingma and Ba 2015, end of section 2).

    w -= rate √(1 - β₂ᵗ) / (1 - β₁ᵗ) · m / (√v + ε): epsilon is added before v is corrected, not
    after it. The two differ where gradients are smaller than about 1e-6.
    """

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step; `closure` computes the gradients when it is given."""
        steps = next((float(state["step"]) for state in self.state.values()), 0.0) + 1
        for group in self.param_groups:
            # torch divides √v by the correction before it adds epsilon
            group["eps"] = EPSILON / math.sqrt(1 - BETAS[1] ** steps)
        return super().step(closure)


def make_optimizer(network: nn.Module, settings: TrainingSettings) -> torch.optim.Optimizer:
    """Adam over all parameters of a network, with decoupled weight decay where that is not 0."""
    kind = EpsilonHatAdam if settings.epsilon_hat else torch.optim.AdamW
    return kind(
        network.parameters(),
        lr=settings.learning_rate,
        betas=BETAS,
        eps=EPSILON,
        weight_decay=settings.weight_decay,
    )
