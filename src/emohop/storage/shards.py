"""One Arrow file of a prepared corpus: a row a clip, each with its own number of frames."""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from emohop.clips import Clip, LabelSet
from emohop.config import FeatureSettings
from emohop.errors import EmohopError, brief
from emohop.files import replacing
from emohop.storage.manifest import Part
from emohop.storage.pages import map_file

_PROBLEMS_KEY = b"emohop.problems"

_VOTE = pa.struct(
    [
        ("rater", pa.string()),
        ("categories", pa.list_(pa.string())),
        ("valence", pa.float64()),
        ("activation", pa.float64()),
        ("dominance", pa.float64()),
    ]
)
FACTS: dict[str, pa.DataType] = {
    "id": pa.string(),
    "speaker": pa.string(),
    "gender": pa.string(),
    "session": pa.string(),
    "dialog": pa.string(),
    "scripted": pa.bool_(),
    "split": pa.string(),
    "label": pa.string(),
    "corpus_label": pa.string(),
    "transcript": pa.string(),
    "start": pa.float64(),
    "end": pa.float64(),
    "valence": pa.float64(),
    "activation": pa.float64(),
    "dominance": pa.float64(),
    "votes": pa.list_(_VOTE),
}


@dataclass(frozen=True, slots=True)
class Problem:
    """A clip that was left out: its file, the stage that failed and why.

    Stages are audio, text and video, and process for a clip that no process survived.
    """

    id: str
    path: str
    stage: str
    reason: str


@dataclass(frozen=True, slots=True)
class Row:
    """One clip with its features.

    `arrays` maps audio to float32 [frames, features], prosody to float32 [35], text to str
    [words] and video to float32 [pictures, features], for those that were prepared. They are
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

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays of numbers, which lie in the mapped file."""
        return sum(array.nbytes for array in self.arrays.values() if array.dtype.kind == "f")

    @property
    def audio(self) -> NDArray[np.float32]:
        """Sound features, float32 [frames, features]."""
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
        """Picture features, float32 [pictures, features]."""
        return self["video"]


def _schema(features: FeatureSettings, sizes: Mapping[str, int]) -> pa.Schema:
    columns = dict(FACTS)
    number = {"float32": pa.float32(), "float16": pa.float16()}[features.precision]
    for name in ("audio", "video"):
        if name in sizes:
            columns[name] = pa.list_(pa.list_(number, sizes[name]))
    if "prosody" in sizes:
        columns["prosody"] = pa.list_(pa.float32(), sizes["prosody"])
    if features.text is not None:
        columns["text"] = pa.list_(pa.string())
    return pa.schema(list(columns.items()))


@dataclass(frozen=True, slots=True)
class ShardNote:
    """What is known of a finished shard without opening it."""

    sha256: str
    ids: tuple[str, ...]
    labels: Mapping[str, int]
    """Clips of each class."""
    problems: tuple[Problem, ...]

    def to_json(self) -> bytes:
        """As a small file beside the shard."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, data: bytes) -> ShardNote:
        """The inverse; ValueError, KeyError or TypeError when it is damaged."""
        values = json.loads(data)
        return cls(
            sha256=str(values["sha256"]),
            ids=tuple(map(str, values["ids"])),
            labels={str(label): int(count) for label, count in values["labels"].items()},
            problems=tuple(Problem(**problem) for problem in values["problems"]),
        )


def shard_bytes(
    clips: Sequence[tuple[Clip, Mapping[str, NDArray[Any]]]],
    labels: LabelSet,
    features: FeatureSettings,
    sizes: Mapping[str, int],
    problems: Sequence[Problem] = (),
) -> tuple[bytes, ShardNote]:
    """Clips and their arrays as one Arrow file; the same input, the same bytes.

    The problems of the clips that belong here too but could not be read travel in the schema.
    """
    schema = _schema(features, sizes).with_metadata(
        {_PROBLEMS_KEY: json.dumps([asdict(p) for p in problems]).encode()}
    )
    facts = [_facts(clip, labels) for clip, _ in clips]
    columns = []
    for column in schema:
        if column.name in FACTS:
            values = [row[column.name] for row in facts]
            columns.append(pa.array(values, column.type))
        else:
            columns.append(_ragged([arrays[column.name] for _, arrays in clips], column.type))
    file = io.BytesIO()
    with pa.ipc.new_file(file, schema) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
    data = file.getvalue()
    found = Counter(str(row["label"]) for row in facts)
    ids = tuple(clip.id for clip, _ in clips)
    note = ShardNote(hashlib.sha256(data).hexdigest(), ids, dict(found), tuple(problems))
    return data, note


def write_shard(
    path: Path,
    clips: Sequence[tuple[Clip, Mapping[str, NDArray[Any]]]],
    labels: LabelSet,
    features: FeatureSettings,
    sizes: Mapping[str, int],
) -> ShardNote:
    """Write clips and their arrays as one Arrow file, atomically, as `shard_bytes` has it."""
    data, note = shard_bytes(clips, labels, features, sizes)
    with replacing(path) as file:
        file.write(data)
    return note


def read_note(data: bytes) -> ShardNote:
    """The note of a shard from its bytes; EmohopError when they are damaged."""
    try:
        table = pa.ipc.open_file(pa.BufferReader(data)).read_all()
        table.validate(full=True)
        ids, labels = table["id"].to_pylist(), table["label"].to_pylist()
        listed = json.loads((table.schema.metadata or {}).get(_PROBLEMS_KEY, b"[]"))
        problems = tuple(Problem(**problem) for problem in listed)
    except (OSError, KeyError, TypeError, ValueError, RecursionError, pa.ArrowException) as error:
        reason = brief(error)
        raise EmohopError(f"a shard cannot be read ({reason})") from None
    return ShardNote(hashlib.sha256(data).hexdigest(), tuple(ids), dict(Counter(labels)), problems)


def _facts(clip: Clip, labels: LabelSet) -> dict[str, Any]:
    values = {name: getattr(clip, name) for name in FACTS if hasattr(clip, name)}
    values["votes"] = [asdict(vote) for vote in clip.votes]
    return values | {"label": labels.class_of(clip.label), "corpus_label": clip.label}


def _ragged(arrays: Sequence[NDArray[Any]], kind: pa.DataType) -> pa.Array:
    if pa.types.is_fixed_size_list(kind):  # one vector a clip
        return _vectors(arrays, kind)
    offsets = np.cumsum([0, *(len(a) for a in arrays)]).astype(np.int32)
    if pa.types.is_string(kind.value_type):
        steps = pa.array([token for a in arrays for token in a.tolist()], pa.string())
    else:
        steps = _vectors(arrays, kind.value_type)
    return pa.ListArray.from_arrays(pa.array(offsets), steps, type=kind)


def _vectors(arrays: Sequence[NDArray[Any]], kind: pa.DataType) -> pa.FixedSizeListArray:
    """The vectors of all arrays, one behind the other."""
    dtype = kind.value_type.to_pandas_dtype()
    flat = np.concatenate([np.zeros(0, dtype), *(np.ravel(a).astype(dtype) for a in arrays)])
    return pa.FixedSizeListArray.from_arrays(pa.array(flat, kind.value_type), type=kind)


_NAMED = ("id", "speaker", "session", "dialog")
"""Facts that are names within a corpus."""


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
    """A mapped Arrow file: facts as Python values, arrays as views."""

    def __init__(
        self, path: Path, visible: Collection[int] | None = None, part: Part | None = None
    ) -> None:
        """Map `path`; nothing is kept of the facts of rows that are not `visible`.

        Of a `part` of a joined corpus, names are told apart by its own.
        """
        try:
            self.pages = map_file(path)
            table = pa.ipc.open_file(pa.BufferReader(pa.py_buffer(self.pages))).read_all()
            _check(table)
            names = [n for n in table.schema.names if n not in FACTS]
            self.arrays = {n: _views(table[n]) for n in names}
        except (OSError, ValueError, pa.ArrowException) as error:
            reason = brief(error)
            raise EmohopError(f"{path} cannot be read ({reason}): prepare it again") from None
        self.visible, self.table = visible, table
        self.facts = _Facts(table, part)
        if visible is not None:
            seen = {n: self.facts[n] for n in FACTS if n != "votes"}
            self.table = table.select(names)
            self.facts = _Facts(self.table, part)
            for name, values in seen.items():
                self.facts[name] = [v if i in visible else None for i, v in enumerate(values)]
        self.clips = int(table.num_rows)

    def __len__(self) -> int:
        return self.clips

    def row(self, i: int) -> Row:
        """Row `i` of this shard, its arrays as views of the mapped file."""
        if self.visible is not None and i not in self.visible:
            raise EmohopError("a clip that is hidden here was asked for")
        facts = self.facts
        return Row(
            id=facts["id"][i],
            speaker=facts["speaker"][i],
            gender=facts["gender"][i],
            session=facts["session"][i],
            split=facts["split"][i],
            label=facts["label"][i],
            transcript=facts["transcript"][i],
            start=facts["start"][i],
            end=facts["end"][i],
            arrays={name: view(i) for name, view in self.arrays.items()},
        )


@dataclass(frozen=True, slots=True)
class _Numbers:
    """A column of vectors, or with `offsets` of lists of vectors; half floats are made whole."""

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
    for name, kind in FACTS.items():
        if table.schema.get_field_index(name) < 0 or table.schema.field(name).type != kind:
            raise ValueError(f"no column {name} of type {kind}")
    for field in table.schema:
        if field.name not in FACTS and not _is_array(field.type):
            raise ValueError(f"a column {field.name} of type {field.type}")
        if table[field.name].num_chunks > 1:
            raise ValueError(f"more than one part of {field.name}")
        if field.name not in FACTS and table[field.name].null_count:
            raise ValueError(f"gaps in {field.name}")


def _is_array(kind: pa.DataType) -> bool:
    """Whether a column holds a vector a clip, a list of vectors, or a list of words."""
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
