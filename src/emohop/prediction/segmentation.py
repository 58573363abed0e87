"""Recordings cut into clips that a model reads whole: where somebody speaks, or as a file says."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from emohop.clips import Clip, Modality, Span
from emohop.errors import EmohopError, MediaError, MissingExtraError
from emohop.features.audio import SAMPLE_RATE_HZ, WINDOW_SECONDS, waveform_16k
from emohop.features.pauses import Levels
from emohop.features.transcription import Transcriber
from emohop.features.vad import LONGEST_SECONDS, utterances
from emohop.media import Media, Passes, probe, read_audio_spans
from emohop.prediction.alignment import aligned
from emohop.prediction.inputs import (
    Source,
    channel_name,
    media_notes,
    source_of_file,
    transcribed,
    with_transcript,
)
from emohop.prediction.schema import Word
from emohop.prediction.segment_files import SUFFIXES, read_segments
from emohop.prediction.transcripts import Cue, Transcript, transcript_beside

CLIP_SECONDS = LONGEST_SECONDS
"""A file up to this length is one clip, which is read in parts where a model reads less of it."""
LONG_SECONDS = 60.0
"""A longer recording is not what one `text` says."""
SPEECH = "speech"
"""Segments are where somebody speaks."""
NONE = "none"
"""A file is one clip, however long."""
BLOCK_SECONDS = 60.0
"""Audio that is in memory at one time while speech or pauses are looked for."""
SHORTEST_SECONDS = 0.5
"""A rest at the end that is shorter than this share of a second goes to the clip before it."""
MOST_SEGMENTS = 100_000
ROUNDING_SECONDS = 2e-3
"""Of the starts and ends of clips, which are whole milliseconds."""
SECONDS = (0.1, 3600.0)
"""Of even segments."""

Channel = int | Literal["each"] | None


@dataclass(frozen=True, slots=True)
class Cutting:
    """How files become clips.

    Raises EmohopError for segments that cannot be.
    """

    segments: str | None = None
    """`speech`, `none`, a number of seconds, or a file; None cuts where somebody speaks, if a file
    is longer than the model reads."""
    longest: float = math.inf
    """Seconds of a clip that the model reads: segments are not longer."""
    channel: Channel = None
    """Of the audio, from 0; `each` makes clips of each; None is their mix."""
    track: int | str | None = None
    """The audio track, as `Span.track` has it."""
    transcriber: Transcriber | None = None
    """What hears the words that are not given."""

    def __post_init__(self) -> None:
        if self.segments is None or self.segments in (SPEECH, NONE):
            return
        if (seconds := self.seconds) is not None:
            low, high = SECONDS
            if not low <= seconds <= high:
                raise EmohopError(
                    f"segments of {self.segments} seconds: {low:g} to {high:g} seconds are accepted"
                )
        elif Path(self.segments).suffix.lower() not in SUFFIXES:
            raise EmohopError(
                f"segments {self.segments!r}: {SPEECH}, {NONE}, a number of seconds, or a file "
                f"({', '.join(SUFFIXES)}) is accepted"
            )

    @property
    def seconds(self) -> float | None:
        """How long even segments are; None where they are not even."""
        try:
            return float(self.segments or "")
        except ValueError:
            return None


def clips_of(
    path: str | Path,
    cutting: Cutting,
    text: str | None = None,
    previous_turns: Sequence[str] = (),
) -> Iterator[Source]:
    """A file as one clip, or cut into several, channel by channel if that is asked for.

    Each clip gets what is said in it: `text`, what the segments or a transcript with times beside
    the file say, or what is heard. A segment that cannot be a clip comes with its error.

    Raises:
        MediaError: the file cannot be read, or nobody speaks in it.
        EmohopError: the segments cannot be read, or a `text` is given of several.
    """
    media = probe(Path(path), cutting.track)
    each = range(media.channels or 1)
    for channel in each if cutting.channel == "each" else (cutting.channel,):
        span = Span(Path(path), channel=channel, track=cutting.track)
        yield from _clips(path, media, cutting, span, text, previous_turns)


def _clips(
    path: str | Path,
    media: Media,
    cutting: Cutting,
    span: Span,
    text: str | None,
    previous_turns: Sequence[str],
) -> Iterator[Source]:
    is_clip = media.duration <= max(cutting.longest, CLIP_SECONDS if text is None else LONG_SECONDS)
    sources: Iterator[Source]
    if cutting.segments == NONE or (cutting.segments is None and is_clip):
        whole = source_of_file(path, text, previous_turns, span.channel, span.track)
        hear = cutting.transcriber
        if hear is not None and whole.transcript is None:
            whole = transcribed(whole, hear)
        sources = iter([whole])
    elif text is not None:
        raise EmohopError(
            "a text is one clip's, and this is a recording of several: put an .srt or .vtt file "
            "beside it, let speech recognition find the words, or set segments to none to take it "
            "as one clip"
        )
    else:
        found = _with_words(span.path, _segments(path, media, cutting, span), media, cutting)
        before = tuple(previous_turns)
        sources = (replace(s, clip=replace(s.clip, previous_turns=before)) for s in found)
    yield from sources if cutting.segments == NONE else _in_parts(sources, span, media, cutting)


def _segments(path: str | Path, media: Media, cutting: Cutting, span: Span) -> Iterator[Source]:
    """The clips of a file by their starts, with the words that their segments give them.

    Nothing of the recording is kept: memory does not grow with it.
    """
    notes = media_notes(media)
    wrong: list[Source] = []  # told when it is known that there are others
    found = 0
    for cue, given, note in _cues(span, media, cutting):
        fault = cue.fault or _fault(cue, media, span.path)
        if fault is not None:
            where = f"{cutting.segments}, line {cue.line}: "
            told = fault if cue.fault or cue.line is None else where + fault
            clip = Clip(id=str(path), speaker=cue.speaker, start=cue.start, end=cue.end)
            wrong.append(Source(clip, error=MediaError(f"{told}: left out")))
        else:
            source = _source(path, cue, span, media, notes if note is None else (*notes, note))
            if given:
                said = Transcript(cue.text, Path(cutting.segments or "").name, cue.words)
                source = with_transcript(source, said.part(cue.start, cue.end))
            found += 1
            yield source
        if found:
            yield from wrong
            wrong = []
    if wrong:
        raise EmohopError(str(wrong[0].error))
    if not found:
        raise MediaError(
            f"{path}: nobody speaks in it: set segments to a number of seconds to cut it evenly"
        )


def _fault(cue: Cue, media: Media, file: Path) -> str | None:
    """Why a segment cannot be a clip of a file; None if it can."""
    if cue.end - cue.start < WINDOW_SECONDS:
        return (
            f"a segment of {cue.end - cue.start:.3f} s at {cue.start:g} s: {WINDOW_SECONDS} s is "
            "the least that a model reads"
        )
    end = media.duration if media.audio_end is None else media.audio_end
    if cue.start > end - WINDOW_SECONDS:
        what = "" if media.audio_end is None else " of the audio"
        return f"a segment begins at {cue.start:g} s, the end{what} of {file} is at {end:.2f} s"
    return None


def _source(path: str | Path, cue: Cue, span: Span, media: Media, notes: tuple[str, ...]) -> Source:
    end = min(cue.end, media.duration)
    channel = span.channel if cue.channel is None else cue.channel
    speaker = cue.speaker
    if speaker is None and channel is not None:
        speaker = channel_name(channel)
    audio = video = None
    if media.audio_end is not None:
        audio = replace(span, start=cue.start, end=min(end, media.audio_end), channel=channel)
    if media.video_end is not None:
        first, last = max(cue.start, media.video_start or 0.0), min(end, media.video_end)
        video = Span(span.path, first, last) if first < last else None
    return Source(
        Clip(
            id=str(path),
            speaker=speaker,
            start=round(cue.start, 3),
            end=round(end, 3),
            audio=audio,
            video=video,
        ),
        notes=notes,
    )


_Segment = tuple[Cue, bool, str | None]
"""A segment, whether what is said in it is known, and what is to be said of it."""


def _cues(span: Span, media: Media, cutting: Cutting) -> Iterator[_Segment]:
    """The segments of a recording, as long as they are."""
    segments, length = cutting.segments, media.duration
    if segments is None:
        yield from _by_itself(span, media, cutting.longest)
    elif segments == SPEECH:
        if media.audio_end is None:
            raise EmohopError(
                f"{span.path} has no audio: set segments to a number of seconds to cut it evenly"
            )
        for start, end in _spoken(span, media.audio_end, cutting.longest):
            yield Cue(start, end, ""), False, None
    elif (seconds := cutting.seconds) is not None:
        count = max(1, math.ceil(length / seconds - SHORTEST_SECONDS))
        if count > MOST_SEGMENTS:
            raise EmohopError(
                f"segments of {segments} seconds: {count} clips; {MOST_SEGMENTS} are accepted"
            )
        for k in range(count):
            end = length if k == count - 1 else (k + 1) * seconds
            yield Cue(k * seconds, end, ""), False, None
    else:
        for cue, given in read_segments(Path(segments), span.path):
            yield cue, given, None


def _by_itself(span: Span, media: Media, longest: float) -> Iterator[_Segment]:
    """The segments of a long recording of which nothing is said: speech, or else all of it."""
    note = None
    if media.audio_end is not None:
        found = False
        try:
            for start, end in _spoken(span, media.audio_end, longest):
                found = True
                yield Cue(start, end, ""), False, None
        except MissingExtraError:
            note = "cut at pauses: with emohop[speech] it would be cut where somebody speaks"
        if found:
            return
        note = note or "no speech was found in it: all of it was cut into clips"
    (parts,) = _cuts([(0.0, media.duration)], span, media, longest)
    for start, end in parts:
        yield Cue(start, end, ""), False, note


def _spoken(span: Span, end: float, longest: float) -> Iterator[tuple[float, float]]:
    """Where somebody speaks in a recording, for a model that reads so many seconds."""
    blocks = (block for _, block in _blocks(_block_spans(span, 0.0, end)))
    return utterances(blocks, min(longest, LONGEST_SECONDS))


def _blocks(spans: Sequence[Span]) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """The audio of spans of one file at 16 kHz, as `read_audio_spans` orders them.

    One that cannot be read is silence of its length: what follows keeps its time.
    """
    for i, audio in read_audio_spans(spans, repair=True):
        if isinstance(audio, MediaError):
            seconds = (spans[i].end or spans[i].start) - spans[i].start
            yield i, np.zeros(round(seconds * SAMPLE_RATE_HZ), np.float32)
        else:
            yield i, waveform_16k(audio.samples, audio.sample_rate)


def _block_spans(span: Span, start: float, end: float) -> list[Span]:
    count = max(1, math.ceil((end - start) / BLOCK_SECONDS))
    edges = [start + k * BLOCK_SECONDS for k in range(count)] + [end]
    return [replace(span, start=a, end=b) for a, b in itertools.pairwise(edges)]


def _in_parts(
    sources: Iterable[Source], span: Span, media: Media, cutting: Cutting
) -> Iterator[Source]:
    """The same clips, those that a model does not read whole with parts that it does.

    All clips are known before the first pause is looked for, in one pass over the recording.
    """
    waiting: list[Source] = []
    for source in sources:
        if waiting or _is_long(source, cutting):
            waiting.append(source)
        else:
            yield source
    long = [source.clip for source in waiting if _is_long(source, cutting)]
    times = [(clip.start, clip.end or media.duration) for clip in long]
    cuts = iter(_cuts(times, span, media, cutting.longest))
    for source in waiting:
        if not _is_long(source, cutting):
            yield source
            continue
        clip, parts = source.clip, []
        channel = clip.audio.channel if clip.audio is not None else span.channel
        for start, end in next(cuts):
            cue = Cue(start, end, "", clip.speaker, channel=channel)
            part = _source(clip.id, cue, span, media, ())
            if source.transcript is not None:
                said = source.transcript.shared_out((clip.end or end) - clip.start)
                part = with_transcript(part, said.part(start - clip.start, end - clip.start))
            parts.append(replace(part, clip=replace(part.clip, previous_turns=clip.previous_turns)))
        yield replace(source, parts=tuple(parts))


def _is_long(source: Source, cutting: Cutting) -> bool:
    clip = source.clip
    long = clip.end is not None and clip.end - clip.start > cutting.longest + ROUNDING_SECONDS
    return long and source.error is None


def _cuts(
    times: Sequence[tuple[float, float]], span: Span, media: Media, longest: float
) -> list[list[tuple[float, float]]]:
    """Where stretches that are too long are cut, by one pass over the recording."""
    levels = [Levels() for _ in times]
    if media.audio_end is not None:
        pieces = [
            (k, piece)
            for k, (start, end) in enumerate(times)
            if start < media.audio_end
            for piece in _block_spans(span, start, min(end, media.audio_end))
        ]
        for i, block in _blocks([piece for _, piece in pieces]):
            levels[pieces[i][0]].add(block)
    return [
        [(start + a, start + b) for a, b in level.cut(0.0, end - start, longest)]
        for level, (start, end) in zip(levels, times, strict=True)
    ]


def _with_words(
    file: Path, sources: Iterable[Source], media: Media, cutting: Cutting
) -> Iterator[Source]:
    """Clips with what is said in them, where their segments do not say it.

    That is in a transcript with times beside the recording; in one without, whose words are said
    when a recogniser hears them; or it is what the recogniser hears.
    """
    beside = transcript_beside(file)
    with Passes() as passes:

        def heard(source: Source) -> Source:
            hear = cutting.transcriber
            return source if hear is None else transcribed(source, hear, passes)

        note, listed = "", None
        if beside is not None and not beside.timed and beside.text:
            note = "its words have no times, which speech recognition (asr) would find"
            if cutting.transcriber is not None:
                lacking = list(sources)
                listed = [heard(s) if _lacks_words(s) else s for s in lacking]
                new = [two for one, two in zip(lacking, listed, strict=True) if one is not two]
                found = aligned(beside, _on_the_clock(new), media.duration)
                note = "nothing in it was heard" if found is None else ""
                beside, sources = found or beside, listed if found is None else lacking
        notes: tuple[str, ...] = ()
        if beside is not None:
            unused = f"{Modality.TEXT}: {beside.origin} was not used: {note}"
            notes = (unused,) if note else beside.notes
        for source in sources:
            if source.error is None and notes:
                source, notes = replace(source, notes=(*source.notes, *notes)), ()  # noqa: PLW2901
            if not _lacks_words(source):
                yield source
            elif beside is not None and beside.timed:
                part = beside.part(source.clip.start, source.clip.end or media.duration)
                yield with_transcript(source, part)
            else:
                yield heard(source)


def _lacks_words(source: Source) -> bool:
    return source.error is None and source.transcript is None


def _on_the_clock(sources: Iterable[Source]) -> list[Word]:
    """What was heard in clips, with its times in the recording."""
    return [
        Word(text=word.text, start=source.clip.start + word.start, end=source.clip.start + word.end)
        for source in sources
        if source.transcript is not None
        for word in source.transcript.words
        if word.start is not None and word.end is not None
    ]
