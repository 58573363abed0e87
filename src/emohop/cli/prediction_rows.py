"""Predictions written row by row, so that what is there is kept, and can be gone on with."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from emohop.errors import EmohopError
from emohop.files import replacing

if TYPE_CHECKING:
    from emohop.prediction import Prediction

HEADER = "source"
"""The first column of a table."""
KINDS = {".csv": "csv", ".json": "json", ".jsonl": "json"}
"""What is written into a file, by its ending."""


class Rows:
    """A table or lines of JSON, written to a file or to standard output as they come."""

    def __init__(self, kind: str, to: TextIO, *, header: bool) -> None:
        """Write `csv` or `json`; a table that is gone on with has its `header` already."""
        self.kind, self._to, self._header = kind, to, header

    def write(self, found: Prediction) -> None:
        """Write a prediction, whole, now."""
        from emohop.reports.terminal.predictions import csv_rows

        if self.kind == "csv":
            line = csv_rows([found], header=self._header)
            self._header = False
        else:
            line = found.model_dump_json() + "\n"
            if not (self._to.encoding or "utf-8").lower().startswith("utf"):
                line = json.dumps(json.loads(line)) + "\n"  # every code page has ASCII
        self._to.write(line)
        self._to.flush()


@contextmanager
def rows_to(kind: str | None, out: Path | None, done: int) -> Iterator[Rows | None]:
    """Where rows go: a file of which `done` bytes stay, or standard output; None for no rows."""
    if kind is None:
        yield None
    elif out is None:
        yield Rows(kind, sys.stdout, header=True)
    else:
        with out.open("r+" if done else "w", encoding="utf-8", newline="") as file:
            file.seek(done)
            yield Rows(kind, file, header=not done)


def finished(out: Path, kind: str) -> tuple[set[str], int]:
    """The sources whose rows are all in a file, and how many of its bytes are theirs.

    The rows of the last source may not all be there: they are made again, and a line that is not
    whole with them. EmohopError for a file of something else.
    """
    data = out.read_bytes()
    ends = 0
    rows: list[tuple[str, int]] = []  # each row's source, and where the row begins
    text = data.decode("utf-8", "replace")
    if kind == "csv" and text and not text.startswith(f"{HEADER},"):
        raise EmohopError(f"{out}: not rows of emohop predict: choose another --out")
    for line in _records(text, kind):
        size = len(line.encode())
        try:
            source = _source(line, kind)
        except (ValueError, KeyError, TypeError):
            raise EmohopError(f"{out}: not rows of emohop predict: choose another --out") from None
        if source is not None:
            rows.append((source, ends))
        ends += size
    if not rows:
        return set(), 0
    last, _ = rows[-1]
    first = next(at for source, at in rows if source == last)
    return {source for source, _ in rows} - {last}, first


def _records(text: str, kind: str) -> Iterator[str]:
    """Whole records with their line ends; a cell of a table may hold some."""
    record = ""
    for line in text.splitlines(keepends=True):
        record += line
        open_cell = kind == "csv" and record.count('"') % 2
        if line.endswith("\n") and not open_cell:
            yield record
            record = ""


def _source(record: str, kind: str) -> str | None:
    """The source of a row; None of a header."""
    if kind == "json":
        return str(json.loads(record)["source"])
    cells = next(csv.reader(io.StringIO(record)))
    return None if cells[0] == HEADER else cells[0]


def trim(out: Path, size: int) -> None:
    """Keep the first bytes of a file."""
    data = out.read_bytes()[:size]
    with replacing(out) as file:
        file.write(data)
