"""Whether a prepared corpus is still what was written: every shard against its checksum."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from emohop.errors import EmohopError
from emohop.storage.backends import Place, place
from emohop.storage.manifest import INDEX, SHARDS, Manifest, read_manifest


@dataclass(frozen=True, slots=True)
class DamagedFile:
    """A file of a prepared corpus that is missing or changed, and the clips that it held."""

    file: str
    reason: str
    clips: tuple[str, ...] | None
    """None: not known."""


def verify(folder: str | Path) -> tuple[Manifest, list[DamagedFile]]:
    """Read every file of a prepared corpus and compare it with the manifest.

    Raises:
        EmohopError: there is no manifest, or it is damaged.
    """
    manifest = read_manifest(folder)
    if manifest.parts:
        names = ", ".join(part.folder for part in manifest.parts)
        raise EmohopError(f"{folder} only joins other corpora: check {names} (seen from there)")
    return manifest, list(_damages(place(folder), manifest))


def _damages(where: Place, manifest: Manifest) -> Iterator[DamagedFile]:
    held = _index(where)
    for name, sha256 in manifest.checksums.items():
        reason = _compare(where, name, sha256)
        if reason is not None:
            shard = name.removeprefix(f"{SHARDS}/")
            clips = None
            if held is not None and shard != name:  # word vectors hold no clips
                clips = tuple(held.get(shard, ()))
            yield DamagedFile(name, reason, clips)


def _compare(where: Place, name: str, sha256: str) -> str | None:
    """What is wrong with a file, or None."""
    try:
        data = where.get(name)
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    return (
        None if hashlib.sha256(data).hexdigest() == sha256 else "has changed since it was written"
    )


def _index(where: Place) -> dict[str, list[str]] | None:
    """The clips of each shard by `index.csv`; None where there is none that can be read."""
    try:
        rows = list(csv.DictReader(io.StringIO(where.get(INDEX).decode(), newline="")))
        clips: dict[str, list[str]] = {}
        for row in rows:
            if row["shard"]:  # a clip that could not be read is in none
                clips.setdefault(row["shard"], []).append(row["id"])
    except (OSError, ValueError, KeyError, csv.Error):
        return None
    return clips
