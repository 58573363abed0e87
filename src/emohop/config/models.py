"""The networks, apart from what the data decide."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator

from emohop.clips import Modality
from emohop.config.settings import Settings

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


class ModelSettings(Settings):
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
