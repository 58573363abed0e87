"""Audio features: one vector of cepstra every 10 ms.

`mfcc120` is the paper's: Kaldi MFCC with 40 coefficients and both differences. `mfcc39` is the
predecessor's: openSMILE's MFCC_E_D_A, computed here in numpy. `AUDIO_FEATURES` names them for
settings. Each takes mono audio at any rate, in [-1, 1], and works at 16 kHz.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

import kaldi_native_fbank as knf
import numpy as np
import soxr
from numpy.typing import NDArray

from emohop.config import AudioFeatures
from emohop.errors import MediaError
from emohop.features.arrays import Arrays
from emohop.features.encoder import FeatureEncoder
from emohop.media import INT16_SCALE

__all__ = [
    "AUDIO_FEATURES",
    "DIFFERENCES_REACH",
    "HOP_SAMPLES",
    "HOP_SECONDS",
    "SAMPLE_RATE_HZ",
    "WINDOW_SAMPLES",
    "WINDOW_SECONDS",
    "AudioFeature",
    "add_deltas",
    "load_mfcc39",
    "load_mfcc120",
    "mfcc39",
    "mfcc120",
    "resample",
    "too_short",
    "waveform_16k",
]

SAMPLE_RATE_HZ = 16_000
WINDOW_SECONDS = 0.025
HOP_SECONDS = 0.010
WINDOW_SAMPLES = round(WINDOW_SECONDS * SAMPLE_RATE_HZ)
HOP_SAMPLES = round(HOP_SECONDS * SAMPLE_RATE_HZ)
FFT_SAMPLES = 512  # the next power of two above WINDOW_SAMPLES

PRE_EMPHASIS = 0.97
LIFTER = 22

KALDI_COEFFICIENTS = 40
KALDI_MEL_BINS = 40  # at least as many as coefficients: Kaldi's default, 23, is too few
HTK_COEFFICIENTS = 12  # numbers 1 to 12; energy stands in for number 0
HTK_MEL_BANDS = 26

DELTA_WINDOW = 2  # frames on each side
DIFFERENCES_REACH = 2 * DELTA_WINDOW
"""Frames on each side that a frame's differences depend on."""
_steps = np.arange(-DELTA_WINDOW, DELTA_WINDOW + 1)
# Kaldi composes its second filter from the first, so that edges are replicated only once.
FIRST_DIFFERENCE: tuple[float, ...] = tuple((_steps / np.sum(_steps**2)).tolist())
SECOND_DIFFERENCE: tuple[float, ...] = tuple(
    np.convolve(FIRST_DIFFERENCE, FIRST_DIFFERENCE).tolist()
)


@dataclass(frozen=True)
class AudioFeature:
    """A kind of audio feature: values per frame, and how they are computed in two steps."""

    size: int
    frames: Callable[[NDArray[np.float32]], NDArray[np.float32]]
    """Audio at 16 kHz `[samples]`, a frame or more, in; `[frames, size / 3]` out, each of them of
    its own 25 ms alone."""
    differences: Callable[[NDArray[np.float32]], NDArray[np.float32]]
    """Such frames in, `[frames, size]` out: with what they differ by from their neighbours."""

    def compute(self, samples: NDArray[Any], sample_rate: int) -> NDArray[np.float32]:
        """Samples `[samples]` and their rate in Hz in, `[frames, size]` out.

        Raises:
            MediaError: Less than one frame of audio, samples that are not finite, or not mono.
        """
        waveform = waveform_16k(samples, sample_rate)
        if len(waveform) < WINDOW_SAMPLES:
            raise too_short(waveform)
        return self.differences(self.frames(waveform))


def resample(samples: NDArray[Any], sample_rate: int, target: int) -> NDArray[np.float32]:
    """`[samples]` at `sample_rate` Hz as float32 at `target` Hz, band-limited by soxr (HQ)."""
    waveform = np.ascontiguousarray(samples, dtype=np.float32)
    if sample_rate == target or waveform.size == 0:
        return waveform
    return np.asarray(soxr.resample(waveform, sample_rate, target), dtype=np.float32)


def waveform_16k(
    samples: NDArray[Any], sample_rate: int, bandwidth: int | None = None
) -> NDArray[np.float32]:
    """The audio as float32 `[samples]` at 16 kHz.

    With `bandwidth`, a sample rate in Hz, it is as if it had been recorded at that rate.

    Raises:
        MediaError: It is not one channel of floating-point samples, or some are not finite.
    """
    if samples.ndim != 1 or samples.dtype.kind != "f":
        raise MediaError(
            f"audio of shape {samples.shape} and type {samples.dtype}: one channel of "
            "floating-point samples in [-1, 1] is needed; mix channels and scale integers first"
        )
    damaged = samples.size - int(np.count_nonzero(np.isfinite(samples)))
    if damaged:
        raise MediaError(
            f"{damaged} of {samples.size} audio samples are not finite (NaN or infinity): "
            "the audio is damaged; decode or cut it again"
        )
    if bandwidth is not None:
        samples, sample_rate = resample(samples, sample_rate, bandwidth), bandwidth
    return resample(samples, sample_rate, SAMPLE_RATE_HZ)


def add_deltas(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """`[frames, n]` with its first and second differences, `[frames, 3 n]`.

    Kaldi's add-deltas of order 2 and window 2: d[t] = sum_j j x[t+j] / sum_j j^2 for j = -2..2;
    the second difference applies that filter twice, as one of nine taps. Frames before the
    first and after the last repeat them.
    """
    first = _filtered(frames, FIRST_DIFFERENCE)
    return np.concatenate([frames, first, _filtered(frames, SECOND_DIFFERENCE)], axis=1)


def mfcc120(samples: NDArray[Any], sample_rate: int) -> NDArray[np.float32]:
    """Kaldi MFCC with 40 coefficients, then add-deltas: `[frames, 120]`.

    Frames of 25 ms every 10 ms, only whole ones: 1 + (samples - 400) // 160 at 16 kHz. Hamming
    window, no dither, 40 mel bins; all else as Kaldi has it: the mean of the frame removed,
    pre-emphasis 0.97, mel bins from 20 Hz to 8 kHz, lifter 22, and the logarithm of the
    frame's energy in the place of coefficient 0 (use_energy).

    Raises:
        MediaError: Less than one frame of audio, samples that are not finite, or not mono.
    """
    return AUDIO_FEATURES["mfcc120"].compute(samples, sample_rate)


def _kaldi_frames(waveform: NDArray[np.float32]) -> NDArray[np.float32]:
    extractor = knf.OnlineMfcc(_kaldi_options())
    # The extractor takes any sequence, one item at a time: those of a memoryview come fastest.
    extractor.accept_waveform(SAMPLE_RATE_HZ, memoryview(waveform * np.float32(INT16_SCALE)))
    extractor.input_finished()
    count = extractor.num_frames_ready
    frames = np.empty((count, KALDI_COEFFICIENTS), dtype=np.float32)
    for i in range(count):
        frames[i] = extractor.get_frame(i)
    return frames


def mfcc39(samples: NDArray[Any], sample_rate: int) -> NDArray[np.float32]:
    """OpenSMILE's MFCC_E_D_A in its HTK scaling: `[frames, 39]`.

    Coefficients 1 to 12 and the log energy of the raw frame, then their first and second
    regressions. Frames of 25 ms every 10 ms, only whole ones; pre-emphasis inside the frame,
    Hamming window, 26 mel bands over 0 to 8 kHz of the power spectrum (floor 1), lifter 22.
    At the end the first regression runs two frames past the last, and the second sees those,
    as in openSMILE (which does otherwise for waveforms of one to three frames).

    Raises:
        MediaError: Less than one frame of audio, samples that are not finite, or not mono.
    """
    return AUDIO_FEATURES["mfcc39"].compute(samples, sample_rate)


def _htk_frames(waveform: NDArray[np.float32]) -> NDArray[np.float32]:
    scaled = waveform.astype(np.float64) * INT16_SCALE
    frames = np.lib.stride_tricks.sliding_window_view(scaled, WINDOW_SAMPLES)[::HOP_SAMPLES]
    energy = np.log(np.maximum(np.sum(frames**2, axis=1), 1.0))
    shaped = frames.copy()
    shaped[:, 1:] -= PRE_EMPHASIS * frames[:, :-1]
    shaped[:, 0] *= 1.0 - PRE_EMPHASIS
    power = np.abs(np.fft.rfft(shaped * np.hamming(WINDOW_SAMPLES), FFT_SAMPLES)) ** 2
    bands = np.log(np.maximum(power @ _htk_mel_bands().T, 1.0))
    return np.column_stack([bands @ _htk_cepstrum().T, energy]).astype(np.float32)


def _htk_differences(static: NDArray[np.float32]) -> NDArray[np.float32]:
    count = len(static)
    past_the_end = np.repeat(static[-1:], DELTA_WINDOW, axis=0)
    first = _filtered(np.concatenate([static, past_the_end]), FIRST_DIFFERENCE)
    second = _filtered(first, FIRST_DIFFERENCE)
    return np.concatenate([static, first[:count], second[:count]], axis=1)


AUDIO_FEATURES: Mapping[str, AudioFeature] = MappingProxyType(
    {
        "mfcc120": AudioFeature(3 * KALDI_COEFFICIENTS, _kaldi_frames, add_deltas),
        "mfcc39": AudioFeature(3 * (HTK_COEFFICIENTS + 1), _htk_frames, _htk_differences),
    }
)
"""The audio features by the name that settings give them."""


def load_mfcc120(settings: AudioFeatures, device: str) -> FeatureEncoder:
    """The encoder `mfcc120` of settings."""
    del settings, device
    return _encoder(AUDIO_FEATURES["mfcc120"])


def load_mfcc39(settings: AudioFeatures, device: str) -> FeatureEncoder:
    """The encoder `mfcc39` of settings."""
    del settings, device
    return _encoder(AUDIO_FEATURES["mfcc39"])


def _encoder(feature: AudioFeature) -> FeatureEncoder:
    def encode(waveforms: Sequence[NDArray[np.float32]]) -> list[Arrays | MediaError]:
        return [computed(waveform) for waveform in waveforms]

    def computed(waveform: NDArray[np.float32]) -> Arrays | MediaError:
        try:
            return {"audio": feature.compute(waveform, SAMPLE_RATE_HZ)}
        except MediaError as error:
            return error

    return FeatureEncoder(encode, feature.size, steps_per_second=1 / HOP_SECONDS, framewise=feature)


def too_short(waveform: NDArray[np.float32]) -> MediaError:
    """What is said of a waveform at 16 kHz that is shorter than a frame."""
    return MediaError(
        f"{len(waveform) / SAMPLE_RATE_HZ:.4f} s of audio: "
        f"at least one frame of {WINDOW_SECONDS} s is needed"
    )


def _filtered(frames: NDArray[np.float32], taps: tuple[float, ...]) -> NDArray[np.float32]:
    """Correlate every column with `taps`, the first and last frame repeated at the edges."""
    edge = len(taps) // 2
    padded = np.pad(frames, ((edge, edge), (0, 0)), mode="edge")
    result = np.zeros_like(frames)
    for i, tap in enumerate(taps):
        if tap:
            result += tap * padded[i : i + len(frames)]
    return result


@cache
def _kaldi_options() -> Any:
    options = knf.MfccOptions()
    options.frame_opts.samp_freq = SAMPLE_RATE_HZ
    options.frame_opts.frame_length_ms = 1000 * WINDOW_SECONDS
    options.frame_opts.frame_shift_ms = 1000 * HOP_SECONDS
    options.frame_opts.window_type = "hamming"
    options.frame_opts.dither = 0.0  # random: the same audio would have other features each time
    options.frame_opts.preemph_coeff = PRE_EMPHASIS
    options.frame_opts.snip_edges = True
    options.mel_opts.num_bins = KALDI_MEL_BINS
    options.num_ceps = KALDI_COEFFICIENTS
    options.cepstral_lifter = LIFTER
    options.use_energy = True
    return options


@cache
def _htk_mel_bands() -> NDArray[np.float64]:
    """Triangles of equal width on the mel scale over the power spectrum, `[26, 257]`."""
    bins_hz = np.fft.rfftfreq(FFT_SAMPLES, 1 / SAMPLE_RATE_HZ)
    mel = 1127.0 * np.log1p(bins_hz / 700.0)
    position = mel / mel[-1] * (HTK_MEL_BANDS + 1)  # band b peaks at position b + 1
    peaks = np.arange(1, HTK_MEL_BANDS + 1)[:, None]
    return np.asarray(np.maximum(0.0, 1.0 - np.abs(position - peaks)))


@cache
def _htk_cepstrum() -> NDArray[np.float64]:
    """The cosine transform with HTK's lifter 1 + 11 sin(pi n / 22) in it, `[12, 26]`."""
    n = np.arange(1, HTK_COEFFICIENTS + 1)[:, None]
    cosines = np.cos(np.pi * n * (np.arange(HTK_MEL_BANDS) + 0.5) / HTK_MEL_BANDS)
    lifter = 1.0 + LIFTER / 2 * np.sin(np.pi * n / LIFTER)
    return np.asarray(np.sqrt(2.0 / HTK_MEL_BANDS) * lifter * cosines)
