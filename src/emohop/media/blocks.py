"""Audio out of FFmpeg as blocks of mono samples at their positions, errors in their places."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emohop.clips import Span
from emohop.errors import MediaError
from emohop.media.container import LostPacket, audio_stream, check_rate, decoded, is_indexed

if TYPE_CHECKING:
    from av.container import InputContainer

EXACT_HEADERS = ("avi", "mov", "mp4")  # their headers give exact lengths; others may be estimates
CUT_SECONDS = 0.5  # what a header may promise too much
SEEK_GAP_SECONDS = 2.0  # nearer spans are decoded through to
PREROLL_SECONDS = 0.5  # audio codecs settle over a few frames after a seek
JITTER_SECONDS = 0.1  # time stamps of some containers are rounded; a true gap is longer
_END = sys.maxsize  # after every sample

Block = tuple[int, NDArray[np.float32] | MediaError]
"""A position and the samples from there on, or why there are none."""


def required_audio_stream(path: Path, container: InputContainer) -> Any:
    """The stream of audio that is read; MediaError when there is none."""
    stream = audio_stream(container)
    if stream is None:
        raise MediaError(f"{path}: holds no audio that can be decoded")
    return stream


def frames_from(
    span: Span, container: InputContainer, stream: Any
) -> tuple[Iterator[Any], int, int]:
    """Frames from shortly before the span on, the sample rate, and the time stamp of sample 0."""

    def start(frames: Iterator[Any]) -> tuple[Any, list[Any], Iterator[Any]]:
        """The first frame, the damage before it, and all of it again."""
        lost: list[Any] = []
        for frame in frames:
            if not isinstance(frame, LostPacket):
                return frame, lost, chain(lost, [frame], frames)
            lost.append(frame)
        return None, lost, iter(lost)

    head, lost, frames = start(decoded(container, stream))
    if head is None:
        raise MediaError(f"{span.path}: holds no audio that decodes")
    rate = check_rate(span.path, head.sample_rate)
    zero = int((stream.start_time if lost else head.pts) or 0)
    if span.start > SEEK_GAP_SECONDS and is_indexed(container):
        target = math.floor((span.start - PREROLL_SECONDS) / stream.time_base)
        container.seek(zero + target, stream=stream)
        head, _, frames = start(decoded(container, stream))
        if head is None or head.pts is None or _sample(head, zero, stream) > span.start * rate:
            container.seek(zero, stream=stream)  # it cannot seek so finely: decode through
            _, _, frames = start(decoded(container, stream))
    return frames, rate, zero


def audio_blocks(
    path: Path, stream: Any, frames: Iterator[Any], rate: int, zero: int
) -> Iterator[Block]:
    """Samples with their positions, in order, and errors where there should be samples."""
    at, jitter = 0, 0.0  # where the next sample belongs; the first frame's stamp is believed
    for frame in frames:
        if isinstance(frame, LostPacket):
            yield at, MediaError(f"{path}: damaged audio at {at / rate:.2f} s")
            continue
        if frame.sample_rate != rate:
            yield _END, MediaError(f"{path}: its sample rate changes at {at / rate:.2f} s")
            return
        stamp = at if frame.pts is None else _sample(frame, zero, stream)
        at, jitter = stamp if abs(stamp - at) > jitter else at, JITTER_SECONDS * rate
        block = _mono(frame)
        yield at, block
        at += len(block)
    declared = declared_seconds(stream)
    if at / rate < declared - max(CUT_SECONDS, 0.01 * declared):
        yield _END, MediaError(cut_short(path, at / rate, declared))


def declared_seconds(stream: Any) -> float:
    """The seconds that the header gives exactly; 0 where it does not."""
    names = stream.container.format.name.split(",")
    if stream.duration is None or not any(name in EXACT_HEADERS for name in names):
        return 0.0
    return float(stream.duration * stream.time_base)


def _sample(frame: Any, zero: int, stream: Any) -> int:
    seconds: Fraction = (frame.pts - zero) * stream.time_base
    return math.floor(seconds * int(frame.sample_rate) + Fraction(1, 2))


def _mono(frame: Any) -> NDArray[np.float32]:
    """The samples of a decoded frame, `[samples]`, 1 being full scale."""
    samples = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(frame.samples, -1).T
    if samples.dtype.kind == "f":
        with np.errstate(invalid="ignore", over="ignore"):  # NaN is refused later
            return np.asarray(samples.mean(axis=0, dtype=np.float64), np.float32)
    middle = 128 if samples.dtype.kind == "u" else 0
    full_scale = 2.0 ** (8 * samples.dtype.itemsize - 1)
    mono = (samples.mean(axis=0, dtype=np.float64) - middle) / full_scale
    return np.asarray(mono, np.float32)


def cut_short(path: Path, seconds: float, declared: float) -> str:
    """What to say of a file that holds less than its header says."""
    return f"{path}: cut short: {seconds:.2f} s of audio where its header says {declared:.2f} s"
