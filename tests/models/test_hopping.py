"""Models with attention, step by step; test_published.py has the originals' numbers."""

from __future__ import annotations

import pytest
import torch

from emohop.clips import Modality
from emohop.models import build
from emohop.models.attention import attend
from emohop.models.baselines import DualEncoder
from emohop.models.batch import Batch, Encoded
from emohop.models.encoder import Encoders
from emohop.models.hopping import DualAttention, ModalityHopping, MultiHop
from tests.models.made import SIZES, batch, settings

A, T, V = Modality.AUDIO, Modality.TEXT, Modality.VIDEO


@pytest.mark.parametrize(
    ("modalities", "expected"),
    [
        ((A, T, V), [V, A, T, V, A]),
        ((A, V), [V, A, V, A, V]),
        ((A, T), [A, T, A, T, A]),
        ((T, V), [V, T, V, T, V]),
    ],
)
def test_targets_cycle_in_the_papers_order(
    modalities: tuple[Modality, ...], expected: list[Modality]
) -> None:
    torch.manual_seed(0)
    network = build(settings(hops=5, modalities=modalities), SIZES)
    assert isinstance(network, ModalityHopping)
    assert list(network.targets) == expected


def test_hops_step_by_step() -> None:
    torch.manual_seed(0)
    network = build(settings(hops=4), SIZES).eval()
    assert isinstance(network, ModalityHopping)
    clips = batch({A: [5, 3], T: [4, 2], V: [3, 6]})
    output = network(clips)
    e = network.encoders(clips)
    a, t, v = e[A].state, e[T].state, e[V].state
    for k, target in enumerate([V, A, T, V]):
        others = {V: [a, t], A: [t, v], T: [a, v]}[target]
        query = network.project[k](torch.cat(others, dim=-1))
        context, weights = attend(query, e[target].rows, e[target].layout)
        torch.testing.assert_close(output.hops[k].weights, weights)
        a, t, v = (context if m is target else x for m, x in ((A, a), (T, t), (V, v)))
    torch.testing.assert_close(output.logits, network.classify(torch.cat([a, t, v], dim=-1)))


def test_last_state_of_video_is_never_used() -> None:
    torch.manual_seed(0)
    network = build(settings(hops=1), SIZES).eval()
    clips = batch({A: [5], T: [4], V: [3]})
    assert isinstance(network, ModalityHopping)
    encoded = network.encoders(clips)
    before = network(clips).logits
    video = encoded[V]
    encoded[V] = Encoded(video.rows, video.layout, torch.full_like(video.state, 100.0))
    network.encoders = Given(network.encoders, encoded)
    torch.testing.assert_close(network(clips).logits, before)


def test_any_starting_order() -> None:
    network = build(settings(hops=5, order=(T, V, A)), SIZES)
    assert isinstance(network, ModalityHopping)
    assert list(network.targets) == [T, V, A, T, V]


def same_sizes(**changes: object) -> MultiHop:
    torch.manual_seed(0)
    encoders = {"audio": {"hidden": 6}, "text": {"hidden": 6, "embedding": 5}}
    network = build(settings(name="mha", **encoders, **changes), SIZES).eval()
    assert isinstance(network, MultiHop)
    return network


def test_multi_hop_attention_step_by_step() -> None:
    """MHA-1 to MHA-3 as the paper of 2019 has them."""
    clips = batch({A: [5, 3], T: [4, 2], V: [1, 1]})
    for hops in (1, 2, 3):
        network = same_sizes(hops=hops)
        e = network.encoders(clips)
        audio, text = e[A].state, e[T].state
        text, _ = attend(audio, e[T].rows, e[T].layout)
        if hops > 1:
            audio, _ = attend(text, e[A].rows, e[A].layout)
        if hops > 2:
            text, _ = attend(audio, e[T].rows, e[T].layout)
        expected = network.classify(torch.cat([audio, text], dim=-1))
        torch.testing.assert_close(network(clips).logits, expected)
        names = {name for name, _ in network.named_parameters()}
        assert not any(name.startswith("project") for name in names)


def test_multi_hop_attention_projects_between_encoders_of_different_size() -> None:
    network = build(settings(name="mha", hops=2, order=(A, T)), SIZES)
    assert isinstance(network, MultiHop)
    assert list(network.targets) == [A, T]
    shapes = {n: p.shape for n, p in network.project.named_parameters() if n.endswith("weight")}
    assert shapes == {"0.weight": (8, 6), "1.weight": (6, 8)}


def test_dual_attention_by_hand() -> None:
    torch.manual_seed(0)
    network = build(settings(name="mdrea", modalities=(T, V), order=(V, T)), SIZES).eval()
    assert isinstance(network, DualAttention)
    clips = batch({A: [1, 1], T: [4, 2], V: [3, 6]})
    e = network.encoders(clips)
    query = network.project(e[T].state)
    context, _ = attend(query, e[V].rows, e[V].layout)
    expected = network.classify(torch.cat([context, query], dim=-1))
    torch.testing.assert_close(network(clips).logits, expected)


def test_dual_encoder_halves_rounded_down() -> None:
    network = build(settings(name="mdre", prosody=True), SIZES)
    assert isinstance(network, DualEncoder)
    shapes = {name: len(p) for name, p in network.halve.named_parameters() if "weight" in name}
    halves = {"audio": (8 + 4) // 2, "text": 6 // 2, "video": 7 // 2}
    assert shapes == {f"{name}.weight": half for name, half in halves.items()}


class Given(Encoders):
    """Encoders whose results are given."""

    def __init__(self, encoders: Encoders, encoded: dict[Modality, Encoded]) -> None:
        torch.nn.Module.__init__(self)
        self.prosody, self.encoded, self.absent = encoders.prosody, encoded, None

    def forward(self, batch: Batch) -> dict[Modality, Encoded]:
        return self.encoded
