from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from emohop.errors import MissingExtraError
from emohop.features import vad
from emohop.features.pauses import Levels
from emohop.features.vad import LONGEST_SECONDS, utterances
from emohop.onnx_sessions import TELEMETRY_OFF
from tests.voices import recording, silence, voice

pytest.importorskip("faster_whisper")


def test_pauses_part_utterances_and_short_ones_do_not() -> None:
    found = list(utterances([recording()]))
    assert len(found) == 2  # the tenth of a second is none
    np.testing.assert_allclose(found, [(0.9, 4.4), (7.3, 8.9)], atol=0.25)
    assert found[-1][1] <= len(recording()) / 16_000


def test_blocks_make_no_difference() -> None:
    def blocks() -> Iterator[NDArray[np.float32]]:
        yield from np.array_split(recording(), 37)

    assert list(utterances(blocks())) == list(utterances([recording()]))


def test_a_long_utterance_is_cut_where_it_pauses() -> None:
    """Pauses of 0.4 s part no utterances, but are where one is cut that is too long."""
    one = np.concatenate([voice(4), silence(0.4)])
    found = list(utterances([np.concatenate([one] * 5)], 6.0))
    assert [edge for _, edge in found[:-1]] == pytest.approx([4.2, 8.6, 13.0, 17.4], abs=0.1)
    assert all(before[1] == after[0] for before, after in pairwise(found))


def test_what_has_no_pause_is_cut_into_equal_parts() -> None:
    tone = np.sin(np.arange(40 * 16_000) * 0.1).astype(np.float32)
    levels = Levels()
    for piece in np.array_split(tone, 23):
        levels.add(piece)
    found = list(levels.cut(0.0, 40.0, LONGEST_SECONDS))
    assert [end for _, end in found] == pytest.approx([40 / 3, 80 / 3, 40])


@pytest.mark.parametrize(
    "waveform", [silence(3), np.zeros(0, np.float32), np.zeros(100, np.float32)]
)
def test_nobody_speaks(waveform: NDArray[np.float32]) -> None:
    assert list(utterances([waveform])) == []
    assert list(utterances([])) == []


def test_music_is_no_speech() -> None:
    times = np.arange(20 * 16_000) / 16_000
    notes = (110.0, 138.6, 164.8, 220.0)
    chords = sum(
        np.sin(2 * np.pi * note * (1 + (times // 1 % 3) / 4) * k * times) / k
        for note in notes
        for k in range(1, 6)
    )
    found = list(utterances([np.asarray(0.1 * chords, np.float32)]))
    assert sum(end - start for start, end in found) < 1


@pytest.mark.parametrize("module", ["onnxruntime", "faster_whisper"])
def test_without_the_detector(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    vad._session.cache_clear()
    if module == "onnxruntime":
        monkeypatch.setitem(sys.modules, module, None)
    else:
        monkeypatch.setattr(vad, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"emohop\[speech\]"):
        list(utterances([silence(1)]))


def test_nothing_is_reported_to_anybody(tmp_path: Path) -> None:
    """onnxruntime would leave an id in the temporary folder, and send what it notices."""
    code = "from emohop.features.vad import Turns; Turns()"
    given = {name: value for name, value in os.environ.items() if name != TELEMETRY_OFF}
    given |= {"TMPDIR": str(tmp_path), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", code], check=True, env=given)
    assert list(tmp_path.iterdir()) == []
