"""A network as an ONNX file, run by onnxruntime in the place of the torch one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from emohop.clips import Modality
from emohop.config import ModelSettings
from emohop.errors import EmohopError, MissingExtraError, brief
from emohop.model_config import InputDims
from emohop.models.batch import Batch, Hop, Output
from emohop.onnx_sessions import import_onnxruntime

LOGITS, PROSODY = "logits", "prosody"
_HOP = re.compile(r"hop(\d+)_(\w+)_weights")
_ERRORS_ONLY = 3


def input_names(modality: Modality) -> tuple[str, str, str]:
    """Of a modality's steps, their lengths, and which clips have it at all."""
    return modality.value, f"{modality}_lengths", f"{modality}_present"


def named_inputs(batch: Batch) -> dict[str, Tensor]:
    """A batch's tensors by the names of a graph's inputs."""
    named: dict[str, Tensor] = {}
    for m, steps in batch.sequences.items():
        named.update(zip(input_names(m), (steps, batch.lengths[m], batch.has(m)), strict=True))
    return named if batch.prosody is None else {**named, PROSODY: batch.prosody}


def hop_names(number: int, target: Modality) -> tuple[str, str, str]:
    """Of the weights, the query and the context of a hop, numbered from 1."""
    base = f"hop{number}_{target}"
    return f"{base}_weights", f"{base}_query", f"{base}_context"


class OnnxNetwork(nn.Module):
    """What `build` makes, from a file of `emohop export`: the same outputs, but no gradients.

    It has as many threads as torch had when it was loaded.
    """

    def __init__(self, graph: bytes) -> None:
        """Load a file's content; EmohopError when onnxruntime cannot, or it is another graph's."""
        super().__init__()
        onnxruntime = import_onnxruntime("running an exported model", "onnx")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = torch.get_num_threads(), 1
        options.log_severity_level = _ERRORS_ONLY
        # weights of int8 become float32 once, when the file is loaded
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        try:
            self._session = onnxruntime.InferenceSession(
                graph, options, providers=["CPUExecutionProvider"], enable_fallback=False
            )
        except Exception as error:  # its errors have no common class of their own
            raise EmohopError(f"onnxruntime cannot load it: {brief(error)}") from None
        self._inputs = {given.name: given for given in self._session.get_inputs()}
        self._outputs = [found.name for found in self._session.get_outputs()]
        hops = {int(m[1]): m[2] for name in self._outputs if (m := _HOP.fullmatch(name))}
        self._hops: list[tuple[Modality, tuple[str, str, str]]] = []
        try:
            for number, target in sorted(hops.items()):
                modality = Modality(target)
                self._hops.append((modality, hop_names(number, modality)))
            for name in (LOGITS, *(name for _, names in self._hops for name in names)):
                self._outputs.index(name)
        except ValueError as error:
            raise EmohopError(f"it is not a graph of `emohop export`: {brief(error)}") from None

    @classmethod
    def load(cls, path: Path, settings: ModelSettings, sizes: InputDims) -> OnnxNetwork:
        """The network in an exported model's graph; EmohopError when it is another one."""
        try:
            graph = path.read_bytes()
            network = cls(graph)
            network._check(_wanted(settings, sizes), sizes, len(graph))
        except MissingExtraError:
            raise
        except EmohopError as error:
            raise EmohopError(f"{path} does not hold this model: {error}") from None
        network.eval()
        return network

    def _check(self, wanted: Mapping[str, int | None], sizes: InputDims, most: int) -> None:
        """EmohopError unless the inputs and the classes are those that the settings ask for."""
        for name, given in self._inputs.items():
            if name not in wanted:
                raise EmohopError(f"it has an input {brief(name)}")
            size = wanted[name]
            if size is not None and (given.shape[-1] != size or not 0 < size <= most):
                raise EmohopError(f"its {name} is {brief(given.shape)}, not of {brief(size)}")
        shapes = {found.name: found.shape for found in self._session.get_outputs()}
        if shapes[LOGITS][-1:] != [sizes.classes]:
            raise EmohopError(f"its {LOGITS} are {brief(shapes[LOGITS])}")

    def forward(self, batch: Batch) -> Output:
        """Logits [batch, classes] and every hop; EmohopError when the file is damaged."""
        named = named_inputs(batch)
        feeds = {name: named[name].detach().cpu().numpy() for name in self._inputs if name in named}
        try:
            found = self._session.run(None, feeds)
        except Exception as error:  # as above
            raise EmohopError(f"onnxruntime cannot run the graph: {brief(error)}") from None
        outputs = {
            name: torch.from_numpy(np.asarray(array))
            for name, array in zip(self._outputs, found, strict=True)
        }
        if not outputs[LOGITS].isfinite().all():
            raise EmohopError("the graph's logits are not finite: it is damaged, export it again")
        hops = tuple(
            Hop(target, outputs[query], outputs[weights], outputs[context])
            for target, (weights, query, context) in self._hops
        )
        return Output(outputs[LOGITS], hops)


def _wanted(settings: ModelSettings, sizes: InputDims) -> dict[str, int | None]:
    """The inputs that a model may have, and how many numbers are in the last dimension of each."""
    wanted: dict[str, int | None] = {PROSODY: sizes.prosody}
    for modality in settings.uses:
        steps, *masks = input_names(modality)
        width = None if sizes.words(modality) else sizes.width(modality)
        wanted.update({steps: width, **dict.fromkeys(masks)})
    return wanted
