"""The variables of the original TensorFlow programs, to and from our networks.

A checkpoint of the AMH release (2019) or of its audio and text predecessor (2018), read by its
owner into arrays by variable name, becomes the weights of a network here:

    reader = tf.train.load_checkpoint(path)
    names = reader.get_variable_to_shape_map()
    load_published(network, settings, {name: reader.get_tensor(name) for name in names})

Matrices of the original are [inputs, outputs], ours [outputs, inputs]; nothing else differs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from emohop.clips import Modality
from emohop.config import ModelSettings
from emohop.errors import EmohopError

IN_THE_RELEASE = "amh"
"""The one model of the 2019 release; the predecessor has are, tre, mdre and mdrea."""
_ATTENDED = {
    "amh": (Modality.VIDEO, Modality.AUDIO, Modality.TEXT),
    "mdrea": (Modality.TEXT, Modality.AUDIO),
    "mdre": (Modality.AUDIO, Modality.TEXT),
}
_OPTIMISER = re.compile(r"(Adam|beta[12]_power|global_step)(_\d+)?")


def variable_names(settings: ModelSettings) -> dict[str, str]:
    """The original's name of each of our parameters, in the order of the original's graph.

    EmohopError for a model that neither program has.
    """
    attended = _ATTENDED.get(settings.name, settings.attended)
    if settings.name in ("vre", "mha") or settings.attended != attended:
        raise EmohopError(
            f"{settings.title} is in neither of the original programs: they have amh on audio, "
            "text and video, and are, tre, mdre, mdrea on audio and text"
        )
    return dict(_names(settings))


def load_published(
    network: nn.Module, settings: ModelSettings, variables: Mapping[str, NDArray[Any]]
) -> None:
    """Put the original's variables, by name, into a network that was built from `settings`.

    Variables of its optimiser are passed over. EmohopError names a variable that is missing, not
    of this model, of another shape or not finite; the network is left alone then.

    Example:
        >>> settings = emohop.make_recipe("published-tre").model
        >>> network = emohop.build_model(settings, emohop.InputDims(7, {emohop.Modality.TEXT: 50}))
        >>> emohop.load_published(network, settings, {})
        Traceback (most recent call last):
        emohop.errors.EmohopError: variable embed_layer/embed_matrix is missing ...
    """
    names = variable_names(settings)
    plain = {_plain(name): values for name, values in variables.items()}
    given = {n: v for n, v in plain.items() if not _OPTIMISER.fullmatch(n.rsplit("/", 1)[-1])}
    wanted = {_plain(name): ours for name, ours in names.items()}
    if missing := [name for name in wanted if name not in given]:
        raise EmohopError(f"variable {missing[0]} is missing{_more(missing)}: {settings.title}")
    if extra := [name for name in given if name not in wanted]:
        raise EmohopError(f"variable {extra[0]} is not part of {settings.title}{_more(extra)}")
    parameters, weights = dict(network.named_parameters()), {}
    for name, ours in wanted.items():
        array = np.asarray(given[name])
        if array.dtype.kind != "f":
            raise EmohopError(f"variable {name} holds {array.dtype}: floating point is expected")
        shape = tuple(_turned(parameters[ours].detach(), ours).shape)
        if array.shape != shape:
            raise EmohopError(f"variable {name} is {array.shape}: {shape} is expected")
        if not np.isfinite(array).all():
            raise EmohopError(f"variable {name} holds NaN or infinity")
        weights[ours] = _turned(torch.from_numpy(array.astype(np.float32)), ours)
    with torch.no_grad():
        for ours, values in weights.items():
            parameters[ours].copy_(values)


def published_variables(
    settings: ModelSettings, tensors: Mapping[str, torch.Tensor]
) -> dict[str, NDArray[np.float32]]:
    """Tensors by our parameters' names as the original's variables: weights, gradients and such."""
    return {
        name: _turned(tensors[ours].detach(), ours).cpu().numpy().copy()
        for name, ours in variable_names(settings).items()
    }


def _names(settings: ModelSettings) -> Iterator[tuple[str, str]]:
    for modality in settings.uses:
        yield from _encoder_names(settings, modality)
    if settings.name == IN_THE_RELEASE:
        for hop in range(settings.hops):
            scope = f"attention_layer_hop{hop + 1}"
            yield f"{scope}/attn_projection_helper", f"project.{hop}.weight"
            yield f"{scope}/attn_bias", f"project.{hop}.bias"
    elif settings.name == "mdrea":
        yield "attn_projection_helper", "project.weight"
        yield "attn_bias", "project.bias"
    elif settings.name == "mdre":
        for modality in settings.uses:
            yield from _output_names(modality.value, f"halve.{modality.value}")
    yield from _output_names("multi" if len(settings.uses) > 1 else settings.uses[0], "classify")


def _output_names(scope: str, ours: str) -> Iterator[tuple[str, str]]:
    yield f"{scope}_output_layer/similarity_matrix", f"{ours}.weight"
    yield f"{scope}_output_layer/output_bias", f"{ours}.bias"


def _encoder_names(settings: ModelSettings, modality: Modality) -> Iterator[tuple[str, str]]:
    encoder, ours = settings.encoder(modality), f"encoders.encoders.{modality}"
    if modality is Modality.TEXT:
        yield "embed_layer/embed_matrix", f"{ours}.steps.embedding.weight"
    scope = f"{modality}_GRU"
    if encoder.residual:
        yield (
            f"{modality}_RNN/{scope}/{modality}_residual_projection",
            f"{ours}.steps.project.weight",
        )
        yield f"{modality}_RNN/{scope}/{modality}_res_bias", f"{ours}.steps.project.bias"
    if settings.name == IN_THE_RELEASE:
        scope += f"/{modality}_encoding_RNN" * 2
    else:
        scope += "/rnn"
    stacks = {"": "forward"}
    if encoder.bidirectional:
        stacks = {"/fw": "forward", "/bw": "backward"}
    for direction, stack in stacks.items():
        for layer in range(encoder.layers):
            cell = f"{scope}{direction}/multi_rnn_cell/cell_{layer}/gru_cell"
            for part in ("gates", "candidate"):
                place = f"{ours}.gru.{stack}_stack.{layer}.{part}"
                yield f"{cell}/{part}/kernel", f"{place}.weight"
                yield f"{cell}/{part}/bias", f"{place}.bias"


def _plain(name: str) -> str:
    """The name as we compare it: without `:0`, and residual projections without their scope."""
    name = name.removesuffix(":0")
    last = name.rsplit("/", 1)[-1]
    return last if last.endswith(("_residual_projection", "_res_bias")) else name


def _turned(values: torch.Tensor, ours: str) -> torch.Tensor:
    """Ours from theirs and theirs from ours: every matrix but the word vectors is transposed."""
    return values.t() if values.ndim == 2 and not ours.endswith("embedding.weight") else values


def _more(names: list[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""
