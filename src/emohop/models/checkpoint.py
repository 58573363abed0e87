"""A model folder: `weights.safetensors` and `model.json`, which together rebuild the model.

Nothing in a model folder can run code: weights are plain tensors, everything else is JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from emohop.config import ModelSettings, checked
from emohop.errors import EmohopError
from emohop.files import replacing, write_text
from emohop.models import build
from emohop.models.encoder import Sizes

FORMAT_VERSION = 2
CARD = "model.json"
WEIGHTS = "weights.safetensors"


def save(folder: Path, network: nn.Module, card: Mapping[str, Any]) -> None:
    """Write a model folder. `card` holds what `model.json` says besides the format's version."""
    from safetensors.torch import save as to_bytes

    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in _tensors(network)}
    with replacing(folder / WEIGHTS) as file:
        file.write(to_bytes(weights))
    text = json.dumps({"format": FORMAT_VERSION, **card}, indent=1, ensure_ascii=False)
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
    except (ValueError, KeyError, TypeError) as error:
        raise EmohopError(f"{path} is damaged: {error}") from None
    if found != FORMAT_VERSION:
        raise EmohopError(
            f"{path}: model format {found}, this emohop reads format {FORMAT_VERSION}: "
            "use the version of emohop that wrote it"
        )
    return dict(card)


def load_network(folder: Path, settings: Mapping[str, Any], sizes: Sizes) -> nn.Module:
    """The network of a model folder, in evaluation mode."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    network = build(checked(ModelSettings, settings), sizes)
    path = folder / WEIGHTS
    try:
        network.load_state_dict(load_file(path))
    except FileNotFoundError:
        raise EmohopError(f"{folder} has no {WEIGHTS}") from None
    except (SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise EmohopError(f"{path} does not hold this model's weights: {reason}") from None
    return network.eval()


def _tensors(network: nn.Module) -> list[tuple[str, Any]]:
    return sorted(network.state_dict().items())
