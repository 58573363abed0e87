"""A clip: one utterance of one speaker, with where its audio, text and video are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Literal

from emohop.spelling import plain

Gender = Literal["F", "M"]
Half = Literal["left", "right"]
Split = Literal["train", "dev", "test"]


class Modality(str, Enum):
    """What a model takes as input. The order audio < text < video is the papers' order.

    Example:
        >>> emohop.Modality("audio")
        <Modality.AUDIO: 'audio'>
    """

    AUDIO = "audio"
    TEXT = "text"
    VIDEO = "video"

    def __str__(self) -> str:
        return self.value


MODALITIES: tuple[Modality, ...] = tuple(Modality)


@dataclass(frozen=True, slots=True)
class Vote:
    """What one rater said of a clip. `categories` keeps the corpus's own words, in order."""

    rater: str
    categories: tuple[str, ...] = ()
    valence: float | None = None
    activation: float | None = None
    dominance: float | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a media file: `start` and `end` in seconds, `end=None` for the whole rest.

    `half` names the side of the frame that shows the speaker; None is the whole frame. `channel`
    counts audio channels from 0; None is their mix. `track` chooses an audio track by its number,
    from 1, or its language; None is the first.

    Example:
        >>> emohop.Span(Path("film.mp4"), start=2.0, end=5.5).half is None
        True
    """

    path: Path
    start: float = 0.0
    end: float | None = None
    half: Half | None = None
    channel: int | None = None
    track: int | str | None = None


@dataclass(frozen=True, slots=True)
class Clip:
    """One utterance. `start` and `end` are seconds in its dialog; what is unknown is None.

    `label` is the corpus's own label, before any `LabelSet` is applied. `audio` and `video`
    say where the media are; they may be the same file. `previous_turns` are the transcripts of the
    turns before it, the earliest first, where the text features use them.

    Example:
        >>> emohop.Clip("take-1", label="happy", transcript="It worked!").speaker is None
        True
    """

    id: str
    label: str | None = None
    speaker: str | None = None
    gender: Gender | None = None
    session: str | None = None
    dialog: str | None = None
    scripted: bool | None = None
    transcript: str | None = None
    start: float = 0.0
    end: float | None = None
    votes: tuple[Vote, ...] = ()
    valence: float | None = None
    activation: float | None = None
    dominance: float | None = None
    audio: Span | None = None
    video: Span | None = None
    split: Split | None = None
    previous_turns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LabelSet:
    """The classes of an experiment and which corpus labels go into each.

    `merged` maps further corpus labels onto a class (`exc` counted as `hap`, say). A corpus label
    that is neither a class nor merged is outside the set: such clips are dropped and counted.

    Example:
        >>> emohop.LabelSet("mine", ("hap", "sad"), {"exc": "hap"}).class_of("exc")
        'hap'
    """

    name: str
    labels: tuple[str, ...]
    merged: Mapping[str, str] = field(default_factory=dict)

    def class_of(self, corpus_label: str | None) -> str | None:
        """The class of a corpus label, or None when the label is outside the set.

        One that is spelled in another way (`spelling.plain`) is the same.
        """
        if corpus_label is None:
            return None
        if corpus_label in self.labels:
            return corpus_label
        if corpus_label in self.merged:
            return self.merged[corpus_label]
        wanted = plain(corpus_label)
        every = {**{label: label for label in self.labels}, **self.merged}
        return next((name for label, name in every.items() if plain(label) == wanted), None)
