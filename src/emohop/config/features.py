"""How features are computed from media."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from emohop.clips import Modality
from emohop.config.settings import Settings

LAYER = "^(last|all|[0-9]{1,3}|mean-[1-9][0-9]{0,2})$"
"""How hidden states of a pretrained model are chosen."""


class FeatureSettings(Settings):
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
