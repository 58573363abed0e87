"""Speech for tests, by eSpeak NG, and near-silence."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

RATE = 16_000
SENTENCES = (
    "excuse me do you have your forms with you we were talking about dogs by the door",
    "i told you a hundred times that i never want to hear about all of that again",
)


@cache
def _spoken() -> NDArray[np.float32]:
    """Some seconds in which somebody never pauses."""
    pytest.importorskip("espeakng_loader")
    from emohop.synthetic.speech import NEUTRAL, VOICES, Synthesiser

    with Synthesiser() as synthesiser:
        said = [synthesiser.say(words, VOICES[1, "F"], NEUTRAL) for words in SENTENCES]
    whole = np.concatenate(said).astype(np.float32)
    frames = whole[: len(whole) // 160 * 160].reshape(-1, 160)
    loud = frames[np.abs(frames).max(axis=1) > 0.02 * np.abs(whole).max()]
    return np.asarray(0.5 * loud.ravel() / np.abs(loud).max(), np.float32)


def voice(seconds: float) -> NDArray[np.float32]:
    """Somebody who speaks for so long, [samples] at 16 kHz."""
    return np.resize(_spoken(), round(seconds * RATE))


def silence(seconds: float) -> NDArray[np.float32]:
    """Noise that nobody hears."""
    noise = np.random.default_rng(0).normal(size=round(seconds * RATE))
    return (1e-4 * noise).astype(np.float32)


def recording() -> NDArray[np.float32]:
    """Speech at 1.0 to 4.3 s, with a short pause in it, a tenth of a second, and 7.4 to 8.9 s."""
    return np.concatenate(
        [
            *(silence(1), voice(2), silence(0.3), voice(1), silence(2), voice(0.1), silence(1)),
            voice(1.5),
        ]
    )
