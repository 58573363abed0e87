"""Dropout by drawn bits: shares, scale, seed, gradient."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from emohop.models.kernels import dropout


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7])
def test_a_share_is_dropped_and_the_rest_is_scaled(share: float) -> None:
    torch.manual_seed(0)
    rows = torch.ones(301, 999)  # not a multiple of four
    dropped = dropout(rows, share, training=True)
    kept = dropped != 0
    assert kept.float().mean().item() == pytest.approx(1 - share, abs=0.005)
    assert dropped[kept].unique().tolist() == pytest.approx([1 / (1 - share)], rel=1e-4)
    assert dropped.mean().item() == pytest.approx(1, abs=0.005)
    # no row and no column is left whole or dropped whole
    assert kept.any(0).all()
    assert kept.any(1).all()
    assert not kept.all(0).any()


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7])
def test_what_is_kept_is_what_torch_makes_of_it(share: float) -> None:
    torch.manual_seed(0)
    rows = torch.randn(301, 999)
    ours, theirs = dropout(rows, share, training=True), functional.dropout(rows, share)
    both = (ours != 0) & (theirs != 0)
    assert both.float().mean().item() == pytest.approx((1 - share) ** 2, abs=0.005)
    torch.testing.assert_close(ours[both], theirs[both], rtol=1e-4, atol=0)
    # a share is so many 65,536ths, and the scale is that of the share that is dropped
    kept = 1 - round(share * 65_536) / 65_536
    torch.testing.assert_close(ours[both], rows[both] / kept, rtol=1e-6, atol=0)


def test_the_seed_decides() -> None:
    rows = torch.randn(50, 7)
    draws = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        draws.append(dropout(rows, 0.5, training=True))
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_the_gradient_goes_where_values_went() -> None:
    rows = torch.ones(40, 5, requires_grad=True)
    dropped = dropout(rows, 0.3, training=True)
    dropped.sum().backward()
    assert rows.grad is not None
    assert torch.equal(rows.grad, dropped.detach())


def test_nothing_to_do() -> None:
    rows = torch.randn(4, 5)
    assert dropout(rows, 0.3, training=False) is rows
    assert dropout(rows, 0.0, training=True) is rows
    assert dropout(torch.zeros(0, 5), 0.3, training=True).shape == (0, 5)
