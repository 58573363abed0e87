"""Every kind of network as an ONNX graph gives what it gives in torch, for clips of any lengths."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st
from torch import nn

from emohop.clips import Modality
from emohop.config import ModelSettings
from emohop.errors import EmohopError
from emohop.exporting.graph import graph_of
from emohop.exporting.int8 import SMALLEST, as_int8, rounded
from emohop.model_config import InputDims
from emohop.models import build
from emohop.models.batch import Batch
from emohop.models.folder import GRAPH
from emohop.models.onnx_network import OnnxNetwork
from tests.models.made import SIZES, batch, settings
from tests.models.test_contract import BOTH, STACKED, assert_equal, run

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

PAIR = (Modality.AUDIO, Modality.TEXT)
CASES = {
    "amh": settings(hops=3, reset_after=False, prosody=True),
    "amh of two, both directions": settings(modalities=PAIR, align_backward=False, **BOTH),
    "stacked": STACKED,
    "mha": settings(name="mha", modalities=PAIR, hops=2, shared_bias=True),
    "mdrea": settings(name="mdrea", modalities=PAIR, prosody=True),
    "mdre, deep": settings(
        name="mdre", missing_modality="learned", text={"hidden": 3, "layers": 2, "residual": True}
    ),
    "are": settings(name="are", prosody=True),
    "stats": settings(name="stats", missing_modality="learned", prosody=True),
    "sap": settings(name="sap", audio={"hidden": 4, "stack_frames": 2}),
    "gated": settings(name="gated"),
    "lmf": settings(name="lmf", modalities=PAIR),
    "mult": settings(name="mult", modalities=PAIR, audio={"hidden": 4, "stack_frames": 2}),
    "late": settings(name="late", modalities=PAIR),
}


def drawn(case: ModelSettings, sizes: InputDims = SIZES) -> nn.Module:
    torch.manual_seed(0)
    return build(case, sizes).eval()


def as_graph(network: nn.Module, case: ModelSettings, sizes: InputDims = SIZES) -> bytes:
    content: bytes = graph_of(network, case, sizes).SerializeToString()
    return content


@pytest.fixture(scope="module")
def audio_alone() -> bytes:
    """The graph of `are`, the quickest to make."""
    return as_graph(drawn(CASES["are"]), CASES["are"])


@pytest.mark.parametrize("name", CASES)
def test_any_clips(name: str) -> None:
    network = drawn(CASES[name])
    graph = OnnxNetwork(as_graph(network, CASES[name]))

    @given(lengths=st.lists(st.tuples(*[st.integers(0, 9)] * 3), min_size=1, max_size=5))
    @limits(max_examples=15)
    def same(lengths: list[tuple[int, int, int]]) -> None:
        by_modality = {m: [clip[k] for clip in lengths] for k, m in enumerate(Modality)}
        clips = batch(by_modality, padding=9.0, extra=1)
        absent = {m: torch.tensor([n < 3 for n in long]) for m, long in by_modality.items()}
        with torch.inference_mode():
            for one in (clips, clips.without(absent)):
                assert_equal(run(graph, one), run(network, one))

    same()


def test_states_of_words_and_layers() -> None:
    case = settings(name="mdre", modalities=PAIR)
    sizes = InputDims(3, {Modality.AUDIO: 6, Modality.TEXT: 5}, 0, {Modality.AUDIO: 2}, True)
    network = drawn(case, sizes)
    graph = OnnxNetwork(as_graph(network, case, sizes))
    steps = {Modality.AUDIO: torch.randn(3, 8, 12), Modality.TEXT: torch.randn(3, 4, 5)}
    lengths = {Modality.AUDIO: torch.tensor([8, 0, 3]), Modality.TEXT: torch.tensor([1, 4, 0])}
    clips = Batch(("a", "b", "c"), steps, lengths)
    with torch.inference_mode():
        assert_equal(run(graph, clips), run(network, clips))


def test_the_graph_says_nothing_of_the_machine_that_made_it(audio_alone: bytes) -> None:
    assert str(Path(__file__).parents[2]).encode() not in audio_alone
    assert b".py" not in audio_alone


def test_int8_by_hand() -> None:
    numbers, scales = rounded(np.array([[1.27, -0.5], [0.0, 0.0]], np.float32), axis=0)
    assert numbers.tolist() == [[127, -50], [0, 0]]
    np.testing.assert_allclose(scales, [0.01, 0.0])


def test_int8_is_close_and_a_quarter_as_large() -> None:
    case = settings(name="mdre", modalities=PAIR, audio={"hidden": 64}, text={"hidden": 64})
    network = drawn(case)
    graph = graph_of(network, case, SIZES)
    small = as_int8(graph)
    assert any(weight.data_type == 3 for weight in small.graph.initializer)
    left = [w for w in small.graph.initializer if w.data_type == 1 and len(w.dims) > 1]
    assert all(np.prod(list(w.dims)) < SMALLEST for w in left)
    assert all(w.data_type != 3 for w in graph.graph.initializer)  # what was given is as it was
    assert small.ByteSize() < 0.4 * graph.ByteSize()
    clips = batch({m: [9, 1, 0, 4] for m in Modality})
    with torch.inference_mode():
        exact, close = (
            run(network, clips).logits,
            run(OnnxNetwork(small.SerializeToString()), clips),
        )
    assert not torch.equal(exact, close.logits)
    assert float((exact - close.logits).abs().max()) < 0.1 * float(exact.abs().max())


def other_classes(sizes: InputDims) -> InputDims:
    return replace(sizes, classes=4)


def wider_audio(sizes: InputDims) -> InputDims:
    return replace(sizes, steps={**sizes.steps, Modality.AUDIO: 7})


@pytest.mark.parametrize(
    ("change", "said"),
    [(other_classes, "its logits are"), (wider_audio, "its audio is .* not of 7")],
)
def test_a_graph_of_another_model(
    change: Callable[[InputDims], InputDims], said: str, audio_alone: bytes, tmp_path: Path
) -> None:
    (tmp_path / GRAPH).write_bytes(audio_alone)
    OnnxNetwork.load(tmp_path / GRAPH, CASES["are"], SIZES)
    with pytest.raises(EmohopError, match=f"does not hold this model: {said}"):
        OnnxNetwork.load(tmp_path / GRAPH, CASES["are"], change(SIZES))


def test_a_modality_too_many(audio_alone: bytes, tmp_path: Path) -> None:
    (tmp_path / GRAPH).write_bytes(audio_alone)
    with pytest.raises(EmohopError, match="it has an input audio"):
        OnnxNetwork.load(tmp_path / GRAPH, settings(name="tre"), SIZES)


def test_no_graph_at_all(tmp_path: Path) -> None:
    (tmp_path / GRAPH).write_bytes(b"graph")
    with pytest.raises(EmohopError, match=r"model\.onnx does not hold .* cannot load it"):
        OnnxNetwork.load(tmp_path / GRAPH, ModelSettings(), SIZES)


def test_a_graph_of_somebody_else(tmp_path: Path) -> None:
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    other = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    node = helper.make_node("Relu", ["x"], ["y"])
    opset = helper.make_opsetid("", 18)
    graph = helper.make_model(
        helper.make_graph([node], "g", [value], [other]), opset_imports=[opset], ir_version=9
    )
    (tmp_path / GRAPH).write_bytes(graph.SerializeToString())
    with pytest.raises(EmohopError, match="not a graph of `emohop export`"):
        OnnxNetwork.load(tmp_path / GRAPH, ModelSettings(), SIZES)


def test_a_graph_that_gives_no_numbers(audio_alone: bytes) -> None:
    import onnx

    graph = onnx.ModelProto.FromString(audio_alone)
    for weight in graph.graph.initializer:
        if weight.data_type == onnx.TensorProto.FLOAT:
            values = np.full(list(weight.dims), np.nan, np.float32)
            weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    network = OnnxNetwork(graph.SerializeToString())
    with pytest.raises(EmohopError, match="not finite: it is damaged"):
        network(batch({m: [2] for m in Modality}))
