"""The frames of a video at given times, in one decoding pass."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emohop.errors import MediaError
from emohop.media.clock import REORDERED_SECONDS, Clock, Parts
from emohop.media.container import (
    MAX_TIME_SECONDS,
    LostPacket,
    check_pace,
    check_side,
    decoded,
    frame_limit,
    is_indexed,
    open_media,
    video_stream,
)

if TYPE_CHECKING:
    from av.container import InputContainer

SEEK_GAP_SECONDS = 8.0  # below this, decoding through is cheaper than going back to a key frame
ROUNDING_SECONDS = 1e-6  # of times computed in floating point

_END = object()


def frames_at(path: Path, times: Sequence[float]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """The images on screen at ascending times, in seconds of the file, from one decoding pass.

    Yields `(i, image)` with image uint8 `[height, width, 3]` RGB, the last frame whose time
    stamp is not after `times[i]`; a frame that serves several times is the same array each time.

    A time is left out when no image is known for it: the video has not begun or has ended (a frame
    lasts one frame duration at the end) or what should be on screen does not decode. To tell which,
    compare with `probe(path)`: a time from `video_start` to `video_end` that never came is
    truncated or damaged, and `truncated` says that a file was cut even where FFmpeg corrects the
    duration by the file's size. An AVI counts its images instead of dating them, so lost bytes in
    its middle may also bring what follows forward.

    Raises:
        MediaError: the file is missing, empty, no video (a still image is none) or too large a
            image. Raised by the first `next`.
        ValueError: the times are not ascending from 0.
    """
    import av

    wanted = np.asarray(times, dtype=np.float64)
    if wanted.size and not (wanted[0] >= 0 and (np.diff(wanted) >= 0).all()):
        raise ValueError("times must ascend from 0")
    with open_media(path) as container:
        stream = video_stream(container)
        if stream is None:
            raise MediaError(f"{path}: holds no video that can be decoded")
        check_side(path, stream.width, stream.height)
        stream.codec_context.options = frame_limit()
        stream.codec_context.thread_count = 1  # the processes are what is parallel
        stream.codec_context.thread_type = "NONE"
        try:
            yield from _Pass(path, container, stream).images(wanted)
        except av.FFmpegError as error:
            raise MediaError(f"{path}: the video cannot be read ({error.strerror})") from None


class _Pass:
    """One way through a video stream; times are ticks of its time base from the file's start."""

    def __init__(self, path: Path, container: InputContainer, stream: Any) -> None:
        self.path, self.container, self.stream = path, container, stream
        self.tick = Fraction(stream.time_base)
        rate = check_pace(path, stream) or 25.0
        self.step = max(1, round(1 / (rate * float(self.tick))))  # ticks that a frame lasts
        self.seek_gap = SEEK_GAP_SECONDS / float(self.tick) if is_indexed(container) else math.inf
        self.clock = Clock(container, stream)
        self.parts = Parts(REORDERED_SECONDS, self.clock.leap)
        self.seen = self.believe = False  # a frame, and its time stamp whatever it is

    def images(self, times: NDArray[np.float64]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        limit = MAX_TIME_SECONDS
        ticks = [math.floor((min(t, limit) + ROUNDING_SECONDS) / float(self.tick)) for t in times]
        frames = decoded(self.container, self.stream)
        shown: Any = None
        shown_at, i = 0, 0
        lost: list[int] = []  # a heap: when the images that do not decode would have come
        while i < len(ticks):
            frame = next(frames, _END)
            if isinstance(frame, LostPacket):
                heapq.heappush(lost, self._time(frame, shown_at))
                continue
            if frame is _END:
                at, known_until = ticks[-1] + 1, shown_at + self.step
            else:
                at = known_until = self._time(frame, shown_at)
                while lost and lost[0] < at:
                    time = heapq.heappop(lost)
                    known_until = min(known_until, time) if time > shown_at else known_until
            image = None
            while i < len(ticks) and ticks[i] < at:
                if shown is not None and ticks[i] < known_until:
                    image = self._rgb(shown) if image is None else image
                    yield i, image
                i += 1
            if frame is _END:
                return
            shown, shown_at = frame, at
            if i < len(ticks) and ticks[i] - at > self.seek_gap:
                after = self._seek(ticks[i], at)
                frames, shown = (frames, shown) if after is None else (after, None)

    def _time(self, frame: Any, before: int) -> int:
        """The ticks from the first image to this one, or to this damage."""
        if frame.pts is None:
            return before + self.step if self.seen else 0
        if isinstance(frame, LostPacket):
            return math.floor((self.clock.seconds(frame.pts) + self.parts.shift) / self.tick)
        if not self.seen:
            self.clock.begin(frame.pts)
        expected = None if self.believe or not self.seen else (before + self.step) * self.tick
        self.seen, self.believe = True, False
        return math.floor(self.parts.place(self.clock.seconds(frame.pts), expected) / self.tick)

    def _seek(self, target: int, now: int) -> Iterator[Any] | None:
        """The frames from the key frame before `target` on; None if the file cannot do it."""
        import av

        try:
            self.container.seek(self._stamp(target), stream=self.stream)
        except av.FFmpegError:
            self.seek_gap = math.inf
            return None
        frames = decoded(self.container, self.stream)
        self.believe = True
        first = next((frame for frame in frames if not isinstance(frame, LostPacket)), None)
        landed = None if first is None else self._time(first, now)
        self.believe = True
        if landed is not None and landed <= target:
            if landed <= now:  # key frames are far apart: decoding on would have been cheaper
                self.seek_gap *= 2
            return chain([first], frames)
        # Past the target, or nowhere: such containers are decoded through instead.
        self.seek_gap = math.inf
        self.container.seek(self._stamp(0), stream=self.stream)
        return decoded(self.container, self.stream)

    def _stamp(self, ticks: int) -> int:
        """The time stamp of ticks from the file's start."""
        return self.clock.ticks(ticks * self.tick)

    def _rgb(self, frame: Any) -> NDArray[np.uint8]:
        import av

        check_side(self.path, frame.width, frame.height)
        try:
            image: NDArray[np.uint8] = frame.to_ndarray(format="rgb24")
        except (av.FFmpegError, ValueError) as error:
            raise MediaError(f"{self.path}: an image that cannot be shown ({error})") from None
        quarters = round(frame.rotation / 90) % 4  # telephones film upright and say so beside it
        return np.ascontiguousarray(np.rot90(image, quarters)) if quarters else image
