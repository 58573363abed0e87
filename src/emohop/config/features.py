"""How features are computed from media."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from emohop.clips import Modality
from emohop.config.settings import Settings, checked

LAYER = "^(last|all|[0-9]{1,3}|mean-[1-9][0-9]{0,2})$"
"""How hidden states of a pretrained model are chosen."""
NONE = "none"
"""The encoder of a modality that is left out."""


class ModalityFeatures(Settings):
    """One modality's features: which encoder computes them, and that encoder's options."""

    encoder: str
    """Its name (see the registry of feature encoders), a hub name or a folder."""
    layer: str = Field(default="last", pattern=LAYER)
    """Hidden states of a pretrained model: last, a number from 0 (before its first layer), mean-N
    of the last N, or all, which are weighted in training."""


class AudioFeatures(ModalityFeatures):
    """Features of audio."""

    encoder: str = "mfcc120"
    """mfcc120 (Kaldi MFCC-40 with both differences), mfcc39 (openSMILE's), or a Hugging Face
    speech model by short name, hub name or folder."""
    pool: int = Field(default=1, ge=1, le=100)
    """Frames of a speech model in a row that become their mean; 1 keeps them all."""


class TextFeatures(ModalityFeatures):
    """Features of words."""

    encoder: str = "words"
    """words (lower-case tokens), or a Hugging Face language model by short name, hub name or
    folder."""
    context: int = Field(default=0, ge=0, le=50)
    """Turns of the dialog before a clip that its text features see too; it changes what is
    compared, and tables say so."""


class VideoFeatures(ModalityFeatures):
    """Features of frames."""

    encoder: str = "resnet101"
    """hog, resnet101, or a Hugging Face image or video model by short name, hub name or folder."""
    crop: Literal["centre", "face"] = "centre"
    """What image models see: the centre of the frame (of the speaker's half, for IEMOCAP), or the
    square around the largest face, where one is found."""
    frames_per_second: float = Field(default=3.0, gt=0, le=60)
    """Frames taken from each second of video."""


class FeatureSettings(Settings):
    """What is computed from a clip's media.

    A modality is its settings, the name of its encoder alone, or None (in words, none) to leave it
    out.

    Example:
        >>> emohop.FeatureSettings(video="hog", prosody=False).video.frames_per_second
        3.0
    """

    audio: AudioFeatures | None = AudioFeatures()
    """Features of audio."""
    text: TextFeatures | None = TextFeatures()
    """Features of words."""
    video: VideoFeatures | None = VideoFeatures()
    """Features of frames."""
    prosody: bool = True
    """The 35 openSMILE functionals of pitch, voicing, harmonicity and loudness."""
    precision: Literal["float32", "float16"] = "float32"
    """Of features in a prepared corpus: float16 takes half the room and keeps three digits."""
    keep_incomplete: bool = False
    """Keep clips that lack a modality altogether; else they are left out."""
    bandwidth: int | None = Field(default=None, ge=4000, le=16_000)
    """A sample rate in Hz that all audio is brought to before anything is computed, so that clips
    of several rates are alike: the lowest of them (8000 for telephone calls). None keeps each."""
    repair: bool = False
    """Accept what can be read of damaged media: silence for audio that does not decode, the frame
    before for one that is missing; else such clips are left out."""

    @field_validator("audio", "text", "video", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("encoder") == NONE:
            if more := sorted(value.keys() - {"encoder"}):
                raise ValueError(f"a modality that is left out has no {', '.join(more)}")
            value = NONE
        if isinstance(value, str):
            return None if value == NONE else {"encoder": value}
        return value

    def of(self, modality: Modality) -> ModalityFeatures | None:
        """The settings of one modality; None where it is left out."""
        found: ModalityFeatures | None = getattr(self, modality.value)
        return found

    def with_encoder(self, modality: Modality, name: str) -> FeatureSettings:
        """The same settings with another encoder of a modality; one that was left out is on."""
        chosen = self.of(modality)
        values = {} if chosen is None else chosen.model_dump()
        changed = {**self.model_dump(), modality.value: {**values, "encoder": name}}
        return checked(FeatureSettings, changed)

    @property
    def turns_before(self) -> int:
        """Turns of the dialog before a clip that its text features see."""
        return 0 if self.text is None else self.text.context

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """The modalities that are on, in the order audio, text, video."""
        return tuple(m for m in Modality if self.of(m) is not None)
