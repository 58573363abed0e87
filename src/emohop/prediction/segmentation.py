"""Long recordings cut into clips: where somebody speaks, evenly, or as a file says."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emohop.clips import Clip, Span
from emohop.errors import EmohopError, MediaError
from emohop.features.audio import waveform_16k
from emohop.features.vad import utterances
from emohop.media import Media, probe, read_audio_spans
from emohop.prediction.inputs import Source, source_of_file
from emohop.prediction.transcripts import Cue, Transcript, read_cues, text_of, transcript_beside

LONG_SECONDS = 60.0
"""A longer file is cut where somebody speaks, if nothing else is said."""
SPEECH = "speech"
"""Segments are where somebody speaks."""
BLOCK_SECONDS = 60.0
"""Audio that is in memory at one time while speech is looked for."""
SHORTEST_SECONDS = 0.5
"""A rest at the end that is shorter than this share of a second goes to the clip before it."""
MOST_SEGMENTS = 100_000
TABLES = (".csv", ".rttm", ".srt", ".vtt")


def clips_of(
    path: str | Path,
    text: str | None = None,
    previous_turns: Sequence[str] = (),
    segments: str | None = None,
) -> Iterator[Source]:
    """A file as one clip, or cut into several: by `segments`, or if it is long.

    Errors are those of `source_of_file` and `segments_of`; a `text` cannot be cut.
    """
    if segments is None:
        whole = source_of_file(path, text, previous_turns)
        if (whole.clip.end or 0.0) <= LONG_SECONDS:
            yield whole
            return
        if whole.clip.audio is None:
            raise EmohopError(f"{path}: long, and without audio: cut it by --segments SECONDS")
    if text is not None:
        raise EmohopError(
            "--text is one clip's, and this is a recording of several: put an .srt or .vtt file "
            "beside it, or say --asr"
        )
    yield from segments_of(path, segments or SPEECH, previous_turns)


def segments_of(
    path: str | Path, segments: str, previous_turns: Sequence[str] = ()
) -> Iterator[Source]:
    """The clips of a file, by their starts; `segments` is `speech`, a number of seconds, or a file.

    Such a file is a table (.csv with start and end, and speaker and text if they are known), .rttm,
    .srt or .vtt. Each clip gets what is said in it: from these, else from a transcript with
    times beside the recording. Nothing of the recording is kept: memory does not grow with it.

    Raises:
        MediaError: the file cannot be read, or nobody speaks in it.
        EmohopError: the segments cannot be read, or do not lie in the file.
    """
    file = Path(path)
    media = probe(file)
    beside = transcript_beside(file)
    timed = beside if beside is not None and beside.words else None
    found = 0
    for cue, given in _cues(file, media, segments):
        if cue.start >= media.duration:
            raise EmohopError(
                f"{segments}: a segment begins at {cue.start:g} s, {path} is {media.duration:.2f} s"
            )
        end = min(cue.end, media.duration)
        transcript = Transcript(cue.text, Path(segments).name) if given else None
        if transcript is None and timed is not None:
            transcript = timed.part(cue.start, end)
        found += 1
        yield Source(
            Clip(
                id=str(path),
                speaker=cue.speaker,
                start=round(cue.start, 3),
                end=round(end, 3),
                transcript=None if transcript is None else transcript.text,
                previous_turns=tuple(previous_turns),
                audio=Span(file, cue.start, end) if media.has_audio else None,
                video=_frames_of(file, media, cue.start, end),
            ),
            transcript,
        )
    if not found:
        raise MediaError(f"{path}: nobody speaks in it: give --segments SECONDS to cut it evenly")


def _frames_of(file: Path, media: Media, start: float, end: float) -> Span | None:
    """What is seen in a segment; nothing where the frame ends before the audio."""
    if media.video_duration is None or start >= media.video_duration:
        return None
    return Span(file, start, min(end, media.video_duration))


def _cues(file: Path, media: Media, segments: str) -> Iterator[tuple[Cue, bool]]:
    """Segments, and whether what is said in them is known."""
    if segments == SPEECH:
        if not media.has_audio:
            raise EmohopError(f"{file} has no audio: give --segments SECONDS to cut it evenly")
        for start, end in utterances(_blocks(file, media.duration)):
            yield Cue(start, end, ""), False
        return
    try:
        seconds = float(segments)
    except ValueError:
        yield from _read_segments(Path(segments))
        return
    if not 0.1 <= seconds <= 3600:
        raise EmohopError(f"--segments {segments}: 0.1 to 3600 seconds are accepted")
    count = max(1, math.ceil(media.duration / seconds - SHORTEST_SECONDS))
    if count > MOST_SEGMENTS:
        raise EmohopError(f"--segments {segments}: {count} clips; {MOST_SEGMENTS} are accepted")
    for k in range(count):
        end = media.duration if k == count - 1 else (k + 1) * seconds
        yield Cue(k * seconds, end, ""), False


def _blocks(file: Path, seconds: float) -> Iterator[NDArray[np.float32]]:
    """The audio of a file at 16 kHz, a block after the other."""
    count = max(1, math.ceil(seconds / BLOCK_SECONDS))
    spans = [
        Span(file, k * BLOCK_SECONDS, None if k == count - 1 else (k + 1) * BLOCK_SECONDS)
        for k in range(count)
    ]
    for _, waveform in read_audio_spans(spans):
        if isinstance(waveform, MediaError):
            raise waveform
        yield waveform_16k(*waveform)


def _read_segments(path: Path) -> Iterator[tuple[Cue, bool]]:
    """The segments in a file, by their starts; EmohopError, naming its line, for a wrong one."""
    kind = path.suffix.lower()
    if kind not in TABLES:
        raise EmohopError(
            f"--segments {path}: {SPEECH}, a number of seconds, or a file "
            f"({', '.join(TABLES)}) is accepted"
        )
    text = text_of(path)
    if kind == ".csv":
        found = list(_csv(text, path))
    elif kind == ".rttm":
        found = [(cue, False) for cue in _rttm(text, path)]
    else:
        found = [(cue, True) for cue in read_cues(text, path)]
    if not found:
        raise EmohopError(f"{path}: there are no segments in it")
    yield from sorted(found, key=lambda pair: (pair[0].start, pair[0].end))


def _csv(text: str, path: Path) -> Iterator[tuple[Cue, bool]]:
    table = csv.DictReader(io.StringIO(text))
    names = table.fieldnames or []
    if missing := {"start", "end"} - set(names):
        raise EmohopError(
            f"{path} has no column {min(missing)}: start and end in seconds are needed, speaker "
            "and text are read too"
        )
    for number, row in enumerate(table, 2):
        start, end = _numbers(path, number, row["start"], row["end"])
        known = "text" in names and row["text"] is not None
        yield Cue(start, end, row["text"] if known else "", row.get("speaker") or None), known


def _rttm(text: str, path: Path) -> Iterator[Cue]:
    """Lines of NIST's RTTM: SPEAKER file channel start duration <NA> <NA> name."""
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.split()
        if not fields or fields[0] != "SPEAKER":
            continue
        if len(fields) < 8:
            raise EmohopError(f"{path}, line {number}: {len(fields)} fields, 8 at least in RTTM")
        start, seconds = _numbers(path, number, fields[3], fields[4], spans=False)
        yield Cue(start, start + seconds, "", fields[7])


def _numbers(
    path: Path, line: int, first: object, second: object, *, spans: bool = True
) -> tuple[float, float]:
    """Two times in seconds; EmohopError unless they are, and make a segment."""
    try:
        start, end = float(str(first)), float(str(second))
    except ValueError:
        start = end = math.nan
    if not (0 <= start < math.inf and (start if spans else 0) < end < math.inf):
        raise EmohopError(
            f"{path}, line {line}: {str(first)[:20]!r} and {str(second)[:20]!r} are not "
            f"{'a start and an end' if spans else 'a start and a length'} in seconds"
        )
    return start, end
