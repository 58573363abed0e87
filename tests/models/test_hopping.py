"""Attentive modality hopping against the golden numbers of the 2019 release and by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from emohop.clips import Modality
from emohop.models import build
from emohop.models.attention import attend
from emohop.models.batch import Batch
from emohop.models.encoder import Encoded, Encoders, Sizes
from emohop.models.hopping import ModalityHopping
from tests.models.made import SIZES, batch, settings

A, T, V = Modality.AUDIO, Modality.TEXT, Modality.VIDEO
GOLDEN = Path(__file__).parents[1] / "golden"


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
        context, weights = attend(query, e[target].outputs, e[target].lengths)
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
    encoded[V] = Encoded(video.outputs, torch.full_like(video.state, 100.0), video.lengths)
    network.encoders = FromRelease(network.encoders, encoded)
    torch.testing.assert_close(network(clips).logits, before)


@pytest.mark.parametrize("hops", [1, 3, 7])
def test_golden_hops(hops: int) -> None:
    """From the release's own encoder outputs, our hops give its queries, weights and logits."""
    golden = {k: torch.from_numpy(v) for k, v in _arrays(GOLDEN / f"amh_hop{hops}.npz").items()}
    hidden = {m: golden[f"enc/{m}/state"].shape[1] for m in (A, T, V)}
    network = build(
        settings(
            hops=hops,
            audio={"hidden": hidden[A]},
            text={"hidden": hidden[T], "embedding": 9},
            video={"hidden": hidden[V]},
        ),
        Sizes(7, {A: 12, T: 30, V: 16}),
    )
    assert isinstance(network, ModalityHopping)
    layers = [f"attention_layer_hop{k}/attn_" for k in range(1, hops + 1)]
    names = [(f"{layer}projection_helper", f"{layer}bias") for layer in layers]
    names.append(("multi_output_layer/similarity_matrix", "multi_output_layer/output_bias"))
    for layer, (kernel, bias) in zip([*network.project, network.classify], names, strict=True):
        layer.load_state_dict({"weight": golden[f"var/{kernel}"].T, "bias": golden[f"var/{bias}"]})
    encoded = {
        m: Encoded(
            golden[f"enc/{m}/outputs"], golden[f"enc/{m}/state"], golden[f"in/seq_{m}"].long()
        )
        for m in (A, T, V)
    }
    network.encoders = FromRelease(network.encoders, encoded)
    output = network(Batch(("",) * 8, {}, {}))
    for k, hop in enumerate(output.hops, 1):
        torch.testing.assert_close(hop.weights, golden[f"hop{k}/attn"], rtol=1e-5, atol=2e-6)
    torch.testing.assert_close(output.logits, golden["out/batch_pred"], rtol=1e-5, atol=2e-6)


class FromRelease(Encoders):
    """The encoders' results as the release printed them."""

    def __init__(self, encoders: Encoders, encoded: dict[Modality, Encoded]) -> None:
        torch.nn.Module.__init__(self)
        self.prosody, self.encoded = encoders.prosody, encoded

    def forward(self, batch: Batch) -> dict[Modality, Encoded]:
        return self.encoded


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    with np.load(path) as file:
        return {name: file[name] for name in file.files if file[name].dtype.kind in "fi"}
