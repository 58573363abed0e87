"""The feature encoder that settings name, its outputs kept in a cache if one is named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from emohop.clips import Modality
from emohop.config import ModalityFeatures
from emohop.errors import EmohopError, MediaError
from emohop.features.arrays import Arrays
from emohop.features.cache import Cache
from emohop.features.encoder import FeatureEncoder
from emohop.features.pretrained import spec_of
from emohop.features.text import Text
from emohop.registry.core import resolve
from emohop.registry.features import FEATURES


def load_encoder(
    modality: Modality, settings: ModalityFeatures, device: str, cache: str | Path | None
) -> FeatureEncoder:
    """The encoder that a modality's settings name, its outputs kept in a folder `cache`.

    Raises:
        EmohopError: there is no such encoder, or a setting that it does not have.
        MissingExtraError: it needs transformers, which is not installed.
    """
    spec = spec_of(modality, settings.encoder)
    for name, field in type(settings).model_fields.items():
        if name not in ("encoder", *spec.options) and getattr(settings, name) != field.default:
            has = ", ".join(spec.options) or "none"
            raise EmohopError(
                f"{modality}.{name} is set, but {settings.encoder} has no {name}: its options are "
                f"{has}"
            )
    # our own features run on the processor, and need no torch to say so
    own = spec.name in FEATURES.shipped and not spec.family
    encoder: FeatureEncoder = resolve(spec.load)(settings, "cpu" if own else device_of(device))
    if cache is None or encoder.fingerprint is None:
        return encoder
    # what decides the numbers besides the weights and the media
    chosen = repr((modality.value, *((name, getattr(settings, name)) for name in spec.options)))
    return _kept(encoder, Cache(cache, f"{encoder.fingerprint} {chosen}"))


def _kept(encoder: FeatureEncoder, cache: Cache) -> FeatureEncoder:
    """An encoder that looks into a cache first."""

    def encode(items: Sequence[Any]) -> Sequence[Arrays | MediaError]:
        return cache.through(items, _content, encoder.encode)

    return replace(encoder, encode=encode)


def _content(item: NDArray[Any] | Text) -> bytes:
    if isinstance(item, Text):
        return ascii((item.previous_turns, item.words)).encode()
    return repr((item.shape, item.dtype.str)).encode() + item.tobytes()


def device_of(name: str) -> str:
    """The device that is meant; EmohopError when it is not there."""
    if name == "cpu":
        return name
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind = name.partition(":")[0]
    if kind not in ("cpu", "cuda") or (kind == "cuda" and not torch.cuda.is_available()):
        raise EmohopError(f"no device {name!r} here: cpu, cuda where there is a GPU, or auto")
    return name
