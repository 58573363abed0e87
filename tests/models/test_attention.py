"""Dot-product attention by hand and against padded tensors."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from emohop.models.attention import attend
from emohop.models.kernels import Ragged

LENGTHS = st.lists(st.integers(0, 5), min_size=1, max_size=5)


def drawn(lengths: list[int]) -> tuple[torch.Tensor, torch.Tensor, Ragged]:
    """A query and rows of 3 numbers, in float64."""
    generator = torch.Generator().manual_seed(sum(lengths))
    query = torch.randn(len(lengths), 3, generator=generator, dtype=torch.float64)
    rows = torch.randn(sum(lengths), 3, generator=generator, dtype=torch.float64)
    ragged = Ragged(torch.tensor(lengths), max(lengths) + 1)
    return query.requires_grad_(), rows.requires_grad_(), ragged


def test_attention_by_hand() -> None:
    ragged = Ragged(torch.tensor([2]), 3)
    rows = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    context, weights = attend(torch.tensor([[2.0, 1.0]]), rows, ragged)
    torch.testing.assert_close(weights, torch.tensor([[0.5, 0.5, 0.0]]))
    torch.testing.assert_close(context, torch.tensor([[0.5, 1.0]]))


@given(LENGTHS)
def test_equals_padded_attention(lengths: list[int]) -> None:
    """And its gradients those of autograd."""
    query, rows, ragged = drawn(lengths)
    outputs = ragged.pad(rows)
    scores = torch.einsum("bs,bts->bt", query, outputs).masked_fill(~ragged.valid, -1e9)
    plain = torch.softmax(scores, dim=-1) * ragged.valid
    expected = torch.einsum("bt,bts->bs", plain, outputs), plain
    found = attend(query, rows, ragged)
    torch.testing.assert_close(found, expected)
    for clip, length in enumerate(lengths):
        assert abs(found[1][clip].sum().item() - (length > 0)) < 1e-12
    coming = [torch.randn_like(tensor) for tensor in found]
    theirs = torch.autograd.grad(expected, (query, rows), coming)
    torch.testing.assert_close(torch.autograd.grad(found, (query, rows), coming), theirs)


@limits(max_examples=10, deadline=None)
@given(LENGTHS)
def test_gradients_of_context_and_weights(lengths: list[int]) -> None:
    query, rows, ragged = drawn(lengths)
    assert torch.autograd.gradcheck(lambda q, r: attend(q, r, ragged), (query, rows))


def test_attention_over_nothing_is_zero() -> None:
    rows = torch.zeros(0, 2, requires_grad=True)
    context, weights = attend(torch.ones(2, 2), rows, Ragged(torch.tensor([0, 0]), 3))
    assert not context.any()
    assert not weights.any()
    context.sum().backward()
    assert rows.grad is not None
