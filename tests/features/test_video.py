from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from emohop.clips import Half, Span
from emohop.errors import MediaError
from emohop.features.video import CROP_PIXELS, Faces, crop, crops_of, sample_times
from tests.media.making import NTSC, number_of, numbered, numbered_video, tone, write_video


def faces_of(
    spans: Sequence[Span], rate: float, size: int = CROP_PIXELS
) -> Iterator[tuple[int, Faces | MediaError]]:
    """The centres of the frames of spans of one file."""
    for i, cropped in crops_of(spans, rate, size):
        yield i, cropped if isinstance(cropped, MediaError) else cropped.frames


def test_sample_times() -> None:
    np.testing.assert_allclose(sample_times(2.0, 3.0, 3), [2, 2 + 1 / 3, 2 + 2 / 3])
    np.testing.assert_allclose(sample_times(0.0, 1.01, 3), [0, 1 / 3, 2 / 3, 1])
    np.testing.assert_allclose(sample_times(5.0, 5.001, 3), [5.0])


@given(
    start=st.floats(0, 1000),
    length=st.floats(0.001, 60),
    rate=st.sampled_from([1.0, 2.5, 3.0, 29.97]),
)
def test_sample_times_fill_the_span(start: float, length: float, rate: float) -> None:
    times = sample_times(start, start + length, rate)
    assert times.dtype == np.float64
    assert times[0] == start
    assert len(times) == 1 or times[-1] < start + length
    assert times[-1] + 1 / rate >= start + length - 1e-5 / rate
    np.testing.assert_allclose(np.diff(times), 1 / rate, rtol=1e-6)


def gradient(height: int, width: int) -> NDArray[np.uint8]:
    """Red is the row, green the column, blue marks columns from 256 on."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows % 256, columns % 256, (columns >= 256) * 255], -1).astype(np.uint8)


def test_a_half_is_cut_at_the_files_own_scale() -> None:
    """720x480: halves 360 wide, so the crop starts at row 128 and column 68 of a half."""
    frame = gradient(480, 720)
    np.testing.assert_array_equal(crop(frame, "left"), frame[128:352, 68:292])
    np.testing.assert_array_equal(crop(frame, "right"), frame[128:352, 428:652])
    assert crop(frame, "left").flags.c_contiguous


def test_a_column_in_the_middle_belongs_to_nobody() -> None:
    frame = gradient(224, 449)
    np.testing.assert_array_equal(crop(frame, "left"), frame[:, :224])
    np.testing.assert_array_equal(crop(frame, "right"), frame[:, 225:])


def test_a_small_half_is_enlarged() -> None:
    frame = np.zeros((50, 200, 3), np.uint8)
    frame[:, 100:] = 200  # right half
    frame[:, 145:155] = 255  # a bar in its middle
    got = crop(frame, "right")
    assert got.shape == (224, 224, 3)
    assert got[:, 112].min() > 240
    bright = np.flatnonzero(got[112, :, 0] > 227)
    assert len(bright) == pytest.approx(10 * 224 / 50, abs=4)
    assert not crop(frame, "left").any()


@pytest.mark.parametrize(("height", "width"), [(480, 720), (720, 480), (100, 100), (30, 400)])
def test_a_whole_image_is_scaled_to_its_shorter_side(height: int, width: int) -> None:
    side = min(height, width)
    frame = np.full((height, width, 3), 255, np.uint8)
    top, left = (height - side) // 2, (width - side) // 2
    frame[top : top + side, left : left + side] = 60
    frame[top : top + side // 2, left : left + side // 2] = 120
    got = crop(frame, None)
    assert got.shape == (224, 224, 3)
    assert got.dtype == np.uint8
    np.testing.assert_allclose(got[16:96, 16:96], 120, atol=3)
    np.testing.assert_allclose(got[128:208, 128:208], 60, atol=3)


@given(height=st.integers(1, 40), width=st.integers(1, 40), half=st.sampled_from(["left", None]))
@settings(max_examples=30, deadline=None)
def test_any_image_has_a_crop(height: int, width: int, half: Half | None) -> None:
    frame = np.full((height, width, 3), 77, np.uint8)
    got = crop(frame, half, 16)
    assert got.shape == (16, 16, 3)
    assert (got == 77).all()


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 s of numbered frames, one person a half: the right half's number is 2048 higher."""

    def images() -> Iterator[NDArray[np.uint8]]:
        for k in range(1200):
            halves = [numbered(k, 192, 192), numbered(k + 2048, 192, 192)]
            yield np.concatenate(halves, axis=1)

    return write_video(tmp_path_factory.mktemp("film") / "a.avi", images(), rate=NTSC)


def numbers(crops: NDArray[np.uint8] | MediaError) -> list[int]:
    assert not isinstance(crops, MediaError), crops
    return [number_of(image) for image in crops]


def expected(span: Span, end: float | None = None) -> list[int]:
    stop = span.end if end is None else end
    assert stop is not None
    shift = 2048 if span.half == "right" else 0
    return [int(t * NTSC + 1e-5) + shift for t in sample_times(span.start, stop, 3)]


def test_many_spans_in_one_pass(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from emohop import media

    passes = []

    def counted(path: Path, times: Any) -> Any:
        passes.append(path)
        return media.frames_at(path, times)

    monkeypatch.setattr("emohop.features.video.frames_at", counted)
    spans = [
        Span(film, 30.0, 33.5, "left"),
        Span(film, 1.0, 4.0, "right"),
        Span(film, 2.0, 3.1, "left"),  # inside of the one before
        Span(film, 2.0, 3.1, "right"),  # the same time, the other half
        Span(film, 0.0, 0.01, "left"),
        Span(film, 3.9, 8.0, "left"),
        Span(film, 12.34, 13.0, "right"),
    ]
    results = list(faces_of(spans, 3, size=192))
    assert [i for i, _ in results] == [4, 2, 3, 1, 5, 6, 0]  # as they end
    for i, crops in results:
        assert numbers(crops) == expected(spans[i])
    assert passes == [film]


def test_a_span_is_given_as_soon_as_it_is_complete(film: Path) -> None:
    faces = faces_of([Span(film, 0.0, 1.0, "left"), Span(film, 38.0, 39.0, "left")], 3, size=192)
    i, crops = next(faces)
    assert (i, len(crops) if not isinstance(crops, MediaError) else 0) == (0, 3)


def test_a_span_without_an_end(film: Path) -> None:
    span = Span(film, 38.0, None, "left")
    ((_, crops),) = faces_of([span], 3, size=192)
    assert numbers(crops) == expected(span, 1200 / float(NTSC))


def test_audio_longer_than_the_image_is_no_truncation(tmp_path: Path) -> None:
    path = numbered_video(tmp_path / "a.mp4", 20, rate=Fraction(10), waveform=tone(5.0))
    ((_, crops),) = faces_of([Span(path)], 3)
    assert not isinstance(crops, MediaError)
    assert crops.shape == (6, 224, 224, 3)


def test_only_the_last_image_may_be_missing(film: Path) -> None:
    end = 1200 / float(NTSC)  # 40.04 s
    spans = [
        Span(film, end - 1.0, end + 0.2, "left"),
        Span(film, end - 1.0, end + 0.5, "left"),
        Span(film, end + 0.1, end + 0.2, "left"),
        Span(film, 50.0, 52.0, "left"),
        Span(film, 1.0, 2.0, "left"),
    ]
    results = dict(faces_of(spans, 3, size=192))
    assert numbers(results[0]) == expected(spans[0])[:3]
    assert "3 of the 5 frames at 39.04-40.54 s are there" in str(results[1])
    assert "no frame at 40.14-40.24 s: the video ends before it" in str(results[2])
    assert "no frame at 50.00-52.00 s" in str(results[3])
    assert numbers(results[4]) == expected(spans[4])
    for i in (1, 2, 3):
        assert isinstance(results[i], MediaError)
        assert str(results[i]).startswith(f"{film}: ")


def test_a_truncated_video(film: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.avi"
    data = film.read_bytes()
    cut.write_bytes(data[: len(data) // 2])
    spans = [Span(cut, t, t + 4.0, "left") for t in (0.0, 10.0, 30.0)] + [Span(cut)]
    results = dict(faces_of(spans, 3, size=192))
    assert numbers(results[0]) == expected(spans[0])
    assert numbers(results[1]) == expected(spans[1])
    assert isinstance(results[2], MediaError)
    assert isinstance(results[3], MediaError)
    assert "cut short" in str(results[3])


@pytest.mark.parametrize(
    ("start", "end", "says"),
    [
        (2.0, 2.0, "no clip lies between"),
        (-1.0, 2.0, "no clip lies between"),
        (0.0, float("inf"), "no clip lies between"),
        (float("nan"), 2.0, "no clip lies between"),
        (99.0, None, "no clip lies between"),
        (0.0, 1e7, "a clip of 2777.8 h"),
    ],
)
def test_a_span_that_is_none(film: Path, start: float, end: float | None, says: str) -> None:
    good = Span(film, 1.0, 2.0, "left")
    results = dict(faces_of([Span(film, start, end), good], 3, size=192))
    assert isinstance(results[0], MediaError)
    assert says in str(results[0])
    assert numbers(results[1]) == expected(good)


def test_a_file_that_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "a.avi"
    path.write_text("not a video")
    for span in (Span(path, 0.0, 1.0), Span(path)):
        with pytest.raises(MediaError, match=r"a\.avi: "):
            list(faces_of([span], 3))


def test_nothing_to_look_at(film: Path) -> None:
    assert list(faces_of([], 3)) == []
    with pytest.raises(ValueError, match="one file"):
        list(faces_of([Span(film), Span(Path("other.avi"))], 3))
    with pytest.raises(ValueError, match="rate"):
        list(faces_of([Span(film)], 0))
