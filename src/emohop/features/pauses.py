"""Where audio that is too long for a model can be cut: at its quietest places."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from emohop.features.audio import SAMPLE_RATE_HZ

FRAME_SECONDS = 0.03
FRAME_SAMPLES = round(FRAME_SECONDS * SAMPLE_RATE_HZ)
AROUND_FRAMES = 5
"""A pause is as quiet as the mean of so many frames, 0.15 s."""
PAUSE_DB = 6.0
"""Below the median of what is around it, a place is a pause."""
FLOOR_DB = -100.0


class Levels:
    """How loud audio is over time, frame by frame, as far back as it is needed."""

    def __init__(self) -> None:
        """Begin with nothing heard."""
        self._rest = np.empty(0, np.float32)
        self._levels, self._first = array("f"), 0

    def add(self, waveform: NDArray[np.float32]) -> None:
        """Hear more audio [n] at 16 kHz."""
        waveform = np.concatenate([self._rest, waveform])
        whole = len(waveform) // FRAME_SAMPLES * FRAME_SAMPLES
        self._rest = waveform[whole:]
        frames = waveform[:whole].reshape(-1, FRAME_SAMPLES).astype(np.float64)
        power = np.square(frames).mean(axis=1)
        levels = 10 * np.log10(np.maximum(power, 10 ** (FLOOR_DB / 10)))
        self._levels.frombytes(levels.astype(np.float32).tobytes())

    def forget(self, before: float) -> None:
        """What lies before a second is not asked for any more."""
        count = min(len(self._levels), max(0, int(before / FRAME_SECONDS) - self._first))
        del self._levels[:count]
        self._first += count

    def cut(self, start: float, end: float, longest: float) -> Iterator[tuple[float, float]]:
        """A stretch in seconds as parts of `longest` at most, and of a quarter of that at least.

        It is cut in the middle of pauses; where nothing is quieter than the rest, into equal parts.
        """
        at = start
        while end - at > longest + 1e-9:
            parts = math.ceil((end - at) / longest - 1e-9)
            equal = at + (end - at) / parts
            earliest = at + longest / 2 if parts > 2 else max(at + longest / 4, end - longest)
            pause = self._quietest(earliest, min(at + longest, end - longest / 4))
            until = equal if pause is None else pause
            yield at, until
            at = until
        yield at, end

    def _quietest(self, first: float, last: float) -> float | None:
        """The second of the deepest pause from one second to another; None where there is none."""
        low = max(0, math.ceil(first / FRAME_SECONDS) - self._first)
        high = math.floor(last / FRAME_SECONDS) - self._first
        levels = np.frombuffer(self._levels, np.float32)[low:high].astype(np.float64)
        if len(levels) < AROUND_FRAMES:
            return None
        smooth = np.convolve(levels, np.full(AROUND_FRAMES, 1 / AROUND_FRAMES), "valid")
        best = int(smooth.argmin())
        if smooth[best] > np.median(levels) - PAUSE_DB:
            return None
        return (self._first + low + best + AROUND_FRAMES / 2) * FRAME_SECONDS
