"""A table of clips, CSV or Parquet, as rows of text by column."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path

from emohop.corpora.files import read_text
from emohop.errors import CorpusError, brief

CSV = (".csv", ".tsv")
PARQUET = (".parquet",)
_SEPARATORS = ",;\t"

Cells = Mapping[str, str]
"""The cells of a row by lower-case column name; an empty cell is absent."""


def read_table(path: Path) -> Iterator[tuple[str, Cells]]:
    """The rows of a table, each with where it stands (`clips.csv:7`).

    A CSV file may part its columns by comma, semicolon or tab: what its first line holds most of.

    Raises:
        CorpusError: the file cannot be read as a table, or a row has more cells than the header.
    """
    if path.suffix.lower() in PARQUET:
        yield from _read_parquet(path)
    else:
        yield from _read_csv(path)


def _read_csv(path: Path) -> Iterator[tuple[str, Cells]]:
    text = read_text(path)
    header = text.split("\n", 1)[0]
    separator = max(_SEPARATORS, key=header.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        names = [name.strip().lower() for name in next(rows, [])]
        again = [name for name in names if name and names.count(name) > 1]
        if again:
            raise CorpusError(f"{path}: two columns are named {brief(again[0])}")
        for row in rows:
            where = f"{path}:{rows.line_num}"
            if len(row) > len(names):
                raise CorpusError(f"{where}: {len(row)} cells under {len(names)} columns")
            cells = {n: c.strip() for n, c in zip(names, row, strict=False) if c.strip()}
            if cells:
                yield where, cells
    except csv.Error as error:
        raise CorpusError(f"{path}:{rows.line_num}: {error}") from None


def _read_parquet(path: Path) -> Iterator[tuple[str, Cells]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as table:
            number = 0
            for batch in table.iter_batches():
                for row in batch.to_pylist():
                    number += 1
                    cells = {
                        str(n).strip().lower(): str(c).strip()
                        for n, c in row.items()
                        if c is not None
                    }
                    yield f"{path} row {number}", {n: c for n, c in cells.items() if c}
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise CorpusError(f"{path}: cannot be read as Parquet: {reason}") from None
