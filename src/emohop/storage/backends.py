"""Where a prepared corpus is written: a folder, or any file system that fsspec knows."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any, Protocol

from emohop.errors import EmohopError
from emohop.files import replacing


class Place(Protocol):
    """Named files that are put in place whole. Names may have folders in them: `shards/0.arrow`.

    OSError, with the file's name, for what the file system refuses.
    """

    def put(self, name: str, data: bytes) -> None:
        """Put a whole file in place."""

    def get(self, name: str) -> bytes:
        """A file's bytes; FileNotFoundError where there is none."""

    def names(self, folder: str = "") -> set[str]:
        """The files in a folder, without the folders in it; none where there is no such folder."""

    def move(self, name: str, to: str) -> None:
        """Give a file another name."""

    def delete(self, name: str) -> None:
        """Delete a file, if it is there."""

    def delete_folder(self, name: str) -> None:
        """Delete an empty folder, if it is there."""

    def sweep(self) -> None:
        """Delete what processes that were stopped left half written."""


def place(where: str | Path) -> Place:
    """The place of a path or of a URL such as `s3://bucket/prepared`."""
    return Remote(str(where)) if is_url(where) else Folder(Path(where))


def is_url(where: str | Path) -> bool:
    """Whether this names a file system and not a folder here; a Path never does."""
    return isinstance(where, str) and "://" in where


class Folder:
    """A folder of this machine."""

    def __init__(self, path: Path) -> None:
        """It is made with the first file."""
        self.path = path.absolute()  # a worker may sit somewhere else

    def put(self, name: str, data: bytes) -> None:
        """As in Place; on the disk when this returns."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            file.write(data)

    def get(self, name: str) -> bytes:
        """As in Place."""
        return (self.path / name).read_bytes()

    def names(self, folder: str = "") -> set[str]:
        """As in Place."""
        with contextlib.suppress(FileNotFoundError), os.scandir(self.path / folder) as entries:
            return {entry.name for entry in entries if entry.is_file()}
        return set()

    def move(self, name: str, to: str) -> None:
        """As in Place."""
        (self.path / to).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).replace(self.path / to)

    def delete(self, name: str) -> None:
        """As in Place."""
        (self.path / name).unlink(missing_ok=True)

    def delete_folder(self, name: str) -> None:
        """As in Place."""
        with contextlib.suppress(FileNotFoundError):
            (self.path / name).rmdir()

    def sweep(self) -> None:
        """As in Place."""
        for leftover in self.path.rglob(".*.tmp"):
            leftover.unlink(missing_ok=True)


class Remote:
    """A folder on a file system that fsspec knows, such as s3, gs, hdfs, sftp or memory."""

    def __init__(self, url: str) -> None:
        """Find the file system; EmohopError when there is none of that name."""
        self.url = url.rstrip("/")
        self._files: Any = None
        self._open()

    def _open(self) -> None:
        import fsspec

        protocol = self.url.split("://", 1)[0]
        try:
            self._files, self._root = fsspec.core.url_to_fs(self.url)
        except ImportError as error:
            raise EmohopError(f"{self.url}: {' '.join(str(error).split())}") from None
        except ValueError as error:
            known = "s3, gs, hdfs, sftp, file and others"
            raise EmohopError(
                f"no file system {protocol!r} ({error}): fsspec knows {known}"
            ) from None

    def __getstate__(self) -> dict[str, Any]:
        return {"url": self.url}  # a file system's connections stay in their process

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.url = state["url"]
        self._open()

    def put(self, name: str, data: bytes) -> None:
        """As in Place: written under another name first, then moved."""
        folder, _, file = f"{self._root}/{name}".rpartition("/")
        self._files.makedirs(folder, exist_ok=True)
        temporary = f"{folder}/.{file}.{os.getpid()}.tmp"
        try:
            self._files.pipe_file(temporary, data)
            self._files.mv(temporary, f"{folder}/{file}")
        except BaseException:
            with contextlib.suppress(OSError):
                self._files.rm_file(temporary)
            raise

    def get(self, name: str) -> bytes:
        """As in Place."""
        data: bytes = self._files.cat_file(f"{self._root}/{name}")
        return data

    def names(self, folder: str = "") -> set[str]:
        """As in Place."""
        self._files.invalidate_cache()
        with contextlib.suppress(FileNotFoundError):
            found = self._files.ls(f"{self._root}/{folder}".rstrip("/"), detail=True)
            return {f["name"].rpartition("/")[2] for f in found if f["type"] == "file"}
        return set()

    def move(self, name: str, to: str) -> None:
        """As in Place."""
        self._files.makedirs(f"{self._root}/{to}".rpartition("/")[0], exist_ok=True)
        self._files.mv(f"{self._root}/{name}", f"{self._root}/{to}")

    def delete(self, name: str) -> None:
        """As in Place."""
        with contextlib.suppress(FileNotFoundError):
            self._files.rm_file(f"{self._root}/{name}")

    def delete_folder(self, name: str) -> None:
        """As in Place; where folders are only names, none is left."""
        with contextlib.suppress(OSError):
            self._files.rmdir(f"{self._root}/{name}")

    def sweep(self) -> None:
        """As in Place."""
        for folder in ("", "shards/"):
            for name in self.names(folder):
                if name.startswith(".") and name.endswith(".tmp"):
                    self.delete(folder + name)
