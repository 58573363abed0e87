"""What a check of a corpus found: counts beside those of a complete copy, problems and notes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from emohop.errors import EmohopError

WHOLE = "all"  # the part of a count of the whole corpus


@dataclass(frozen=True, slots=True)
class CheckCount:
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
    counts: tuple[CheckCount, ...]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    usable: bool
    frames: tuple[Path, ...] = ()
    """The sample frames written, one PNG file each."""

    def table(self) -> list[list[str]]:
        """Lines of cells for printing: a header, then a line for each `what`.

        Each part has a column; a cell is `found`, or `found / expected` where the two differ.
        """
        parts = list(dict.fromkeys(count.part for count in self.counts))
        cells = {(count.what, count.part): _cell(count) for count in self.counts}
        whats = dict.fromkeys(count.what for count in self.counts)
        lines = [[what, *(cells.get((what, part), "") for part in parts)] for what in whats]
        return [["", *parts], *lines]


def _cell(count: CheckCount) -> str:
    differs = count.expected is not None and count.expected != count.found
    return f"{count.found} / {count.expected}" if differs else str(count.found)
