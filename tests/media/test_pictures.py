from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from emohop.errors import MediaError
from emohop.media import frames_at, probe
from tests.media.making import NTSC, number_of, numbered_video

SLOW = Fraction(15000, 1001)
MPEG4_B = {"codec": "mpeg4", "options": {"bf": "2"}}
H264_B = {"codec": "libx264", "options": {"bf": "3", "preset": "ultrafast", "g": "30"}}
VIDEOS = [
    pytest.param("a.avi", SLOW, {"codec": "mpeg4"}, id="avi-15"),
    pytest.param("a.avi", NTSC, {"codec": "mpeg4"}, id="avi-29.97"),
    pytest.param("a.avi", NTSC, MPEG4_B, id="avi-b-frames"),
    pytest.param("a.mp4", SLOW, MPEG4_B, id="mp4-mpeg4-b-frames"),
    pytest.param("a.mp4", NTSC, H264_B, id="mp4-h264-b-frames"),
    pytest.param("a.mkv", Fraction(25), H264_B, id="mkv-h264-b-frames"),
    pytest.param("a.ts", Fraction(25), H264_B, id="ts-h264-b-frames"),
    pytest.param("a.mpg", Fraction(25), {"codec": "mpeg2video", "options": {"bf": "2"}}, id="mpg"),
    pytest.param("a.flv", Fraction(25), {"codec": "flv"}, id="flv"),
]


def numbers(path: Path, times: Any) -> dict[int, int]:
    return {i: number_of(picture) for i, picture in frames_at(path, times)}


def moments(frames: int, rate: Fraction, seed: int = 0) -> NDArray[np.float64]:
    """Ascending times: clusters and long gaps, at every place within a frame."""
    rng = np.random.default_rng(seed)
    starts = np.sort(rng.choice(frames - 4, 6, replace=False))
    places = np.concatenate([starts + d for d in (0.0, 0.02, 0.5, 0.98, 1.0, 3.3)])
    return np.sort(np.concatenate([[0.0], places, [frames - 0.6]])) / float(rate)


@pytest.mark.parametrize(("name", "rate", "options"), VIDEOS)
@pytest.mark.parametrize("seconds", [3, 55])  # without and with seeking
def test_the_frame_on_screen(
    tmp_path: Path, name: str, rate: Fraction, options: dict[str, Any], seconds: int
) -> None:
    frames = round(seconds * rate)
    path = numbered_video(tmp_path / name, frames, rate=rate, **options)
    times = moments(frames, rate)
    expected = np.floor(times * float(rate) + 1e-4).astype(int)
    if name.endswith("mkv"):  # its time stamps are whole milliseconds
        stamps = np.round(np.arange(frames) * 1000 / float(rate))
        expected = np.searchsorted(stamps, times * 1000 + 1e-3, side="right") - 1
    assert numbers(path, times) == dict(enumerate(expected))
