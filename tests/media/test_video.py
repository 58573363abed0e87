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
    return {i: number_of(image) for i, image in frames_at(path, times)}


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


def test_frames_that_come_at_uneven_times(tmp_path: Path) -> None:
    stamps = [int(s) for s in np.cumsum(np.random.default_rng(1).integers(5, 900, 80)) - 5]
    stamps = [s - stamps[0] for s in stamps]
    path = numbered_video(
        tmp_path / "a.mp4", 80, codec="libx264", stamps=stamps, time_base=Fraction(1, 1000)
    )
    times = np.sort(np.random.default_rng(2).uniform(0, stamps[-1] / 1000, 60))
    expected = np.searchsorted(np.array(stamps) / 1000, times, side="right") - 1
    assert numbers(path, times) == dict(enumerate(expected))


def test_times_count_from_the_first_image(tmp_path: Path) -> None:
    stamps = list(range(2000, 2000 + 30 * 40, 40))
    path = numbered_video(
        tmp_path / "a.mkv", 30, codec="libx264", stamps=stamps, time_base=Fraction(1, 1000)
    )
    assert numbers(path, [0.0, 0.5, 1.1]) == {0: 0, 1: 12, 2: 27}


def test_one_frame_can_serve_several_times(tmp_path: Path) -> None:
    path = numbered_video(tmp_path / "a.avi", 6, rate=Fraction(2))
    images = dict(frames_at(path, [0.1, 0.4, 0.4, 0.6]))
    assert [number_of(p) for p in images.values()] == [0, 0, 0, 1]
    assert images[0] is images[1] is images[2]


def test_a_frame_lasts_one_frame_at_the_end(tmp_path: Path) -> None:
    path = numbered_video(tmp_path / "a.avi", 20, rate=Fraction(10))
    assert numbers(path, [1.85, 1.95, 1.99, 2.0, 2.05, 50.0]) == {0: 18, 1: 19, 2: 19}
    assert numbers(path, [0.0, 50.0, 60.0]) == {0: 0}
    assert numbers(path, [1e300]) == {}
    assert numbers(path, []) == {}


@pytest.mark.parametrize("gop", [12, 10_000])
def test_seeking_is_only_a_shortcut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gop: int
) -> None:
    path = numbered_video(tmp_path / "a.avi", 900, rate=SLOW, gop=gop)
    times = [0.0, 20.0, 20.1, 40.0, 59.0]
    with_seeks = numbers(path, times)
    monkeypatch.setattr("emohop.media.video.SEEK_GAP_SECONDS", 1e9)
    assert numbers(path, times) == with_seeks
    assert list(with_seeks) == [0, 1, 2, 3, 4]


def test_a_truncated_file_gives_what_it_holds(tmp_path: Path) -> None:
    whole = numbered_video(tmp_path / "a.avi", 300, rate=NTSC).read_bytes()
    cut = tmp_path / "cut.avi"
    cut.write_bytes(whole[: len(whole) // 2])
    times = np.arange(0, 10, 0.1)
    got = numbers(cut, times)
    assert 40 < len(got) < 60
    assert got == {i: int(times[i] * NTSC + 1e-6) for i in range(len(got))}
    assert numbers(cut, [0.0, 9.5]) == {0: 0}
    assert probe(cut).truncated
    assert not probe(tmp_path / "a.avi").truncated


def test_a_damaged_file_does_not_raise(tmp_path: Path) -> None:
    data = bytearray(numbered_video(tmp_path / "a.avi", 300).read_bytes())
    middle = len(data) // 2
    data[middle : middle + 2000] = np.random.default_rng(0).bytes(2000)
    path = tmp_path / "damaged.avi"
    path.write_bytes(data)
    found = [i for i, _ in frames_at(path, np.arange(0, 10, 0.1).tolist())]
    assert found[:45] == list(range(45))


@pytest.mark.parametrize("bad", [range(20, 30), range(10)])
def test_what_does_not_decode_is_not_made_up(tmp_path: Path, bad: range) -> None:
    """A group of spoilt packets: the frame before it is on screen for its own time only."""
    path = numbered_video(tmp_path / "a.mp4", 50, rate=Fraction(10), codec="libx264", gop=10)
    data = bytearray(path.read_bytes())
    import av

    with av.open(str(path)) as container:
        packets = [p for p in container.demux(video=0) if p.size]
        for k in bad:
            packet = packets[k]
            assert packet.pos is not None
            data[packet.pos : packet.pos + packet.size] = b"\xff" * packet.size
    path.write_bytes(data)
    got = numbers(path, np.arange(50) / 10 + 0.05)
    assert got == {k: k for k in range(50) if k not in bad}


@pytest.mark.parametrize("angle", [90, 180, -90])
def test_a_telephone_held_upright(tmp_path: Path, angle: int) -> None:
    import av

    image = np.zeros((48, 96, 3), np.uint8)
    image[:16, :16] = 255
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 48, "yuv420p"
        if not hasattr(av.VideoStream, "set_display_rotation"):
            pytest.skip("this PyAV cannot write a rotation")
        stream.set_display_rotation(angle)
        for _ in range(3):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        out.mux(stream.encode(None))
    ((_, shown),) = frames_at(path, [0.0])
    expected = np.rot90(image, angle // 90)
    assert shown.shape == expected.shape
    assert np.abs(shown.astype(int) - expected).mean() < 6


@pytest.mark.parametrize("times", [[1.0, 0.5], [-0.1], [float("nan")], [0.0, float("nan")]])
def test_times_must_ascend(tmp_path: Path, times: list[float]) -> None:
    path = numbered_video(tmp_path / "a.avi", 3)
    with pytest.raises(ValueError, match="ascend"):
        next(frames_at(path, times))


def test_a_image_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = numbered_video(tmp_path / "a.avi", 3)
    monkeypatch.setattr("emohop.media.container.MAX_SIDE_PIXELS", 100)
    with pytest.raises(MediaError, match="192x48"):
        next(frames_at(path, [0.0]))
    with pytest.raises(MediaError, match="192x48"):
        probe(path)
