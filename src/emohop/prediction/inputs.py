"""What a prediction is asked of: files, arrays and words, as clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emohop.clips import Clip, Modality, Span
from emohop.errors import EmohopError, MediaError
from emohop.features.audio import waveform_16k
from emohop.features.transcription import Transcriber
from emohop.media import LOUDEST, Media, Passes, check_rate, probe, read_audio_spans
from emohop.media.channels import mixed
from emohop.prediction.schema import Word
from emohop.prediction.transcripts import Transcript, transcript_beside

Waveform = NDArray[np.floating[Any]]
Frames = NDArray[np.uint8]
ARRAYS = ("audio", "video")
MOST_CHANNELS = 32
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
    """What was noticed on the way."""
    error: MediaError | None = None
    """Why it cannot be predicted."""
    parts: tuple[Source, ...] = ()
    """What a model reads one by one, where the clip is longer than it reads."""

    def times(self, modality: Modality) -> tuple[float, float | None]:
        """From when to when there is audio or video, in seconds from the start of the clip."""
        clip = self.clip
        length = None if clip.end is None else clip.end - clip.start
        span = clip.audio if modality is Modality.AUDIO else clip.video
        if modality is Modality.AUDIO and self.waveform is not None:
            samples, rate = self.waveform
            return 0.0, len(samples) / rate
        if span is None:
            return 0.0, length
        return span.start - clip.start, length if span.end is None else span.end - clip.start

    @property
    def decoded(self) -> bool:
        """It came as arrays: there is no file to read."""
        return self.waveform is not None or self.frames is not None


Item = str | Path | Waveform | tuple[int, NDArray[Any]] | Mapping[str, Any] | Source
"""What can be predicted."""


def source_of_file(
    path: str | Path,
    text: str | None = None,
    previous_turns: Sequence[str] = (),
    channel: int | None = None,
    track: int | str | None = None,
) -> Source:
    """The whole of a file; its transcript is `text`, or in a file beside it.

    `channel` and `track` are those of `Span`.

    Raises:
        MediaError: the file is missing, or holds neither audio nor video.
        EmohopError: the transcript beside it cannot be read.
    """
    file = Path(path)
    media = probe(file, track)
    transcript = transcript_beside(file) if text is None else Transcript(text)
    return Source(
        Clip(
            id=str(path),
            speaker=None if channel is None else channel_name(channel),
            end=round(media.duration, 6),
            transcript=None if transcript is None else transcript.text,
            previous_turns=tuple(previous_turns),
            audio=Span(file, channel=channel, track=track) if media.has_audio else None,
            video=None if media.video_end is None else Span(file, media.video_start or 0.0),
        ),
        transcript,
        notes=(*media_notes(media), *(() if transcript is None else transcript.notes)),
    )


def channel_name(channel: int) -> str:
    """What the speaker of a channel is called, where nothing else is known."""
    return f"channel {channel + 1}"


def media_notes(media: Media) -> tuple[str, ...]:
    """What is to be said of a file that is read all the same."""
    notes = []
    if media.video_fault is not None:
        notes.append(f"{Modality.VIDEO} was left out: {media.video_fault}")
    if media.truncated:
        notes.append("cut short: the file is smaller than its header says")
    return tuple(notes)


def source_of_item(
    item: Any,
    sample_rate: int,
    frames_per_second: float,
    text: str | None = None,
    previous_turns: Sequence[str] = (),
) -> Source:
    """What is not a file: arrays, a pair of a rate and samples, or a mapping with a text.

    Raises EmohopError for anything else.
    """
    if isinstance(item, tuple):
        item = {"audio": item}
    if isinstance(item, Mapping):
        given = {name: value for name, value in item.items() if value is not None}
        said = given.pop("text", text)
        if not (said is None or isinstance(said, str)):
            raise EmohopError(f"text of type {type(said).__name__}: a string is accepted")
        if not given and said is not None:
            return source_of_text(said, previous_turns)
        audio = given.get("audio")
        if isinstance(audio, tuple):
            if len(audio) != len(("rate", "samples")) or not isinstance(
                audio[0], (int, np.integer)
            ):
                raise EmohopError(
                    "a pair of audio is (sample_rate, samples), the rate in Hz and whole: this has "
                    f"{', '.join(type(part).__name__ for part in audio) or 'nothing'}"
                )
            sample_rate, given["audio"] = int(audio[0]), audio[1]
        return source_of_arrays(given, sample_rate, frames_per_second, said, previous_turns)
    if not hasattr(item, "__array__"):
        raise EmohopError(
            f"an item of type {type(item).__name__}: a file's name or Path, an array of samples, "
            "(sample_rate, samples), or a mapping of audio, video and text is accepted"
        )
    return source_of_arrays(item, sample_rate, frames_per_second, text, previous_turns)


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

    Samples are numbers from -1 to 1, or integers of 16 or 32 bits, whose full scale is 1. Frames
    are uint8 `[n, height, width, 3]`, of which the model wants `frames_per_second`.
    Raises EmohopError for arrays of another shape or kind, or that hold NaN or infinity.
    """
    found: Mapping[str, Any] = arrays if isinstance(arrays, Mapping) else {"audio": arrays}
    if strange := sorted(set(found) - set(ARRAYS)):
        raise EmohopError(f"no arrays {strange[0]!r}: {' and '.join(ARRAYS)} are accepted")
    waveform, notes = None, tuple[str, ...]()
    if found.get("audio") is not None:
        waveform, notes = _waveform(found["audio"], sample_rate)
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
        notes,
    )


def _waveform(array: Any, sample_rate: int) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """One channel of samples, and what is to be said of it."""
    samples = np.asarray(array)
    whole = samples.dtype in (np.int16, np.int32)
    if samples.ndim not in (1, 2) or not (samples.dtype.kind == "f" or whole):
        raise EmohopError(
            f"audio of shape {samples.shape} and type {samples.dtype}: numbers from -1 to 1 as "
            "float32 or float64, or int16 or int32, [samples] or [samples, channels], are accepted"
        )
    check_rate("sample_rate", sample_rate)
    if whole:
        samples = samples / float(np.iinfo(samples.dtype).max + 1)
    if samples.ndim == 1:
        return finite(samples), ()
    if not 0 < samples.shape[1] <= MOST_CHANNELS:
        raise EmohopError(
            f"audio of shape {samples.shape}: [samples, channels] with up to {MOST_CHANNELS} "
            "channels are accepted; is it the other way round?"
        )
    channels = np.ascontiguousarray([finite(one) for one in samples.T])
    mono, note = mixed(channels) if len(channels) <= 2 else (channels.mean(axis=0), None)
    return mono, () if note is None else (f"{Modality.AUDIO}: {note}",)


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


def transcribed(source: Source, transcriber: Transcriber, passes: Passes | None = None) -> Source:
    """The same clip with what a speech recogniser hears in it; as it is without audio.

    `passes` are those of a recording of which more clips follow.

    If its audio cannot be read, that is said when it is predicted.
    """
    if source.waveform is not None:
        samples, rate = source.waveform
    elif source.clip.audio is not None:
        ((_, audio),) = read_audio_spans([source.clip.audio], repair=True, passes=passes)
        if isinstance(audio, MediaError):
            return source
        samples, rate, _ = audio
    else:
        return source
    heard = transcriber(waveform_16k(samples, rate))
    words = tuple(Word(text=one.word, start=one.start, end=one.end) for one in heard)
    text = " ".join(word.text for word in words)
    return with_transcript(source, Transcript(text, transcriber.name, words))
