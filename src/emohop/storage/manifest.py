"""The manifest of a prepared corpus: what it holds and how it was made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from emohop.config import FeatureSettings, checked
from emohop.errors import EmohopError
from emohop.files import replacing
from emohop.storage.vectors import VectorFiles

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
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
    """Numbers in a frame of each array: {"audio": 120, "prosody": 35, "video": 2048}."""
    label_counts: Mapping[str, int]
    dropped: Mapping[str, int]
    """Clips outside the class set, by corpus label."""
    problems: int
    shards: tuple[Shard, ...]
    fingerprint: str
    """SHA-256 over the settings and the shards: equal corpora have equal fingerprints."""
    word_vectors: VectorFiles | None = None
    """Those that the corpus brings along."""
    parts: tuple[Part, ...] = ()
    """Of a joined corpus, whose `shards` are those of its parts, one part behind the other."""
    version: int = FORMAT_VERSION

    @property
    def clips(self) -> int:
        """Rows of all shards together."""
        return sum(shard.clips for shard in self.shards)

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


def fingerprint(facts: Mapping[str, Any], shards: Sequence[Shard]) -> str:
    """SHA-256 of what was asked for and what came out."""
    text = json.dumps([facts, [asdict(shard) for shard in shards]], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `manifest.json`, which declares the corpus complete."""
    with replacing(folder / MANIFEST) as file:
        file.write(manifest.to_bytes())


def read_manifest(folder: Path) -> Manifest:
    """Read and check `manifest.json`; EmohopError when it is missing, damaged or newer."""
    try:
        data = (folder / MANIFEST).read_bytes()
    except FileNotFoundError:
        hint = "it is not a prepared corpus, or `emohop prepare` did not finish"
        raise EmohopError(f"no {MANIFEST} in {folder}: {hint}") from None
    return parse_manifest(data, str(folder / MANIFEST))


def parse_manifest(data: bytes, path: str) -> Manifest:
    """The manifest in a file's bytes; EmohopError, naming `path`, when damaged or newer."""
    try:
        values = json.loads(data)
        version = values["version"]
        if version != FORMAT_VERSION:
            raise EmohopError(
                f"{path}: format {version}, this emohop reads format {FORMAT_VERSION}: "
                "prepare the corpus again or change the version of emohop"
            )
        return Manifest(
            corpus=str(values["corpus"]),
            class_set=str(values["class_set"]),
            labels=tuple(map(str, values["labels"])),
            features=checked(FeatureSettings, values["features"]),
            sizes={str(k): int(v) for k, v in values["sizes"].items()},
            label_counts={str(k): int(v) for k, v in values["label_counts"].items()},
            dropped={str(k): int(v) for k, v in values["dropped"].items()},
            problems=int(values["problems"]),
            shards=tuple(
                Shard(str(s["file"]), int(s["clips"]), str(s["sha256"])) for s in values["shards"]
            ),
            fingerprint=str(values["fingerprint"]),
            word_vectors=_vector_files(values.get("word_vectors")),
            parts=tuple(
                Part(
                    str(p["name"]),
                    str(p["folder"]),
                    int(p["shards"]),
                    bool(p["test"]),
                    str(p["fingerprint"]),
                )
                for p in values.get("parts", ())
            ),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EmohopError(f"{path} is damaged ({error}): run `emohop prepare` again") from None


def _vector_files(values: Mapping[str, Any] | None) -> VectorFiles | None:
    if values is None:
        return None
    return VectorFiles(
        words=int(values["words"]),
        size=int(values["size"]),
        words_sha256=str(values["words_sha256"]),
        matrix_sha256=str(values["matrix_sha256"]),
    )
