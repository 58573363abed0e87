"""Audio out of FFmpeg as blocks of samples at their positions, errors in their places."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soxr
from numpy.typing import NDArray

from emohop.clips import Span
from emohop.errors import MediaError
from emohop.media.channels import SIDES, chosen
from emohop.media.clock import BACK_SECONDS, Clock, Parts
from emohop.media.container import LostPacket, audio_stream, check_rate, decoded, is_indexed
from emohop.media.probing import COUNTED, CUT_SECONDS

if TYPE_CHECKING:
    from av.container import InputContainer

SEEK_GAP_SECONDS = 2.0  # nearer spans are decoded through to
PREROLL_SECONDS = 0.5  # audio codecs settle over a few frames after a seek
JITTER_SECONDS = 0.1  # time stamps of some containers are rounded; a true gap is longer
KINDS: Mapping[str, np.dtype[Any]] = {
    "u8": np.dtype(np.uint8), "s16": np.dtype(np.int16), "s32": np.dtype(np.int32),
    "s64": np.dtype(np.int64), "flt": np.dtype(np.float32), "dbl": np.dtype(np.float64),
}  # fmt: skip
"""Of FFmpeg's samples, by their names."""
END = sys.maxsize
"""A position after every sample."""

Samples = NDArray[np.float32]
"""[channels, samples]: one channel, or two that are mixed later."""
Block = tuple[int, Samples | MediaError]
"""A position and the samples from there on, or why there are none."""


class Decoding:
    """One way through the audio of a file from shortly before a span on."""

    def __init__(self, span: Span, container: InputContainer) -> None:
        """Decode the first frame, and seek; MediaError when there is nothing that decodes."""
        self.path, self.channel = span.path, span.channel
        self.container = container
        self.stream = audio_stream(span.path, container, span.track)
        if self.stream is None:
            raise MediaError(f"{span.path}: holds no audio that can be decoded")
        self.clock = Clock(container, self.stream)
        head, self.frames = self._start()
        if head is None:
            lost = next(self.frames, None) is not None
            raise MediaError(f"{span.path}: holds no {'audio that decodes' if lost else 'samples'}")
        self.rate = check_rate(span.path, head.sample_rate)
        chosen(*_samples(head), self.channel, self.path)  # a channel that is not there is said now
        if head.pts is not None:
            self.clock.begin(head.pts)
        if span.start > SEEK_GAP_SECONDS and is_indexed(container):
            self._seek(span.start)

    @property
    def declared(self) -> float:
        """The second at which the header says exactly that the audio ends; 0 where it does not."""
        names = self.container.format.name.split(",")
        if self.stream.duration is None or not any(name in COUNTED for name in names):
            return 0.0
        start = self.clock.seconds(self.stream.start_time or 0)
        return float(start + self.stream.duration * self.stream.time_base)

    def _start(self) -> tuple[Any, Iterator[Any]]:
        """The first frame that decodes, and all of it, with the damage before it."""
        frames = decoded(self.container, self.stream)
        lost: list[Any] = []
        for frame in frames:
            if not isinstance(frame, LostPacket):
                return frame, chain(lost, [frame], frames)
            lost.append(frame)
        return None, iter(lost)

    def _seek(self, start: float) -> None:
        self.container.seek(self.clock.ticks(start - PREROLL_SECONDS), stream=self.stream)
        head, self.frames = self._start()
        if (
            head is None
            or head.pts is None
            or self.clock.sample(head.pts, self.rate) > start * self.rate
        ):
            self.container.seek(self.clock.ticks(0.0), stream=self.stream)
            _, self.frames = self._start()  # it cannot seek so finely: decode through

    def _sample(self, pts: int) -> int:
        return self.clock.sample(pts, self.rate)

    def blocks(self, *, repair: bool = False) -> Iterator[Block]:
        """Samples with their positions, in order, and errors where there should be samples.

        What follows at another rate is resampled, if the file is to be repaired, and else an error.
        """
        at: int | None = None  # where the next sample belongs; the first time stamp is believed
        parts = Parts(BACK_SECONDS * self.rate, self.clock.leap * self.rate)
        resampled: _Resampled | None = None
        for frame in self.frames:
            if isinstance(frame, LostPacket):
                known = at if at is not None or frame.pts is None else self._sample(frame.pts)
                where = max(0, known or 0)
                said = f"{self.path}: damaged audio at {where / self.rate:.2f} s"
                yield where, MediaError(f"{said}: silence in its place" if repair else said)
                continue
            if frame.pts is not None:
                stamp = int(parts.place(self._sample(frame.pts), at))
                at = stamp if at is None or abs(stamp - at) > JITTER_SECONDS * self.rate else at
            at = at or 0
            samples = chosen(*_samples(frame), self.channel, self.path)
            if frame.sample_rate == self.rate:
                resampled = None
            else:
                error = f"{self.path}: its sample rate changes at {at / self.rate:.2f} s"
                if not repair:
                    yield END, MediaError(error)
                    return
                if resampled is None or resampled.rate != frame.sample_rate:
                    yield at, MediaError(error)
                    resampled = _Resampled(frame.sample_rate, self.rate, len(samples))
                samples = resampled(samples)
            yield at, samples
            at += samples.shape[1]
        end, declared = (at or 0) / self.rate, self.declared
        if end < declared - max(CUT_SECONDS, 0.01 * declared):
            yield END, MediaError(cut_short(self.path, end, declared))


class _Resampled:
    """What follows at another rate, brought to that of the beginning."""

    def __init__(self, rate: int, target: int, channels: int) -> None:
        self.rate, self.channels = rate, channels
        self._stream = soxr.ResampleStream(rate, target, channels, dtype="float32")

    def __call__(self, samples: Samples) -> Samples:
        samples = as_channels(samples, self.channels)
        found = self._stream.resample_chunk(np.ascontiguousarray(samples.T))
        return np.asarray(found.reshape(-1, self.channels).T, np.float32)


def as_channels(samples: Samples, channels: int) -> Samples:
    """The same samples as one channel or two."""
    if len(samples) == channels:
        return samples
    mono = samples.mean(axis=0, dtype=np.float32)
    return np.asarray(np.repeat(mono[None], channels, axis=0))


def _samples(frame: Any) -> tuple[Samples, list[str]]:
    """The samples of a decoded frame, [channels, samples], 1 being full scale; their names.

    ValueError for samples of an unknown kind.
    """
    name, count = frame.format.name, frame.samples
    kind = KINDS.get(name.removesuffix("p"))
    if kind is None:
        raise ValueError(f"samples of the kind {name}")
    planes = [np.frombuffer(plane, kind) for plane in frame.planes]
    if frame.format.is_planar:
        samples = np.array([plane[:count] for plane in planes])
    else:
        channels = len(frame.layout.channels)
        samples = planes[0][: count * channels].reshape(count, channels).T
    names = [one.name for one in frame.layout.channels] if len(samples) > len(SIDES) else []
    if kind == np.float32:
        return np.asarray(samples), names
    if samples.dtype.kind == "f":
        with np.errstate(over="ignore"):  # what is too loud is refused later
            return np.asarray(samples, np.float32), names
    middle = 128 if samples.dtype.kind == "u" else 0
    full_scale = 2.0 ** (8 * samples.dtype.itemsize - 1)
    scaled = (samples.astype(np.float64) - middle) / full_scale
    return np.asarray(scaled, np.float32), names


def cut_short(path: Path, seconds: float, declared: float) -> str:
    """What to say of a file that holds less than its header says."""
    return f"{path}: cut short: {seconds:.2f} s of audio where its header says {declared:.2f} s"
