from __future__ import annotations

import numpy as np
import pytest

from emohop.features.pitch import pitch


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100])
@pytest.mark.parametrize("hertz", [80.0, 120.0, 220.0, 400.0])
def test_the_pitch_of_a_buzz(hertz: float, rate: int) -> None:
    time = np.arange(rate) / rate
    buzz = sum(np.sin(2 * np.pi * hertz * k * time) / k for k in range(1, 6))
    times, found = pitch(np.asarray(buzz, np.float32), rate)
    assert len(times) == len(found)
    assert times[0] == pytest.approx(0.02, abs=1e-3)
    assert np.diff(times) == pytest.approx(0.01, abs=1e-3)
    assert np.isfinite(found).all()
    assert np.median(found) == pytest.approx(hertz, rel=0.03)


def test_a_gliding_pitch_is_followed() -> None:
    time = np.arange(32_000) / 16_000
    phase = 2 * np.pi * np.cumsum(100 * 2**time) / 16_000
    _, found = pitch(np.sign(np.sin(phase)).astype(np.float32), 16_000)
    assert found[0] == pytest.approx(100, rel=0.06)
    assert found[-1] == pytest.approx(400, rel=0.06)


def test_noise_and_silence_have_none() -> None:
    rng = np.random.default_rng(0)
    _, noise = pitch(rng.normal(size=16_000).astype(np.float32), 16_000)
    assert np.isfinite(noise).mean() < 0.1
    _, silence = pitch(np.zeros(16_000, np.float32), 16_000)
    assert not np.isfinite(silence).any()
    times, short = pitch(np.zeros(100, np.float32), 16_000)
    assert len(times) == len(short) == 0
