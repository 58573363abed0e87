"""Pretrained encoders of transformers: by short name, hub name or folder, loaded without code.

Code from a hub is never run and weights are read from safetensors files only. `speech`, `language`
and `images` turn what is loaded here into features.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from emohop.clips import Modality
from emohop.errors import EmohopError, MissingExtraError, brief
from emohop.files import write_text
from emohop.registry.features import FEATURES, FeatureSpec, family_of

if TYPE_CHECKING:
    from torch import Tensor

SHORT_NAMES: Mapping[Modality, Mapping[str, str]] = MappingProxyType(
    {
        Modality.AUDIO: {
            "whisper-tiny": "openai/whisper-tiny",
            "whisper-tiny.en": "openai/whisper-tiny.en",
            "whisper-base": "openai/whisper-base",
            "whisper-small": "openai/whisper-small",
            "whisper-medium": "openai/whisper-medium",
            "whisper-large": "openai/whisper-large-v3",
            "wav2vec2-base": "facebook/wav2vec2-base",
            "wav2vec2-large": "facebook/wav2vec2-large-lv60",
            "hubert-base": "facebook/hubert-base-ls960",
            "hubert-large": "facebook/hubert-large-ll60k",
            "wavlm-base": "microsoft/wavlm-base-plus",
            "wavlm-large": "microsoft/wavlm-large",
            "data2vec-base": "facebook/data2vec-audio-base",
        },
        Modality.TEXT: {
            "bert-base": "google-bert/bert-base-uncased",
            "roberta-base": "FacebookAI/roberta-base",
            "roberta-large": "FacebookAI/roberta-large",
            "distilroberta": "distilbert/distilroberta-base",
            "minilm": "sentence-transformers/all-MiniLM-L6-v2",
            "mpnet-base": "sentence-transformers/all-mpnet-base-v2",
            "modernbert-base": "answerdotai/ModernBERT-base",
        },
        Modality.VIDEO: {
            "resnet101": "microsoft/resnet-101",  # the paper's encoder
            "resnet50": "microsoft/resnet-50",
            "mobilenet-v2": "google/mobilenet_v2_1.0_224",
            "convnext-tiny": "facebook/convnext-tiny-224",
            "vit-b16": "google/vit-base-patch16-224-in21k",
            "clip-vit-b32": "openai/clip-vit-base-patch32",
            "siglip-b16": "google/siglip-base-patch16-224",
            "dinov2-small": "facebook/dinov2-small",
            "dinov2-base": "facebook/dinov2-base",
            "videomae-base": "MCG-NJU/videomae-base",
        },
    }
)
"""What a modality's encoders can be called, and their names on the hub."""

_KINDS = {
    "input_values": Modality.AUDIO,
    "input_features": Modality.AUDIO,
    "input_ids": Modality.TEXT,
    "pixel_values": Modality.VIDEO,
    "pixel_values_videos": Modality.VIDEO,
}
"""What a model's main input says about it."""
_VISION_TOWERS = {"clip": "CLIPVisionModel", "siglip": "SiglipVisionModel"}
"""Models of images and text: the half that takes images, by their model type."""


@dataclass(frozen=True, eq=False)
class Pretrained:
    """A model in evaluation mode, float32, and what its folder says of its input."""

    name: str
    """What it was asked for by."""
    source: str
    """Its folder or its name on the hub."""
    model: Any
    preprocessing: Mapping[str, Any]
    """Its preprocessor_config.json; empty for language models."""
    pooler: bool = True
    """Its pooler, if it has one, has trained weights."""
    untrained: frozenset[str] = frozenset()
    """Weights that its file lacks: random, and of no use to features."""

    def fingerprint(self) -> str:
        """SHA-256 of its trained weights and preprocessing, however they are stored and named."""
        digests = sorted(
            hashlib.sha256(tensor.detach().cpu().numpy().tobytes()).hexdigest()
            for key, tensor in self.model.state_dict().items()
            if tensor.dim() and key not in self.untrained
        )
        said = sorted((k, repr(v)) for k, v in self.preprocessing.items() if not k.startswith("_"))
        return hashlib.sha256(repr((digests, said)).encode()).hexdigest()

    def save(self, folder: Path) -> None:
        """Write its trained weights and preprocessing as a folder that `load` takes."""
        weights = {k: v for k, v in self.model.state_dict().items() if k not in self.untrained}
        import transformers

        with quiet(transformers):
            self.model.save_pretrained(folder, state_dict=weights)
        if self.preprocessing:
            said = json.dumps(dict(self.preprocessing), indent=1)
            write_text(folder / "preprocessor_config.json", f"{said}\n")


def spec_of(modality: Modality, name: str) -> FeatureSpec:
    """The spec of a modality's encoder by its name, else that of the pretrained ones.

    EmohopError when `name` is neither an encoder nor a short name, hub name or folder.
    """
    spec = FEATURES.get(name)
    if spec is not None and spec.modality is modality and not spec.family:
        return spec
    source_of(modality, name)
    return family_of(modality)


def source_of(modality: Modality, name: str) -> str:
    """The folder or hub name that `name` stands for; EmohopError when it is neither."""
    source = SHORT_NAMES[modality].get(name, name)
    folder = Path(source).expanduser()
    if source and folder.is_dir():
        return str(folder)
    if source.startswith((".", "~", "/")) or source.count("/") != 1 or "\\" in source:
        named = [s.name for s in FEATURES.values() if s.modality is modality and not s.family]
        own, short = ", ".join(named), list(SHORT_NAMES[modality])
        near = (difflib.get_close_matches(name, short, n=1) or short)[0]
        raise EmohopError(
            f"no {modality} features {brief(name)!r}: one of {own}, a short name such as {near} "
            "(docs/encoders.md), a hub name owner/model, a folder that holds a model, none"
        )
    return source


def load(modality: Modality, name: str) -> Pretrained:
    """The pretrained model `name` of a modality, on the CPU.

    Raises:
        EmohopError: there is no such model, it cannot be reached, or it is of another kind.
        MissingExtraError: transformers is not installed.
    """
    source, what = source_of(modality, name), f"the {family_of(modality).name} {name}"
    try:
        import transformers
    except ImportError:
        raise MissingExtraError(what, "encoders") from None

    with quiet(transformers):
        config = from_cache_or_hub(what, source, transformers.AutoConfig.from_pretrained)
        kind = _class_of(transformers, config, modality)
        _check_kind(name, kind, modality)
        model, found = from_cache_or_hub(
            what,
            source,
            kind.from_pretrained,
            use_safetensors=True,
            output_loading_info=True,
        )
        preprocessing: Mapping[str, Any] = {}
        if modality is not Modality.TEXT:
            read = transformers.ImageProcessingMixin.get_image_processor_dict
            if modality is Modality.AUDIO:
                read = transformers.FeatureExtractionMixin.get_feature_extractor_dict
            preprocessing, _ = from_cache_or_hub(what, source, read)
            if not isinstance(preprocessing, Mapping):
                raise EmohopError(f"the preprocessor_config.json of {name} holds no settings")
    # A pooler that the file has no weights for is random: its output would mean nothing.
    names, head = model.state_dict().keys(), f"{model.base_model_prefix}."  # transformers 4: before
    missing = sorted(k if k in names else k.removeprefix(head) for k in found["missing_keys"])
    lacking = [key for key in missing if not _unused(key)]
    if lacking:
        raise EmohopError(f"the weights of {name} lack {len(lacking)} tensors, {lacking[0]} first")
    whole = model.float().eval()
    return Pretrained(name, source, whole, preprocessing, not missing, frozenset(missing))


def _class_of(transformers: Any, config: Any, modality: Modality) -> Any:
    """The class of a configuration's model; the half that takes images, for video."""
    if modality is Modality.VIDEO and config.model_type in _VISION_TOWERS:
        return getattr(transformers, _VISION_TOWERS[config.model_type])
    try:
        found = transformers.AutoModel._model_mapping[type(config)]
    except KeyError:
        raise EmohopError(f"a model of type {config.model_type} has no encoder to use") from None
    return found[0] if isinstance(found, tuple) else found  # the whole model comes first


def _check_kind(name: str, kind: Any, modality: Modality) -> None:
    takes = getattr(kind, "main_input_name", "nothing")
    found = _KINDS.get(takes)
    if found is not modality:
        hint = f": give it to --{found}" if found is not None else ""
        raise EmohopError(
            f"{name} is not of the kind {family_of(modality).name!r}: it takes {takes}{hint}"
        )


def _unused(key: str) -> bool:
    """Weights that no features are made of: poolers, Whisper's decoder, masks of pretraining."""
    return key.startswith(("pooler.", "decoder.")) or key.endswith("masked_spec_embed")


def from_cache_or_hub(what: str, source: str, read: Callable[..., Any], **arguments: Any) -> Any:
    """What `read` loads from a folder or the cache, and only else from the hub, which may be slow.

    transformers lets errors of many libraries through; all of them are the model's.
    """
    arguments |= {"trust_remote_code": False}
    try:
        return read(source, local_files_only=True, **arguments)
    except Exception as error:
        if Path(source).is_dir():
            raise EmohopError(f"{what} cannot be loaded: {line_of(error)}") from error
    try:
        return read(source, **arguments)
    except Exception as error:
        raise EmohopError(
            f"{what} cannot be loaded: {line_of(error)} Check its name, or download it elsewhere "
            "and give the folder."
        ) from error


@dataclass(frozen=True)
class Layers:
    """Which hidden states of an encoder become features.

    `last` is its output, a number one hidden state (0 is what enters the first layer), `mean-N`
    the mean of the last N, `all` every one of them side by side, to be weighted in training.
    """

    choice: str = "last"

    def count(self, states: int, name: str) -> int:
        """How many hidden states are kept side by side; EmohopError unless there are as many."""
        wanted = self.choice.removeprefix("mean-")
        if wanted.isdigit():
            number = int(wanted)
            fits = 1 <= number <= states if self.choice != wanted else number < states
            if not fits:
                raise EmohopError(
                    f"layer {self.choice}: {name} has the hidden states 0 (before its first "
                    f"layer) to {states - 1}; last, a number, mean-N or all is accepted"
                )
        return states if self.choice == "all" else 1

    def pick(self, states: Sequence[Tensor]) -> Tensor:
        """The chosen ones of hidden states [..., size]: [..., size], of all [..., states·size]."""
        import torch

        if self.choice == "last":
            return states[-1]
        if self.choice == "all":
            return torch.cat(list(states), dim=-1)
        if self.choice.isdigit():
            return states[int(self.choice)]
        return torch.stack(list(states[-int(self.choice.removeprefix("mean-")) :])).mean(0)


def states_of(output: Any) -> Sequence[Tensor]:
    """Every hidden state of a model's output, the last as it leaves the model.

    Some models have a normalisation behind their last layer that transformers leaves out of the
    states it lists.
    """
    states: Sequence[Tensor] = output.hidden_states
    if output.last_hidden_state.shape != states[-1].shape:  # an adapter made other steps of it
        return states
    return [*states[:-1], output.last_hidden_state]


@contextmanager
def quiet(transformers: Any) -> Iterator[None]:
    """No progress bars, no advice, no warnings of transformers inside."""
    log = transformers.utils.logging
    verbosity, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    hub = logging.getLogger("huggingface_hub")
    hub_level = hub.level
    hub.setLevel(logging.CRITICAL)
    log.set_verbosity(log.CRITICAL)
    log.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        hub.setLevel(hub_level)
        log.set_verbosity(verbosity)
        if bars:
            log.enable_progress_bar()


def line_of(error: Exception) -> str:
    """An error's first line."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), repr(error))
