"""What pretrained encoders gave before, on disk, by the content that they were given.

A key is made of the encoder's weights, the settings and the decoded audio, text or video, so
that a file that moved is found again and one that changed is not.
"""

from __future__ import annotations

import hashlib
import uuid
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from emohop.errors import EmohopError, MediaError
from emohop.features.arrays import Arrays

Item = TypeVar("Item")


class Cache:
    """A folder of encoder outputs; entries are never changed, and may be deleted at any time."""

    def __init__(self, folder: str | Path, encoder: str) -> None:
        """Keep in `folder` what `encoder` (its fingerprint and settings) gives."""
        self.folder, self._encoder = Path(folder).expanduser(), encoder
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EmohopError(f"the cache {folder} cannot be made: {error.strerror}") from None

    def through(
        self,
        items: Sequence[Item],
        content: Callable[[Item], bytes],
        encode: Callable[[list[Item]], Sequence[Arrays | MediaError]],
    ) -> list[Arrays | MediaError]:
        """What `encode` gives for items, computed together for those that are not kept yet.

        Errors are given back and not kept.
        """
        paths = [self._path(content(item)) for item in items]
        known: dict[int, Arrays | MediaError] = {
            i: kept for i, path in enumerate(paths) if (kept := _read(path)) is not None
        }
        missing = [i for i in range(len(items)) if i not in known]
        made = encode([items[i] for i in missing]) if missing else []
        for i, arrays in zip(missing, made, strict=True):
            known[i] = arrays
            if not isinstance(arrays, MediaError):
                _write(paths[i], arrays)
        return [known[i] for i in range(len(items))]

    def _path(self, content: bytes) -> Path:
        name = hashlib.sha256(self._encoder.encode() + b"\0" + content).hexdigest()
        return self.folder / name[:2] / f"{name}.npz"


def _write(path: Path, arrays: Arrays) -> None:
    """Put an entry in place whole; one that a power cut damages is made again."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        path.parent.mkdir(exist_ok=True)
        try:
            with temporary.open("wb") as file:
                np.savez(file, **dict(arrays))  # type: ignore[arg-type]
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:  # a reader of media would take it for the clip's own
        raise EmohopError(
            f"the cache {path.parent.parent} cannot be written: {error.strerror or error}; make "
            "room there or leave --cache out"
        ) from None


def _read(path: Path) -> Arrays | None:
    """An entry; None where there is none, or it is damaged and must be made again."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as entry:
            return {name: entry[name] for name in entry.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return None
