"""The pitch of a voice, for pictures: by autocorrelation, frame by frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LOWEST_HZ, HIGHEST_HZ = 60.0, 500.0
FRAME_SECONDS = 0.040
"""More than two periods of the lowest pitch."""
HOP_SECONDS = 0.010
VOICED = 0.5
"""The least autocorrelation, as a share of that at no lag, of a frame with a pitch."""
QUIETEST = 0.02
"""The least loudness of such a frame, as a share of the loudest one's."""


def pitch(samples: NDArray[np.float32], sample_rate: int) -> tuple[NDArray[np.float64], ...]:
    """Times in seconds and pitch in Hz of each frame of a sound [n]; NaN where there is none.

    The highest peak of the autocorrelation, divided by that of the window (Boersma 1993).
    """
    size, hop = round(FRAME_SECONDS * sample_rate), max(1, round(HOP_SECONDS * sample_rate))
    if len(samples) < size:
        return np.zeros(0), np.zeros(0)
    frames = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float64), size)[::hop]
    times = (np.arange(len(frames)) * hop + size / 2) / sample_rate
    window = np.hanning(size)
    frames = (frames - frames.mean(axis=1, keepdims=True)) * window
    shape = _autocorrelation(window[None])[0]
    found = _autocorrelation(frames)
    loudness = np.sqrt(found[:, 0])
    with np.errstate(invalid="ignore", divide="ignore"):
        found = (found / found[:, :1]) / (shape / shape[0])
    first, last = int(sample_rate / HIGHEST_HZ), min(size // 2, round(sample_rate / LOWEST_HZ))
    lags = np.nan_to_num(found[:, first : last + 1])
    # of peaks that are nearly as high the first is meant, else an octave is lost
    best = lags.max(axis=1)
    place = (lags >= 0.9 * best[:, None]).argmax(axis=1)
    while True:  # climb to the top of that peak
        following = np.minimum(place + 1, lags.shape[1] - 1)
        rows = np.arange(len(lags))
        higher = lags[rows, following] > lags[rows, place]
        if not higher.any():
            break
        place = np.where(higher, following, place)
    voiced = (best > VOICED) & (loudness > QUIETEST * loudness.max(initial=0))
    return times, np.where(voiced, sample_rate / (first + place), np.nan)


def _autocorrelation(frames: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each row [frames, n], at the lags 0 to n - 1."""
    size = frames.shape[1]
    spectrum = np.fft.rfft(frames, 2 * size, axis=1)
    whole: NDArray[np.float64] = np.fft.irfft(np.abs(spectrum) ** 2, axis=1)[:, :size]
    return whole
