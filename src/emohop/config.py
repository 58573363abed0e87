"""Every setting, its default and its unit: the only place with defaults.

`--set model.audio.hidden=100` names a field by its path. Unknown names are refused with the nearest
known one. `recipes` reads settings from YAML.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from emohop.clips import Modality
from emohop.errors import EmohopError

Standardisation = Literal["global", "speaker", "own", "none"]
ModelName = Literal[
    "amh",
    "are",
    "tre",
    "vre",
    "mdre",
    "mdrea",
    "mha",
    "stats",
    "sap",
    "gated",
    "lmf",
    "mult",
    "late",
]
_Model = TypeVar("_Model", bound=BaseModel)

ALONE = {"are": Modality.AUDIO, "tre": Modality.TEXT, "vre": Modality.VIDEO}
"""The models that see one modality, and which."""
HOPPING = ("amh", "mha")
"""The models with any number of hops."""
PAIRED = ("mdrea", "mha")
"""The models between exactly two modalities."""
PAIR = (Modality.AUDIO, Modality.TEXT)
"""What these look at when nothing is said."""
POOLED = ("stats", "sap")
"""The models that pool steps without a GRU, of one modality or more."""
HOP_ORDER = (Modality.VIDEO, Modality.AUDIO, Modality.TEXT)
"""The order in which amh attends; modalities that a model lacks are passed over."""
PAIR_ORDER = (Modality.VIDEO, Modality.TEXT, Modality.AUDIO)
"""The order in which mdrea and mha attend: audio queries text and video, text queries video."""


EXPERIMENT_KEYS = ("extends", "rows", "vary")
"""What a recipe file may hold besides settings; `rows` and `vary` make an experiment of it."""


LAYER = "^(last|all|[0-9]{1,3}|mean-[1-9][0-9]{0,2})$"
"""How hidden states of a pretrained model are chosen."""


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class FeatureSettings(_Settings):
    """What is computed from a clip's media. None leaves a modality out."""

    audio: str | None = "mfcc120"
    """Sound features: mfcc120 (Kaldi MFCC-40 with both differences), mfcc39 (openSMILE's), or a
    Hugging Face speech model by short name, hub name or folder."""
    audio_layer: str = Field(default="last", pattern=LAYER)
    """Hidden states of a speech model: last, a number from 0 (before its first layer), mean-N of
    the last N, or all, which are weighted in training."""
    audio_pool: int = Field(default=1, ge=1, le=100)
    """Frames of a speech model in a row that become their mean; 1 keeps them all."""
    prosody: bool = True
    """The 35 openSMILE functionals of pitch, voicing, harmonicity and loudness."""
    text: str | None = "words"
    """Word features: words (lower-case tokens), or a Hugging Face language model by short name,
    hub name or folder."""
    text_layer: str = Field(default="last", pattern=LAYER)
    """Hidden states of a language model, as of a speech model."""
    context: int = Field(default=0, ge=0, le=50)
    """Turns of the dialog before a clip that its text features see too; it changes what is
    compared, and tables say so."""
    video: str | None = "resnet101"
    """Picture features: hog, resnet101, or a Hugging Face image or video model by short name, hub
    name or folder."""
    crop: Literal["centre", "face"] = "centre"
    """What image models see: the centre of the picture (of the speaker's half, for IEMOCAP), or the
    square around the largest face, where one is found."""
    video_layer: str = Field(default="last", pattern=LAYER)
    """Hidden states of an image model, as of a speech model."""
    frames_per_second: float = Field(default=3.0, gt=0, le=60)
    """Pictures taken from each second of video."""
    precision: Literal["float32", "float16"] = "float32"
    """Of features in a prepared corpus: float16 takes half the room and keeps three digits."""
    incomplete: bool = False
    """Keep clips that lack a modality altogether; else they are left out."""

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """The modalities that are on, in the order audio, text, video."""
        return tuple(m for m in Modality if getattr(self, m.value) is not None)


class EncoderSettings(_Settings):
    """One modality's encoder: a GRU over its steps."""

    hidden: int = Field(default=200, ge=1)
    """Units of the GRU, per direction."""
    layers: int = Field(default=1, ge=1)
    """Layers, each reading the outputs of the one below."""
    bidirectional: bool = False
    """Read backwards too; outputs and state are twice as wide."""
    dropout: float = Field(default=0.3, ge=0, lt=1)
    """Share of each layer's inputs set to 0 in training, drawn anew for each step."""
    max_steps: int = Field(default=750, ge=1)
    """Steps kept of a clip, from its start: frames of 10 ms, words, or pictures."""
    stack: int = Field(default=1, ge=1)
    """Frames joined to one step of the GRU: 4 makes a quarter of the steps, four times as wide."""
    output_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of each layer's outputs set to 0 in training; the states are left whole."""
    residual: bool = False
    """Project the steps to `hidden` numbers and add each layer's input to its output."""


class TextEncoderSettings(EncoderSettings):
    """The text encoder: word vectors, then a GRU."""

    dropout: float = Field(default=0.7, ge=0, lt=1)
    """As in every encoder; the paper keeps 0.3 of the word vectors."""
    max_steps: int = Field(default=128, ge=1)
    """Words kept of a clip, from its start."""
    embedding: int = Field(default=300, ge=1)
    """Numbers in a word vector; a GloVe file must have as many."""
    glove: str | None = None
    """Where the word vectors start, which are trained further: a GloVe text file, or random.
    None takes those that the corpus brings along, and random ones where it has none."""


class VideoEncoderSettings(EncoderSettings):
    """The video encoder."""

    hidden: int = Field(default=128, ge=1)
    """Units of the GRU, per direction."""
    max_steps: int = Field(default=25, ge=1)
    """Pictures kept of a clip, from its start."""


class ModelSettings(_Settings):
    """The network, apart from what the data decide (feature sizes, vocabulary, classes)."""

    name: ModelName = "amh"
    """amh and mha hop between modalities, mdrea attends once, mdre joins two or three; are, tre
    and vre see audio, text, video alone; stats and sap pool without a GRU; gated, lmf (low-rank
    tensors), mult (cross-modal transformer) and late fuse otherwise (docs/models.md)."""
    hops: int = Field(default=7, ge=1)
    """Hops of attention (amh, mha)."""
    modalities: tuple[Modality, ...] | None = None
    """Two or three of audio, text, video, two for mdrea and mha, one or more for stats and sap;
    None is those of `order`, else all three, or audio and text for mdrea and mha."""
    order: tuple[Modality, ...] | None = None
    """The same modalities in the order in which hops attend to them; None is video, audio, text
    for amh and video, text, audio for mdrea and mha (audio queries text, say)."""
    reset_after: bool = True
    """Reset gate after the matrix product, as in cuDNN; before it, as in the original, if false."""
    align_backward: bool = True
    """Both directions speak of the same step; the original's outputs are not aligned, if false."""
    mix_layers: bool = True
    """Weigh the hidden states of a pretrained encoder and add them up; side by side, if false."""
    shared_bias: bool = False
    """One bias number for all outputs of a linear layer, as in the 2018 programs."""
    absent: Literal["zero", "learned"] = "zero"
    """What stands in for a modality that a clip lacks: 0, or a learned vector a modality."""
    width: int = Field(default=64, ge=1)
    """Numbers in the fused vector of gated and lmf, and in a step of mult."""
    rank: int = Field(default=4, ge=1)
    """Rank of the tensor of lmf."""
    heads: int = Field(default=4, ge=1)
    """Heads of attention of mult; they divide its width."""
    blocks: int = Field(default=1, ge=1)
    """Blocks of each transformer of mult."""
    prosody: bool = False
    """Join the prosody vector to the audio vector, as the paper does and its release does not."""
    audio: EncoderSettings = EncoderSettings()
    """The audio encoder."""
    text: TextEncoderSettings = TextEncoderSettings()
    """The text encoder."""
    video: VideoEncoderSettings = VideoEncoderSettings()
    """The video encoder."""

    @field_validator("modalities", "order", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(re.split(r"[,+]", value)) if isinstance(value, str) else value

    @field_validator("modalities", "order")
    @classmethod
    def _once(cls, value: tuple[Modality, ...] | None) -> tuple[Modality, ...] | None:
        if value is not None and len(set(value)) != len(value):
            raise ValueError("a modality is named twice")
        return value

    @field_validator("modalities")
    @classmethod
    def _in_order(cls, value: tuple[Modality, ...] | None) -> tuple[Modality, ...] | None:
        return None if value is None else tuple(m for m in Modality if m in value)

    @property
    def uses(self) -> tuple[Modality, ...]:
        """The modalities that this model reads, in the order audio, text, video."""
        if self.name in ALONE:
            return (ALONE[self.name],)
        if self.modalities is not None:
            return self.modalities
        if self.order is not None:
            return tuple(m for m in Modality if m in self.order)
        return PAIR if self.name in PAIRED else tuple(Modality)

    @property
    def attended(self) -> tuple[Modality, ...]:
        """The modalities that this model reads, in the order in which they are attended to."""
        usual = PAIR_ORDER if self.name in PAIRED else HOP_ORDER
        return self.order or tuple(m for m in usual if m in self.uses)

    @property
    def title(self) -> str:
        """A short name for tables: amh-7 audio+text+video, are audio, mha-2 video>audio.

        `>` parts modalities in an order of attention that was chosen.
        """
        name = f"{self.name}-{self.hops}" if self.name in HOPPING else self.name
        if self.order is not None:
            return f"{name} {'>'.join(m.value for m in self.order)}"
        return f"{name} {'+'.join(m.value for m in self.uses)}"

    def encoder(self, modality: Modality) -> EncoderSettings:
        """The encoder settings of one modality."""
        settings: EncoderSettings = getattr(self, modality.value)
        return settings


class TrainingSettings(_Settings):
    """How the network is fitted. Everything is chosen on dev, never on test."""

    batch_size: int = Field(default=64, ge=1)
    """Clips in a step."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """Of Adam."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Of AdamW; 0 is plain Adam."""
    epsilon_hat: bool = False
    """TensorFlow's form of Adam; it differs where gradients are smaller than 1e-6."""
    loss: Literal["softmax", "sigmoid", "focal"] = "softmax"
    """Cross entropy of the softmax, of each class's sigmoid as in the 2018 programs, or focal,
    which counts clips that are right already for less."""
    focal_gamma: float = Field(default=2.0, ge=0)
    """How much less: the power of the missing probability in the focal loss."""
    class_weights: Literal["none", "balanced"] = "none"
    """Weights of the classes in the loss: all 1, or balanced, n / (k n_c) by the training part."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share of each target that is spread evenly over the classes."""
    targets: Literal["label", "votes"] = "label"
    """What is trained for: the label, or the shares of the raters' votes (IEMOCAP)."""
    clip: Literal["global", "variable", "value"] = "global"
    """What gradient_clip limits: the norm of the whole gradient, that of each variable's, or each
    number (the last two as TensorFlow does, word vectors by the rows that were looked up)."""
    gradient_clip: float = Field(default=1.0, ge=0)
    """The limit; 0 does not clip."""
    sampling: Literal["epochs", "balanced", "replacement"] = "epochs"
    """Every clip once in an epoch; as many drawn so that all classes are alike; or, as in the
    original, rounds of int(0.3 n / batch_size) + 1 steps of clips drawn with replacement."""
    max_epochs: int | None = Field(default=100, ge=1)
    """Epochs at most; None leaves it to max_steps and patience."""
    max_steps: int | None = Field(default=None, ge=1)
    """Steps at most, in whole epochs: as many as fit, but one at least."""
    patience: int = Field(default=12, ge=1)
    """Epochs in a row without a better dev score after which training stops."""
    select: Literal[
        "accuracy",
        "balanced_accuracy",
        "f1_macro",
        "f1_weighted",
        "precision_macro",
        "precision_weighted",
        "loss",
    ] = "balanced_accuracy"
    """The dev score that chooses the best epoch: the highest, the lowest for loss."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the matrix products in training; scores are always computed in float32."""
    modality_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Chance with which a training clip loses each of its modalities, but never the last one."""
    standardise: Standardisation = "global"
    """Zero mean and unit variance by the training part's global or speaker statistics; by each
    speaker's own, of test speakers too, from their clips without labels; or none."""
    vocabulary: int | None = Field(default=None, ge=1)
    """Most frequent training words kept; None keeps all."""


class FinetuningSettings(_Settings):
    """How a pretrained encoder is trained further. The best epoch is chosen on dev."""

    last: int | None = Field(default=2, ge=1)
    """Transformer layers that change, counted from the last; None is all of them."""
    lora: int | None = Field(default=None, ge=1)
    """Rank of low-rank updates (LoRA, Hu et al. 2021) of these layers' matrices, which are trained
    in their place and added in the end; None trains the layers themselves."""
    epochs: int = Field(default=4, ge=1)
    """Times that every training clip is seen."""
    batch_size: int = Field(default=32, ge=1)
    """Clips in a step."""
    learning_rate: float = Field(default=1e-4, gt=0)
    """The highest, of AdamW: it rises over `warmup` and falls to 0 in a line."""
    warmup: float = Field(default=0.1, ge=0, lt=1)
    """The share of all steps in which it rises."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Of AdamW."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Before the classifier, and before low-rank updates."""
    gradient_clip: float = Field(default=1.0, gt=0)
    """The largest norm of a gradient."""
    class_weights: Literal["none", "balanced"] = "none"
    """As in training."""
    select: Literal["accuracy", "balanced_accuracy", "f1_macro", "f1_weighted"] = (
        "balanced_accuracy"
    )
    """The dev score that chooses the best epoch."""


class Recipe(_Settings):
    """A whole experiment on a prepared corpus."""

    model: ModelSettings = ModelSettings()
    """The network."""
    training: TrainingSettings = TrainingSettings()
    """The fitting."""
    protocol: Literal["session", "speaker", "script", "random", "fixed", "cross"] | None = None
    """How clips are divided into train, dev and test (docs/evaluation.md); None is fixed for a
    corpus with parts of its own, cross with --test, else session, or speaker without sessions."""
    groups: int | None = Field(default=None, ge=3)
    """Groups of speakers that protocol speaker leaves out one at a time; None leaves one speaker
    out."""
    fold_seed: int = Field(default=0, ge=0)
    """Draws the folds of protocol random and the dev speakers of cross."""
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    """Each fold is trained once for each seed."""
    folds: tuple[int, ...] | None = None
    """The folds to run, counted from 0; None runs all."""
    per_fold: dict[int, dict[str, Any]] | None = None
    """Settings by dotted name to be put over those of a fold: what `emohop tune` chose for it."""

    @model_validator(mode="after")
    def _folds_are_recipes(self) -> Recipe:
        for fold in self.per_fold or {}:
            recipe_for_fold(self, fold)
        return self


def recipe_for_fold(recipe: Recipe, fold: int) -> Recipe:
    """The recipe under the settings that it has for one fold."""
    own = (recipe.per_fold or {}).get(fold, {})
    values = recipe.model_dump(mode="json", exclude={"per_fold"})
    for key, value in own.items():
        if key.partition(".")[0] not in ("model", "training"):
            raise EmohopError(f"per_fold {fold}: {key} is not of model or training")
        put(values, key, value)
    return checked(Recipe, values)


def checked(kind: type[_Model], values: object) -> _Model:
    """`values` as settings of a kind, or an error of one line that names what is wrong."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise EmohopError(_one_line(kind, error)) from None


def put(values: dict[str, Any], key: str, value: object) -> None:
    """Set a value by its dotted key."""
    *path, last = key.split(".")
    for part in path:
        values = values.setdefault(part, {})
        if not isinstance(values, dict):
            raise EmohopError(f"setting {key}: {part} is a value, not a group of settings")
    values[last] = value


def _one_line(kind: type[BaseModel], error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = [*_keys(kind), *(EXPERIMENT_KEYS if kind is Recipe else ())]
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
        return f"unknown setting {key!r}: did you mean {near[0]!r}? (settings: docs/settings.md)"
    return f"setting {key} = {first['input']!r}: {first['msg'][0].lower()}{first['msg'][1:]}"


def _keys(kind: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in kind.model_fields.items():
        inner = field.annotation
        yield f"{prefix}{name}"
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _keys(inner, f"{prefix}{name}.")
