"""The pitch of a voice over time, by autocorrelation: to be drawn; no model uses it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from emohop.features.audio import resample

LOWEST_HZ, HIGHEST_HZ = 60.0, 500.0
"""Of voices; children's cries are above."""
MOST_POINTS = 1200
"""Points are 10 ms apart, or farther in audio that is longer than twelve seconds."""
VOICED = 0.5
"""The autocorrelation above which a waveform is taken for voiced."""
_RATE = 8000
_WINDOW_SECONDS = 0.04  # more than two periods of the lowest voice
_SILENT = 0.03  # of the loudest window's amplitude
_OCTAVE_COST = 0.05  # what twice the period must be better by: a period's multiples fit as well


def pitch(samples: NDArray[Any], sample_rate: int) -> tuple[NDArray[np.float64], ...]:
    """When a voice is how high: times in seconds and Hz, both [points]; NaN where none is heard.

    `samples` are [n] floats. The autocorrelation of a window is divided by that of the window
    function (Boersma 1993), so that long periods count as much as short ones. Audio that is
    shorter than a window has no points.
    """
    waveform = resample(samples, sample_rate, _RATE).astype(np.float64)
    length = round(_WINDOW_SECONDS * _RATE)
    if len(waveform) < length:
        return np.empty(0), np.empty(0)
    step = max(round(0.01 * _RATE), -(-len(waveform) // MOST_POINTS))
    windows = np.lib.stride_tricks.sliding_window_view(waveform, length)[::step]
    times = (np.arange(len(windows)) * step + length / 2) / _RATE
    frames = windows - windows.mean(axis=1, keepdims=True)
    loud = np.sqrt((frames**2).mean(axis=1))
    shape = np.hanning(length)
    found = _autocorrelation(frames * shape) / np.maximum(_autocorrelation(shape[None]), 1e-9)
    shortest, longest = int(_RATE / HIGHEST_HZ), int(np.ceil(_RATE / LOWEST_HZ))
    lags = np.arange(shortest, longest + 1)
    costs = _OCTAVE_COST * np.log2(lags / shortest)
    best = lags[np.argmax(_peaks(found, lags) - costs, axis=1)]
    rows = np.arange(len(found))
    before, here, after = (found[rows, best + k] for k in (-1, 0, 1))
    bend = before - 2 * here + after
    shift = np.where(bend < 0, 0.5 * (before - after) / np.where(bend < 0, bend, 1), 0)
    voiced = (here > VOICED) & (loud > _SILENT * max(1e-9, loud.max()))
    hertz = np.where(voiced, _RATE / (best + np.clip(shift, -0.5, 0.5)), np.nan)
    return times, _without_jumps(hertz)


def _autocorrelation(frames: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each row, 1 at a lag of nothing: [rows, samples]."""
    length = frames.shape[1]
    spectrum = np.abs(np.fft.rfft(frames, 2 * length, axis=1)) ** 2
    found = np.fft.irfft(spectrum, axis=1)[:, :length]
    return found / np.maximum(found[:, :1], 1e-12)


def _peaks(found: NDArray[np.float64], lags: NDArray[np.int64]) -> NDArray[np.float64]:
    """The autocorrelation where it has a peak, -1 elsewhere: [rows, lags]."""
    here = found[:, lags]
    peak = (here > found[:, lags - 1]) & (here >= found[:, lags + 1])
    return np.where(peak, here, -1.0)


def _without_jumps(hertz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pitch without points that stand alone, or half an octave off the middle of those around."""
    padded = np.pad(hertz, 4, constant_values=np.nan)
    around = np.lib.stride_tricks.sliding_window_view(padded, 9)
    enough = np.isfinite(around).sum(axis=1) >= 5
    middle = np.full(len(hertz), np.nan)
    middle[enough] = np.nanmedian(around[enough], axis=1)
    return np.where(np.abs(np.log2(hertz / middle)) < 0.5, hertz, np.nan)
