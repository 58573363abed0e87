"""Media that wait for the encoder of their modality, which takes many clips at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np

from emohop.clips import Modality, Span
from emohop.errors import MediaError
from emohop.features.arrays import Arrays
from emohop.features.encoder import FeatureEncoder

PENDING_BYTES = 32 << 20
"""Media that wait to be encoded together: eight minutes of audio, or 220 frames."""

Medium = TypeVar("Medium")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a clip has no features: the stage (audio, text, video) and one line."""

    stage: str
    reason: str


Results = dict[int, Arrays | Failure]
"""By the numbers of the clips."""


class Pending:
    """Media that wait for the encoder of their modality, which takes many clips at once."""

    def __init__(self, modality: Modality, encoder: FeatureEncoder, absent: Arrays | None) -> None:
        """Wait for the encoder of a modality; a clip without it gets `absent`, or fails if None."""
        self.modality, self.encoder, self.absent = modality, encoder, absent
        self.items: list[tuple[int, Path | None, Any, Arrays]] = []
        self.bytes = 0
        self.done: Results = {}

    def read(
        self,
        spans: Sequence[Span | None],
        read: Callable[[Sequence[Span]], Iterator[tuple[int, Medium | MediaError]]],
        prepare: Callable[[int, Medium], tuple[Any, Arrays]],
    ) -> None:
        """Read spans, each file once; `prepare` makes of a medium what is encoded, and more.

        `read` is given the spans of one file, and its numbers are theirs; an error of a file as a
        whole is that of each of its spans.
        """
        files: dict[Path, list[int]] = {}
        for i, span in enumerate(spans):
            if span is not None:
                files.setdefault(span.path, []).append(i)
            else:
                self.lack(i)
        for path, members in files.items():
            left = set(members)
            try:
                for k, medium in read([span for i in members if (span := spans[i]) is not None]):
                    left.discard(members[k])
                    self._take(members[k], path, medium, prepare)
            except (MediaError, OSError) as error:
                for i in left:
                    self._fail(i, path, error)

    def lack(self, i: int) -> None:
        """Note that clip `i` has nothing of this modality."""
        if self.absent is not None:
            self.done[i] = self.absent
        else:
            self.done[i] = Failure(self.modality.value, _LACKING[self.modality])

    def _take(
        self,
        i: int,
        path: Path,
        medium: Medium | MediaError,
        prepare: Callable[[int, Medium], tuple[Any, Arrays]],
    ) -> None:
        if isinstance(medium, MediaError):
            self._fail(i, path, medium)
            return
        try:
            item, more = prepare(i, medium)
        except MediaError as error:
            self._fail(i, path, error)
            return
        self.add(i, item, path, more)

    def add(
        self, i: int, item: Any, path: Path | None, more: Arrays = MappingProxyType({})
    ) -> None:
        """Let clip `i` wait, and encode all that wait when they are many."""
        self.items.append((i, path, item, more))
        self.bytes += getattr(item, "nbytes", 0)
        if self.bytes > PENDING_BYTES:
            self._encode()

    def finish(self) -> Results:
        """Encode what still waits; everything by the numbers of the clips."""
        self._encode()
        return self.done

    def _encode(self) -> None:
        items, self.items, self.bytes = self.items, [], 0
        if not items:
            return
        found = self.encoder.encode([item for _, _, item, _ in items])
        for (i, path, _, more), arrays in zip(items, found, strict=True):
            if isinstance(arrays, MediaError):
                self._fail(i, path, arrays)
                continue
            both = {**arrays, **more}
            self.done[i] = both
            for name, array in both.items():
                if array.dtype.kind == "f" and not np.isfinite(array).all():
                    where = "" if path is None else f"{path}: "
                    self.done[i] = Failure(self.modality.value, f"{where}{name} is not finite")

    def _fail(self, i: int, path: Path | None, error: MediaError | OSError) -> None:
        self.done[i] = Failure(self.modality.value, _named(path, error))


_LACKING = {
    Modality.AUDIO: "the clip has no audio: leave it out with --audio none",
    Modality.TEXT: "the clip has no transcript: leave it out with --text none",
    Modality.VIDEO: "the clip has no video: leave it out with --video none",
}


def _named(path: object, error: MediaError | OSError) -> str:
    """What went wrong with a file, in one line that names it."""
    reason = str(error) if isinstance(error, MediaError) else str(error.strerror or error)
    return reason if str(path) in reason else f"{path}: {reason}"
