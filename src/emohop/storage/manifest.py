"""The manifest of a prepared corpus: what it holds and how it was made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from emohop.clips import Modality
from emohop.config import FeatureSettings, checked
from emohop.errors import DAMAGED, EmohopError, brief
from emohop.features.identity import FeatureIdentity
from emohop.files import replacing
from emohop.storage.backends import place
from emohop.storage.vectors import MATRIX, WORDS, VectorFiles

FORMAT_VERSION = 2
MANIFEST = "manifest.json"
SHARDS = "shards"
"""The folder beside it of the Arrow files."""
_MOST = 2**40  # of anything that is counted
_LONGEST = 500  # characters of a name
INDEX = "index.csv"
"""Beside it: each clip's id and shard, so that a damaged shard's clips are known."""


@dataclass(frozen=True)
class Shard:
    """One Arrow file of the corpus."""

    file: str
    clips: int
    sha256: str


@dataclass(frozen=True)
class Part:
    """One of the prepared corpora that a joined one is made of."""

    name: str
    """Put before its ids, speakers, sessions and dialogs."""
    folder: str
    """Where it lies, seen from the joined corpus's folder."""
    shards: int
    test: bool
    """All its clips are for testing; else its own parts do not count."""
    fingerprint: str


@dataclass(frozen=True)
class Manifest:
    """What a prepared corpus holds; written last, so that its presence means completeness."""

    corpus: str
    class_set: str
    labels: tuple[str, ...]
    features: FeatureSettings
    sizes: Mapping[str, int]
    """Numbers in a frame of each array: {"audio": 120, "prosody": 35, "video": 2048}, and
    "text_states" for the states of a language model."""
    label_counts: Mapping[str, int]
    dropped: Mapping[str, int]
    """Clips outside the class set, by corpus label."""
    problems: int
    shards: tuple[Shard, ...]
    fingerprint: str
    """SHA-256 over the settings and the shards: equal corpora have equal fingerprints."""
    word_vectors: VectorFiles | None = None
    """Those that the corpus brings along."""
    layers: Mapping[str, int] = field(default_factory=dict)
    """Hidden states that stand side by side in a modality's frames, where they are several."""
    encoders: Mapping[str, str] = field(default_factory=dict)
    """The fingerprint of each modality's pretrained encoder."""
    adapted: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By modality, the ids of those clips that its encoder was finetuned on, or chosen by."""
    parts: tuple[Part, ...] = ()
    """Of a joined corpus, whose `shards` are those of its parts, one part behind the other."""
    version: int = FORMAT_VERSION

    def identity(self, modality: Modality) -> FeatureIdentity | None:
        """What the features of a modality are known by; None where it was left out."""
        return FeatureIdentity.of(modality, self.features, self.encoders)

    @property
    def clips(self) -> int:
        """Rows of all shards together."""
        return sum(shard.clips for shard in self.shards)

    @property
    def seen(self) -> frozenset[str]:
        """The ids of the clips that some encoder was finetuned on, or chosen by."""
        return frozenset(id_ for ids in self.adapted.values() for id_ in ids)

    @property
    def checksums(self) -> dict[str, str]:
        """The SHA-256 of every file that a corpus that is not joined consists of, by its name."""
        sums = {f"{SHARDS}/{shard.file}": shard.sha256 for shard in self.shards}
        if self.word_vectors is not None:
            sums[WORDS] = self.word_vectors.words_sha256
            sums[MATRIX] = self.word_vectors.matrix_sha256
        return sums

    def to_json(self) -> dict[str, Any]:
        """The manifest as plain values."""
        return {
            **asdict(self),
            "features": self.features.model_dump(mode="json"),
            "clips": self.clips,
        }

    def to_bytes(self) -> bytes:
        """The file `manifest.json`."""
        return (json.dumps(self.to_json(), indent=1) + "\n").encode()


def fingerprint(metadata: Mapping[str, Any], shards: Sequence[Shard]) -> str:
    """SHA-256 of what was asked for and what came out."""
    text = json.dumps([metadata, [asdict(shard) for shard in shards]], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `manifest.json`, which declares the corpus complete."""
    with replacing(folder / MANIFEST) as file:
        file.write(manifest.to_bytes())


def read_manifest(where: str | Path) -> Manifest:
    """Read and check `manifest.json`; EmohopError when it is missing, damaged or newer.

    `where` is a folder, or a URL as `places.place` takes it.
    """
    try:
        data = place(where).get(MANIFEST)
    except FileNotFoundError:
        hint = "it is not a prepared corpus, or `emohop prepare` did not finish"
        raise EmohopError(f"no {MANIFEST} in {where}: {hint}") from None
    return parse_manifest(data, f"{where}/{MANIFEST}")


def parse_manifest(data: bytes, path: str) -> Manifest:
    """The manifest in a file's bytes; EmohopError, naming `path`, when damaged or newer."""
    try:
        values = json.loads(data)
        version = values["version"]
        if version == FORMAT_VERSION:
            return _manifest(values)
    except (*DAMAGED, EmohopError) as error:
        reason = brief(error)
        raise EmohopError(f"{path} is damaged ({reason}): run `emohop prepare` again") from None
    shown = brief(version)
    raise EmohopError(
        f"{path}: format {shown}, this emohop reads format {FORMAT_VERSION}: "
        "prepare the corpus again or change the version of emohop"
    )


def _manifest(values: Mapping[str, Any]) -> Manifest:
    """The manifest in plain values; EmohopError or one of `DAMAGED` when they are damaged."""
    shards = tuple(
        Shard(_file_name(s["file"]), _count(s["clips"]), str(s["sha256"])) for s in values["shards"]
    )
    parts = tuple(
        Part(
            _line(p["name"]),
            _line(p["folder"]),
            _count(p["shards"]),
            bool(p["test"]),
            str(p["fingerprint"]),
        )
        for p in values.get("parts", ())
    )
    if parts and sum(part.shards for part in parts) != len(shards):
        raise ValueError(f"{len(shards)} shards are not those of its parts")
    return Manifest(
        corpus=str(values["corpus"]),
        class_set=str(values["class_set"]),
        labels=tuple(map(str, values["labels"])),
        features=checked(FeatureSettings, values["features"]),
        sizes={str(k): _count(v) for k, v in values["sizes"].items()},
        label_counts={str(k): _count(v) for k, v in values["label_counts"].items()},
        dropped={str(k): _count(v) for k, v in values["dropped"].items()},
        problems=_count(values["problems"]),
        shards=shards,
        fingerprint=str(values["fingerprint"]),
        word_vectors=_vector_files(values.get("word_vectors")),
        layers={str(k): max(1, _count(v)) for k, v in values.get("layers", {}).items()},
        encoders={str(k): _line(v) for k, v in values.get("encoders", {}).items()},
        adapted={str(k): tuple(map(_line, v)) for k, v in values.get("adapted", {}).items()},
        parts=parts,
    )


def _count(value: Any) -> int:
    """A number of things; ValueError when it is none that a corpus can have."""
    number = int(value)
    if not 0 <= number <= _MOST:
        raise ValueError(f"a count of {number}")
    return number


def _file_name(value: Any) -> str:
    """A file's name; ValueError for a way to somewhere else."""
    name = _line(value)
    if name in ("", ".", "..") or "/" in name or "\\" in name:
        raise ValueError(f"{name!r} is no name of a shard")
    return name


def _line(value: Any) -> str:
    """A name or a path; ValueError for what cannot be shown on a line."""
    text = str(value)
    if len(text) > _LONGEST or not text.isprintable():
        raise ValueError(f"{text[:50]!r} is no name")
    return text


def _vector_files(values: Mapping[str, Any] | None) -> VectorFiles | None:
    if values is None:
        return None
    return VectorFiles(
        words=_count(values["words"]),
        size=_count(values["size"]),
        words_sha256=str(values["words_sha256"]),
        matrix_sha256=str(values["matrix_sha256"]),
    )
