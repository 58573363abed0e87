"""One Arrow file of a prepared corpus: one row per clip, each with its own number of frames."""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from emohop.clips import Clip, LabelSet
from emohop.config import FeatureSettings
from emohop.errors import EmohopError, brief
from emohop.features.arrays import ARRAYS
from emohop.files import replacing

RATERS = "raters"
"""The array of the raters' votes by class, as shares; all 0 where no vote is of a class."""
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
METADATA: dict[str, pa.DataType] = {
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
class ClipProblem:
    """A clip that was left out: its file, the stage that failed and why.

    Stages are audio, text and video, and process for a clip that no process survived.
    """

    id: str
    path: str
    stage: str
    reason: str


def _schema(features: FeatureSettings, sizes: Mapping[str, int]) -> pa.Schema:
    columns = dict(METADATA)
    number = {"float32": pa.float32(), "float16": pa.float16()}[features.precision]
    for name, kind in ARRAYS.items():
        if kind.shape == "words" and features.of(kind.modality) is not None:
            columns[name] = pa.list_(pa.string())
        elif name in sizes:
            vector = pa.list_(number if kind.half else pa.float32(), sizes[name])
            columns[name] = pa.list_(vector) if kind.shape == "steps" else vector
    if RATERS in sizes:
        columns[RATERS] = pa.list_(pa.float32(), sizes[RATERS])
    return pa.schema(list(columns.items()))


@dataclass(frozen=True, slots=True)
class ShardNote:
    """What is known of a finished shard without opening it."""

    sha256: str
    ids: tuple[str, ...]
    labels: Mapping[str, int]
    """Clips of each class."""
    problems: tuple[ClipProblem, ...]

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
            problems=tuple(ClipProblem(**problem) for problem in values["problems"]),
        )


def shard_bytes(
    clips: Sequence[tuple[Clip, Mapping[str, NDArray[Any]]]],
    labels: LabelSet,
    features: FeatureSettings,
    sizes: Mapping[str, int],
    problems: Sequence[ClipProblem] = (),
) -> tuple[bytes, ShardNote]:
    """Clips and their arrays as one Arrow file; the same input, the same bytes.

    The problems of the clips that belong here too but could not be read travel in the schema.
    """
    schema = _schema(features, sizes).with_metadata(
        {_PROBLEMS_KEY: json.dumps([asdict(p) for p in problems]).encode()}
    )
    metadata = [_metadata(clip, labels) for clip, _ in clips]
    columns = []
    for column in schema:
        if column.name in METADATA:
            values = [row[column.name] for row in metadata]
            columns.append(pa.array(values, column.type))
        else:
            columns.append(_ragged([arrays[column.name] for _, arrays in clips], column.type))
    file = io.BytesIO()
    with pa.ipc.new_file(file, schema) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
    data = file.getvalue()
    found = Counter(str(row["label"]) for row in metadata)
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
        problems = tuple(ClipProblem(**problem) for problem in listed)
    except (OSError, KeyError, TypeError, ValueError, RecursionError, pa.ArrowException) as error:
        reason = brief(error)
        raise EmohopError(f"a shard cannot be read ({reason})") from None
    return ShardNote(hashlib.sha256(data).hexdigest(), tuple(ids), dict(Counter(labels)), problems)


def _metadata(clip: Clip, labels: LabelSet) -> dict[str, Any]:
    values = {name: getattr(clip, name) for name in METADATA if hasattr(clip, name)}
    values["votes"] = [asdict(vote) for vote in clip.votes]
    return values | {"label": labels.class_of(clip.label), "corpus_label": clip.label}


def _ragged(arrays: Sequence[NDArray[Any]], kind: pa.DataType) -> pa.Array:
    if pa.types.is_fixed_size_list(kind):  # one vector per clip
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
