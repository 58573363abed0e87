"""Gradient clipping in its three forms; the originals' own numbers are in test_published.py."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from emohop.training.clipping import Clip, Clipper

WORDS = torch.tensor([1, 2, 1, 1, 3])


class Words(nn.Module):
    """A word's vector times a weight, and a bias."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 4, padding_idx=0)
        self.linear = nn.Linear(4, 3)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.linear(self.embedding(words))
        return out


def gradients(kind: Clip, limit: float, scale: float) -> tuple[Words, dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    network = Words()
    clipper = Clipper(network, kind, limit)
    (scale * network(WORDS).square().sum()).backward()
    clipper.apply()
    clipper.close()
    return network, {n: p.grad for n, p in network.named_parameters() if p.grad is not None}


def rows_of_words(scale: float) -> torch.Tensor:
    """The gradient of each looked-up row, [5, 4]."""
    torch.manual_seed(0)
    network = Words()
    rows = network.embedding(WORDS).detach().requires_grad_()
    (scale * network.linear(rows).square().sum()).backward()
    assert rows.grad is not None
    gradient: torch.Tensor = rows.grad
    return gradient


def test_variable_clips_each_on_its_own_and_words_by_their_rows() -> None:
    _, free = gradients("variable", 0.0, scale=10)
    _, clipped = gradients("variable", 1.0, scale=10)
    for name in ("linear.weight", "linear.bias"):
        torch.testing.assert_close(clipped[name], free[name] / free[name].norm())
        assert free[name].norm() > 1
    norm = rows_of_words(10).norm()
    assert abs(norm - free["embedding.weight"].norm()) > 0.1  # word 1 is there three times
    torch.testing.assert_close(clipped["embedding.weight"], free["embedding.weight"] / norm)


def test_small_gradients_are_left() -> None:
    for kind, limit in (("variable", 1.0), ("global", 1.0), ("value", 10.0)):
        _, free = gradients(kind, 0.0, scale=1e-3)  # type: ignore[arg-type]
        _, clipped = gradients(kind, limit, scale=1e-3)  # type: ignore[arg-type]
        for name, gradient in free.items():
            torch.testing.assert_close(clipped[name], gradient, rtol=1e-6, atol=0)


def test_value_limits_numbers_and_words_before_they_are_summed() -> None:
    _, free = gradients("value", 0.0, scale=10)
    _, clipped = gradients("value", 2.0, scale=10)
    torch.testing.assert_close(clipped["linear.weight"], free["linear.weight"].clamp(-2, 2))
    rows = rows_of_words(10).clamp(-2, 2)
    expected = torch.zeros(5, 4).index_add(0, WORDS, rows)
    torch.testing.assert_close(clipped["embedding.weight"], expected)
    assert clipped["embedding.weight"].abs().max() > 2


def test_global_is_torchs() -> None:
    _, free = gradients("global", 0.0, scale=10)
    _, clipped = gradients("global", 1.0, scale=10)
    total = torch.stack([g.norm() for g in free.values()]).norm()
    for name, gradient in free.items():
        torch.testing.assert_close(clipped[name], gradient / total)


def test_the_rows_of_one_step_do_not_count_in_the_next() -> None:
    torch.manual_seed(0)
    network = Words()
    clipper = Clipper(network, "variable", 1.0)
    seen = []
    for _ in range(2):
        network.zero_grad()
        (10 * network(WORDS).square().sum()).backward()
        clipper.apply()
        seen.append(network.embedding.weight.grad)
    assert seen[0] is not None
    assert seen[1] is not None
    assert torch.equal(seen[0], seen[1])


@pytest.mark.parametrize("kind", ["variable", "value"])
def test_closed_it_watches_no_more(kind: Clip) -> None:
    network, _ = gradients(kind, 1.0, scale=10)
    assert not network.embedding._forward_hooks
    with torch.no_grad():
        network(WORDS)  # without gradients there is nothing to watch
