"""The encoder of a modality, our own or pretrained, behind one call: many items in, arrays out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emohop.clips import Modality
from emohop.config import FeatureSettings
from emohop.errors import EmohopError, MediaError
from emohop.features.audio import AUDIO_FEATURES, HOP_SECONDS, SAMPLE_RATE_HZ, AudioFeature
from emohop.features.cache import Cache
from emohop.features.pretrained import Layers, Pretrained, is_pretrained
from emohop.features.text import Text, said

Arrays = Mapping[str, NDArray[Any]]
"""Arrays of one clip by the names that they have in a prepared corpus."""


@dataclass(frozen=True)
class Encoder:
    """What a modality's settings stand for.

    `encode` takes sounds [samples] at 16 kHz, `Text`s or pictures uint8 [n, side, side, 3], and
    gives each one's arrays, or a MediaError where there can be none.
    """

    encode: Callable[[Sequence[Any]], Sequence[Arrays | MediaError]]
    width: int
    """Numbers in a step as it is stored; 0 for words."""
    layers: int = 1
    """Hidden states that stand side by side in these."""
    pretrained: Pretrained | None = None
    steps_per_second: float = 0.0
    """Of sound."""
    feature: AudioFeature | None = None
    """What our own features of sound are made by."""

    @cached_property
    def fingerprint(self) -> str | None:
        """Of the pretrained model; None for our own features."""
        return None if self.pretrained is None else self.pretrained.fingerprint()


def load_encoder(
    modality: Modality, settings: FeatureSettings, device: str, cache: str | Path | None
) -> Encoder:
    """The encoder of a modality that the settings have on.

    Raises:
        EmohopError: there is no such encoder, or a setting that it does not have.
        MissingExtraError: it needs transformers, which is not installed.
    """
    name, layer = getattr(settings, modality.value), getattr(settings, f"{modality}_layer")
    if not is_pretrained(modality, name):
        return _own(modality, name, settings)
    load = {
        Modality.AUDIO: _speech,
        Modality.TEXT: _language,
        Modality.VIDEO: _pictures,
    }[modality]
    encoder = load(settings, Layers(layer), device_of(device))
    if cache is None:
        return encoder
    return _kept(encoder, Cache(cache, f"{encoder.fingerprint} {_recipe(modality, settings)}"))


def _own(modality: Modality, name: str, settings: FeatureSettings) -> Encoder:
    for option in (f"{modality}_layer", *(["audio_pool"] if modality is Modality.AUDIO else [])):
        if getattr(settings, option) != FeatureSettings.model_fields[option].default:
            raise EmohopError(f"{name} is no pretrained model: it has no {option} to choose")
    if modality is Modality.AUDIO:
        feature = AUDIO_FEATURES[name]

        def frames(sounds: Sequence[NDArray[np.float32]]) -> list[Arrays | MediaError]:
            return [_frames(feature, sound) for sound in sounds]

        return Encoder(frames, feature.size, steps_per_second=1 / HOP_SECONDS, feature=feature)
    if modality is Modality.TEXT:
        return Encoder(lambda texts: [{"text": np.array(said(t), np.str_)} for t in texts], 0)
    return _pictures(settings, Layers(), "cpu")


def _frames(feature: AudioFeature, sound: NDArray[np.float32]) -> Arrays | MediaError:
    try:
        return {"audio": feature.compute(sound, SAMPLE_RATE_HZ)}
    except MediaError as error:
        return error


def _speech(settings: FeatureSettings, layers: Layers, device: str) -> Encoder:
    from emohop.features.speech import load_speech_encoder

    model = load_speech_encoder(str(settings.audio), layers, settings.audio_pool, device)

    def encode(sounds: Sequence[NDArray[np.float32]]) -> list[Arrays]:
        return [{"audio": frames} for frames in model(sounds)]

    return Encoder(
        encode, model.layers * model.size, model.layers, model.pretrained, model.frames_per_second
    )


def _language(settings: FeatureSettings, layers: Layers, device: str) -> Encoder:
    from emohop.features.language import load_language_encoder

    context = settings.context > 0
    model = load_language_encoder(str(settings.text), layers, device, context=context)

    def encode(texts: Sequence[Text]) -> list[Arrays]:
        return [{"text": found.words, "text_states": found.vectors} for found in model(texts)]

    return Encoder(encode, model.layers * model.size, model.layers, model.pretrained)


def _pictures(settings: FeatureSettings, layers: Layers, device: str) -> Encoder:
    from emohop.features.images import load_image_encoder

    model = load_image_encoder(str(settings.video), layers, device)

    def encode(clips: Sequence[NDArray[np.uint8]]) -> list[Arrays]:
        return [{"video": vectors} for vectors in model(clips)]

    return Encoder(encode, model.layers * model.size, model.layers, model.pretrained)


def _kept(encoder: Encoder, cache: Cache) -> Encoder:
    """An encoder that looks into a cache first."""

    def encode(items: Sequence[Any]) -> Sequence[Arrays | MediaError]:
        return cache.through(items, _content, encoder.encode)

    return replace(encoder, encode=encode)


def _content(item: NDArray[Any] | Text) -> bytes:
    if isinstance(item, Text):
        return ascii((item.previous_turns, item.words)).encode()
    return repr((item.shape, item.dtype.str)).encode() + item.tobytes()


def _recipe(modality: Modality, settings: FeatureSettings) -> str:
    """What decides an encoder's numbers besides its weights and the media."""
    chosen = [getattr(settings, f"{modality}_layer")]
    if modality is Modality.AUDIO:
        chosen.append(settings.audio_pool)
    if modality is Modality.TEXT:
        chosen.append(settings.context)
    return repr((modality.value, *chosen))


def device_of(name: str) -> str:
    """The device that is meant; EmohopError when it is not there."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind = name.partition(":")[0]
    if kind not in ("cpu", "cuda") or (kind == "cuda" and not torch.cuda.is_available()):
        raise EmohopError(f"no device {name!r} here: cpu, cuda where there is a GPU, or auto")
    return name
