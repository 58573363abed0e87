"""MELD: 1,433 dialogues of the television series Friends, with its own train, dev and test.

Tables under GPL-3.0, clips for research: https://affective-meld.github.io

    {train,dev,test}_sent_emo.csv                   one line per utterance
    train_splits/dia{D}_utt{U}.mp4                  its clip; they may be missing: text only
    dev_splits_complete/ output_repeated_splits_test/

A speaker's name is a character's: the six friends are in all three parts.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from emohop.clips import Clip, LabelSet, Span, Split
from emohop.corpora.checks import check_clips
from emohop.corpora.files import corpus_folder, not_this_corpus, read_text
from emohop.corpora.report import WHOLE, CheckReport, Problem
from emohop.errors import CorpusError, brief

EMOTIONS = ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")
CLASS_SETS = (
    LabelSet("meld-7", EMOTIONS),
    LabelSet("meld-4", ("anger", "joy", "neutral", "sadness")),
)

_TABLES: Mapping[Split, str] = {
    "train": "train_sent_emo.csv",
    "dev": "dev_sent_emo.csv",
    "test": "test_sent_emo.csv",
}
_CLIPS: Mapping[Split, str] = {
    "train": "train_splits",
    "dev": "dev_splits_complete",
    "test": "output_repeated_splits_test",
}
_ROOTS = (".", "MELD.Raw", "data/MELD")  # as unpacked, or as in the project's repository
_COLUMNS = (
    "Utterance",
    "Speaker",
    "Emotion",
    "Dialogue_ID",
    "Utterance_ID",
    "StartTime",
    "EndTime",
)
_NUMBER = re.compile("[0-9]{1,9}")
_TIME = re.compile(r"(\d{1,9}):([0-5]?\d):([0-5]?\d)[,.](\d{1,3})")
_EXPECTED = "train_sent_emo.csv, dev_sent_emo.csv or test_sent_emo.csv"
_KNOWN_BAD = {
    "train_dia125_utt3": "its file is damaged in the release",
    "dev_dia110_utt7": "its file is not in the release",
}
LONG_SECONDS = 45.0  # the longest utterance of the tables, but for two of wrong times, has 41

# A complete copy.
_COMPLETE: Mapping[Split, tuple[int, ...]] = {
    "train": (1109, 271, 268, 1743, 4710, 683, 1205),
    "dev": (153, 22, 40, 163, 470, 111, 150),
    "test": (345, 68, 50, 402, 1256, 208, 281),
}
_SPEAKERS = {"train": 260, "dev": 47, "test": 100}


def read(folder: str | Path) -> list[Clip]:
    """Every utterance of the tables in `folder`, part by part and line by line.

    `start` and `end` are seconds in the episode; the media, one file per utterance, are not opened.
    A part without its folder of clips is text only. Characters that were decoded by the wrong
    table (U+0092 for an apostrophe) are put right.

    Raises:
        CorpusError: the folder is not MELD, or a line of a table is not in its form.
    """
    root = _root(corpus_folder(folder, "the folder of MELD's tables"))
    tables = [(split, root / name) for split, name in _TABLES.items() if (root / name).is_file()]
    clips = [clip for split, path in tables for clip in _read_table(path, split, root)]
    again = [name for name, count in Counter(clip.id for clip in clips).items() if count > 1]
    if again:
        raise CorpusError(f"{root}: {again[0]} stands in its table twice")
    return clips


def _root(folder: Path) -> Path:
    for name in _ROOTS:
        if any((folder / name / table).is_file() for table in _TABLES.values()):
            return folder / name if name != "." else folder
    raise not_this_corpus(folder, "MELD", _EXPECTED)


def _media(root: Path, split: Split) -> Path | None:
    """The folder of a part's clips, which some copies keep in one more folder."""
    name = _CLIPS[split]
    return next((p for p in (root / name, root / split / name) if p.is_dir()), None)


def _read_table(path: Path, split: Split, root: Path) -> Iterator[Clip]:
    media = _media(root, split)
    rows = csv.DictReader(io.StringIO(read_text(path), newline=""))
    try:
        missing = [name for name in _COLUMNS if name not in (rows.fieldnames or ())]
        if missing:
            raise CorpusError(f"{path}: no column {missing[0]}: expected {', '.join(_COLUMNS)}")
        for row in rows:
            yield _clip(row, f"{path}:{rows.line_num}", split, media)
    except csv.Error as error:
        raise CorpusError(f"{path}:{rows.line_num}: {error}") from None


def _clip(row: Mapping[str, str | None], where: str, split: Split, media: Path | None) -> Clip:
    values = {name: _repaired(row[name] or "").strip() for name in _COLUMNS}
    numbers = values["Dialogue_ID"], values["Utterance_ID"]
    if not all(_NUMBER.fullmatch(number) for number in numbers):
        given = " and ".join(repr(brief(number)) for number in numbers)
        raise CorpusError(f"{where}: Dialogue_ID and Utterance_ID are {given}: expected numbers")
    dialog, name = f"{split}_dia{int(numbers[0])}", f"dia{int(numbers[0])}_utt{int(numbers[1])}"
    start, end = (_seconds(values[column], where) for column in ("StartTime", "EndTime"))
    span = None if media is None else Span(media / f"{name}.mp4")
    return Clip(
        id=f"{split}_{name}",
        label=values["Emotion"] or None,
        speaker=values["Speaker"] or None,
        dialog=dialog,
        scripted=True,
        transcript=values["Utterance"],
        start=start,
        end=end,
        audio=span,
        video=span,
        split=split,
    )


def _seconds(text: str, where: str) -> float:
    time = _TIME.fullmatch(text)
    if time is None:
        raise CorpusError(f"{where}: a time is {brief(text)!r}: expected one like 00:16:16,059")
    hours, minutes, seconds, rest = time.groups()
    return 3600.0 * int(hours) + 60 * int(minutes) + int(seconds) + float(f"0.{rest}")


def _repaired(text: str) -> str:
    """The text with Windows' characters where their bytes were taken for control characters."""
    return re.sub("[\x80-\x9f]", lambda c: c[0].encode("latin-1").decode("cp1252", "replace"), text)


def check(folder: str | Path, *, frames_folder: Path | None = None) -> CheckReport:
    """Look at every clip's header, and compare with a complete copy, part by part.

    Raises:
        CorpusError: as for `read`, or the frames cannot be written.
    """
    clips = read(folder)
    expected: dict[tuple[str, str], int] = {}
    for split, counts in _COMPLETE.items():
        expected |= {(name, split): n for name, n in zip(EMOTIONS, counts, strict=True)}
        expected[("clips", split)] = sum(counts)
        expected[("speakers", split)] = _SPEAKERS[split]
    for number, name in enumerate(EMOTIONS):
        expected[(name, WHOLE)] = sum(counts[number] for counts in _COMPLETE.values())
    expected[("clips", WHOLE)] = sum(sum(counts) for counts in _COMPLETE.values())
    root = _root(Path(folder))
    notes = [f"{name} is missing" for name in _TABLES.values() if not (root / name).is_file()]
    present = {clip.split for clip in clips}
    bare = [_CLIPS[split] for split in _CLIPS if split in present and _media(root, split) is None]
    if bare:
        notes.append(f"no folder {', '.join(bare)}: text only (prepare --audio none --video none)")
    return check_clips(
        "meld",
        folder,
        clips,
        class_sets=CLASS_SETS,
        expected=expected,
        known_bad=_KNOWN_BAD,
        problems=_long(clips, root),
        notes=notes,
        frames_folder=frames_folder,
    )


def _long(clips: list[Clip], root: Path) -> list[Problem]:
    """Utterances whose times in the table are of minutes: their files are as long."""
    return [
        Problem(root / _TABLES[clip.split], f"{clip.id} lasts {clip.end - clip.start:.0f} s")
        for clip in clips
        if clip.split is not None and clip.end is not None and clip.end - clip.start > LONG_SECONDS
    ]
