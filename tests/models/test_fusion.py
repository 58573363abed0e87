"""The models beside AMH against the equations of their papers, computed another way."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from emohop.clips import MODALITIES, Modality
from emohop.config import ModelSettings
from emohop.errors import EmohopError
from emohop.model_config import InputDims
from emohop.models import build
from emohop.models.batch import Batch, Output
from emohop.models.cross_modal import Block, sinusoids
from emohop.models.encoder import LayerMix
from emohop.models.pooling import VARIANCE_FLOOR
from tests.models.made import SIZES, batch, settings

A, T, V = MODALITIES
LENGTHS = {A: [5, 1, 7], T: [3, 4, 1], V: [2, 1, 3]}


def make(case: ModelSettings, sizes: InputDims = SIZES) -> nn.Module:
    torch.manual_seed(1)
    return build(case, sizes).eval()


def run(network: nn.Module, clips: Batch) -> Output:
    output = network(clips)
    assert isinstance(output, Output)
    return output


def test_statistics_by_numpy() -> None:
    network, clips = make(settings(name="stats", modalities=(A, V))), batch(LENGTHS)
    parameters = {name: value.detach().numpy() for name, value in network.named_parameters()}
    for i in range(3):
        parts = []
        for m in (A, V):
            steps = clips.sequences[m][i, : LENGTHS[m][i]].numpy()
            parts += [steps.mean(0), np.sqrt(steps.var(0) + VARIANCE_FLOOR)]
        expected = parameters["classify.weight"] @ np.concatenate(parts)
        found = run(network, clips).logits[i].detach().numpy()
        np.testing.assert_allclose(found, expected + parameters["classify.bias"], atol=1e-5)


def test_self_attention_by_hand() -> None:
    network, clips = make(settings(name="sap", modalities=(A,))), batch(LENGTHS)
    output = run(network, clips)
    pool = network.get_submodule("pools.audio")
    assert isinstance(pool.input, nn.Linear)
    assert isinstance(pool.key, nn.Linear)
    assert isinstance(pool.query, torch.Tensor)
    (hop,) = output.hops
    for i, length in enumerate(LENGTHS[A]):
        steps = torch.relu(pool.input(clips.sequences[A][i, :length]))
        weights = torch.softmax(torch.tanh(pool.key(steps)) @ pool.query, 0)
        torch.testing.assert_close(hop.weights[i, :length], weights)
        torch.testing.assert_close(hop.context[i], weights @ steps)
    assert torch.equal(hop.query[0], hop.query[2])


def test_gated_units_by_hand() -> None:
    case = settings(name="gated", modalities=(A, T), width=3)
    network, clips = make(case), batch(LENGTHS)
    single = [
        network.get_submodule("encoders")(clips)[m].state
        for m in (A, T)  # last states
    ]
    joined = torch.cat(single, -1)
    fused = torch.zeros(3, 3)
    for m, state in zip((A, T), single, strict=True):
        gate = network.get_submodule(f"gates.{m}")(joined)
        fused = fused + torch.sigmoid(gate) * torch.tanh(
            network.get_submodule(f"values.{m}")(state)
        )
    torch.testing.assert_close(run(network, clips).logits, network.get_submodule("classify")(fused))


def test_low_rank_is_a_linear_layer_over_the_outer_product() -> None:
    """Build the whole tensor of Zadeh et al. that the factors stand for, and use it."""
    case = settings(name="lmf", width=2, rank=3)
    network, clips = make(case), batch(LENGTHS)
    encoded = network.get_submodule("encoders")(clips)
    z = [functional.pad(encoded[m].state, (0, 1), value=1.0) for m in MODALITIES]
    outer = torch.einsum("ba,bt,bv->batv", *z)
    factors = [network.get_parameter(f"factors.{m}") for m in MODALITIES]
    tensor = torch.einsum("r,rwa,rwt,rwv->watv", network.get_parameter("ranks"), *factors)
    fused = torch.einsum("batv,watv->bw", outer, tensor) + network.get_parameter("bias")
    torch.testing.assert_close(run(network, clips).logits, network.get_submodule("classify")(fused))


def test_late_fusion_is_the_mean_of_probabilities() -> None:
    output = run(make(settings(name="late")), batch(LENGTHS))
    mean = torch.stack([torch.softmax(output.alone[m], -1) for m in MODALITIES]).mean(0)
    torch.testing.assert_close(torch.softmax(output.logits, -1), mean)
    torch.testing.assert_close(output.logits.exp(), mean)  # logarithms of probabilities already


def test_late_fusion_counts_the_modalities_that_are_there() -> None:
    clips = batch(LENGTHS).without({T: torch.tensor([True, False, True])})
    output = run(make(settings(name="late", modalities=(A, T))), clips)
    alone = {m: torch.softmax(logits, -1) for m, logits in output.alone.items()}
    torch.testing.assert_close(output.logits[0].exp(), alone[A][0])
    torch.testing.assert_close(output.logits[1].exp(), (alone[A][1] + alone[T][1]) / 2)


def test_a_block_is_the_transformer_of_torch() -> None:
    """With itself as source, a block is torch's pre-norm encoder layer of the same weights."""
    torch.manual_seed(0)
    block = Block(8, 2)
    theirs = nn.TransformerEncoderLayer(8, 2, 32, dropout=0.0, norm_first=True, batch_first=True)
    with torch.no_grad():
        for ours, other in ((block.before, theirs.norm1), (block.after, theirs.norm2)):
            ours.weight.uniform_(0.5, 2)
            other.load_state_dict(ours.state_dict())
        block.sources.load_state_dict(block.before.state_dict())
        inner = (block.query, block.key, block.value)
        theirs.self_attn.in_proj_weight.copy_(torch.cat([layer.weight for layer in inner]))
        theirs.self_attn.in_proj_bias.copy_(torch.cat([layer.bias for layer in inner]))
        theirs.self_attn.out_proj.load_state_dict(block.out.state_dict())
        theirs.linear1.load_state_dict(block.widen.state_dict())
        theirs.linear2.load_state_dict(block.narrow.state_dict())
    steps = torch.randn(3, 5, 8)
    there = torch.arange(5) < torch.tensor([[5], [2], [4]])
    found = block(steps, steps, there)
    expected = theirs(steps, src_key_padding_mask=~there)
    torch.testing.assert_close(found[there], expected[there], atol=1e-5, rtol=1e-5)


def test_a_block_reads_nothing_where_nothing_is() -> None:
    torch.manual_seed(0)
    block = Block(4, 2)
    steps, other = torch.randn(2, 3, 4), torch.randn(2, 6, 4)
    found = block(steps, other, torch.zeros(2, 6, dtype=torch.bool))
    alone = steps + block.narrow(torch.relu(block.widen(block.after(steps))))
    torch.testing.assert_close(found, alone)


def test_positions() -> None:
    table = sinusoids(50, 6)
    for t, i in ((0, 0), (7, 2), (49, 4)):
        assert table[t, i].item() == pytest.approx(math.sin(t / 10000 ** (i / 6)), abs=1e-5)
        assert table[t, i + 1].item() == pytest.approx(math.cos(t / 10000 ** (i / 6)), abs=1e-5)
    assert sinusoids(3, 5).shape == (3, 5)


def test_heads_that_do_not_divide_the_width() -> None:
    with pytest.raises(EmohopError, match=r"heads = 3 does not divide model\.width = 64"):
        build(settings(name="mult", heads=3), SIZES)


@pytest.mark.parametrize("name", ["amh", "stats", "sap", "mult", "late"])
def test_several_layers_and_states_of_words(name: str) -> None:
    sizes = InputDims(7, {A: 3, T: 4, V: 5}, prosody=4, layers={A: 2, T: 3}, text_states=True)
    case = settings(name=name, prosody=True, hops=2)
    network = make(case, sizes)
    assert not any("embedding" in key for key, _ in network.named_parameters())
    mixes = [module for module in network.modules() if isinstance(module, LayerMix)]
    assert [len(mix.weights) for mix in mixes] == [2, 3]
    torch.manual_seed(0)
    steps = {A: torch.randn(3, 7, 6), T: torch.randn(3, 4, 12), V: torch.randn(3, 3, 5)}
    lengths = {m: torch.tensor(LENGTHS[m]) for m in MODALITIES}
    clips = Batch(("a", "b", "c"), steps, lengths, prosody=torch.randn(3, 4))
    functional.cross_entropy(run(network, clips).logits, torch.arange(3)).backward()
    for mix in mixes:
        assert mix.weights.grad is not None
        assert mix.weights.grad.abs().sum() > 0
    # equal weights at first: the mean of the layers
    mean = Batch(
        clips.ids,
        {A: steps[A].unflatten(-1, (2, 3)).mean(2), T: steps[T].unflatten(-1, (3, 4)).mean(2),
         V: steps[V]},
        lengths,
        prosody=clips.prosody,
    )  # fmt: skip
    plain = make(case, InputDims(7, {A: 3, T: 4, V: 5}, prosody=4, text_states=True))
    values = {k: v for k, v in network.state_dict().items() if ".mix." not in k}
    plain.load_state_dict(values)
    torch.testing.assert_close(run(network, clips).logits, run(plain, mean).logits)


def test_layers_side_by_side() -> None:
    sizes = InputDims(7, {A: 3}, layers={A: 2})
    network = make(settings(name="stats", modalities=(A,), mix_layers=False), sizes)
    assert network.get_parameter("classify.weight").shape == (7, 12)
    assert not any(isinstance(module, LayerMix) for module in network.modules())


def test_a_mix_follows_its_weights() -> None:
    mix = LayerMix(3)
    steps = torch.randn(4, 6)
    with torch.no_grad():
        mix.weights.copy_(torch.tensor([0.0, 20.0, 0.0]))
        mix.scale.fill_(2.0)
    torch.testing.assert_close(mix(steps), 2 * steps[:, 2:4])


def test_prosody_joins_audio() -> None:
    for name in ("stats", "sap", "mult"):
        network = make(settings(name=name, prosody=True))
        clips = batch(LENGTHS)
        assert clips.prosody is not None
        other = Batch(clips.ids, clips.sequences, clips.lengths, clips.prosody + 1)
        assert not torch.allclose(run(network, clips).logits, run(network, other).logits)


def test_modalities_of_pooled_models() -> None:
    for name in ("stats", "sap"):
        assert settings(name=name, modalities=(Modality.AUDIO,)).title == f"{name} audio"
    with pytest.raises(EmohopError, match="late needs two modalities or more"):
        build(settings(name="late", modalities=(Modality.AUDIO,)), SIZES)
