"""Audio features, against implementations written from the definitions and against openSMILE."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kaldi_native_fbank as knf
import numpy as np
import pytest
from numpy.typing import NDArray

from emohop.errors import MediaError
from emohop.features.audio import (
    AUDIO_FEATURES,
    HOP_SAMPLES,
    SAMPLE_RATE_HZ,
    WINDOW_SAMPLES,
    add_deltas,
    mfcc39,
    mfcc120,
    resample,
)

NAMES = sorted(AUDIO_FEATURES)


def made_sound(seconds: float, seed: int = 0, rate: int = SAMPLE_RATE_HZ) -> NDArray[np.float32]:
    """Harmonics of a gliding pitch under a slow envelope, with noise; exact in 16 bits."""
    time = np.arange(round(seconds * rate)) / rate
    phase = 2 * np.pi * (140 * time + 30 * time**2)
    voice = sum(np.sin(k * phase) / k for k in range(1, 12))
    noise = np.random.default_rng(seed).normal(0, 0.02, len(time))
    waveform = 0.2 * voice * (0.55 - 0.45 * np.cos(2 * np.pi * 3 * time)) + noise
    return np.asarray(np.round(waveform * 32768) / 32768, dtype=np.float32)


def kaldi_mfcc(waveform: NDArray[np.float32]) -> NDArray[np.float64]:
    """Kaldi's MFCC, frame by frame, from its definition."""

    def mel(hertz: float) -> float:
        return 1127.0 * float(np.log(1.0 + hertz / 700.0))

    low, high, bins = mel(20.0), mel(8000.0), 40
    width = (high - low) / (bins + 1)
    banks = np.zeros((bins, 256))  # Kaldi leaves the bin at the Nyquist frequency out
    for b in range(bins):
        left, centre, right = (low + (b + side) * width for side in (0, 1, 2))
        for k in range(256):
            at = mel(k * 16000 / 512)
            if left < at <= centre:
                banks[b, k] = (at - left) / (centre - left)
            elif centre < at < right:
                banks[b, k] = (right - at) / (right - centre)
    n = np.arange(bins)
    dct = np.sqrt(2 / bins) * np.cos(np.pi / bins * (n[None, :] + 0.5) * n[:, None])
    dct[0] = np.sqrt(1 / bins)
    lifter = 1 + 11 * np.sin(np.pi * n / 22)

    rows = []
    amplitude = waveform.astype(np.float64) * 32768
    for start in range(0, len(amplitude) - 399, 160):
        frame = amplitude[start : start + 400] - amplitude[start : start + 400].mean()
        energy = np.log(max(np.sum(frame**2), np.finfo(np.float32).eps))
        emphasised = frame - 0.97 * np.concatenate([frame[:1], frame[:-1]])
        power = np.abs(np.fft.rfft(emphasised * np.hamming(400), 512))[:256] ** 2
        cepstrum = lifter * (dct @ np.log(np.maximum(banks @ power, np.finfo(np.float32).eps)))
        cepstrum[0] = energy
        rows.append(cepstrum)
    return np.stack(rows)


def kaldi_deltas(frames: NDArray[np.float32]) -> NDArray[np.float64]:
    """Kaldi's add-deltas: scales of each order from the order before, the edges clamped."""
    scales: list[list[float]] = [[1.0]]
    for _ in range(2):
        before, now = scales[-1], [0.0] * (len(scales[-1]) + 4)
        for j in range(-2, 3):
            for k, value in enumerate(before):
                now[j + 2 + k] += j * value / 10.0
        scales.append(now)
    result = np.zeros((len(frames), 3 * frames.shape[1]))
    for t in range(len(frames)):
        for order, taps in enumerate(scales):
            for i, tap in enumerate(taps):
                source = min(max(t + i - len(taps) // 2, 0), len(frames) - 1)
                columns = slice(order * frames.shape[1], (order + 1) * frames.shape[1])
                result[t, columns] += tap * frames[source]
    return result


def test_registry() -> None:
    assert {name: feature.size for name, feature in AUDIO_FEATURES.items()} == {
        "mfcc120": 120,
        "mfcc39": 39,
    }
    assert (WINDOW_SAMPLES, HOP_SAMPLES) == (400, 160)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("samples", [400, 559, 560, 719, 720, 880, 16_000, 16_123])
def test_only_whole_frames(name: str, samples: int) -> None:
    frames = AUDIO_FEATURES[name].compute(made_sound(1.1)[:samples], SAMPLE_RATE_HZ)
    assert frames.shape == (1 + (samples - 400) // 160, AUDIO_FEATURES[name].size)
    assert frames.dtype == np.float32
    assert np.isfinite(frames).all()


def test_mfcc120_is_kaldis_definition() -> None:
    waveform = made_sound(1.0)
    expected = kaldi_mfcc(waveform)
    np.testing.assert_allclose(mfcc120(waveform, SAMPLE_RATE_HZ)[:, :40], expected, atol=1e-3)
    np.testing.assert_allclose(
        mfcc120(waveform, SAMPLE_RATE_HZ), kaldi_deltas(expected.astype(np.float32)), atol=1e-3
    )


@pytest.mark.parametrize("count", [1, 2, 3, 5, 9, 40])
def test_deltas_are_kaldis_definition(count: int) -> None:
    frames = np.random.default_rng(count).normal(size=(count, 7)).astype(np.float32)
    np.testing.assert_allclose(add_deltas(frames), kaldi_deltas(frames), atol=1e-6)


@pytest.mark.skipif(not hasattr(knf, "compute_deltas"), reason="an older kaldi-native-fbank")
def test_deltas_are_those_of_kaldi_native_fbank() -> None:
    frames = np.random.default_rng(0).normal(size=(50, 40)).astype(np.float32)
    other = knf.compute_deltas(knf.DeltaOptions(order=2, window=2), frames)
    np.testing.assert_allclose(add_deltas(frames), other, atol=1e-6)


def test_gain_moves_the_energy_alone() -> None:
    waveform = made_sound(0.5)
    quiet, loud = mfcc120(waveform / 2, SAMPLE_RATE_HZ), mfcc120(waveform, SAMPLE_RATE_HZ)
    np.testing.assert_allclose(loud[:, 0] - quiet[:, 0], 2 * np.log(2), atol=1e-4)
    np.testing.assert_allclose(loud[:, 1:], quiet[:, 1:], atol=1e-3)


OPENSMILE_MFCC = r"""
[componentInstances:cComponentManager]
instance[dataMemory].type = cDataMemory
\{\cm[source{?}:source]}
[componentInstances:cComponentManager]
instance[frames].type = cFramer
instance[emphasis].type = cVectorPreemphasis
instance[window].type = cWindower
instance[fft].type = cTransformFFT
instance[magnitude].type = cFFTmagphase
instance[mel].type = cMelspec
instance[cepstrum].type = cMfcc
instance[energy].type = cEnergy
instance[static].type = cVectorConcat
instance[first].type = cDeltaRegression
instance[second].type = cDeltaRegression
instance[all].type = cVectorConcat
[frames:cFramer]
reader.dmLevel = wave
writer.dmLevel = frames
frameSize = 0.025
frameStep = 0.010
frameCenterSpecial = left
[emphasis:cVectorPreemphasis]
reader.dmLevel = frames
writer.dmLevel = emphasised
k = 0.97
[window:cWindower]
reader.dmLevel = emphasised
writer.dmLevel = windowed
winFunc = hamming
[fft:cTransformFFT]
reader.dmLevel = windowed
writer.dmLevel = spectrum
[magnitude:cFFTmagphase]
reader.dmLevel = spectrum
writer.dmLevel = magnitude
[mel:cMelspec]
reader.dmLevel = magnitude
writer.dmLevel = mel
nBands = 26
lofreq = 0
hifreq = 8000
usePower = 1
htkcompatible = 1
[cepstrum:cMfcc]
reader.dmLevel = mel
writer.dmLevel = cepstrum
firstMfcc = 1
lastMfcc = 12
cepLifter = 22
htkcompatible = 1
[energy:cEnergy]
reader.dmLevel = frames
writer.dmLevel = energy
htkcompatible = 1
rms = 0
log = 1
[static:cVectorConcat]
reader.dmLevel = cepstrum;energy
writer.dmLevel = static
includeSingleElementFields = 1
[first:cDeltaRegression]
reader.dmLevel = static
writer.dmLevel = first
deltawin = 2
[second:cDeltaRegression]
reader.dmLevel = first
writer.dmLevel = second
deltawin = 2
[all:cVectorConcat]
reader.dmLevel = static;first;second
writer.dmLevel = all
includeSingleElementFields = 1
\{\cm[sink{?}:sink]}
"""


def test_mfcc39_is_that_of_opensmile(tmp_path: Path) -> None:
    opensmile = pytest.importorskip("opensmile")
    (tmp_path / "mfcc.conf").write_text(OPENSMILE_MFCC, encoding="ascii")
    smile = opensmile.Smile(str(tmp_path / "mfcc.conf"), "all")
    silence = np.zeros(2000, dtype=np.float32)
    made = made_sound(1.0)
    for waveform in (made, made[:880], np.concatenate([silence, made[4000:9000], silence])):
        expected = smile(waveform, SAMPLE_RATE_HZ)[0].T
        np.testing.assert_allclose(mfcc39(waveform, SAMPLE_RATE_HZ), expected, rtol=1e-5, atol=5e-4)


@pytest.mark.parametrize("name", NAMES)
def test_silence_is_finite(name: str) -> None:
    silence = np.zeros(8000, dtype=np.float32)
    assert np.isfinite(AUDIO_FEATURES[name].compute(silence, SAMPLE_RATE_HZ)).all()


@pytest.mark.parametrize("name", NAMES)
def test_same_audio_same_frames(name: str) -> None:
    compute, waveform = AUDIO_FEATURES[name].compute, made_sound(0.6)
    before = waveform.copy()
    first = compute(waveform, SAMPLE_RATE_HZ)
    np.testing.assert_array_equal(waveform, before)  # the caller's samples are not touched
    np.testing.assert_array_equal(compute(waveform, SAMPLE_RATE_HZ), first)
    np.testing.assert_array_equal(compute(waveform.astype(np.float64), SAMPLE_RATE_HZ), first)
    np.testing.assert_array_equal(compute(np.repeat(waveform, 2)[::2], SAMPLE_RATE_HZ), first)


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_resampling_keeps_time_and_tone(rate: int) -> None:
    time = np.arange(rate) / rate
    tone = np.sin(2 * np.pi * 1000 * time).astype(np.float32)
    waveform = resample(tone, rate, SAMPLE_RATE_HZ)
    assert waveform.dtype == np.float32
    assert abs(len(waveform) - SAMPLE_RATE_HZ) <= 1
    expected = np.sin(2 * np.pi * 1000 * np.arange(len(waveform)) / SAMPLE_RATE_HZ)
    np.testing.assert_allclose(waveform[500:-500], expected[500:-500], atol=2e-3)


def test_resampling_removes_what_16_khz_cannot_hold() -> None:
    tone = np.sin(2 * np.pi * 12_000 * np.arange(44_100) / 44_100).astype(np.float32)
    assert np.abs(resample(tone, 44_100, SAMPLE_RATE_HZ)[500:-500]).max() < 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_features_of_44100_hz(name: str) -> None:
    compute = AUDIO_FEATURES[name].compute
    waveform = made_sound(1.0, rate=44_100)
    frames = compute(waveform, 44_100)
    assert frames.shape == (98, AUDIO_FEATURES[name].size)
    at_16k = resample(waveform, 44_100, SAMPLE_RATE_HZ)
    np.testing.assert_array_equal(frames, compute(at_16k, SAMPLE_RATE_HZ))


BAD: list[tuple[NDArray[Any], str]] = [
    (np.zeros(0, dtype=np.float32), "0.0000 s of audio: at least one frame of 0.025 s"),
    (np.zeros(160, dtype=np.float32), "0.0100 s of audio: at least one frame of 0.025 s"),
    (np.zeros(399, dtype=np.float32), "0.0249 s of audio"),
    (np.array([0.0, np.nan] * 400, dtype=np.float32), "400 of 800 audio samples are not finite"),
    (np.array([0.0] * 800 + [np.inf]), "1 of 801 audio samples are not finite"),
    (np.zeros((2, 800), dtype=np.float32), r"shape \(2, 800\).*mix channels"),
    (np.zeros(800, dtype=np.int16), "type int16.*scale integers"),
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("waveform", "message"), BAD)
def test_bad_audio_is_said_in_one_line(name: str, waveform: NDArray[Any], message: str) -> None:
    with pytest.raises(MediaError, match=message) as caught:
        AUDIO_FEATURES[name].compute(waveform, SAMPLE_RATE_HZ)
    assert "\n" not in str(caught.value)
