"""What a prepared corpus was made of, and what of that has changed since."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from emohop.clips import Clip, LabelSet
from emohop.config import FeatureSettings
from emohop.content import hash_name
from emohop.corpora.files import shown
from emohop.errors import EmohopError
from emohop.files import csv_text, sha256
from emohop.storage.backends import Place
from emohop.storage.manifest import INDEX, MANIFEST, SHARDS, Manifest
from emohop.storage.shards import ShardNote, metadata_of, read_metadata, read_note

FILES = "files.csv"
"""The media files that clips were read from: size, time and checksum of each."""
KEPT = "kept"
"""The folder of shards whose rows go into new ones, while a corpus is brought up to date."""
INPUTS = ("audio", "text", "video")
_LABELS = {"label", "corpus_label"}


@dataclass(frozen=True, slots=True)
class Stamp:
    """A media file as it was read: bytes, time of its last change, checksum; -1 bytes if gone."""

    size: int
    time_ns: int
    sha256: str = ""

    @classmethod
    def of(cls, path: Path) -> Stamp:
        """The stamp of a file now, without its checksum."""
        try:
            found = path.stat()
        except OSError:
            return cls(-1, 0)
        return cls(found.st_size, found.st_mtime_ns)

    @classmethod
    def read(cls, path: Path) -> Stamp:
        """The stamp of a file now; its whole content is read."""
        found = cls.of(path)
        try:
            return cls(found.size, found.time_ns, sha256(path))
        except OSError:
            return cls(-1, 0)


def media_of(clip: Clip, features: FeatureSettings) -> dict[str, Path]:
    """The files that a clip's audio and video are read from, where they are used."""
    spans = {"audio": clip.audio, "video": clip.video}
    used = {modality.value for modality in features.modalities}
    return {name: span.path for name, span in spans.items() if span is not None and name in used}


def name_of(path: Path, source: Path) -> str:
    """A media file's name within the corpus's folder, or its whole path outside of it."""
    root = source if source.is_dir() else source.parent
    for folder in (root, root.resolve()):  # readers may follow a link to the folder
        if path.is_relative_to(folder):
            return path.relative_to(folder).as_posix()
    return str(path)


def inputs_of(clip: Clip, features: FeatureSettings, source: Path) -> dict[str, str]:
    """What each modality's features are computed of, as a hash; "" where there is nothing."""
    told: dict[str, list[Any]] = {}
    for name, path in media_of(clip, features).items():
        span = clip.audio if name == "audio" else clip.video
        if span is not None:
            half = span.half if name == "video" else None
            told[name] = [name_of(path, source), span.start, span.end, half]
            if (span.channel, span.track) != (None, None):
                told[name] += [span.channel, span.track]
    if features.text is not None and clip.transcript is not None:
        told["text"] = [clip.transcript, *clip.previous_turns]
    return {
        name: f"{hash_name(json.dumps(told[name])):016x}" if name in told else "" for name in INPUTS
    }


@dataclass(frozen=True, slots=True)
class Change:
    """What has changed of some clips since they were prepared."""

    what: str
    clips: tuple[str, ...]

    def __str__(self) -> str:
        count = len(self.clips)
        return f"{count} clip{'s' * (count != 1)}: {self.what} ({shown(self.clips)})"


@dataclass(frozen=True)
class SourceDifference:
    """How a corpus differs from what was prepared of it."""

    changes: tuple[Change, ...] = ()
    again: frozenset[str] = frozenset()
    """Clips whose features have to be computed, new ones included."""
    touched: frozenset[str] = frozenset()
    """Clips that have other metadata, and the features that they had."""
    lost: tuple[str, ...] = ()
    """Clips that are prepared and are no longer there, or whose media are not."""


@dataclass
class Held:
    """What a prepared corpus holds: the metadata of its rows, and what they were made of."""

    manifest: Manifest
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Metadata by id."""
    places: dict[str, str] = field(default_factory=dict)
    """The file that holds a row, by id."""
    notes: dict[str, ShardNote] = field(default_factory=dict)
    """Of each shard that is as it was written, by the name of its file."""
    damaged: tuple[str, ...] = ()
    inputs: dict[str, dict[str, str]] = field(default_factory=dict)
    stamps: dict[str, Stamp] = field(default_factory=dict)

    @classmethod
    def read(cls, where: Place, manifest: Manifest) -> Held:
        """Read every shard, and compare it with its checksum."""
        held, damaged = cls(manifest), []
        for shard in manifest.shards:
            found = _intact(where, shard.file, shard.sha256)
            if found is None:
                damaged.append(shard.file)
                continue
            name, data, held.notes[shard.file] = found
            for row in read_metadata(data):
                held.rows[row["id"]] = row
                held.places[row["id"]] = name
        held.damaged = tuple(damaged)
        for line in _table(where, INDEX, ("id", *INPUTS)):
            held.inputs[line["id"]] = {name: line[name] for name in INPUTS}
        with contextlib.suppress(ValueError):  # what is damaged counts as changed
            for line in _table(where, FILES, ("path", "size", "time_ns", "sha256")):
                size, time_ns = int(line["size"]), int(line["time_ns"])
                held.stamps[line["path"]] = Stamp(size, time_ns, line["sha256"])
        return held

    @property
    def problems(self) -> frozenset[str]:
        """Clips that could not be read."""
        return frozenset(p.id for note in self.notes.values() for p in note.problems)

    def shards_of(self) -> dict[frozenset[str], str]:
        """The shards by the clips that they are of, problems included."""
        return {
            frozenset([*note.ids, *(problem.id for problem in note.problems)]): file
            for file, note in self.notes.items()
        }


def held_manifest(where: Place, name: str) -> Manifest | None:
    """The manifest of what is there: of a finished corpus, or of one that is being updated."""
    for file in (MANIFEST, f"{KEPT}/{MANIFEST}"):
        try:
            return Manifest.parse(where.get(file), f"{name}/{file}")
        except FileNotFoundError:
            continue
    return None


@dataclass(frozen=True)
class SourceSnapshot:
    """What a corpus is compared by: its clips now, and how they are prepared."""

    clips: Sequence[Clip]
    """Those of the class set."""
    present: frozenset[str]
    """The ids of all."""
    labels: LabelSet
    features: FeatureSettings
    source: Path
    encoders: Mapping[str, str]
    """The fingerprints of its pretrained encoders now, by modality."""

    def difference(
        self, held: Held, *, verify: bool = False, retry: bool = False
    ) -> tuple[SourceDifference, dict[str, Stamp]]:
        """What has changed since, and the stamps of the files that are still the same.

        A file of the same size and time is taken for the same, but to `verify`; where the time
        differs, or there is none, its content decides. Clips that could not be read are looked at
        again where theirs has changed, or to `retry`.
        """
        files = _Files(held.stamps, self.source, verify)
        found: dict[str, list[str]] = {}
        again: set[str] = set()
        touched: set[str] = set()
        lost: list[str] = []
        damaged = _ids_of_damaged(held)
        for modality, fingerprint in {**held.manifest.encoders, **self.encoders}.items():
            if held.manifest.encoders.get(modality) != self.encoders.get(modality, fingerprint):
                found.setdefault(f"the {modality} encoder changed", []).extend(held.rows)
                again |= held.rows.keys()
        for clip in self.clips:
            row = held.rows.get(clip.id)
            if row is None and clip.id not in held.problems and clip.id not in damaged:
                found.setdefault("new", []).append(clip.id)
                again.add(clip.id)
                continue
            paths = media_of(clip, self.features)
            inputs = self._changed_inputs(clip, held, files)
            if row is not None and any(files.gone(path) for path in paths.values()):
                lost.append(clip.id)
            for what in inputs:
                found.setdefault(what, []).append(clip.id)
            if inputs or (retry and clip.id in held.problems):
                again.add(clip.id)
            elif row is not None:
                for what in changed_metadata(row, clip, self.labels):
                    found.setdefault(f"{what} changed", []).append(clip.id)
                    touched.add(clip.id)
        ids = {clip.id for clip in self.clips}
        if outside := [id_ for id_ in held.rows if id_ not in ids and id_ in self.present]:
            found["no longer in the class set"] = outside
        if gone := [id_ for id_ in held.rows if id_ not in self.present]:
            found["gone"] = gone
            lost += gone
        changes = tuple(Change(what, tuple(clips)) for what, clips in found.items())
        return SourceDifference(
            changes, frozenset(again), frozenset(touched), tuple(lost)
        ), files.same

    def _changed_inputs(self, clip: Clip, held: Held, files: _Files) -> list[str]:
        """What of a clip's media and words is another now."""
        before = held.inputs.get(clip.id)
        if before is None and clip.id in held.rows:
            return [f"{INDEX} does not say what it was made of"]
        now = inputs_of(clip, self.features, self.source)
        paths = media_of(clip, self.features)
        changed = []
        for name in INPUTS:
            other = before is not None and before[name] != now[name]
            if other or (name in paths and files.changed(paths[name])):
                row = held.rows.get(clip.id)
                turns = name == "text" and row is not None and row["transcript"] == clip.transcript
                what = "transcript" if name == "text" else name
                changed.append("turns before it changed" if turns else f"{what} changed")
        return changed


class _Files:
    """Media files beside their stamps, each looked at once."""

    def __init__(self, before: Mapping[str, Stamp], source: Path, verify: bool) -> None:
        self._before, self._source, self._verify = before, source, verify
        self._changed: dict[Path, bool] = {}
        self.same: dict[str, Stamp] = {}
        """Stamps of files whose content is what it was."""

    def gone(self, path: Path) -> bool:
        """Whether a file that was read is no longer there."""
        self.changed(path)
        before = self._before.get(name_of(path, self._source))
        return before is not None and before.size >= 0 and not path.exists()

    def changed(self, path: Path) -> bool:
        """Whether a file is another than it was."""
        if path not in self._changed:
            name = name_of(path, self._source)
            before, now = self._before.get(name), Stamp.of(path)
            same = before is not None and before.size == now.size
            if same and before is not None and now.size >= 0:
                # some archives and network disks give every file the time 0
                if self._verify or before.time_ns != now.time_ns or now.time_ns <= 0:
                    now = Stamp.read(path)
                    same = now.sha256 == before.sha256
                else:
                    now = before
            self._changed[path] = not same
            if same:
                self.same[name] = now
        return self._changed[path]


def changed_metadata(row: Mapping[str, Any], clip: Clip, labels: LabelSet) -> list[str]:
    """The facts of a clip that differ from those of its row."""
    now = metadata_of(clip, labels)
    differing = [name for name in now if _plain(row[name]) != _plain(now[name])]
    facts = ["label" if name in _LABELS else name for name in differing]
    return list(dict.fromkeys(facts))


def _plain(value: Any) -> Any:
    """A value so that tuples equal lists, whole numbers floats, and NaN itself."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, float) and math.isnan(value):
        return "NaN"
    return value


def _ids_of_damaged(held: Held) -> set[str]:
    """The clips that damaged shards held: all that is neither in a row nor a problem."""
    return set(held.inputs) - held.rows.keys() if held.damaged else set()


def _intact(where: Place, file: str, checksum: str) -> tuple[str, bytes, ShardNote] | None:
    """Where a shard lies that is as it was written, and what it holds; None where none does."""
    for folder in (KEPT, SHARDS):
        try:
            data = where.get(f"{folder}/{file}")
        except OSError:
            continue
        if hashlib.sha256(data).hexdigest() == checksum:
            try:
                return f"{folder}/{file}", data, read_note(data)
            except EmohopError:
                return None
    return None


def _table(where: Place, name: str, needed: Sequence[str]) -> list[dict[str, str]]:
    """The lines of a table; none where it is missing or damaged, so that clips are read again."""
    try:
        lines = list(csv.DictReader(io.StringIO(where.get(name).decode(), newline="")))
    except (OSError, ValueError, csv.Error):
        return []
    return [line for line in lines if all(line.get(key) is not None for key in needed)]


def files_table(stamps: Mapping[str, Stamp]) -> bytes:
    """`files.csv`."""
    lines = [(path, *asdict(stamps[path]).values()) for path in sorted(stamps)]
    return csv_text(("path", "size", "time_ns", "sha256"), lines).encode()


def digest_of(told: Iterable[object]) -> str:
    """SHA-256 of what decides a shard."""
    return hashlib.sha256(json.dumps(list(told)).encode()).hexdigest()
