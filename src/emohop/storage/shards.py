"""One Arrow file of a prepared corpus: one row per clip, each with its own number of frames."""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from emohop.clips import Clip, LabelSet
from emohop.config import FeatureSettings
from emohop.content import Content, hash_array, hash_transcript
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
    "audio_hash": pa.uint64(),
    "text_hash": pa.uint64(),
    "video_hash": pa.uint64(),
    "sample_rate": pa.int32(),
    "notes": pa.list_(pa.string()),
}
HASHES = ("audio_hash", "text_hash", "video_hash")
CONTENT = (*HASHES, "sample_rate", "notes")
"""The columns of `content.Content`, which say what a clip holds."""


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
    contents: tuple[Content, ...] = ()
    """What each clip holds,"""
    speakers: tuple[str | None, ...] = ()
    """and who speaks it."""
    digest: str = ""
    """Of what it was made of, while a run is under way."""
    stamps: Mapping[str, tuple[int, int, str]] = field(default_factory=dict)
    """The media files that were read for it, each with its size, time and checksum."""

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
            contents=tuple(
                Content(**{**content, "notes": tuple(content["notes"])})
                for content in values["contents"]
            ),
            speakers=tuple(values["speakers"]),
            digest=str(values["digest"]),
            stamps={str(k): (int(a), int(b), str(c)) for k, (a, b, c) in values["stamps"].items()},
        )


def shard_bytes(
    clips: Sequence[tuple[Clip, Mapping[str, NDArray[Any]]]],
    labels: LabelSet,
    features: FeatureSettings,
    sizes: Mapping[str, int],
    problems: Sequence[ClipProblem] = (),
    contents: Mapping[str, Content] | None = None,
) -> tuple[bytes, ShardNote]:
    """Clips and their arrays as one Arrow file; the same input, the same bytes.

    The problems of the clips that belong here too but could not be read travel in the schema.
    `contents` are what clips hold, by id; where nothing was decoded, their arrays are.
    """
    schema = _schema(features, sizes).with_metadata(
        {_PROBLEMS_KEY: json.dumps([asdict(p) for p in problems]).encode()}
    )
    metadata = [
        _metadata(clip, labels, content_of(clip, arrays) if contents is None else contents[clip.id])
        for clip, arrays in clips
    ]
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
    note = ShardNote(
        sha256=hashlib.sha256(data).hexdigest(),
        ids=tuple(clip.id for clip, _ in clips),
        labels=dict(found),
        problems=tuple(problems),
        contents=tuple(map(content_in, metadata)),
        speakers=tuple(row["speaker"] for row in metadata),
    )
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
        table = read_table(data)
        rows = table.select(["id", "speaker", "label", *CONTENT]).to_pylist()
        listed = json.loads((table.schema.metadata or {}).get(_PROBLEMS_KEY, b"[]"))
        problems = tuple(ClipProblem(**problem) for problem in listed)
    except (OSError, KeyError, TypeError, ValueError, RecursionError, pa.ArrowException) as error:
        reason = brief(error)
        raise EmohopError(f"a shard cannot be read ({reason})") from None
    return ShardNote(
        sha256=hashlib.sha256(data).hexdigest(),
        ids=tuple(row["id"] for row in rows),
        labels=dict(Counter(row["label"] for row in rows)),
        problems=problems,
        contents=tuple(map(content_in, rows)),
        speakers=tuple(row["speaker"] for row in rows),
    )


def read_metadata(data: bytes) -> list[dict[str, Any]]:
    """The metadata of the rows of a shard whose bytes are as they were written."""
    rows: list[dict[str, Any]] = read_table(data).select(list(METADATA)).to_pylist()
    return rows


def read_table(data: bytes) -> pa.Table:
    """The table in a shard's bytes, checked; ArrowException when they are damaged."""
    table = pa.ipc.open_file(pa.BufferReader(data)).read_all()
    table.validate(full=True)
    return table


def content_in(row: Mapping[str, Any]) -> Content:
    """What a clip holds, by the columns of its row."""
    audio, text, video = (row[name] for name in HASHES)
    return Content(audio, text, video, row["sample_rate"], tuple(row["notes"] or ()))


def content_of(clip: Clip, arrays: Mapping[str, NDArray[Any]]) -> Content:
    """What a clip holds where its media are not at hand: its features stand for them."""
    text = clip.transcript
    if text is None and len(arrays.get("text", ())):
        text = " ".join(arrays["text"].tolist())
    audio, video = (
        hash_array(arrays[name]) if name in arrays else None for name in ("audio", "video")
    )
    return Content(audio, hash_transcript(text), video)


def metadata_of(clip: Clip, labels: LabelSet) -> dict[str, Any]:
    """The metadata of a clip as a shard has them, but for what it holds."""
    values = {name: getattr(clip, name) for name in METADATA if hasattr(clip, name)}
    values["votes"] = [asdict(vote) for vote in clip.votes]
    return values | {"label": labels.class_of(clip.label), "corpus_label": clip.label}


def _metadata(clip: Clip, labels: LabelSet, content: Content) -> dict[str, Any]:
    held = (content.audio, content.text, content.video, content.sample_rate, list(content.notes))
    return metadata_of(clip, labels) | dict(zip(CONTENT, held, strict=True))


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
