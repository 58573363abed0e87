"""A network as an ONNX graph."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from emohop.clips import Modality
from emohop.config import ModelSettings
from emohop.errors import MissingExtraError
from emohop.model_config import InputDims
from emohop.models.batch import Batch, Output
from emohop.models.onnx_network import LOGITS, PROSODY, hop_names, input_names, named_inputs
from emohop.models.padded import padding

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 18
INT32 = 6
"""What ONNX numbers this type."""
_EXAMPLE = (4, 7, 5)  # steps of the clips that torch follows through the network


def graph_of(network: nn.Module, settings: ModelSettings, sizes: InputDims) -> ModelProto:
    """A network in evaluation mode as an ONNX graph for any number of clips of any lengths.

    Its inputs are named as `input_names` has it, and `prosody`; those that make no difference are
    not there. Its outputs are `logits` and three for each hop, named as `hop_names` has it.
    """
    lengths = dict.fromkeys(settings.uses, _EXAMPLE)
    example = random_batch(settings, sizes, lengths, torch.Generator().manual_seed(0))
    with padding(), torch.no_grad():
        outputs = _output_names(network(example))
        program = _exported(_Flat(network, settings.uses), named_inputs(example), outputs)
    graph: ModelProto = program.model_proto
    read = {name for node in graph.graph.node for name in node.input}
    for unread in [given for given in graph.graph.input if given.name not in read]:
        graph.graph.input.remove(unread)
    for node in graph.graph.node:  # where in whose files each operation came from
        del node.metadata_props[:]
    return graph


class _Flat(nn.Module):
    """A network that takes its batch as tensors in a row and gives its outputs so."""

    def __init__(self, network: nn.Module, modalities: tuple[Modality, ...]) -> None:
        super().__init__()
        self.network, self.modalities = network, modalities

    def forward(self, tensors: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """Logits, then weights, query and context of each hop."""
        names = {m: input_names(m) for m in self.modalities}
        batch = Batch(
            ids=(),
            sequences={m: tensors[steps] for m, (steps, _, _) in names.items()},
            lengths={m: tensors[lengths] for m, (_, lengths, _) in names.items()},
            prosody=tensors.get(PROSODY),
            present={m: tensors[present] for m, (_, _, present) in names.items()},
        )
        output: Output = self.network(batch)
        hops = [x for hop in output.hops for x in (hop.weights, hop.query, hop.context)]
        return (output.logits, *hops)


def _output_names(output: Output) -> list[str]:
    names = [LOGITS]
    for number, hop in enumerate(output.hops, 1):
        names += hop_names(number, hop.target)
    return names


def _exported(flat: nn.Module, inputs: dict[str, Tensor], outputs: list[str]) -> Any:
    batch = torch.export.Dim("batch")
    axes: dict[str, dict[int, Any]] = {name: {0: batch} for name in inputs}
    for modality in Modality:
        if modality.value in inputs:
            axes[modality.value][1] = torch.export.Dim(f"{modality}_time")
    try:
        import onnxscript  # noqa: F401
    except ImportError:
        raise MissingExtraError("export to ONNX", "onnx") from None
    with _quiet():
        return torch.onnx.export(
            flat,
            kwargs={"tensors": inputs},
            dynamic_shapes={"tensors": axes},
            input_names=list(inputs),
            output_names=outputs,
            opset_version=OPSET,
            custom_translation_table={torch.ops.emohop.gru.default: _gru},
            dynamo=True,
            verbose=False,
        )


def _gru(
    rows: Any,
    lengths: Any,
    gates: Any,
    gate_bias: Any,
    candidate: Any,
    candidate_bias: Any,
    reset_after: bool,
) -> Any:
    """Our operation of padded rows by ONNX's, whose weights stand in the order of u, r and c."""
    from onnx import numpy_helper
    from onnxscript import opset18

    op: Any = opset18  # whose types do not know what an exporter hands over
    hidden, together = candidate.shape
    size = together - hidden

    def part(values: Any, first: int, end: int, axis: int) -> Any:
        numbers = [op.Constant(value_ints=[number]) for number in (first, end, axis)]
        return op.Slice(values, *numbers)

    def in_order(gate: Any, third: Any) -> Any:
        return op.Concat(part(gate, hidden, 2 * hidden, 0), part(gate, 0, hidden, 0), third, axis=0)

    directions = op.Constant(value_ints=[0])
    weights = in_order(gates, candidate)
    zeros = op.Constant(value=numpy_helper.from_array(np.zeros(3 * hidden, np.float32)))
    states, _ = op.GRU(
        op.Transpose(rows, perm=[1, 0, 2]),
        op.Unsqueeze(part(weights, 0, size, 1), directions),
        op.Unsqueeze(part(weights, size, together, 1), directions),
        op.Unsqueeze(op.Concat(in_order(gate_bias, candidate_bias), zeros, axis=0), directions),
        op.Cast(lengths, to=INT32),
        hidden_size=hidden,
        linear_before_reset=int(reset_after),
    )
    one_direction = op.Squeeze(states, op.Constant(value_ints=[1]))
    return op.Transpose(one_direction, perm=[1, 0, 2])


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks about libraries that are not here and its own old ways."""
    log = logging.getLogger("torch.onnx")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(before)


def random_batch(
    settings: ModelSettings,
    sizes: InputDims,
    lengths: Mapping[Modality, Sequence[int]],
    generator: torch.Generator,
) -> Batch:
    """Clips of random numbers and words; `lengths` are those of each clip, from 0."""
    steps: dict[Modality, Tensor] = {}
    counts: dict[Modality, Tensor] = {}
    present: dict[Modality, Tensor] = {}
    for m in settings.uses:
        counts[m] = torch.tensor(lengths[m])
        shape: tuple[int, ...] = (len(counts[m]), max(1, int(counts[m].max())))
        if sizes.words(m):
            steps[m] = torch.randint(0, sizes.steps[m], shape, generator=generator)
        else:
            steps[m] = torch.randn(*shape, sizes.width(m), generator=generator)
        present[m] = counts[m] > 0
    clips = len(present[m])
    prosody = torch.randn(clips, sizes.prosody, generator=generator) if sizes.prosody else None
    return Batch(tuple(map(str, range(clips))), steps, counts, prosody, present=present)
