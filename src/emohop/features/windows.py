"""Sequences that are longer than a model's input: windows that overlap, each kept in its middle."""

from __future__ import annotations

import itertools
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch `start`..`stop` of a sequence, of whose results `first`..`last` are kept."""

    start: int
    stop: int
    first: int
    last: int


def windows(length: int, size: int, overlap: int) -> list[Window]:
    """Windows of at most `size` over a sequence, neighbours sharing `overlap`.

    Each element is kept once, from the window that has more around it: what is shared is parted
    in its middle. The last window ends with the sequence and is as long as the others, so that no
    window is short of context. `0 <= overlap < size`.
    """
    if length <= size:
        return [Window(0, length, 0, length)]
    starts = [*range(0, length - size, size - overlap), length - size]
    borders = [0]
    borders += [(left + size + right) // 2 for left, right in itertools.pairwise(starts)]
    borders.append(length)
    return [
        Window(start, start + size, first, last)
        for start, (first, last) in zip(starts, itertools.pairwise(borders), strict=True)
    ]
