"""The GRU against torch's packed sequences, and its initial weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from emohop.models.attention import attend
from emohop.models.gru import GRU

LENGTHS = torch.tensor([7, 1, 4])


def make(**options: object) -> GRU:
    torch.manual_seed(0)
    arguments = {"bidirectional": False, "dropout": 0.0, **options}
    return GRU(5, 4, **arguments).eval()  # type: ignore[arg-type]


def packed(layer: nn.Module, steps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    sequence = pack_padded_sequence(steps, LENGTHS, batch_first=True, enforce_sorted=False)
    outputs, state = layer(sequence)
    return pad_packed_sequence(outputs, batch_first=True)[0], state


def test_equals_packed_sequences() -> None:
    gru, steps = make(), torch.randn(3, 7, 5)
    outputs, state = gru(steps, LENGTHS)
    expected, last = packed(gru.forward_stack[0], steps)
    torch.testing.assert_close(outputs, expected)
    torch.testing.assert_close(state, last[0])


def test_both_directions_equal_torch_and_are_aligned() -> None:
    gru, steps = make(bidirectional=True), torch.randn(3, 7, 5)
    reference = nn.GRU(5, 4, batch_first=True, bidirectional=True)
    assert gru.backward_stack is not None
    weights = dict(gru.forward_stack[0].named_parameters())
    weights |= {f"{n}_reverse": p for n, p in gru.backward_stack[0].named_parameters()}
    reference.load_state_dict(weights)
    outputs, state = gru(steps, LENGTHS)
    expected, last = packed(reference, steps)
    torch.testing.assert_close(outputs, expected)
    torch.testing.assert_close(state, torch.cat([last[0], last[1]], dim=-1))


def test_layers_are_stacked_and_gradients_flow() -> None:
    gru, steps = make(layers=3), torch.randn(3, 7, 5, requires_grad=True)
    outputs, _ = gru(steps, LENGTHS)
    expected = steps
    for layer in gru.forward_stack:
        expected, _ = packed(layer, expected)
    torch.testing.assert_close(outputs, expected)
    outputs.sum().backward()
    assert steps.grad is not None
    assert (steps.grad[1, 1:] == 0).all()  # beyond the clip's only step
    assert (steps.grad[1, 0] != 0).all()


def test_dropout_draws_anew_for_each_step_and_only_in_training() -> None:
    gru, steps = make(dropout=0.5), torch.ones(1, 50, 5)
    seen: list[torch.Tensor] = []
    gru.forward_stack[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    gru.train()
    gru(steps, torch.tensor([50]))
    assert set(seen[0].unique().tolist()) == {0.0, 2.0}  # scaled by 1 / keep
    assert not torch.equal(seen[0][0, 0], seen[0][0, 1]) or not torch.equal(
        seen[0][0, 1], seen[0][0, 2]
    )
    gru.eval()
    gru(steps, torch.tensor([50]))
    assert torch.equal(seen[1], steps)


def test_initial_weights() -> None:
    layer = make().forward_stack[0]
    kernel = torch.cat([layer.weight_ih_l0, layer.weight_hh_l0], dim=1).detach()  # type: ignore[list-item]
    gates, candidate = kernel[:8], kernel[8:]
    torch.testing.assert_close(gates @ gates.T, torch.eye(8), atol=1e-5, rtol=0)
    torch.testing.assert_close(candidate @ candidate.T, torch.eye(4), atol=1e-5, rtol=0)
    assert layer.bias_ih_l0.tolist() == [1.0] * 8 + [0.0] * 4  # type: ignore[operator]
    assert not layer.bias_hh_l0.any()  # type: ignore[operator]


def test_attention_by_hand() -> None:
    outputs = torch.tensor([[[1.0, 0.0], [0.0, 2.0], [5.0, 5.0]]])
    context, weights = attend(torch.tensor([[2.0, 1.0]]), outputs, torch.tensor([2]))
    torch.testing.assert_close(weights, torch.tensor([[0.5, 0.5, 0.0]]))
    torch.testing.assert_close(context, torch.tensor([[0.5, 1.0]]))


def test_attention_over_nothing_is_zero() -> None:
    context, weights = attend(torch.ones(1, 2), torch.zeros(1, 3, 2), torch.tensor([0]))
    assert not context.any()
    assert not weights.any()


@pytest.mark.parametrize("bidirectional", [False, True])
def test_length_zero_gives_zero_state(bidirectional: bool) -> None:
    gru = make(bidirectional=bidirectional)
    outputs, state = gru(torch.randn(2, 3, 5), torch.tensor([0, 3]))
    assert not state[0].any()
    assert not outputs[0].any()
    assert state[1].any()
