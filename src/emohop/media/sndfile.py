"""Audio files that libsndfile reads, and what their headers are worth."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO

UNKNOWN_FRAMES = 2**62  # libsndfile's count for a stream without a length is not below it
UNKNOWN_BYTES = 0x7FFF_0000  # written to a pipe: nobody knew
TOLERANCE_BYTES = 1024  # writers disagree about padding
SURROUND = range(3, 9)  # of so many channels FFmpeg knows which is which
_FIRST_OGG_PAGE = b"OggS\x00\x02"


@contextmanager
def audio_file(path: Path, *, to_the_end: bool = False) -> Iterator[Any]:
    """The `soundfile.SoundFile` of a path, or None for what FFmpeg is to read.

    That is what libsndfile cannot read, or would not read to its end: streams without a length,
    Ogg files behind each other. With `to_the_end`, it is also what does not hold all the samples
    of its header.

    libsndfile gets a descriptor and not the name, because it would believe the name's ending, and
    no MPEG audio, because its decoder of that writes to the terminal.
    """
    import soundfile

    with path.open("rb", buffering=0) as file:
        head = file.read(4)
        file.seek(0)
        mpeg = head[:3] == b"ID3" or (head[:1] == b"\xff" and head[1:2] >= b"\xe0")
        try:
            audio = None
            if not mpeg and not (head == b"OggS" and _is_chained(file)):
                audio = soundfile.SoundFile(file.fileno(), closefd=False)
        except soundfile.LibsndfileError:
            audio = None
        with audio or nullcontext():
            yield audio if _is_usable(audio, to_the_end) else None


def _is_usable(audio: Any, to_the_end: bool) -> bool:
    import soundfile

    if audio is None or not 0 < audio.frames < UNKNOWN_FRAMES or audio.channels in SURROUND:
        return False
    if not to_the_end or audio.format != "FLAC":  # of others the length is that of what is there
        return True
    try:
        audio.seek(audio.frames - 1)
        found = len(audio.read(1, dtype="float32"))
        audio.seek(0)
    except soundfile.LibsndfileError:
        return False
    return found == 1


def _is_chained(file: BinaryIO | Any) -> bool:
    """Whether another stream begins after the first one of an Ogg file."""
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return data.find(_FIRST_OGG_PAGE, len(_FIRST_OGG_PAGE)) >= 0


def is_cut(path: Path) -> bool:
    """Whether a file ends before its header says: a chunk of RIFF, the last sample of others."""
    with audio_file(path) as audio:
        if audio is not None and not _is_usable(audio, to_the_end=True):
            return True
    return ends_in_a_chunk(path)


def ends_in_a_chunk(path: Path) -> bool:
    """Whether a chunk of a RIFF file (AVI, WAV) is longer than the file."""
    with path.open("rb") as file:
        return file.read(12)[:4] == b"RIFF" and _ends_early(file, path.stat().st_size)


def _ends_early(file: BinaryIO, size: int) -> bool:
    """Whether a chunk, from where the file is read next, is longer than the file."""
    at = file.tell()
    while at + 8 <= size:
        file.seek(at)
        head = file.read(8)
        length = int.from_bytes(head[4:], "little")
        at += 8 + length + length % 2
        if length >= UNKNOWN_BYTES or (head[:4] == b"data" and length == 0):
            return False
        if at > size + TOLERANCE_BYTES:
            return True
    return False
