"""Any clips: a table with one line per clip, or a folder with one sub-folder per label.

clips.csv        path,label,speaker,session,transcript,start,end,…
angry/anna/1.wav an audio or video file; the folder above is its label, one more its speaker
angry/anna/1.txt its transcript, if there is one
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from emohop.clips import Clip, Gender, LabelSet, Span, Split
from emohop.corpora.checks import check_clips
from emohop.corpora.files import (
    AUDIO_ENDINGS,
    VIDEO_ENDINGS,
    Names,
    media_files,
    not_this_corpus,
    read_text,
    shown,
)
from emohop.corpora.report import CheckReport
from emohop.corpora.table import CSV, PARQUET, Cells, read_table
from emohop.errors import CorpusError, brief
from emohop.spelling import plain

_Value = TypeVar("_Value", bound=str)

CLASS_SETS: tuple[LabelSet, ...] = ()  # the labels that are found are the classes

TABLES = ("clips.csv", "clips.tsv", "clips.parquet")
COLUMNS = {
    "path": "an audio or video file, below the table's folder",
    "audio": "the audio, where it is a file of its own",
    "video": "the video, where it is a file of its own",
    "label": "the emotion",
    "id": "a name of its own [path and start]",
    "speaker": "who speaks",
    "session": "what is kept together by the protocol session",
    "gender": "F or M",
    "split": "train, dev or test",
    "transcript": "what is said (also: text)",
    "start": "seconds in the file [0]",
    "end": "seconds in the file [its end]",
}
_SPELLED = ("label", "speaker", "session")
"""Facts whose spelling does not tell them apart."""
_OTHER_NAMES = {"text": "transcript", "file": "path", "emotion": "label"}
_GENDERS: dict[str, Gender] = {"f": "F", "female": "F", "m": "M", "male": "M"}
_SPLITS: dict[str, Split] = {
    "train": "train",
    "dev": "dev",
    "val": "dev",
    "valid": "dev",
    "validation": "dev",
    "test": "test",
}
_EXPECTED = (
    f"a table ({', '.join(TABLES)}) or sub-folders named by label with audio or video files in them"
)


def read(folder: str | Path, allow_outside: bool = False) -> list[Clip]:
    """The clips of a table, or of a folder that holds one or has one sub-folder per label.

    Media are not opened. Files of a table lie below its folder, unless `allow_outside` is set.

    Raises:
        CorpusError: there is no such table or folder, or a row cannot be used; it names the row.
    """
    path = Path(folder)
    if path.is_file():
        if path.suffix.lower() not in (*CSV, *PARQUET):
            raise CorpusError(
                f"{path} is not a table: give a .csv, .tsv or .parquet file or a folder"
            )
        return _from_table(path, allow_outside)
    if not path.is_dir():
        raise CorpusError(f"{path} does not exist: give {_EXPECTED}")
    tables = [path / name for name in TABLES if (path / name).is_file()]
    if len(tables) > 1:
        raise CorpusError(f"{path} holds {shown(t.name for t in tables)}: give the one to read")
    return _from_table(tables[0], allow_outside) if tables else _from_folders(path)


def _from_folders(folder: Path) -> list[Clip]:
    clips, names = [], Names()
    for path in media_files(folder, *AUDIO_ENDINGS, *VIDEO_ENDINGS):
        label, *between = path.relative_to(folder).parts[:-1] or ("",)
        if not label:
            continue
        if len(between) > 1:
            raise CorpusError(f"{path} lies too deep: expected label/clip or label/speaker/clip")
        words = names.find(path.with_suffix(".txt"))
        audio, video = _spans(path, 0.0, None)
        clips.append(
            Clip(
                id=path.relative_to(folder).with_suffix("").as_posix(),
                label=label,
                speaker=between[0] if between else None,
                transcript=" ".join(read_text(words).split()) if words.is_file() else None,
                audio=audio,
                video=video,
            )
        )
    if not clips:
        raise not_this_corpus(folder, "a folder of clips", _EXPECTED)
    _check_names([clip.id for clip in clips], folder)
    return one_spelling(clips)


def _from_table(path: Path, allow_outside: bool) -> list[Clip]:
    root = path.parent.resolve()
    clips, names = [], Names()
    for where, given in read_table(path):
        row = {_OTHER_NAMES.get(name, name): cell for name, cell in given.items()}
        clips.append(_clip(row, where, root, allow_outside, names))
    if not clips:
        raise CorpusError(f"{path} holds no clips: expected columns {', '.join(COLUMNS)}")
    if not any(clip.audio or clip.video or clip.transcript for clip in clips):
        raise CorpusError(f"{path} names neither media nor transcripts: expected a column path")
    if not any(clip.label for clip in clips):
        raise CorpusError(f"{path} has no labels: expected a column label")
    _check_names([clip.id for clip in clips], path)
    return one_spelling(clips)


def one_spelling(clips: Sequence[Clip]) -> list[Clip]:
    """The clips, with labels, speakers and sessions that differ in spelling alone made one.

    The spelling that most clips have is kept, the first of several; see `spelling.plain`.
    """
    for fact in _SPELLED:
        counts = Counter(value for clip in clips if (value := getattr(clip, fact)) is not None)
        kept: dict[str, str] = {}
        for value, _ in counts.most_common():
            kept.setdefault(plain(value), value)
        if len(kept) < len(counts):
            said = [getattr(clip, fact) for clip in clips]
            now: list[dict[str, Any]] = [{fact: v and kept[plain(v)]} for v in said]
            clips = [replace(clip, **one) for clip, one in zip(clips, now, strict=True)]
    return list(clips)


def _clip(row: Cells, where: str, root: Path, allow_outside: bool, names: Names) -> Clip:
    files = {
        name: _file(row[name], where, root, allow_outside, names)
        for name in ("path", "audio", "video")
        if name in row
    }
    start, end = _seconds(row, "start", where) or 0.0, _seconds(row, "end", where)
    if end is not None and end <= start:
        raise CorpusError(f"{where}: the clip goes from {start} to {end} s: end must be later")
    audio, video = _spans(files.get("path"), start, end)
    if "audio" in files:
        audio = Span(files["audio"], start, end)
    if "video" in files:
        video = Span(files["video"], start, end)
    named = row.get("path") or row.get("audio") or row.get("video")
    if named is None and "id" not in row:
        raise CorpusError(f"{where}: neither path, audio, video nor id")
    return Clip(
        id=row.get("id") or (f"{named}@{start:.3f}" if "start" in row else str(named)),
        label=row.get("label"),
        speaker=row.get("speaker"),
        gender=_choice(row, "gender", _GENDERS, where),
        session=row.get("session"),
        dialog=row.get("dialog"),
        transcript=row.get("transcript"),
        start=start,
        end=end,
        audio=audio,
        video=video,
        split=_choice(row, "split", _SPLITS, where),
    )


def _spans(path: Path | None, start: float, end: float | None) -> tuple[Span | None, Span | None]:
    """Where audio and video of one file are, by its ending; a video file is taken to have both."""
    if path is None:
        return None, None
    span = Span(path, start, end)
    return span, None if path.suffix.lower() in AUDIO_ENDINGS else span


def _file(cell: str, where: str, root: Path, allow_outside: bool, names: Names) -> Path:
    """A file that a table names; one outside its folder only by permission."""
    try:
        found = names.find(root / cell)
        path = found.resolve()
    except (OSError, ValueError, RuntimeError) as error:  # a NUL character, links in a circle
        raise CorpusError(f"{where}: {brief(cell)!r} is not a path ({brief(str(error))})") from None
    if not allow_outside and not path.is_relative_to(root):
        raise CorpusError(
            f"{where}: {brief(cell)} lies outside {root}: move it there, or allow it "
            "with --allow-outside"
        )
    return found


def _seconds(row: Cells, name: str, where: str) -> float | None:
    if name not in row:
        return None
    try:
        seconds = float(row[name])
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise CorpusError(f"{where}: {name} is {brief(row[name])!r}: expected seconds from 0")
    return seconds


def _choice(row: Cells, name: str, known: Mapping[str, _Value], where: str) -> _Value | None:
    if name not in row:
        return None
    value = row[name].lower()
    if value not in known:
        raise CorpusError(f"{where}: {name} is {brief(row[name])!r}: expected {', '.join(known)}")
    return known[value]


def _check_names(names: Sequence[str], where: Path) -> None:
    name, count = Counter(names).most_common(1)[0]
    if count > 1:
        raise CorpusError(
            f"{where}: {count} clips are named {brief(name)}: each needs an id of its own"
        )


def check(
    folder: str | Path, *, frames_folder: Path | None = None, allow_outside: bool = False
) -> CheckReport:
    """Count what is there, and look at every file's header.

    Raises:
        CorpusError: as for `read`, or the frames cannot be written.
    """
    clips = read(folder, allow_outside)
    facts = {
        "speakers": [clip.speaker for clip in clips],
        "transcripts": [clip.transcript for clip in clips],
        "labels": [clip.label for clip in clips],
    }
    notes = [
        f"{found.count(None)} of {len(clips)} clips have no {what}"
        for what, found in facts.items()
        if None in found
    ]
    labels = tuple(sorted({clip.label for clip in clips if clip.label is not None}))
    return check_clips(
        "folder",
        folder,
        clips,
        class_sets=(LabelSet("folder", labels),),
        notes=notes,
        frames_folder=frames_folder,
    )
