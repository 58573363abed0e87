from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from emohop.errors import MissingExtraError
from emohop.features.vad import LONGEST_SECONDS, utterances

pytest.importorskip("webrtcvad")


def voice(seconds: float) -> NDArray[np.float32]:
    """Pulses through two resonances: what WebRTC's detector takes for a voice."""
    from scipy.signal import lfilter

    pulses = np.zeros(round(seconds * 16_000))
    pulses[::130] = 1.0
    waveform = pulses
    for hertz in (700, 1200):
        angle, near = 2 * np.pi * hertz / 16_000, 0.97
        waveform = lfilter([1.0], [1.0, -2 * near * np.cos(angle), near**2], waveform)
    return np.asarray(0.3 * waveform / np.abs(waveform).max(), np.float32)


def silence(seconds: float) -> NDArray[np.float32]:
    noise = np.random.default_rng(0).normal(size=round(seconds * 16_000))
    return (1e-4 * noise).astype(np.float32)


RECORDING = np.concatenate(
    [silence(1), voice(2), silence(0.3), voice(1), silence(2), voice(0.1), silence(1), voice(1.5)]
)


def test_pauses_part_utterances_and_short_ones_do_not() -> None:
    found = list(utterances([RECORDING]))
    assert len(found) == 2  # the tenth of a second is none
    np.testing.assert_allclose(found, [(0.9, 4.4), (7.3, 8.9)], atol=0.25)
    assert found[-1][1] <= len(RECORDING) / 16_000


def test_blocks_make_no_difference() -> None:
    def blocks() -> Iterator[NDArray[np.float32]]:
        yield from np.array_split(RECORDING, 37)

    assert list(utterances(blocks())) == list(utterances([RECORDING]))


def test_a_long_utterance_is_cut_into_equal_parts() -> None:
    found = list(utterances([voice(40)]))
    lengths = [end - start for start, end in found]
    assert len(found) == 3
    assert max(lengths) <= LONGEST_SECONDS
    assert max(lengths) - min(lengths) < 1e-6
    assert all(one[1] == other[0] for one, other in pairwise(found))


@pytest.mark.parametrize(
    "waveform", [silence(3), np.zeros(0, np.float32), np.zeros(100, np.float32)]
)
def test_nobody_speaks(waveform: NDArray[np.float32]) -> None:
    assert list(utterances([waveform])) == []
    assert list(utterances([])) == []


def test_without_the_detector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "webrtcvad", None)
    with pytest.raises(MissingExtraError, match=r"emohop\[speech\]"):
        list(utterances([silence(1)]))
