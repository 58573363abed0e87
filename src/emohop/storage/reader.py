"""Rows of a mapped Arrow file: metadata as Python values, arrays as views."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from emohop.clips import Modality
from emohop.content import Content
from emohop.errors import EmohopError, brief
from emohop.features.arrays import ARRAYS, arrays_of
from emohop.storage.manifest import Part
from emohop.storage.mmap import map_file
from emohop.storage.shards import CONTENT, METADATA, content_in, read_table


@dataclass(frozen=True, slots=True)
class Row:
    """One clip with its features.

    `arrays` maps audio to float32 [frames, features], prosody to float32 [35], text to str
    [words] and video to float32 [frames, features], for those that were prepared, and with a
    language model text_states to float32 [words, features]. They are
    read-only views of the mapped file (copies, where half floats are stored), also reached as
    `row.audio` and `row["audio"]`.
    """

    id: str
    speaker: str | None
    gender: str | None
    session: str | None
    split: str | None
    label: str
    transcript: str | None
    start: float
    end: float | None
    arrays: Mapping[str, NDArray[Any]]

    def __getitem__(self, name: str) -> NDArray[Any]:
        try:
            return self.arrays[name]
        except KeyError:
            has = ", ".join(self.arrays)
            raise EmohopError(f"clip {self.id} has no {name}: it was prepared with {has}") from None

    def has(self, modality: Modality) -> bool:
        """Whether the clip has this modality; a clip in which nothing is said has text."""
        steps = self.arrays.get(modality.value, ())
        if modality is Modality.TEXT and modality.value in self.arrays:
            return self.transcript is not None or len(steps) > 0
        return len(steps) > 0

    def without(self, modality: Modality) -> Row:
        """The row of a clip that lacks a modality: no steps, and of audio prosody of zeros."""
        empty = {
            name: ARRAYS[name].empty(self.arrays[name].shape[-1])
            for name in arrays_of(modality)
            if name in self.arrays
        }
        said = None if modality is Modality.TEXT else self.transcript
        return replace(self, transcript=said, arrays={**self.arrays, **empty})

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays of numbers, which lie in the mapped file."""
        return sum(array.nbytes for array in self.arrays.values() if array.dtype.kind == "f")

    @property
    def audio(self) -> NDArray[np.float32]:
        """Audio features, float32 [frames, features]."""
        return self["audio"]

    @property
    def prosody(self) -> NDArray[np.float32]:
        """Prosody functionals, float32 [35]."""
        return self["prosody"]

    @property
    def text(self) -> NDArray[np.str_]:
        """Tokens, str [words]."""
        return self["text"]

    @property
    def video(self) -> NDArray[np.float32]:
        """Frame features, float32 [frames, features]."""
        return self["video"]


_NAMED = ("id", "speaker", "session", "dialog")
"""Metadata that are names within a corpus."""


class _Facts(dict[str, list[Any]]):
    """Columns of a table as Python values, each made when it is first asked for."""

    def __init__(self, table: pa.Table, part: Part | None) -> None:
        super().__init__()
        self.table, self.part = table, part

    def __missing__(self, name: str) -> list[Any]:
        values, part = self.table[name].to_pylist(), self.part
        if part is not None and name in _NAMED:
            values = [None if value is None else f"{part.name}/{value}" for value in values]
        elif part is not None and name == "split":
            values = ["test" if part.test else None] * len(values)
        self[name] = values
        return self[name]


class MappedShard:
    """A mapped Arrow file: metadata as Python values, arrays as views."""

    def __init__(
        self, path: Path, visible: Collection[int] | None = None, part: Part | None = None
    ) -> None:
        """Map `path`; nothing is kept of the metadata of rows that are not `visible`.

        Of a `part` of a joined corpus, names are told apart by its own.
        """
        try:
            self.pages = map_file(path)
            table = pa.ipc.open_file(pa.BufferReader(pa.py_buffer(self.pages))).read_all()
            _check(table)
            names = [n for n in table.schema.names if n not in METADATA]
            self.arrays = {n: _views(table[n]) for n in names}
        except (OSError, ValueError, pa.ArrowException) as error:
            reason = brief(error)
            raise EmohopError(f"{path} cannot be read ({reason}): prepare it again") from None
        self.visible, self.table = visible, table
        self.metadata = _Facts(table, part)
        if visible is not None:
            seen = {n: self.metadata[n] for n in METADATA if n != "votes"}
            self.table = table.select(names)
            self.metadata = _Facts(self.table, part)
            for name, values in seen.items():
                self.metadata[name] = [v if i in visible else None for i, v in enumerate(values)]
        self.clips = int(table.num_rows)

    def __len__(self) -> int:
        return self.clips

    def row(self, i: int) -> Row:
        """Row `i` of this shard, its arrays as views of the mapped file."""
        if self.visible is not None and i not in self.visible:
            raise EmohopError("a clip that is hidden here was asked for")
        metadata = self.metadata
        return Row(
            id=metadata["id"][i],
            speaker=metadata["speaker"][i],
            gender=metadata["gender"][i],
            session=metadata["session"][i],
            split=metadata["split"][i],
            label=metadata["label"][i],
            transcript=metadata["transcript"][i],
            start=metadata["start"][i],
            end=metadata["end"][i],
            arrays={name: view(i) for name, view in self.arrays.items()},
        )


def read_rows(data: bytes) -> dict[str, tuple[Content, dict[str, NDArray[Any]]]]:
    """What each clip of a shard's bytes holds, and its arrays, by id; ValueError for damage."""
    try:
        table = read_table(data)
        _check(table)
        views = {n: _views(table[n]) for n in table.schema.names if n not in METADATA}
        ids, held = table["id"].to_pylist(), table.select(list(CONTENT)).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise ValueError(brief(error)) from None
    return {
        id_: (
            content_in(held[i]),
            {name: view(i) for name, view in views.items()},
        )
        for i, id_ in enumerate(ids)
    }


@dataclass(frozen=True, slots=True)
class _Numbers:
    """A column of vectors, or with `offsets` of lists of them; float16 is converted to float32."""

    values: NDArray[Any]
    offsets: NDArray[np.int32] | None = None

    def __call__(self, i: int) -> NDArray[Any]:
        at = i if self.offsets is None else slice(self.offsets[i], self.offsets[i + 1])
        row: NDArray[Any] = self.values[at]
        return row if row.dtype == np.float32 else row.astype(np.float32)


@dataclass(frozen=True, slots=True)
class _Words:
    """A column of lists of words."""

    values: pa.StringArray
    offsets: NDArray[np.int32]

    def __call__(self, i: int) -> NDArray[Any]:
        first, last = int(self.offsets[i]), int(self.offsets[i + 1])
        return np.array(self.values.slice(first, last - first).to_pylist(), dtype=np.str_)


def _check(table: pa.Table) -> None:
    """ValueError or ArrowException unless every value of a table can be looked at.

    Offsets and words are gone through, which a damaged file could have pointing anywhere; the
    numbers are not, and their pages stay on the disk.
    """
    table.validate(full=True)
    for name, kind in METADATA.items():
        if table.schema.get_field_index(name) < 0 or table.schema.field(name).type != kind:
            raise ValueError(f"no column {name} of type {kind}")
    for field in table.schema:
        if field.name not in METADATA and not _is_array(field.type):
            raise ValueError(f"a column {field.name} of type {field.type}")
        if table[field.name].num_chunks > 1:
            raise ValueError(f"more than one part of {field.name}")
        if field.name not in METADATA and table[field.name].null_count:
            raise ValueError(f"gaps in {field.name}")


def _is_array(kind: pa.DataType) -> bool:
    """Whether a column holds one vector per clip, a list of vectors, or a list of words."""
    if pa.types.is_list(kind):
        if pa.types.is_string(kind.value_type):
            return True
        kind = kind.value_type
    return bool(pa.types.is_fixed_size_list(kind) and pa.types.is_floating(kind.value_type))


def _views(chunks: pa.ChunkedArray) -> _Numbers | _Words:
    """Views of a column's only chunk, in place (`combine_chunks` would copy it)."""
    column = chunks.chunk(0) if chunks.num_chunks else pa.array([], chunks.type)
    if pa.types.is_fixed_size_list(column.type):
        return _Numbers(_matrix(column))
    steps, offsets = column.values, column.offsets.to_numpy()
    if pa.types.is_string(steps.type):
        return _Words(steps, offsets)
    return _Numbers(_matrix(steps), offsets)


def _matrix(column: pa.FixedSizeListArray) -> NDArray[Any]:
    size = column.type.list_size
    return np.asarray(column.values.to_numpy(zero_copy_only=True)).reshape(-1, size)
