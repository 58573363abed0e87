"""What a corpus folder holds beside what a complete copy has: the parts every corpus shares."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from emohop.clips import Clip, Span
from emohop.errors import EmohopError, MediaError

if TYPE_CHECKING:
    from emohop.media import Media

TOLERANCE_SECONDS = 0.1  # a clip may end so much after its film: times are rounded
WHOLE = "all"  # the part of a row that counts the whole corpus


@dataclass(frozen=True, slots=True)
class Row:
    """One count; `expected` is a complete copy's (None: not known), `part` a session or all."""

    what: str
    found: int
    expected: int | None
    part: str = WHOLE


@dataclass(frozen=True, slots=True)
class Problem:
    """A file that is missing, unreadable or wrong."""

    path: Path
    reason: str

    @classmethod
    def of(cls, path: Path, error: EmohopError) -> Problem:
        """The problem that an error tells, whose message may begin with the path."""
        return cls(path, str(error).removeprefix(f"{path}:").lstrip())

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a check found. `usable` is False when the corpus cannot be prepared at all."""

    corpus: str
    folder: Path
    rows: tuple[Row, ...]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    usable: bool
    frames: tuple[Path, ...] = ()
    """The sample frames written, one PNG file each."""

    def table(self) -> list[list[str]]:
        """Lines of cells for printing: a header, then a line for each `what`.

        Each part has a column; a cell is `found`, or `found / expected` where the two differ.
        """
        parts = list(dict.fromkeys(row.part for row in self.rows))
        cells = {(row.what, row.part): _cell(row) for row in self.rows}
        whats = dict.fromkeys(row.what for row in self.rows)
        lines = [[what, *(cells.get((what, part), "") for part in parts)] for what in whats]
        return [["", *parts], *lines]


def _cell(row: Row) -> str:
    differs = row.expected is not None and row.expected != row.found
    return f"{row.found} / {row.expected}" if differs else str(row.found)


def sound_problems(spans: Iterable[Span | None]) -> dict[Path, Problem]:
    """Sound files that are missing, empty, do not open or end too early, by their headers.

    Files in a folder that is missing share one problem, which names the folder.
    """
    return _media_problems(spans, lambda media: media.duration if media.has_audio else 0.0, "sound")


def film_problems(spans: Iterable[Span | None]) -> dict[Path, Problem]:
    """Films that are missing, empty, do not open or end too early, as `sound_problems` has it."""
    return _media_problems(spans, lambda media: media.picture_duration or 0.0, "pictures")


def time_problems(clips: Iterable[Clip], sources: Mapping[str, Path]) -> list[Problem]:
    """Clips that end where they start or before; `sources` has the label file of each dialog."""
    return [
        Problem(sources[clip.dialog or ""], f"{clip.id} goes from {clip.start} to {clip.end} s")
        for clip in clips
        if clip.end is not None and clip.end <= clip.start
    ]


def overlap_notes(clips: Iterable[Clip]) -> list[str]:
    """How many turns begin before an earlier one of their dialog ends; `clips` in order of time."""
    ends: dict[str | None, dict[str | None, float]] = {}
    both = alone = 0
    for clip in clips:
        spoken = ends.setdefault(clip.dialog, {})
        both += any(clip.start < end for who, end in spoken.items() if who != clip.speaker)
        last = spoken.get(clip.speaker, 0.0)
        alone += clip.start < last
        spoken[clip.speaker] = max(last, clip.end or 0.0)
    notes = []
    if both:
        notes.append(f"{both} turns begin while the other person still speaks")
    if alone:
        notes.append(f"{alone} turns begin before the same speaker's last one ends")
    return notes


def _media_problems(
    spans: Iterable[Span | None], seconds_of: Callable[[Media], float], what: str
) -> dict[Path, Problem]:
    from emohop.media import probe

    ends: dict[Path, list[float]] = {}
    for span in spans:
        if span is not None:
            ends.setdefault(span.path, []).append(span.end or 0.0)
    problems = {}
    for path, times in ends.items():
        try:
            media = probe(path)
            seconds = seconds_of(media)
        except MediaError as error:
            folder = _missing_folder(path)
            problems[path] = (
                Problem(folder, "no such folder") if folder else Problem.of(path, error)
            )
            continue
        late = [time for time in times if time > seconds + TOLERANCE_SECONDS]
        if seconds == 0:
            problems[path] = Problem(path, f"holds no {what}")
        elif media.truncated:
            problems[path] = Problem(path, "is cut short: it is smaller than its header says")
        elif late:
            lost = f"{len(late)} clips end later, the last at {max(late):.2f} s"
            problems[path] = Problem(path, f"{what} end at {seconds:.2f} s: {lost}")
    return problems


def _missing_folder(path: Path) -> Path | None:
    """The uppermost folder of a path that does not exist, so that it is named once."""
    missing = [folder for folder in path.parents if not folder.exists()]
    return missing[-1] if missing else None
