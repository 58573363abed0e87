"""What a clip holds, as hashes: the same recording is known again under any name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emohop.spelling import plain_words

TELLING_WORDS = 5
"""A sentence of so many words tells that two clips of one id are the same clip."""


@dataclass(frozen=True, slots=True)
class Content:
    """What was found in reading a clip.

    Its decoded audio, transcript and frames are 64-bit hashes; None for what it lacks.

    What does not change at all, such as silence, counts as lacking: it tells no clip from others.

    The lowest bit of `text` says whether the transcript has `TELLING_WORDS` words.
    """

    audio: int | None = None
    text: int | None = None
    video: int | None = None
    sample_rate: int | None = None
    """Of its audio as it was recorded, in Hz."""
    notes: tuple[str, ...] = ()
    """What was noticed in reading it: silence, clipping, repairs."""

    @property
    def recording(self) -> int | None:
        """What tells the recording from others: its audio, or its frames where it is silent."""
        return self.video if self.audio is None else self.audio


def hash_name(*names: str | None) -> int:
    """The hash of a name, or of a name within another."""
    return _hash(b"\0".join(b"" if name is None else name.encode() for name in names))


def hash_names(corpus: str, names: Iterable[str | None]) -> NDArray[np.uint64]:
    """The hashes of names within a corpus, uint64 [names]; 0 for None."""
    return np.array([0 if name is None else hash_name(corpus, name) for name in names], np.uint64)


def hash_transcript(transcript: str | None) -> int | None:
    """The hash of a sentence as it is compared (`spelling.plain_words`)."""
    if transcript is None:
        return None
    words = plain_words(transcript)
    telling = words.count(" ") + 1 >= TELLING_WORDS
    return _hash(words.encode()) & ~1 | telling


def hash_samples(samples: NDArray[np.float32], rate: int) -> int | None:
    """The hash of decoded audio, [samples] at `rate` per second; None for silence or nothing."""
    if not len(samples) or np.ptp(samples) == 0:
        return None
    return _hash(_buffer(np.ascontiguousarray(samples, "<f4")), str(rate).encode())


def hash_array(array: NDArray[np.generic]) -> int | None:
    """The hash of frames, or of features where nothing else is known; None where all is alike."""
    if not array.size or np.ptp(array) == 0:
        return None
    kind = f"{array.dtype.str} {array.shape}".encode()
    return _hash(_buffer(np.ascontiguousarray(array)), kind)


def _buffer(array: NDArray[Any]) -> memoryview:
    """The bytes of a contiguous array in place: an hour of audio is not copied."""
    return array.reshape(-1).view(np.uint8).data


def _hash(*data: bytes | memoryview) -> int:
    digest = hashlib.blake2b(digest_size=8)
    for part in data:
        digest.update(part)
    return int.from_bytes(digest.digest(), "little") or 1  # 0 stands for what is not there
