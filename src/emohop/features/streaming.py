"""Audio features of a clip that is still being spoken."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emohop.features.audio import (
    DIFFERENCES_REACH,
    HOP_SAMPLES,
    WINDOW_SAMPLES,
)
from emohop.features.encoder import FramewiseFeature


class GrowingFrames:
    """The frames of audio that comes piece by piece: those of the whole audio, each computed once.

    Differences of the last frames look beyond the end of what was heard: these frames are computed
    again when more comes.
    """

    def __init__(self, feature: FramewiseFeature) -> None:
        """Begin a clip."""
        self._feature = feature
        self._waveform = np.empty(0, np.float32)  # of frames that are not whole yet
        self._tail: NDArray[np.float32] | None = None  # what differences to come depend on
        self._context = 0  # frames of the tail that are final
        self._done = np.empty((0, feature.size), np.float32)
        self._last = self._done

    def add(self, waveform: NDArray[np.float32]) -> None:
        """Hear more audio `[samples]` at 16 kHz."""
        self._waveform = np.concatenate([self._waveform, waveform])
        if len(self._waveform) < WINDOW_SAMPLES:
            return
        new = self._feature.frames(self._waveform)
        self._waveform = self._waveform[len(new) * HOP_SAMPLES :]
        tail = new if self._tail is None else np.concatenate([self._tail, new])
        found = self._feature.differences(tail)[self._context :]
        final = max(0, len(found) - DIFFERENCES_REACH)
        self._done = np.concatenate([self._done, found[:final]])
        self._last = found[final:]
        first = max(0, self._context + final - DIFFERENCES_REACH)
        self._context += final - first
        self._tail = tail[first:]

    @property
    def final(self) -> int:
        """Frames that will not change, from the first on."""
        return len(self._done)

    @property
    def all(self) -> NDArray[np.float32]:
        """Every frame so far, `[frames, size]`."""
        return np.concatenate([self._done, self._last])
