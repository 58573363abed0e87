"""Mapped files whose pages are handed back, so that reading a corpus does not fill the memory.

A page of a mapped file counts as the process's own memory from its first touch on. Handing it
back costs nothing but a new look into the system's cache of files; views stay valid.
"""

from __future__ import annotations

import functools
import mmap
from collections.abc import Iterable
from pathlib import Path

LENT_BYTES = 32 * 2**20
"""What may be handed out in rows before the pages go back."""
MOST_MAPS = 30_000
"""Linux allows a process 65,530 in all."""
OTHER_FILES = 256
"""Descriptors left to the rest of the process."""
_CAN_RETURN = hasattr(mmap, "MADV_DONTNEED")  # not on Windows, which trims by itself


@functools.cache
def most_maps() -> int:
    """How many files may be mapped at a time: each map holds a descriptor.

    The process's limit is raised to what the system grants it.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return MOST_MAPS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_MAPS + OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return MOST_MAPS if soft == resource.RLIM_INFINITY else max(1, soft - OTHER_FILES)


def map_file(path: Path) -> mmap.mmap:
    """A file mapped for reading; OSError or ValueError when there is none or it is empty."""
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


class Pages:
    """Counts what was handed out of mapped files."""

    def __init__(self) -> None:
        """Nothing lent yet."""
        self.lent = 0

    def lend(self, size: int, maps: Iterable[mmap.mmap]) -> None:
        """Count `size` more bytes; beyond LENT_BYTES, give back all pages of `maps` first."""
        if self.lent + size > LENT_BYTES:
            give_back(maps)
            self.lent = 0
        self.lent += size


def give_back(maps: Iterable[mmap.mmap]) -> None:
    """Let the system take the pages of these maps; the next look reads them from the file."""
    if _CAN_RETURN:
        for mapped in maps:
            mapped.madvise(mmap.MADV_DONTNEED)
