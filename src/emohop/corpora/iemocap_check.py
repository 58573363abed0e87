"""What a copy of IEMOCAP holds, beside a complete one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from emohop.clips import Clip
from emohop.corpora.checks import (
    audio_problems,
    overlap_notes,
    rate_notes,
    time_problems,
    video_problems,
)
from emohop.corpora.frames import write_sample_frames
from emohop.corpora.iemocap import (
    CLASS_SETS,
    DIALOG,
    SESSIONS,
    Dialog,
    Seating,
    checked_seating,
    find_dialogs,
    find_sessions,
    in_order,
    read_dialog,
)
from emohop.corpora.report import WHOLE, CheckCount, CheckReport, Problem
from emohop.errors import CorpusError

if TYPE_CHECKING:
    from emohop.media import Media

_SHOWN_NAMES = 3

# A complete copy, by session.
_BY_SESSION = {
    "dialogs": (28, 30, 32, 30, 31),
    "utterances": (1819, 1811, 2136, 2103, 2170),
    "ang": (229, 137, 240, 327, 170),
    "exc": (143, 210, 151, 238, 299),
    "hap": (135, 117, 135, 65, 143),
    "sad": (194, 197, 305, 143, 245),
    "neu": (384, 362, 320, 258, 384),
}
# A complete copy, where only the whole is known.
_WHOLE = {
    "fru": 1849,
    "sur": 107,
    "fea": 40,
    "dis": 2,
    "oth": 3,
    "xxx": 2507,
    "improvised": 4784,
    "scripted": 5255,
    "iemocap-7": 7487,
    "iemocap-4": 5531,
    "iemocap-4-noexc": 4490,
    "iemocap-6": 7380,
}
_LABELS = ("ang", "exc", "hap", "sad", "neu", "fru", "sur", "fea", "dis", "oth", "xxx")


def check(
    folder: str | Path,
    *,
    frames_folder: Path | None = None,
    seating: Seating = "marker-left",
) -> CheckReport:
    """Read every label, look at every media header, and compare with a complete copy.

    With `frames_folder`, one frame of each session is written there as PNG, with the half marked
    that `seating` takes for the speaker. The corpus is usable when `read` succeeds on it and a
    clip of some class set has audio: fewer clips than in a complete copy are not a fault.

    Raises:
        CorpusError: the folder is not IEMOCAP, or the frames cannot be written.
    """
    seating = checked_seating(seating)
    sessions, dialogs = find_sessions(folder), find_dialogs(folder)
    wrong, words, clips = [], [], []
    for dialog in dialogs:
        try:
            found = read_dialog(dialog, seating)
        except CorpusError as error:
            wrong.append(_unreadable(dialog, error))
        else:
            clips.extend(in_order(found))
            words.extend(_word_problems(dialog, found))
    media: dict[Path, Media] = {}
    audios = audio_problems((clip.audio for clip in clips), media)
    videos = video_problems(clip.video for clip in clips)
    times = time_problems(clips, {d.name: d.evaluation for d in dialogs})
    audible = [clip for clip in clips if clip.audio and clip.audio.path not in audios]
    usable = not wrong and any(s.class_of(c.label) for s in CLASS_SETS for c in audible)

    notes = [f"{name} is missing" for name in SESSIONS if name not in {s.name for s in sessions}]
    notes += [f"{path} is not named like a dialog: passed over" for path in _others(sessions)]
    notes += [*overlap_notes(clips), *rate_notes(media)]
    if wrong:
        notes.append("not usable: a label or transcription file cannot be read")
    elif not usable:
        notes.append("not usable: no clip of a class set has a readable audio file")
    frames: list[Path] = []
    if frames_folder is not None:
        # Dialogs where the man wears the markers come first: only there do the seatings differ.
        by_man = {d.name for d in dialogs if d.wearer == "M"}
        telling = sorted(clips, key=lambda clip: clip.dialog not in by_man)
        frames, failed = write_sample_frames(telling, frames_folder)
        videos = {**failed, **videos}
    return CheckReport(
        corpus="iemocap",
        folder=Path(folder),
        counts=tuple(_rows(dialogs, clips, set(audios), set(videos))),
        problems=tuple(dict.fromkeys((*wrong, *times, *words, *audios.values(), *videos.values()))),
        notes=tuple(notes),
        usable=usable,
        frames=tuple(frames),
    )


def _rows(
    dialogs: Sequence[Dialog], clips: Sequence[Clip], bad_audio: set[Path], bad_videos: set[Path]
) -> Iterator[CheckCount]:
    for index, part in enumerate((*SESSIONS, WHOLE)):
        own = [d for d in dialogs if part in (WHOLE, d.session.name)]
        inside = [c for c in clips if part == WHOLE or c.session == f"Ses0{part[-1]}"]
        labels = Counter(clip.label for clip in inside)
        counts = {
            "dialogs": len(own),
            "utterances": len(inside),
            **{label: labels[label] for label in _LABELS},
            "other labels": len(inside) - sum(labels[label] for label in _LABELS),
            "improvised": sum(not clip.scripted for clip in inside),
            "scripted": sum(bool(clip.scripted) for clip in inside),
            **{s.name: sum(s.class_of(c.label) is not None for c in inside) for s in CLASS_SETS},
        }
        for what, found in counts.items():
            yield CheckCount(what, found, _expected(what, index), part)
        audios = sum(c.audio is not None and c.audio.path not in bad_audio for c in inside)
        videos = len({c.video.path for c in inside if c.video is not None} - bad_videos)
        spoken = sum(clip.transcript is not None for clip in inside)
        yield CheckCount("transcripts", spoken, len(inside), part)
        yield CheckCount("readable audio files", audios, len(inside), part)
        yield CheckCount("readable video files", videos, len(own), part)


def _expected(what: str, index: int) -> int | None:
    if what in _BY_SESSION:
        numbers = _BY_SESSION[what]
        return numbers[index] if index < len(numbers) else sum(numbers)
    return _WHOLE.get(what) if index == len(SESSIONS) else None


def _unreadable(dialog: Dialog, error: CorpusError) -> Problem:
    told = [p for p in (dialog.evaluation, dialog.transcription) if str(error).startswith(f"{p}:")]
    problem = Problem.of(told[0] if told else dialog.evaluation, error)
    line = problem.reason[:1].isdigit()
    return Problem(problem.path, f"line {problem.reason}") if line else problem


def _word_problems(dialog: Dialog, clips: Sequence[Clip]) -> list[Problem]:
    path = dialog.transcription
    if not path.is_file():
        return [Problem(path, "missing: its clips have no words")]
    names = [clip.id for clip in clips if clip.transcript is None]
    if not names:
        return []
    shown = ", ".join(names[:_SHOWN_NAMES]) + (", ..." if len(names) > _SHOWN_NAMES else "")
    return [Problem(path, f"no line for {len(names)} of {len(clips)} utterances: {shown}")]


def _others(sessions: Sequence[Path]) -> Iterator[Path]:
    for session in sessions:
        for path in sorted((session / "dialog" / "EmoEvaluation").glob("*.txt")):
            if not path.name.startswith(".") and not DIALOG.fullmatch(path.stem):
                yield path
