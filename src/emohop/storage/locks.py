"""One process at a time in a folder that is written."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from emohop.errors import EmohopError
from emohop.storage.backends import is_url

LOCK = ".lock"


@contextmanager
def locked(where: str | Path) -> Iterator[None]:
    """Hold a folder, which is made if need be; the system lets go of it when the process ends.

    A URL is held against processes of this user on this machine only.
    Raises EmohopError when another process holds it, or a file is in its place.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(_lock_file(where), timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise EmohopError(
            f"{where} is in use by another emohop: wait for it, or choose another folder"
        ) from None
    except NotImplementedError:  # what filelock raises where the system cannot lock
        raise EmohopError(
            f"{where}: its file system has no locks: write to another one and copy"
        ) from None
    try:
        yield
    finally:
        lock.release()


def check_unlocked(folder: Path, check: Callable[[], object]) -> None:
    """Look at a folder before a lock is put into it, by a `check` that raises EmohopError.

    What is or was held by emohop is its own: there the check is left to who holds the lock.
    """
    lock = folder / LOCK
    if not lock.exists():
        try:
            check()
        except EmohopError:
            if not lock.exists():  # else another was quicker, and the check saw it at work
                raise


def _lock_file(where: str | Path) -> Path:
    if is_url(where):
        name = hashlib.sha256(str(where).encode()).hexdigest()[:16]
        user = os.getuid() if hasattr(os, "getuid") else ""  # others' files may not be opened
        return Path(tempfile.gettempdir()) / f"emohop-{user}-{name}.lock"
    folder = Path(where)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise EmohopError(f"{where}: a file is in the way: choose a new folder") from None
    return folder / LOCK
