"""Mapped files whose pages are handed back, so that reading a corpus does not fill the memory.

A page of a mapped file counts as the process's own memory from its first touch on. Handing it
back costs nothing but a new look into the system's cache of files; views stay valid.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable
from pathlib import Path

LENT_BYTES = 32 * 2**20
"""What may be handed out in rows before the pages go back."""
_CAN_RETURN = hasattr(mmap, "MADV_DONTNEED")  # not on Windows, which trims by itself


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
