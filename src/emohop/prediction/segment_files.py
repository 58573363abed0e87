"""Files that say where the segments of a recording are: tables, RTTM, subtitles."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from pathlib import Path

from emohop.errors import EmohopError
from emohop.prediction.transcripts import Cue, read_cues, text_of
from emohop.spelling import plain

SUFFIXES = (".csv", ".rttm", ".srt", ".vtt")
_RTTM_FIELDS = 8


def read_segments(path: Path, recording: Path) -> list[tuple[Cue, bool]]:
    """The segments in a file, by their starts, and whether what is said in each is known.

    Of an RTTM file they are those of this recording, where it is of several. A line that is wrong
    is a cue with a fault that names it. EmohopError for a file that cannot be read, or is empty.
    """
    kind = path.suffix.lower()
    text = text_of(path)
    if kind == ".csv":
        found = list(_csv(text, path))
    elif kind == ".rttm":
        found = [(cue, False) for cue in _rttm(text, path, recording)]
    else:
        found = [(cue, True) for cue in read_cues(text, path)]
    if not found:
        raise EmohopError(f"{path}: there are no segments in it")
    return sorted(found, key=lambda pair: (pair[0].start, pair[0].end))


def _csv(text: str, path: Path) -> Iterator[tuple[Cue, bool]]:
    table = csv.DictReader(io.StringIO(text))
    names = table.fieldnames or []
    if missing := {"start", "end"} - set(names):
        raise EmohopError(
            f"{path} has no column {min(missing)}: start and end in seconds are needed, speaker "
            "and text are read too"
        )
    for number, row in enumerate(table, 2):
        known = "text" in names and row["text"] is not None
        said = row["text"] if known else ""
        speaker = row.get("speaker") or None
        times = _numbers(row["start"], row["end"])
        if times is None or times[1] <= times[0]:
            yield _wrong(path, number, row["start"], row["end"], "an end"), known
        else:
            yield Cue(*times, said, speaker, line=number), known


def _rttm(text: str, path: Path, recording: Path) -> Iterator[Cue]:
    """Lines of NIST's RTTM: SPEAKER file channel start duration <NA> <NA> name."""
    lines = [
        (number, line.split())
        for number, line in enumerate(text.splitlines(), 1)
        if line.split()[:1] == ["SPEAKER"]
    ]
    names = {fields[1] for _, fields in lines if len(fields) > 1}
    mine = {name for name in names if plain(name) in (plain(recording.stem), plain(recording.name))}
    if len(names) > 1 and not mine:
        raise EmohopError(
            f"{path}: of {', '.join(sorted(names)[:5])}, but not of {recording.stem}: its second "
            "field must be the recording's name"
        )
    chosen = [(n, f) for n, f in lines if len(names) < 2 or len(f) < 2 or f[1] in mine]
    channels = {fields[2] for _, fields in chosen if len(fields) > 2}
    for number, fields in chosen:
        if len(fields) < _RTTM_FIELDS:
            fault = f"{path}, line {number}: {len(fields)} fields, 8 at least in RTTM"
            yield Cue(0.0, 0.0, "", line=number, fault=fault)
            continue
        times = _numbers(fields[3], fields[4])
        if times is None or times[1] == 0:
            yield _wrong(path, number, fields[3], fields[4], "a length")
            continue
        start, seconds = times
        channel = int(fields[2]) - 1 if len(channels) > 1 and fields[2].isdigit() else None
        yield Cue(start, start + seconds, "", fields[7], channel=channel, line=number)


def _numbers(first: object, second: object) -> tuple[float, float] | None:
    """Two times in seconds, neither of them negative; None unless they are."""
    try:
        one, two = float(str(first)), float(str(second))
    except ValueError:
        return None
    return (one, two) if 0 <= one < math.inf and 0 <= two < math.inf else None


def _wrong(path: Path, line: int, first: object, second: object, what: str) -> Cue:
    """A line whose times are not a start and an end, or a length."""
    fault = (
        f"{path}, line {line}: {str(first)[:20]!r} and {str(second)[:20]!r} are not a start and "
        f"{what} in seconds"
    )
    return Cue(0.0, 0.0, "", line=line, fault=fault)
