"""The GRU: both forms of the reset gate, both directions, ragged rows against torch's own."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from emohop.config import EncoderSettings
from emohop.models.gru import GRU, Layer
from emohop.models.kernels import Ragged, Recurrence

LENGTHS = torch.tensor([4, 7, 0, 1, 7])
BOTH_FORMS = pytest.mark.parametrize("reset_after", [True, False], ids=["after", "before"])


def make(reset_after: bool = True, align_backward: bool = True, **changes: object) -> GRU:
    torch.manual_seed(0)
    settings = EncoderSettings.model_validate({"hidden": 4, "dropout": 0.0, **changes})
    return GRU(5, settings, reset_after=reset_after, align_backward=align_backward).eval()


def run(gru: GRU, steps: Tensor, lengths: Tensor = LENGTHS) -> tuple[Tensor, Tensor]:
    ragged = Ragged(lengths, steps.shape[1])
    outputs, states = gru(ragged.pack(steps), ragged)
    return ragged.pad(outputs), states


def torch_gru(layer: Layer, reverse: Layer | None = None) -> nn.GRU:
    """torch's GRU with the weights of our layers."""
    gru = nn.GRU(
        layer.size,
        layer.hidden,
        batch_first=True,
        bidirectional=reverse is not None,
        dtype=layer.gates.weight.dtype,
    )
    parameters = dict(gru.named_parameters())
    with torch.no_grad():
        for ours, suffix in ((layer, ""), (reverse, "_reverse")):
            if ours is not None:
                weights = torch.cat([ours.gates.weight, ours.candidate.weight])
                parameters[f"weight_ih_l0{suffix}"].copy_(weights[:, : ours.size])
                parameters[f"weight_hh_l0{suffix}"].copy_(weights[:, ours.size :])
                bias = torch.cat([ours.gates.bias, ours.candidate.bias])
                parameters[f"bias_ih_l0{suffix}"].copy_(bias)
                parameters[f"bias_hh_l0{suffix}"].zero_()
    return gru


def packed(layer: nn.Module, steps: Tensor) -> tuple[Tensor, Tensor]:
    """What torch makes of the clips that have a step at all."""
    some = LENGTHS > 0
    sequence = pack_padded_sequence(
        steps[some], LENGTHS[some], batch_first=True, enforce_sorted=False
    )
    outputs, last = layer(sequence)
    padded = pad_packed_sequence(outputs, batch_first=True)[0]
    everything = padded.new_zeros(len(LENGTHS), *padded.shape[1:])
    everything[some] = padded
    states = padded.new_zeros(len(LENGTHS), padded.shape[2])
    states[some] = torch.cat(list(last), dim=-1)
    return everything, states


def by_definition(layer: Layer, steps: Tensor, length: int, reset_after: bool) -> Tensor:
    """Outputs [time, hidden] of one clip, step by step as the equations have it."""
    state, outputs = steps.new_zeros(layer.hidden), []
    inputs, recurrent = layer.candidate.weight.split([layer.size, layer.hidden], 1)
    for x in steps[:length]:
        r, u = layer.gates(torch.cat([x, state])).sigmoid().chunk(2)
        if reset_after:
            c = torch.tanh(inputs @ x + layer.candidate.bias + r * (recurrent @ state))
        else:
            c = torch.tanh(layer.candidate(torch.cat([x, r * state])))
        state = u * state + (1 - u) * c
        outputs.append(state)
    outputs += [steps.new_zeros(layer.hidden)] * (len(steps) - length)
    return torch.stack(outputs)


@BOTH_FORMS
def test_equals_its_equations(reset_after: bool) -> None:
    gru, steps = make(reset_after), torch.randn(5, 7, 5)
    outputs, states = run(gru, steps)
    (layer,) = gru.forward_stack
    assert isinstance(layer, Layer)
    for clip, length in enumerate(LENGTHS.tolist()):
        expected = by_definition(layer, steps[clip], length, reset_after)
        torch.testing.assert_close(outputs[clip], expected)
        last = expected[length - 1] if length else torch.zeros(4)
        torch.testing.assert_close(states[clip], last)


@pytest.mark.parametrize("bidirectional", [False, True], ids=["forwards", "both"])
def test_equals_torch_and_its_gradients(bidirectional: bool) -> None:
    """In float64: outputs, last states, and the gradients of inputs, weights and biases."""
    gru = make(bidirectional=bidirectional).double()
    layers = [module for module in gru.modules() if isinstance(module, Layer)]
    reference = torch_gru(*layers)
    steps = torch.randn(5, 7, 5, dtype=torch.float64, requires_grad=True)
    inputs = steps.detach().clone().requires_grad_()
    outputs, states = run(gru, steps)
    theirs, last = packed(reference, inputs)
    torch.testing.assert_close(outputs, theirs)
    torch.testing.assert_close(states, last)
    weight, of_last = torch.randn_like(theirs), torch.randn_like(last)
    ((outputs * weight).sum() + (states * of_last).sum()).backward()
    ((theirs * weight).sum() + (last * of_last).sum()).backward()
    torch.testing.assert_close(steps.grad, inputs.grad)
    expected = {name: parameter.grad for name, parameter in reference.named_parameters()}
    for layer, suffix in zip(layers, ["_l0", "_l0_reverse"], strict=False):
        grads = {name: p.grad for name, p in layer.named_parameters() if p.grad is not None}
        weights = torch.cat([grads["gates.weight"], grads["candidate.weight"]])
        bias = torch.cat([grads["gates.bias"], grads["candidate.bias"]])
        torch.testing.assert_close(weights[:, :5], expected[f"weight_ih{suffix}"])
        torch.testing.assert_close(weights[:, 5:], expected[f"weight_hh{suffix}"])
        torch.testing.assert_close(bias, expected[f"bias_ih{suffix}"])


def test_the_way_of_a_gpu_is_the_same() -> None:
    """cuDNN computes what `padded` asks for; on a CPU torch's own kernel does."""
    (layer,) = make().forward_stack
    assert isinstance(layer, Layer)
    steps, ragged = torch.randn(5, 7, 5), Ragged(LENGTHS, 7)
    rows = ragged.pack(steps)
    torch.testing.assert_close(layer.padded(rows, ragged), layer(rows, ragged))


@BOTH_FORMS
@limits(max_examples=8, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=4))
def test_gradients(reset_after: bool, lengths: list[int]) -> None:
    generator = torch.Generator().manual_seed(sum(lengths))
    ragged, size, hidden = Ragged(torch.tensor(lengths), 4), 3, 2
    shapes = [
        (sum(lengths), size),
        (2 * hidden, size + hidden),
        (2 * hidden,),
        (hidden, size + hidden),
        (hidden,),
    ]
    inputs = [torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes]
    assert torch.autograd.gradcheck(
        lambda *tensors: Recurrence.apply(*tensors, ragged.counts, reset_after),
        [tensor.requires_grad_() for tensor in inputs],
    )


def test_backward_again_gives_the_same() -> None:
    gru, steps = make(), torch.randn(5, 7, 5)
    outputs, _ = run(gru, steps)
    first = torch.autograd.grad(outputs.sum(), list(gru.parameters()), retain_graph=True)
    again = torch.autograd.grad(outputs.sum(), list(gru.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_both_directions_equal_torch_and_are_aligned() -> None:
    gru, steps = make(bidirectional=True), torch.randn(5, 7, 5)
    assert gru.backward_stack is not None
    reference = torch_gru(gru.forward_stack[0], gru.backward_stack[0])  # type: ignore[arg-type]
    expected, last = packed(reference, steps)
    outputs, states = run(gru, steps)
    torch.testing.assert_close(outputs, expected)
    torch.testing.assert_close(states, last)


def test_not_aligned_the_backward_half_is_turned_around_within_each_clip() -> None:
    steps = torch.randn(5, 7, 5)
    aligned, states = run(make(bidirectional=True), steps)
    original, same = run(make(bidirectional=True, align_backward=False), steps)
    assert torch.equal(states, same)
    assert torch.equal(aligned[..., :4], original[..., :4])
    for clip, length in enumerate(LENGTHS.tolist()):
        turned = original[clip, :length, 4:].flip(0)
        assert torch.equal(aligned[clip, :length, 4:], turned)


def test_layers_are_stacked() -> None:
    gru, steps = make(layers=3), torch.randn(5, 7, 5)
    expected = steps
    for layer in gru.forward_stack:
        assert isinstance(layer, Layer)
        expected, last = packed(torch_gru(layer), expected)
    outputs, states = run(gru, steps)
    torch.testing.assert_close(outputs, expected)
    torch.testing.assert_close(states, last)


def test_residual_adds_each_layers_input_to_its_output_and_leaves_the_state() -> None:
    torch.manual_seed(0)
    settings = EncoderSettings(hidden=5, layers=2, residual=True, dropout=0.0)
    gru, steps = (
        GRU(5, settings, reset_after=True, align_backward=True).eval(),
        torch.randn(5, 7, 5),
    )
    first, second = (torch_gru(layer) for layer in gru.forward_stack)  # type: ignore[arg-type]
    valid = (torch.arange(7) < LENGTHS[:, None])[..., None]
    between = torch.where(valid, steps + packed(first, steps)[0], 0.0)
    top, last = packed(second, between)
    outputs, states = run(gru, steps)
    torch.testing.assert_close(outputs, torch.where(valid, between + top, 0.0))
    torch.testing.assert_close(states, last)


def test_dropout_draws_anew_for_each_step_and_only_in_training() -> None:
    gru, rows = make(dropout=0.5), torch.ones(50, 5)
    ragged = Ragged(torch.tensor([50]), 50)
    seen: list[Tensor] = []
    gru.forward_stack[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    gru.train()
    gru(rows, ragged)
    assert set(seen[0].unique().tolist()) == {0.0, 2.0}  # scaled by 1 / keep
    assert len(seen[0].unique(dim=0)) > 5
    gru.eval()
    gru(rows, ragged)
    assert torch.equal(seen[1], rows)


def test_output_dropout_reaches_the_outputs_and_not_the_states() -> None:
    gru, plain = make(output_dropout=0.5), make()
    steps = torch.randn(5, 7, 5)
    gru.train()
    outputs, states = run(gru, steps)
    expected, last = run(plain, steps)
    assert torch.equal(states, last)
    kept = outputs != 0
    assert 0.3 < kept[LENGTHS == 7].float().mean() < 0.7
    torch.testing.assert_close(outputs[kept], 2 * expected[kept])


def test_initial_weights() -> None:
    (layer,) = make().forward_stack
    assert isinstance(layer, Layer)
    for weight in (layer.gates.weight.detach(), layer.candidate.weight.detach()):
        torch.testing.assert_close(weight @ weight.T, torch.eye(len(weight)), atol=1e-5, rtol=0)
    assert layer.gates.bias.tolist() == [1.0] * 8
    assert layer.candidate.bias.tolist() == [0.0] * 4


def test_clips_without_any_step() -> None:
    outputs, states = run(make(bidirectional=True), torch.randn(2, 3, 5), torch.tensor([0, 0]))
    assert outputs.shape == (2, 3, 8)
    assert not outputs.any()
    assert not states.any()


@BOTH_FORMS
@pytest.mark.parametrize("rows_together", [1, 5, 4096])
def test_the_gradient_is_carried_between_stretches(
    reset_after: bool, rows_together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However the backward pass is cut, it is autograd's through the equations, in float64."""
    monkeypatch.setattr("emohop.models.kernels.recurrence.ROWS_TOGETHER", rows_together)
    gru, steps = make(reset_after).double(), torch.randn(5, 7, 5, dtype=torch.float64)
    (layer,) = gru.forward_stack
    assert isinstance(layer, Layer)
    weight = torch.randn(5, 7, 4, dtype=torch.float64)
    ours, inputs = steps.clone().requires_grad_(), steps.clone().requires_grad_()
    (run(gru, ours)[0] * weight).sum().backward()
    found = [ours.grad, *(p.grad for p in layer.parameters())]
    layer.zero_grad()
    expected = [
        by_definition(layer, inputs[clip], length, reset_after)
        for clip, length in enumerate(LENGTHS.tolist())
    ]
    (torch.stack(expected) * weight).sum().backward()
    for mine, theirs in zip(
        found, [inputs.grad, *(p.grad for p in layer.parameters())], strict=True
    ):
        torch.testing.assert_close(mine, theirs)


@BOTH_FORMS
def test_the_gradient_that_comes_in_is_left_as_it_was(reset_after: bool) -> None:
    (layer,) = make(reset_after).forward_stack
    ragged = Ragged(LENGTHS, 7)
    states = layer(ragged.pack(torch.randn(5, 7, 5)), ragged)
    coming = torch.randn_like(states)
    before = coming.clone()
    torch.autograd.grad(states, list(layer.parameters()), coming)
    assert torch.equal(coming, before)


@BOTH_FORMS
def test_a_clip_that_comes_in_pieces_is_the_whole_clip(reset_after: bool) -> None:
    gru, steps = make(reset_after, layers=2).double(), torch.randn(7, 5, dtype=torch.float64)
    whole, last = run(gru, steps[None], torch.tensor([7]))
    states, pieces = [state.double() for state in gru.start()], []
    for piece in steps.split([3, 1, 3]):
        outputs, states = gru.continued(piece, states)
        pieces.append(outputs)
    torch.testing.assert_close(torch.cat(pieces), whole[0])
    torch.testing.assert_close(states[-1], last)


@BOTH_FORMS
def test_products_in_bfloat16_are_near(reset_after: bool) -> None:
    """Under autocast all comes out in float32, near to what it is without, and not the same."""
    gru, steps, results = make(reset_after), torch.randn(5, 7, 5), []
    for bfloat16 in (False, True):
        inputs = steps.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            outputs, _ = run(gru, inputs)
        results.append([outputs, *torch.autograd.grad(outputs.sum(), [inputs, *gru.parameters()])])
    for exact, near in zip(*results, strict=True):
        assert near.dtype is torch.float32
        assert 0 < (near - exact).norm() < 0.02 * exact.norm()


def test_no_pass_changes_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(number: int) -> None:
        raise AssertionError(f"set_num_threads({number})")

    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    monkeypatch.setattr(torch, "set_num_threads", refuse)
    steps = torch.randn(200, 40, 5, requires_grad=True)
    outputs, states = run(make(), steps, torch.full((200,), 40))
    (outputs.sum() + states.sum()).backward()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@BOTH_FORMS
def test_a_gpu_gives_the_same(reset_after: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)  # which has 10 bits of mantissa
    steps, results = torch.randn(5, 7, 5), []
    for device in ("cpu", "cuda"):
        gru = make(reset_after, bidirectional=True, layers=2).to(device)
        outputs, states = run(gru, steps.to(device), LENGTHS.to(device))
        (outputs.square().sum() + states.sum()).backward()
        gradients = [p.grad for p in gru.parameters() if p.grad is not None]
        results.append([t.detach().cpu() for t in (outputs, states, *gradients)])
    for on_cpu, on_gpu in zip(*results, strict=True):
        torch.testing.assert_close(on_cpu, on_gpu, rtol=1e-4, atol=1e-5)
