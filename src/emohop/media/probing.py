"""What is in a media file, and how long it is."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emohop.errors import MediaError
from emohop.media.clock import BACK_SECONDS, REORDERED_SECONDS, Clock, Parts
from emohop.media.container import (
    audio_stream,
    check_file,
    check_pace,
    check_rate,
    check_side,
    is_indexed,
    open_media,
    video_stream,
)
from emohop.media.sndfile import audio_file, is_cut

if TYPE_CHECKING:
    from av.container import InputContainer

COUNTED = ("avi", "mov", "mp4")  # their headers count each stream's frames; others may be guesses
TAIL_SECONDS = 5.0  # at whose end such a header is tested
TAIL_TOLERANCE_SECONDS = 0.1
MOST_PACKET_SECONDS = 10.0  # of audio; a longer one is a mistake
CUT_SECONDS = 0.5
"""What a header may promise too much."""

Times = tuple[float, float]
"""When a stream begins and ends, in seconds of its file."""


@dataclass(frozen=True, slots=True)
class Media:
    """What is in a file. Facts about a stream that is not there are None.

    All times are seconds from the container's start (`clock.Clock`), and are those of what can be
    read, whatever the header says: `duration` is where the last stream ends. Width and height are
    those of the stored frame, before any rotation. `truncated` says that a header promises more
    than is there, where it counts exactly (AVI, FLAC, MP4, WAV and their like). `video_fault` says
    why a video beside audio counts as none: a standstill, frames of too many pixels.
    """

    duration: float
    has_audio: bool
    sample_rate: int | None = None
    channels: int | None = None
    audio_start: float | None = None
    audio_end: float | None = None
    width: int | None = None
    height: int | None = None
    frames_per_second: float | None = None
    video_start: float | None = None
    video_end: float | None = None
    truncated: bool = False
    video_fault: str | None = None


def probe(path: Path, track: int | str | None = None) -> Media:
    """What is in a file; its packets are counted where its header has no exact length.

    `track` is the audio track of interest, as `Span.track` has it.

    Raises:
        MediaError: the file is missing, empty, or no audio or video file.
    """
    check_file(path)
    stat = path.stat()
    return _probe(path, track, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=256)
def _probe(path: Path, track: int | str | None, size: int, time_ns: int) -> Media:
    """What is in a file as it is now: a long one need not be read again for each of its clips."""
    del size, time_ns
    truncated = is_cut(path)
    with audio_file(path, to_the_end=True) as file:
        if file is not None and track is None:
            rate = check_rate(path, file.samplerate)
            end = file.frames / rate
            return Media(end, True, rate, file.channels, 0.0, end, truncated=truncated)
    with open_media(path) as container:
        audio, video = audio_stream(path, container, track), video_stream(container)
        if audio is None and video is None:
            raise MediaError(f"{path}: holds neither audio nor video that can be decoded")
        fault = None
        found: dict[str, Any] = {}
        if video is not None:
            try:
                check_side(path, video.width, video.height)
                found["frames_per_second"] = check_pace(path, video)
            except MediaError as error:
                if audio is None:
                    raise
                video, fault = None, str(error).removeprefix(f"{path}: ")
        streams = [stream for stream in (audio, video) if stream is not None]
        times, whole = _times(container, streams, counted=not truncated)
        if audio is not None:
            start, end = times[0]
            found |= {"sample_rate": check_rate(path, audio.rate), "channels": audio.channels}
            found |= {"audio_start": start, "audio_end": end}
        if video is not None:
            start, end = times[-1]
            found |= {"width": video.width, "height": video.height}
            found |= {"video_start": start, "video_end": end}
        return Media(
            max(end for _, end in times),
            audio is not None,
            truncated=truncated or not whole,
            video_fault=fault,
            **found,
        )


def _times(
    container: InputContainer, streams: Sequence[Any], *, counted: bool
) -> tuple[list[Times], bool]:
    """When each stream begins and ends, and whether that is as the header says it."""
    names = container.format.name.split(",")
    declared = None
    if counted and any(name in COUNTED for name in names):
        declared = [_declared(container, stream) for stream in streams]
        if all(end > start for start, end in declared):
            last = max(end for _, end in declared)
            if is_indexed(container) and _ends_at(container, streams, last):
                return declared, True
    found = _demuxed(container, streams, cut=not counted)
    whole = declared is None or all(
        end >= promised - CUT_SECONDS
        for (_, end), (_, promised) in zip(found, declared, strict=True)
    )
    return found, whole


def _declared(container: InputContainer, stream: Any) -> Times:
    """When a stream begins and ends by the header; nothing where it does not say."""
    if stream.duration is None:
        return 0.0, 0.0
    start = float(Clock(container, stream).seconds(stream.start_time or 0))
    return max(0.0, start), start + float(stream.duration * stream.time_base)


def _ends_at(container: InputContainer, streams: Sequence[Any], end: float) -> bool:
    """Whether the last packets are where a header says; a file that was cut lacks them."""
    import av

    try:
        container.seek(
            round((max(0.0, end - TAIL_SECONDS)) * av.time_base) + (container.start_time or 0)
        )
    except av.FFmpegError:
        return False
    last = max(there for _, there in _demuxed(container, streams))
    with contextlib.suppress(av.FFmpegError):
        container.seek(container.start_time or 0)
    return abs(last - end) <= TAIL_TOLERANCE_SECONDS


def _demuxed(
    container: InputContainer, streams: Sequence[Any], *, cut: bool = False
) -> list[Times]:
    """When each stream begins and ends by its packets, as far as they can be read.

    The last packet of a file that was cut is not whole, and does not count.
    """
    import av

    found = {stream.index: _Packets(container, stream) for stream in streams}
    try:
        for packet in container.demux(*streams):
            found[packet.stream.index].add(packet)
    except av.FFmpegError:
        pass  # the length is of what can be read
    every = [found[stream.index] for stream in streams]
    return [(one.start, one.last if cut else one.end) for one in every]


class _Packets:
    """The packets of a stream, on the clock of its file."""

    def __init__(self, container: InputContainer, stream: Any) -> None:
        self.start = self.last = self.end = 0.0
        self._clock = Clock(container, stream)
        audio = stream.type == "audio"
        back = BACK_SECONDS if audio else REORDERED_SECONDS
        self._parts = Parts(back, self._clock.leap)
        self._usual = 0.0  # seconds of a packet that does not say how long it is
        if not audio and (rate := stream.average_rate or stream.guessed_rate):
            self._usual = float(1 / rate)
        self._tick = float(self._clock.tick)
        self._first = True

    def add(self, packet: Any) -> None:
        """Count one more."""
        stamp = packet.dts if packet.pts is None else packet.pts
        if stamp is None or packet.is_discard or packet.is_corrupt:
            return
        time = self._clock.time(stamp)
        time = float(self._parts.place(time, None if self._first else self.end))
        length = (packet.duration or 0) * self._tick
        if not 0 < length <= MOST_PACKET_SECONDS:
            length = self._usual
        if self._first:
            self.start, self._first = max(0.0, time), False
        self.start = min(self.start, max(0.0, time))
        self.last = max(self.last, time)
        self.end = max(self.end, time + length)
