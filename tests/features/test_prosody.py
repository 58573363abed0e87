"""Prosody: the original's numbers, numpy functionals, waveforms whose prosody is known."""

from __future__ import annotations

import csv
import multiprocessing
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from emohop.errors import MediaError, MissingExtraError
from emohop.features import prosody as module
from emohop.features.prosody import PROSODY_NAMES, prosody

opensmile = pytest.importorskip("opensmile")

GOLDEN = Path(__file__).parents[1] / "golden" / "prosody.csv"
SHARED = (Path(__file__).parents[2] / "../shared").resolve()
RATE = 16_000


def golden() -> tuple[list[str], list[list[str]]]:
    with GOLDEN.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    return header, rows


def voice(
    hertz: float, to_hertz: float | None = None, gain: float = 0.1, rate: int = RATE
) -> NDArray[np.float32]:
    """One second of ten falling harmonics on a pitch that stays or glides evenly."""
    time = np.arange(rate) / rate
    change = 0.0 if to_hertz is None else to_hertz - hertz
    phase = 2 * np.pi * (hertz * time + change / 2 * time**2)
    return np.asarray(gain * sum(np.sin(k * phase) / k for k in range(1, 11)), dtype=np.float32)


def named(values: NDArray[np.float32]) -> dict[str, dict[str, float]]:
    """Values by contour (F0final, ...) and functional (amean, ...)."""
    result: dict[str, dict[str, float]] = {}
    for name, value in zip(PROSODY_NAMES, values, strict=True):
        contour, functional = name.split("_sma_")
        result.setdefault(contour, {})[functional] = float(value)
    return result


def of(waveform: NDArray[Any], rate: int = RATE) -> dict[str, dict[str, float]]:
    values = prosody(waveform, rate)
    assert values.shape == (35,)
    assert values.dtype == np.float32
    assert np.isfinite(values).all()
    return named(values)


def contours(level: str, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
    """The smoothed contours before their functionals, `[contours, frames]`."""
    configuration = Path(module.__file__).with_name("prosody.conf")
    return np.asarray(opensmile.Smile(str(configuration), level)(waveform, RATE)[0])


def test_names_are_the_originals_in_its_order() -> None:
    assert list(PROSODY_NAMES) == golden()[0][1:]
    assert list(PROSODY_NAMES) == module._smile().feature_names


@pytest.mark.parametrize("row", golden()[1], ids=lambda row: Path(row[0]).stem)
def test_golden_clips(row: list[str]) -> None:
    soundfile = pytest.importorskip("soundfile")
    clip = SHARED / row[0]
    if not clip.is_file():
        pytest.skip("the RAVDESS clips of ../shared are not here")
    samples, rate = soundfile.read(clip, dtype="float32")
    expected = np.array(row[1:], dtype=np.float64)
    np.testing.assert_allclose(prosody(samples, rate), expected, rtol=1e-5)


def test_made_clip_keeps_its_values() -> None:
    """The numbers of the configuration that the golden clips agree with, for where they are not."""
    noise = np.random.default_rng(2).normal(0, 0.002, 3 * RATE)
    pause = np.zeros(RATE)
    waveform = np.concatenate([voice(150, 260), pause, voice(330, 210, gain=0.03)]) + noise
    expected = [
        [46.3083, 239.866, 0.500562, 0.531533, 174.736, 307.444, 132.708],
        [3.4324, 37.1633, 0.0398217, 0.51495, 32.0118, 41.7937, 9.78194],
        [0.195529, 0.715172, 7.7107e-05, 0.500941, 0.429079, 0.871358, 0.442279],
        [1.5544, 13.0194, 0.0139314, 0.514926, 10.8775, 14.6061, 3.72865],
        [0.334868, 0.567014, -0.00179326, 0.419526, 0.161856, 1.03947, 0.877618],
    ]
    values = prosody(np.round(waveform * 32768) / 32768, RATE)
    np.testing.assert_allclose(values.reshape(5, 7), expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("hertz", [100.0, 200.0, 440.0])
def test_steady_pitch(hertz: float) -> None:
    values = of(voice(hertz))
    pitch = values["F0final"]
    assert pitch["amean"] == pytest.approx(hertz, rel=0.01)
    assert pitch["stddev"] == pytest.approx(0, abs=0.5)
    assert pitch["linregc1"] == pytest.approx(0, abs=0.01)
    assert pitch["centroid"] == pytest.approx(0.5, abs=0.01)
    semitones = 12 * np.log2(pitch["amean"] / 27.5)
    assert values["F0finalLog"]["amean"] == pytest.approx(semitones, abs=0.01)
    assert values["voicingFinalUnclipped"]["percentile10.0"] > 0.7  # the voicing cut-off
    assert values["HarmonicsToNoiseRatioACFLogdB"]["amean"] > 6


def test_gliding_pitch() -> None:
    up, down = of(voice(120, 240))["F0final"], of(voice(240, 120))["F0final"]
    hertz_per_frame = 120 / 100
    assert up["linregc1"] == pytest.approx(hertz_per_frame, rel=0.05)
    assert down["linregc1"] == pytest.approx(-hertz_per_frame, rel=0.05)
    assert up["centroid"] > 0.52 > 0.48 > down["centroid"]
    for glide in (up, down):
        assert glide["amean"] == pytest.approx(180, rel=0.02)
        assert glide["percentile10.0"] == pytest.approx(132, rel=0.05)
        assert glide["percentile90.0"] == pytest.approx(228, rel=0.05)
        assert glide["pctlrange0-1"] == pytest.approx(
            glide["percentile90.0"] - glide["percentile10.0"], rel=1e-5
        )
        assert glide["stddev"] == pytest.approx(120 / np.sqrt(12), rel=0.1)


def test_loudness_follows_the_power_law() -> None:
    soft, loud = of(voice(200, gain=0.05))["loudness"], of(voice(200, gain=0.1))["loudness"]
    assert loud["amean"] / soft["amean"] == pytest.approx(4**0.33, rel=0.01)


def test_noise_lowers_the_harmonics_to_noise_ratio() -> None:
    noise = np.random.default_rng(0).normal(0, 0.05, RATE).astype(np.float32)
    name = "HarmonicsToNoiseRatioACFLogdB"
    assert of(voice(200) + noise)[name]["amean"] < of(voice(200))[name]["amean"] - 3
    assert of(noise)["F0final"]["amean"] == 0


def test_weak_frames_have_no_pitch() -> None:
    weak, heard = of(voice(200, gain=0.001)), of(voice(200, gain=0.002))
    for contour in ("F0final", "F0finalLog", "voicingFinalUnclipped"):
        assert set(weak[contour].values()) == {0.0}
        assert heard[contour]["amean"] > 0
    # the harmonics-to-noise ratio is that of the pitch before the gate
    assert weak["HarmonicsToNoiseRatioACFLogdB"]["amean"] > 6


# openSMILE flushes its last frames (of the Viterbi search, of the smoother) after the functionals.
@pytest.mark.parametrize(("level", "zeros", "late"), [("voice", False, 2), ("loud", True, 1)])
def test_functionals_are_numpys(level: str, zeros: bool, late: int) -> None:
    noise = np.random.default_rng(1).normal(0, 0.01, RATE // 2).astype(np.float32)
    waveform = np.concatenate([noise, voice(150, 300), noise, voice(350, 120, gain=0.03), noise])
    values = prosody(waveform, RATE).reshape(5, 7)
    rows = values[4:] if level == "loud" else values[:4]
    for contour, row in zip(contours(level, waveform), rows, strict=True):
        x = contour[:-late].astype(np.float64)
        x = x if zeros else x[x != 0]
        t = np.arange(len(x))
        low, high = np.percentile(x, [10, 90])
        slope = np.polyfit(t, x, 1)[0]
        centroid = np.sum(t * x) / np.sum(x) / len(x)
        expected = [x.std(), x.mean(), slope, centroid, low, high, high - low]
        np.testing.assert_allclose(row, expected, rtol=2e-4, atol=1e-6)


def test_silence_has_no_voice_and_no_nan() -> None:
    values = of(np.zeros(RATE, dtype=np.float32))
    loudness = values.pop("loudness")
    assert all(value == 0 for contour in values.values() for value in contour.values())
    assert 0 <= loudness["amean"] < 0.01


@pytest.mark.parametrize("samples", [0, 1, 400, 879])
def test_shorter_than_a_frame_is_zeros(samples: int) -> None:
    values = prosody(voice(200)[:samples], RATE)
    np.testing.assert_array_equal(values, np.zeros(35, dtype=np.float32))


@pytest.mark.parametrize("samples", [880, 1039, 1040, 1200, 2000])
def test_a_few_frames_are_finite(samples: int) -> None:
    assert of(voice(200)[:samples])["loudness"]["amean"] > 0.1


@pytest.mark.parametrize("rate", [22_050, 44_100, 48_000])
def test_other_rates_are_resampled(rate: int) -> None:
    here, there = of(voice(150, 250)), of(voice(150, 250, rate=rate), rate)
    for contour in ("F0final", "F0finalLog", "voicingFinalUnclipped", "loudness"):
        for functional in ("amean", "percentile10.0", "percentile90.0", "centroid"):
            assert there[contour][functional] == pytest.approx(here[contour][functional], rel=0.02)


def test_full_scale_does_not_wrap() -> None:
    clipped = np.clip(voice(200, gain=5.0), -1, 1)
    nearly = np.clip(clipped, -0.9999, 0.9999)
    np.testing.assert_allclose(prosody(clipped, RATE), prosody(nearly, RATE), rtol=0.01, atol=0.01)


def test_same_audio_same_values_in_threads_and_processes() -> None:
    waveforms = [voice(100.0 + 20 * i, 300.0) for i in range(4)]
    expected = [prosody(waveform, RATE) for waveform in waveforms]
    before = waveforms[0].copy()
    with ThreadPoolExecutor(4) as threads:
        threaded = list(threads.map(prosody, waveforms, [RATE] * 4))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        spawned = pool.starmap(prosody, [(waveform, RATE) for waveform in waveforms[:2]])
    np.testing.assert_array_equal(threaded, expected)
    np.testing.assert_array_equal(spawned, expected[:2])
    np.testing.assert_array_equal(waveforms[0], before)
    np.testing.assert_array_equal(prosody(waveforms[0].astype(np.float64), RATE), expected[0])


def test_damaged_audio_is_refused() -> None:
    waveform = voice(200)
    waveform[7] = np.nan
    with pytest.raises(MediaError, match="1 of 16000 audio samples are not finite"):
        prosody(waveform, RATE)


def test_missing_extra_names_the_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opensmile", None)
    module._smile.cache_clear()
    with pytest.raises(MissingExtraError, match=r"emohop\[prosody\].*research.*--no-prosody") as e:
        prosody(voice(200), RATE)
    assert "\n" not in str(e.value)
