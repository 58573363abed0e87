"""What a prediction is asked of: files, arrays and words, as clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emohop.clips import Clip, Span
from emohop.errors import EmohopError, MediaError
from emohop.features.audio import waveform_16k
from emohop.features.transcription import Transcriber
from emohop.media import LOUDEST, check_rate, probe, read_audio
from emohop.prediction.schema import Word
from emohop.prediction.transcripts import Transcript, transcript_beside

Waveform = NDArray[np.floating[Any]]
Frames = NDArray[np.uint8]
ARRAYS = ("audio", "video")
TEXT_ALONE = "text"
"""The source of a prediction on text alone."""


@dataclass(frozen=True, eq=False)
class Source:
    """A clip to be predicted, with its transcript; decoded already, if it came as arrays."""

    clip: Clip
    transcript: Transcript | None = None
    waveform: tuple[NDArray[np.float32], int] | None = None
    """Samples [n] and samples per second, where they came as an array."""
    frames: Frames | None = None
    """uint8 [n, height, width, 3], where they came as an array."""
    notes: tuple[str, ...] = field(default=())

    @property
    def decoded(self) -> bool:
        """It came as arrays: there is no file to read."""
        return self.waveform is not None or self.frames is not None


def source_of_file(
    path: str | Path, text: str | None = None, previous_turns: Sequence[str] = ()
) -> Source:
    """The whole of a file; its transcript is `text`, or in a file beside it.

    Raises:
        MediaError: the file is missing, or holds neither audio nor video.
        EmohopError: the transcript beside it cannot be read.
    """
    file = Path(path)
    media = probe(file)
    transcript = transcript_beside(file) if text is None else Transcript(text)
    return Source(
        Clip(
            id=str(path),
            end=media.duration,
            transcript=None if transcript is None else transcript.text,
            previous_turns=tuple(previous_turns),
            audio=Span(file) if media.has_audio else None,
            video=None if media.video_duration is None else Span(file),
        ),
        transcript,
    )


def source_of_text(text: str, previous_turns: Sequence[str] = ()) -> Source:
    """Words alone."""
    clip = Clip(id=TEXT_ALONE, transcript=text, previous_turns=tuple(previous_turns))
    return Source(clip, Transcript(text))


def source_of_arrays(
    arrays: Waveform | Mapping[str, Any],
    sample_rate: int,
    frames_per_second: float,
    text: str | None = None,
    previous_turns: Sequence[str] = (),
) -> Source:
    """Audio `[n]` or `[n, channels]`, or a mapping of `audio` and `video`.

    Frames are uint8 `[n, height, width, 3]`, of which the model wants `pictures_per_second`.
    Raises EmohopError for arrays of another shape or kind, or that hold NaN or infinity.
    """
    found: Mapping[str, Any] = arrays if isinstance(arrays, Mapping) else {"audio": arrays}
    if strange := sorted(set(found) - set(ARRAYS)):
        raise EmohopError(f"no arrays {strange[0]!r}: {' and '.join(ARRAYS)} are accepted")
    waveform = None if found.get("audio") is None else _waveform(found["audio"], sample_rate)
    frames = None if found.get("video") is None else _frames(found["video"])
    if waveform is None and frames is None:
        raise EmohopError("no arrays: audio, video or both are needed; or give text alone")
    seconds = [] if waveform is None else [len(waveform) / sample_rate]
    if frames is not None:
        seconds.append(len(frames) / frames_per_second)
    return Source(
        Clip(id="array", end=max(seconds), transcript=text, previous_turns=tuple(previous_turns)),
        None if text is None else Transcript(text),
        None if waveform is None else (waveform, sample_rate),
        frames,
    )


def _waveform(array: Any, sample_rate: int) -> NDArray[np.float32]:
    samples = np.asarray(array)
    if samples.ndim == 2 and samples.shape[1] <= 32:
        samples = samples.mean(axis=1)
    if samples.ndim != 1 or samples.dtype.kind != "f":
        raise EmohopError(
            f"audio of shape {samples.shape} and type {samples.dtype}: numbers from -1 to 1 as "
            "float32 or float64, [samples] or [samples, channels], are accepted"
        )
    check_rate("sample_rate", sample_rate)
    return finite(samples)


def finite(samples: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Samples as float32; MediaError when some are not numbers, or too loud to be audio."""
    with np.errstate(over="ignore"):
        waveform = np.ascontiguousarray(samples, np.float32)
    if not np.isfinite(waveform).all():
        raise MediaError("audio holds NaN or infinity")
    if waveform.size and (peak := float(np.abs(waveform).max())) > LOUDEST:
        raise MediaError(f"audio of up to {peak:.3g}: numbers from -1 to 1 are accepted")
    return waveform


def _frames(array: Any) -> Frames:
    frames = np.asarray(array)
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
        raise EmohopError(
            f"frames of shape {frames.shape} and type {frames.dtype}: uint8 "
            "[frames, height, width, 3] are accepted"
        )
    if 0 in frames.shape:
        raise MediaError(f"frames of shape {frames.shape}: there is nothing to see")
    return frames


def with_transcript(source: Source, transcript: Transcript) -> Source:
    """The same clip, in which this is said."""
    return replace(
        source, clip=replace(source.clip, transcript=transcript.text), transcript=transcript
    )


def transcribed(source: Source, transcriber: Transcriber) -> Source:
    """The same clip with what a speech recogniser hears in it; as it is without audio.

    Raises MediaError when its audio cannot be read.
    """
    if source.waveform is not None:
        waveform = source.waveform
    elif source.clip.audio is not None:
        waveform = read_audio(source.clip.audio)
    else:
        return source
    heard = transcriber(waveform_16k(*waveform))
    words = tuple(Word(text=one.word, start=one.start, end=one.end) for one in heard)
    text = " ".join(word.text for word in words)
    return with_transcript(source, Transcript(text, transcriber.name, words))
