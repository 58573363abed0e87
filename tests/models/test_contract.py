"""What every registered model promises, for every choice of modalities and direction."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from emohop.clips import MODALITIES, Modality
from emohop.config import ModelSettings
from emohop.errors import EmohopError
from emohop.models import build
from emohop.models.batch import Batch, Output
from emohop.models.folder import ModelFolder
from emohop.models.padded import padding
from emohop.registry.models import MODELS
from tests.models.made import SIZES, batch, settings

BOTH = {
    m.value: {**getattr(settings(), m.value).model_dump(), "bidirectional": True}
    for m in MODALITIES
}
ARITHMETIC: list[dict[str, Any]] = [  # in one direction there is nothing to align
    {"reset_after": True, "prosody": False},
    {"reset_after": False, "prosody": True},
    {"reset_after": True, "align_backward": True, "prosody": True, **BOTH},
    {"reset_after": False, "align_backward": False, "prosody": False, **BOTH},
]
PAIRS = list(combinations(MODALITIES, 2))


def structures(name: str) -> Iterator[dict[str, Any]]:
    """Every choice of modalities, order and a few numbers of hops that a model has."""
    spec = MODELS[name]
    if spec.only is not None:
        yield {}
        return
    if spec.least == 1:
        yield {"modalities": (Modality.TEXT,)}
    for chosen in PAIRS if spec.most == 2 else [*PAIRS, MODALITIES]:
        orders = [chosen[k:] + chosen[:k] for k in range(len(chosen))]
        for order in orders if spec.has("order") else [None]:
            for hops in (1, 4) if spec.has("hops") else (1,):
                yield {"modalities": chosen, "order": order, "hops": hops}


CASES = [
    settings(name=name, **structure, **arithmetic)
    for name in MODELS.shipped
    for structure in structures(name)
    for arithmetic in ARITHMETIC
]
DEEP = settings(
    hops=5,
    shared_bias=True,
    audio={"hidden": 4, "layers": 2, "bidirectional": True},
    text={"hidden": 3, "embedding": 5, "layers": 2, "residual": True},
    video={"hidden": 5, "bidirectional": True, "residual": True},
)
STACKED = settings(
    hops=3, audio={"hidden": 4, "stack_frames": 3}, video={"hidden": 5, "stack_frames": 2}
)
ALL = [*CASES, DEEP, STACKED]
LENGTHS = {Modality.AUDIO: [9, 1, 0, 4], Modality.TEXT: [3, 5, 1, 0], Modality.VIDEO: [2, 0, 4, 1]}


def make(case: ModelSettings, seed: int = 3) -> nn.Module:
    torch.manual_seed(seed)
    return build(case, SIZES).eval()


def run(network: nn.Module, clips: Batch) -> Output:
    output = network(clips)
    assert isinstance(output, Output)
    return output


def assert_equal(one: Output, other: Output) -> None:
    torch.testing.assert_close(one.logits, other.logits)
    assert len(one.hops) == len(other.hops)
    for mine, theirs in zip(one.hops, other.hops, strict=True):
        assert mine.target == theirs.target
        torch.testing.assert_close(mine.weights, theirs.weights)
        torch.testing.assert_close(mine.query, theirs.query)
        torch.testing.assert_close(mine.context, theirs.context)


@pytest.fixture(params=ALL, ids=lambda case: case.title)
def case(request: pytest.FixtureRequest) -> ModelSettings:
    value = request.param
    assert isinstance(value, ModelSettings)
    return value


def test_shapes_and_finite(case: ModelSettings) -> None:
    output = run(make(case), batch(LENGTHS))
    assert output.logits.shape == (4, 7)
    assert output.logits.isfinite().all()
    hops = {"amh": case.hops, "mha": case.hops, "mdrea": 1, "sap": len(case.uses)}
    assert len(output.hops) == hops.get(case.name, 0)
    for hop in output.hops:
        stack = case.encoder(hop.target).stack_frames
        lengths = torch.tensor([math.ceil(n / stack) for n in LENGTHS[hop.target]])
        assert hop.target in case.uses
        assert hop.weights.shape == (4, int(lengths.max()))
        torch.testing.assert_close(hop.weights.sum(-1), (lengths > 0).float())
        assert hop.query.shape == hop.context.shape
        beyond = torch.arange(hop.weights.shape[1]) >= lengths[:, None]
        assert (hop.weights[beyond] == 0).all()


def test_every_parameter_gets_a_gradient(case: ModelSettings) -> None:
    network = make(case)
    clips = batch({m: [5, 3, 4, 6] for m in MODALITIES})
    functional.cross_entropy(run(network, clips).logits, torch.arange(4)).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_padding_changes_nothing(case: ModelSettings) -> None:
    network = make(case)
    plain = run(network, batch(LENGTHS))
    filled = run(network, batch(LENGTHS, padding=9.0, extra=3))
    torch.testing.assert_close(plain.logits, filled.logits)


def test_padded_rows_give_the_same(case: ModelSettings) -> None:
    network = make(case)
    clips = batch(LENGTHS, padding=9.0, extra=1)
    plain = run(network, clips)
    with padding(), torch.inference_mode():
        padded = run(network, clips)
    assert_equal(padded, plain)


def test_order_in_the_batch_changes_nothing(case: ModelSettings) -> None:
    network, clips = make(case), batch(LENGTHS)
    order = torch.tensor([2, 0, 3, 1])
    turned = Batch(
        tuple(clips.ids[i] for i in order),
        {m: t[order] for m, t in clips.sequences.items()},
        {m: t[order] for m, t in clips.lengths.items()},
        None if clips.prosody is None else clips.prosody[order],
    )
    torch.testing.assert_close(run(network, clips).logits[order], run(network, turned).logits)


def test_save_and_load_give_the_same_output(case: ModelSettings, tmp_path: Path) -> None:
    network, clips = make(case), batch(LENGTHS)
    folder = ModelFolder(tmp_path)
    folder.write_weights(network)
    again = folder.weighted(case, SIZES)
    assert torch.equal(run(network, clips).logits, run(again, clips).logits)


@limits(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(*[st.integers(0, 12)] * 3), min_size=1, max_size=5),
    st.sampled_from(ALL),
)
def test_any_lengths(lengths: list[tuple[int, int, int]], case: ModelSettings) -> None:
    by_modality = {m: [row[i] for row in lengths] for i, m in enumerate(MODALITIES)}
    network = make(case)
    together = run(network, batch(by_modality)).logits
    for i, row in enumerate(lengths):
        alone = {m: [row[k]] for k, m in enumerate(MODALITIES)}
        clips = batch(by_modality)
        one = Batch(
            (f"c{i}",),
            {m: clips.sequences[m][i : i + 1, : max(1, *alone[m])] for m in MODALITIES},
            {m: torch.tensor(alone[m]) for m in MODALITIES},
            None if clips.prosody is None else clips.prosody[i : i + 1],
        )
        torch.testing.assert_close(run(network, one).logits[0], together[i])


def test_one_modality_is_not_enough() -> None:
    for name in ("amh", "mdre", "mdrea", "mha"):
        with pytest.raises(EmohopError, match=f"{name} needs two .*are takes audio alone"):
            build(settings(name=name, modalities=(Modality.AUDIO,)), SIZES)


@pytest.mark.parametrize("name", ["mdrea", "mha"])
def test_three_modalities_are_too_many_for_a_pair(name: str) -> None:
    with pytest.raises(EmohopError, match=r"between two modalities, not audio, text, video"):
        build(settings(name=name, modalities=MODALITIES), SIZES)
    assert settings(name=name).uses == (Modality.AUDIO, Modality.TEXT)


@pytest.mark.parametrize("case", CASES[:: len(ARITHMETIC)], ids=lambda case: case.title)
def test_the_registry_says_whether_a_model_attends(case: ModelSettings) -> None:
    hops = build(case, SIZES).eval()(batch(LENGTHS)).hops
    assert bool(hops) is case.spec.attends
    assert {hop.target for hop in hops} <= set(case.uses)


@pytest.mark.parametrize("key", ["modalities", "order"])
def test_a_choice_that_a_model_of_one_modality_does_not_have(key: str) -> None:
    with pytest.raises(EmohopError, match=f"model.{key} = text, but are .*tre takes text alone"):
        build(settings(name="are", **{key: (Modality.TEXT,)}), SIZES)
    assert build(settings(name="are", **{key: (Modality.AUDIO,)}), SIZES)


def test_an_order_where_none_is_attended_to() -> None:
    with pytest.raises(EmohopError, match="mdre does not attend to one modality after another"):
        build(settings(name="mdre", order=MODALITIES), SIZES)


def test_a_setting_that_no_model_declares() -> None:
    with pytest.raises(EmohopError, match=r"unknown setting model\.extra\.depth: amh has no such"):
        build(settings(extra={"depth": 3}), SIZES)


def test_an_order_of_other_modalities() -> None:
    pair = (Modality.TEXT, Modality.VIDEO)
    with pytest.raises(EmohopError, match=r"order = text, video is not an order of .*audio, text"):
        build(settings(name="mha", order=pair, modalities=MODALITIES[:2]), SIZES)
    with pytest.raises(EmohopError, match="is not an order of"):
        build(settings(order=pair, modalities=MODALITIES), SIZES)
    assert settings(order=pair).uses == pair  # an order says which modalities, too


def test_a_modality_that_the_data_lack() -> None:
    sizes = type(SIZES)(7, {Modality.AUDIO: 6, Modality.TEXT: 11})
    with pytest.raises(EmohopError, match="needs video"):
        build(settings(), sizes)
    with pytest.raises(EmohopError, match="without prosody"):
        build(settings(name="are", prosody=True), sizes)
