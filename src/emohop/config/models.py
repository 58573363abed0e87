"""The networks, apart from what the data decide."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator

from emohop.clips import Modality
from emohop.config.settings import Settings
from emohop.errors import UnknownNameError
from emohop.registry.models import MODELS, ModelSpec


class EncoderSettings(Settings):
    """One modality's encoder: a GRU over its steps."""

    hidden: int = Field(default=200, ge=1)
    """Units of the GRU, per direction."""
    layers: int = Field(default=1, ge=1)
    """Layers, each reading the outputs of the one below."""
    bidirectional: bool = False
    """Read backwards too; outputs and state are twice as wide."""
    dropout: float = Field(default=0.3, ge=0, lt=1)
    """Share of each layer's inputs set to 0 in training, drawn anew for each step."""
    max_length: int = Field(default=750, ge=1)
    """Steps kept of a clip, from its start: audio frames of 10 ms, words, or video frames."""
    stack_frames: int = Field(default=1, ge=1)
    """Frames joined to one step of the GRU: 4 makes a quarter of the steps, four times as wide."""
    output_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of each layer's outputs set to 0 in training; the states are left whole."""
    residual: bool = False
    """Project the steps to `hidden` numbers and add each layer's input to its output."""


class TextEncoderSettings(EncoderSettings):
    """The text encoder: word vectors, then a GRU."""

    dropout: float = Field(default=0.7, ge=0, lt=1)
    """As in every encoder; the paper keeps 0.3 of the word vectors."""
    max_length: int = Field(default=128, ge=1)
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
    max_length: int = Field(default=25, ge=1)
    """Frames kept of a clip, from its start."""


class ModelSettings(Settings):
    """The network, apart from what the data decide (feature sizes, vocabulary, classes).

    Example:
        >>> emohop.ModelSettings(name="mdrea").uses
        (<Modality.AUDIO: 'audio'>, <Modality.TEXT: 'text'>)
    """

    name: str = "amh"
    """The model, by its name: `emohop models` lists them, as docs/models.md does."""
    hops: int = Field(default=7, ge=1)
    """Hops of attention, of models that hop."""
    modalities: tuple[Modality, ...] | None = None
    """Those that the model takes, of audio, text, video; None is those of `order`, else all that
    it takes, or audio and text if it takes two."""
    order: tuple[Modality, ...] | None = None
    """The same modalities in the order in which hops attend to them; None is the model's own."""
    reset_after: bool = True
    """Reset gate after the matrix product, as in cuDNN; before it, as in the original, if false."""
    align_backward: bool = True
    """Both directions speak of the same step; the original's outputs are not aligned, if false."""
    mix_layers: bool = True
    """Weigh the hidden states of a pretrained encoder and add them up; side by side, if false."""
    shared_bias: bool = False
    """One bias number for all outputs of a linear layer, as in the 2018 programs."""
    missing_modality: Literal["zero", "learned"] = "zero"
    """What stands in for a modality that a clip lacks: 0, or a learned vector per modality."""
    width: int = Field(default=64, ge=1)
    """Numbers in the fused vector of gated and lmf, and in a step of mult."""
    rank: int = Field(default=4, ge=1)
    """Rank of the tensor of lmf."""
    heads: int = Field(default=4, ge=1)
    """Heads of attention of mult; they divide its width."""
    blocks: int = Field(default=1, ge=1)
    """Blocks of each transformer of mult."""
    extra: dict[str, bool | int | float | str] = Field(default_factory=dict)
    """Settings of a plug-in's model, by the names that it declares (docs/extending.md)."""
    prosody: bool = False
    """Join the prosody vector to the audio vector, as the paper does and its release does not."""
    audio: EncoderSettings = EncoderSettings()
    """The audio encoder."""
    text: TextEncoderSettings = TextEncoderSettings()
    """The text encoder."""
    video: VideoEncoderSettings = VideoEncoderSettings()
    """The video encoder."""

    @field_validator("name")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            return MODELS[value].name
        except UnknownNameError as error:
            raise UnknownNameError(f"model.name: {error}") from None

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
    def spec(self) -> ModelSpec:
        """What the registry says of this model."""
        return MODELS[self.name]

    @property
    def uses(self) -> tuple[Modality, ...]:
        """The modalities that this model reads, in the order audio, text, video."""
        if self.spec.only is not None:
            return (self.spec.only,)
        if self.modalities is not None:
            return self.modalities
        if self.order is not None:
            return tuple(m for m in Modality if m in self.order)
        return self.spec.modalities

    @property
    def attended(self) -> tuple[Modality, ...]:
        """The modalities that this model reads, in the order in which they are attended to."""
        return self.order or tuple(m for m in self.spec.order or Modality if m in self.uses)

    @property
    def title(self) -> str:
        """A short name for tables: amh-7 audio+text+video, are audio, mha-2 video>audio.

        `>` parts modalities in an order of attention that was chosen.
        """
        name = f"{self.name}-{self.hops}" if self.spec.has("hops") else self.name
        if self.order is not None:
            return f"{name} {'>'.join(m.value for m in self.order)}"
        return f"{name} {'+'.join(m.value for m in self.uses)}"

    def encoder(self, modality: Modality) -> EncoderSettings:
        """The encoder settings of one modality."""
        settings: EncoderSettings = getattr(self, modality.value)
        return settings
