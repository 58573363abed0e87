"""One clock for all streams of a file: seconds from the start of its container."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from av.container import InputContainer

NEAR_SECONDS = Fraction(
    1, 50
)  # encoders' delays: a stream that starts so near starts with the file
LEAP_SECONDS = 3600.0  # a longer leap of time stamps is a mistake, not a pause
SHORT_LEAP_SECONDS = 10.0  # likewise where streams are cut and joined as they are
UNDATED = "avi"  # it counts frames; those that a decoder holds back seem to come late
JOINED = ("mpegts", "mpeg", "ogg")  # whose parts may each have time stamps of their own
BACK_SECONDS = 0.1  # time stamps of some containers are rounded; behind that a new part begins
REORDERED_SECONDS = 2.0  # packets of video come in the order of decoding

Time = float | Fraction


class Clock:
    """Ticks of one stream as seconds of its file.

    The container's start, where its earliest stream starts, is second 0, as it is in what `ffmpeg`
    writes: a stream that starts later than another one starts later here, too.
    """

    def __init__(self, container: InputContainer, stream: Any) -> None:
        """Take the start from the container; without one it is the stream's own."""
        import av

        self.tick = Fraction(stream.time_base)
        names = container.format.name.split(",")
        self.leap = SHORT_LEAP_SECONDS if any(name in JOINED for name in names) else LEAP_SECONDS
        self._undated = UNDATED in names
        self._start = (stream.start_time or 0) * self.tick
        zero: Fraction | None = None
        start: int | None = container.start_time
        if start is not None:
            zero = Fraction(start, av.time_base)
        elif stream.start_time is not None:
            zero = self._start
        self._known = zero is not None
        self._know(zero or Fraction(0))

    def begin(self, pts: int) -> None:
        """Know the first frame's time stamp: one within an encoder's delay of the start is 0."""
        first = pts * self.tick
        if self._undated and self._known:
            self._know(self._zero + first - self._start)
        elif not self._known or abs(first - self._zero) <= NEAR_SECONDS:
            self._know(first)

    def _know(self, zero: Fraction) -> None:
        """Second 0, and what makes of a time stamp (a stamp - b) / c seconds, in whole numbers."""
        self._zero = zero
        self._a = self.tick.numerator * zero.denominator
        self._b = self.tick.denominator * zero.numerator
        self._c = self.tick.denominator * zero.denominator

    def seconds(self, pts: int) -> Fraction:
        """The second of the file at a time stamp."""
        return Fraction(self._a * pts - self._b, self._c)

    def time(self, pts: int) -> float:
        """As `seconds`, rounded."""
        return (self._a * pts - self._b) / self._c

    def sample(self, pts: int, rate: int) -> int:
        """The nearest sample at a time stamp, at so many per second."""
        return (2 * rate * (self._a * pts - self._b) + self._c) // (2 * self._c)

    def ticks(self, seconds: Time) -> int:
        """The last time stamp that is not after a second of the file."""
        return math.floor((Fraction(seconds) + self._zero) / self.tick)


class Parts:
    """Keeps time going on where time stamps begin anew, as in files that were joined.

    A time that lies more than `back` before what is expected, or a leap beyond it, is what was
    expected, and what follows is counted from there.
    """

    def __init__(self, back: float, leap: float) -> None:
        """Expect nothing: the first time is believed."""
        self.back, self.leap = back, leap
        self.shift: Time = 0

    def place(self, time: Time, expected: Time | None) -> Time:
        """A time, moved where it does not go on from what is expected."""
        moved = time + self.shift
        if expected is not None and not -self.back <= moved - expected <= self.leap:
            self.shift += expected - moved
            moved = time + self.shift
        return moved
