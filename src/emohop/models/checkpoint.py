"""A model folder: `weights.safetensors` and `model.json`, which together rebuild the model.

Of an exported model, `model.onnx` stands in the weights' place. Nothing in a model folder can run
code: weights are plain tensors, a graph knows onnxruntime's own operations alone, everything else
is JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from emohop.clips import Modality
from emohop.config import ModelSettings
from emohop.errors import EmohopError, brief
from emohop.files import replacing, write_text
from emohop.models import build
from emohop.models.encoder import Sizes
from emohop.models.onnx_network import FILE as ONNX
from emohop.models.onnx_network import OnnxNetwork

FORMAT_VERSION = 3
CARD = "model.json"
WEIGHTS = "weights.safetensors"
_MOST_LAYERS = 1000  # or hops or blocks: each is built before its weights are looked for


def save(folder: Path, network: nn.Module, card: Mapping[str, Any]) -> None:
    """Write a model folder. `card` holds what `model.json` says besides the format's version."""
    from safetensors.torch import save as to_bytes

    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in _tensors(network)}
    with replacing(folder / WEIGHTS) as file:
        file.write(to_bytes(weights))
    write_card(folder, card)


def write_card(folder: Path, card: Mapping[str, Any]) -> None:
    """Write a model folder's `model.json`, which makes it one."""
    text = json.dumps({**card, "format": FORMAT_VERSION}, indent=1, ensure_ascii=False)
    write_text(folder / CARD, text + "\n")


def read_card(folder: Path) -> dict[str, Any]:
    """What `model.json` says; EmohopError when it is missing, damaged or of another format."""
    path = folder / CARD
    try:
        card = json.loads(path.read_text("utf-8"))
        found = card["format"]
    except (FileNotFoundError, NotADirectoryError):
        hint = "give a folder like RUN/fold-0/seed-0/model"
        raise EmohopError(f"{folder} is not a model folder, it has no {CARD}: {hint}") from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise EmohopError(f"{path} is damaged: {brief(error)}") from None
    if found != FORMAT_VERSION:
        raise EmohopError(
            f"{path}: model format {brief(found)}, this emohop reads format {FORMAT_VERSION}: "
            "use the version of emohop that wrote it"
        )
    return dict(card)


def load_network(folder: Path, settings: ModelSettings, sizes: Sizes) -> nn.Module:
    """The network of a model folder, in evaluation mode.

    It is built without memory for its weights and then given those of the file, so that sizes
    that are not the file's cost nothing. EmohopError when settings, sizes and weights differ.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if (folder / ONNX).exists():
        return OnnxNetwork.load(folder, settings, sizes)
    path = folder / WEIGHTS
    layers = (settings.encoder(m).layers for m in settings.uses)
    if max(settings.hops, settings.blocks, *layers) > _MOST_LAYERS:
        hint = f"more than {_MOST_LAYERS} hops, blocks or layers: is it whole?"
        raise EmohopError(f"{folder / CARD}: {hint}")
    try:
        weights = load_file(path)
        largest = sum(tensor.numel() for tensor in weights.values())
        for size in _dimensions(settings, sizes):
            if not 0 < size <= largest:
                raise ValueError(
                    f"{CARD} says {brief(size)} where the weights are {largest} numbers"
                )
        with torch.device("meta"):
            network = build(settings, sizes)
        network.load_state_dict(weights, assign=True)
        for name, tensor in weights.items():
            if tensor.dtype != torch.float32 or not torch.isfinite(tensor).all():
                raise ValueError(f"{name} is not of finite float32 numbers")
    except FileNotFoundError:
        raise EmohopError(f"{folder} has no {WEIGHTS}") from None
    except (SafetensorError, RuntimeError, ValueError) as error:
        raise EmohopError(f"{path} does not hold this model's weights: {brief(error)}") from None
    return network.eval()


def _dimensions(settings: ModelSettings, sizes: Sizes) -> list[int]:
    """Numbers that are each a side of some weight, or a factor of one."""
    encoders = [settings.encoder(m) for m in settings.uses]
    numbers = [sizes.classes, *sizes.steps.values(), *(e.stack for e in encoders)]
    hidden = settings.name not in ("stats", "mult")  # which have no layer of that size, but one
    numbers += [e.hidden for e in encoders if hidden or e.residual]
    numbers += sizes.layers.values()
    if settings.name in ("gated", "lmf", "mult"):
        numbers.append(settings.width)
    if settings.name == "lmf":
        numbers.append(settings.rank)
    if Modality.TEXT in settings.uses and not sizes.text_states:
        numbers.append(settings.text.embedding)
    return numbers if not settings.prosody else [*numbers, sizes.prosody]


def _tensors(network: nn.Module) -> list[tuple[str, Any]]:
    return sorted(network.state_dict().items())
