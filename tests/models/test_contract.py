"""What every registered model promises, for every choice of modalities and direction."""

from __future__ import annotations

import math
from itertools import combinations
from pathlib import Path

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
from emohop.models import MODELS, build
from emohop.models.batch import Batch, Output
from emohop.models.checkpoint import load_network, read_card, save
from tests.models.made import SIZES, batch, settings

CASES = [
    settings(name=name, hops=hops, modalities=modalities, prosody=prosody)
    for name in MODELS
    for modalities in (
        [*combinations(MODALITIES, 2), MODALITIES] if name == "amh" else [MODALITIES]
    )
    for hops in ((1, 4) if name == "amh" else (1,))
    for prosody in (False, True)
]
DEEP = settings(
    hops=5,
    audio={"hidden": 4, "layers": 2, "bidirectional": True},
    text={"hidden": 3, "embedding": 5, "layers": 2},
    video={"hidden": 5, "bidirectional": True},
)
STACKED = settings(hops=3, audio={"hidden": 4, "stack": 3}, video={"hidden": 5, "stack": 2})
ALL = [*CASES, DEEP, STACKED]
LENGTHS = {Modality.AUDIO: [9, 1, 0, 4], Modality.TEXT: [3, 5, 1, 0], Modality.VIDEO: [2, 0, 4, 1]}


def make(case: ModelSettings, seed: int = 3) -> nn.Module:
    torch.manual_seed(seed)
    return build(case, SIZES).eval()


def run(network: nn.Module, clips: Batch) -> Output:
    output = network(clips)
    assert isinstance(output, Output)
    return output


@pytest.fixture(params=ALL, ids=lambda case: f"{case.title} {case.prosody} {case.audio}"[:60])
def case(request: pytest.FixtureRequest) -> ModelSettings:
    value = request.param
    assert isinstance(value, ModelSettings)
    return value


def test_shapes_and_finite(case: ModelSettings) -> None:
    output = run(make(case), batch(LENGTHS))
    assert output.logits.shape == (4, 7)
    assert output.logits.isfinite().all()
    assert len(output.hops) == (case.hops if case.name == "amh" else 0)
    for hop in output.hops:
        stack = case.encoder(hop.target).stack
        lengths = torch.tensor([math.ceil(n / stack) for n in LENGTHS[hop.target]])
        assert hop.target in case.uses
        assert hop.weights.shape == (4, int(lengths.max()))
        torch.testing.assert_close(hop.weights.sum(-1), (lengths > 0).float())
        beyond = torch.arange(hop.weights.shape[1]) >= lengths[:, None]
        assert (hop.weights[beyond] == 0).all()


def test_every_parameter_gets_a_gradient(case: ModelSettings) -> None:
    network = make(case)
    clips = batch({m: [5, 3, 4, 6] for m in MODALITIES})
    functional.cross_entropy(run(network, clips).logits, torch.arange(4)).backward()
    never = {f"encoders.encoders.{Modality.VIDEO}"} if case.name == "amh" else set()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        if not any(name.startswith(part) for part in never):
            assert parameter.grad.abs().sum() > 0, name


def test_padding_changes_nothing(case: ModelSettings) -> None:
    network = make(case)
    plain = run(network, batch(LENGTHS))
    filled = run(network, batch(LENGTHS, padding=9.0, extra=3))
    torch.testing.assert_close(plain.logits, filled.logits)


def test_order_in_the_batch_changes_nothing(case: ModelSettings) -> None:
    network, clips = make(case), batch(LENGTHS)
    order = torch.tensor([2, 0, 3, 1])
    turned = Batch(
        tuple(clips.ids[i] for i in order),
        {m: t[order] for m, t in clips.steps.items()},
        {m: t[order] for m, t in clips.lengths.items()},
        None if clips.prosody is None else clips.prosody[order],
    )
    torch.testing.assert_close(run(network, clips).logits[order], run(network, turned).logits)


def test_save_and_load_give_the_same_output(case: ModelSettings, tmp_path: Path) -> None:
    network, clips = make(case), batch(LENGTHS)
    save(tmp_path / "model", network, {"model": case.model_dump(mode="json")})
    card = read_card(tmp_path / "model")
    again = load_network(tmp_path / "model", card["model"], SIZES)
    assert torch.equal(run(network, clips).logits, run(again, clips).logits)


@limits(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(*[st.integers(0, 12)] * 3), min_size=1, max_size=5),
    st.sampled_from(ALL),
)
def test_any_lengths(lengths: list[tuple[int, int, int]], case: ModelSettings) -> None:
    by_modality = {m: [row[i] for row in lengths] for i, m in enumerate(MODALITIES)}
    together = run(make(case), batch(by_modality)).logits
    assert together.isfinite().all()


def test_one_modality_is_not_enough_for_amh() -> None:
    with pytest.raises(EmohopError, match="are sees audio alone"):
        build(settings(modalities=(Modality.AUDIO,)), SIZES)


def test_a_modality_that_the_data_lack() -> None:
    sizes = type(SIZES)(7, {Modality.AUDIO: 6, Modality.TEXT: 11})
    with pytest.raises(EmohopError, match="needs video"):
        build(settings(), sizes)
    with pytest.raises(EmohopError, match="without prosody"):
        build(settings(name="are", prosody=True), sizes)
