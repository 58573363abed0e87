"""The memory of a worker process: a limit, and when it has come too near to it."""

from __future__ import annotations

import os
from pathlib import Path

WORN_SHARE = 0.5
"""Of the memory between what a process took when it had loaded the model and its limit."""
_STATM, _DATA = Path("/proc/self/statm"), 5


class Memory:
    """How much a process has taken since it was ready."""

    def __init__(self, most_gb: float) -> None:
        """Now it is ready; it may take so much."""
        begun = taken()
        self._worn = None if begun is None else begun + WORN_SHARE * (most_gb * (1 << 30) - begun)

    def is_worn(self) -> bool:
        """Whether another process should take its place before it comes to its limit.

        Never where the system does not say how much there is.
        """
        now = taken()
        return self._worn is not None and now is not None and now > self._worn


def taken() -> int | None:
    """The bytes of a process's data, as its limit counts them; None where nothing says so."""
    try:
        return int(_STATM.read_text("ascii").split()[_DATA]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None


def limit(gigabytes: float) -> None:
    """Let allocations beyond a limit fail, where the system can."""
    try:
        import resource
    except ImportError:  # not on Windows
        return
    most = int(gigabytes * (1 << 30))
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (most if hard < 0 else min(most, hard), hard))


def is_out_of_memory(error: MemoryError | RuntimeError) -> bool:
    """Whether an error says that memory was not to be had; PyTorch's is a RuntimeError."""
    said = str(error).lower()
    return isinstance(error, MemoryError) or "alloc" in said or "not enough memory" in said
