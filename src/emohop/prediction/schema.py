"""What a model says of one clip: for people, programs and the web page alike."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from emohop.clips import Modality

VERSION = 1
"""Of the JSON. It grows when a key goes or changes its meaning, not when one is added."""
ATTENTION_NOTE = (
    "Attention is not by itself an explanation (Jain and Wallace 2019; Wiegreffe and Pinter 2019)."
)
"""What stands below every display of attention weights."""


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Word(_Answer):
    """A word of the transcript."""

    text: str
    """As it was written, or heard."""
    start: float | None = None
    """Seconds from the start of the clip; null where words have no times."""
    end: float | None = None
    """Seconds from the start of the clip."""


class Hop(_Answer):
    """The attention weights of one hop."""

    hop: int = Field(ge=1)
    """Counted from 1."""
    target: Modality
    """The modality that it attends to."""
    entropy: float
    """1 is uniform, 0 is one step only."""
    weights: tuple[float, ...]
    """Of each step, in order; they sum to 1."""
    starts: tuple[float | None, ...]
    """Of each step, in seconds from the start of the clip; null for words without times."""
    ends: tuple[float | None, ...]
    """Of each step, as starts."""
    words: tuple[str, ...] | None = None
    """The word of each step, if it attends to text."""


class Prediction(_Answer):
    """A clip's emotion, by one model.

    Example:
        >>> found = emohop.load("demo/runs/amh/fold-1/seed-0/model")(text="Oh no!")
        >>> round(sum(found.probabilities.values()), 6)
        1.0
    """

    version: int = VERSION
    """Of this format."""
    source: str
    """The file, as it was named, or what stands for it."""
    start: float = 0.0
    """Seconds in the file at which the clip begins."""
    end: float | None = None
    """Where it ends; null for text alone."""
    speaker: str | None = None
    """Who speaks, where that is known."""
    label: str
    """The most probable class."""
    probabilities: dict[str, float]
    """Of each class, as calibrated on the dev part of the training corpus; they sum to 1."""
    used: tuple[Modality, ...]
    """The modalities that the model used."""
    missing: tuple[Modality, ...]
    """Those that it takes and the clip lacks."""
    transcript: str | None = None
    """What is said, where it is known."""
    transcript_from: str | None = None
    """given, the name of a file, or the speech recognition's model."""
    words: tuple[Word, ...] = ()
    """The transcript's words with their times, where these are known."""
    unknown_words: tuple[str, ...] = ()
    """Words that the model's vocabulary lacks: it reads them all as one."""
    attention: tuple[Hop, ...] = ()
    """Empty for models without attention. Not by itself an explanation."""
    notes: tuple[str, ...] = ()
    """What was noticed, cut off, left out or repaired."""
    segments: tuple[Prediction, ...] = ()
    """Of a whole recording that was cut: the predictions of its clips, whose probabilities' means,
    weighted by their lengths, are its own. Empty for a clip."""

    def without_attention(self) -> Prediction:
        """The same without attention weights, which are most of it."""
        parts = tuple(part.without_attention() for part in self.segments)
        return self.model_copy(update={"attention": (), "segments": parts})

    @classmethod
    def of_segments(cls, segments: Sequence[Prediction], errors: Sequence[str] = ()) -> Prediction:
        """A recording as a whole: the means of its segments' probabilities, weighted by length."""
        first = segments[0]
        seconds = [max((one.end or one.start) - one.start, 1e-3) for one in segments]
        probabilities = {
            label: round(
                sum(one.probabilities[label] * s for one, s in zip(segments, seconds, strict=True))
                / sum(seconds),
                6,
            )
            for label in first.probabilities
        }
        used = tuple(m for m in Modality if any(m in one.used for one in segments))
        speakers = {one.speaker for one in segments}
        said = [one.transcript for one in segments if one.transcript]
        words = [
            word.model_copy(
                update={
                    "start": None if word.start is None else round(word.start + one.start, 3),
                    "end": None if word.end is None else round(word.end + one.start, 3),
                }
            )
            for one in segments
            for word in one.words
        ]
        return cls(
            source=first.source,
            start=min(one.start for one in segments),
            end=max(one.end or one.start for one in segments),
            speaker=speakers.pop() if len(speakers) == 1 else None,
            label=max(probabilities, key=lambda label: probabilities[label]),
            probabilities=probabilities,
            used=used,
            missing=tuple(m for m in first.used + first.missing if m not in used),
            transcript=" ".join(said) if said else first.transcript,
            transcript_from=first.transcript_from,
            words=tuple(words),
            unknown_words=tuple(dict.fromkeys(w for one in segments for w in one.unknown_words)),
            notes=(
                f"longer than the model reads: the means of {len(segments)} clips, by length",
                *dict.fromkeys(note for one in segments for note in one.notes),
                *errors,
            ),
            segments=tuple(segments),
        )
