from __future__ import annotations

import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from emohop.clips import Span
from emohop.errors import MediaError
from emohop.media import read_audio
from emohop.media.sndfile import audio_file
from tests.media.making import numbered_video, tone

RATE = 16_000
CLICKS_SECONDS = (0.5, 2.25, 3.0, 7.75, 9.5)


def clicks(seconds: float = 10.0) -> NDArray[np.float32]:
    """Silence with a short beep at each of CLICKS_SECONDS."""
    samples = np.zeros(round(seconds * RATE), np.float32)
    beep = 0.8 * np.sin(np.arange(400) * 0.5).astype(np.float32)
    for second in CLICKS_SECONDS:
        at = round(second * RATE)
        samples[at : at + 400] = beep
    return samples


def encode(path: Path, samples: NDArray[np.float32], codec: str, layout: str = "mono") -> Path:
    """Write `[channels, samples]` at 16 kHz by FFmpeg."""
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV has no {codec}")
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream(codec, rate=RATE, layout=layout)
        frame: Any = av.AudioFrame.from_ndarray(samples, format="fltp", layout=layout)
        frame.sample_rate, frame.pts = RATE, 0
        resampler = av.AudioResampler(format=stream.format, layout=layout, rate=RATE)
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            out.mux(stream.encode(piece))
        out.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "subtype"),
    [("a.wav", "PCM_16"), ("a.wav", "FLOAT"), ("a.flac", "PCM_16"), ("a.aiff", "PCM_24")],
)
def test_exact_samples_of_a_span(tmp_path: Path, name: str, subtype: str) -> None:
    samples = tone(2.0) * np.linspace(0, 1, 2 * RATE, dtype=np.float32)
    path = tmp_path / name
    soundfile.write(path, samples, RATE, subtype)
    with audio_file(path) as waveform:
        assert waveform is not None
    got, rate, _ = read_audio(Span(path, 0.5, 1.25))
    assert (rate, str(got.dtype), got.shape) == (RATE, "float32", (12_000,))
    np.testing.assert_allclose(got, samples[8_000:20_000], atol=2**-15)
    whole, *_ = read_audio(Span(path))
    np.testing.assert_allclose(whole, samples, atol=2**-15)
    np.testing.assert_array_equal(read_audio(Span(path, 1.0))[0], whole[RATE:])


def test_channels_are_averaged(tmp_path: Path) -> None:
    left, right = tone(0.2), np.full(3_200, 0.25, np.float32)
    path = tmp_path / "a.wav"
    soundfile.write(path, np.stack([left, right], axis=1), RATE, "FLOAT")
    np.testing.assert_allclose(read_audio(Span(path))[0], (left + right) / 2, atol=1e-7)


@pytest.mark.parametrize("codec", ["pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_f32le", "pcm_f64le"])
def test_every_kind_of_sample_by_ffmpeg(tmp_path: Path, codec: str) -> None:
    stereo = np.stack([tone(0.5), np.full(8_000, -0.5, np.float32)])
    path = encode(tmp_path / "a.mkv", stereo, codec, "stereo")
    with audio_file(path) as waveform:
        assert waveform is None
    got, rate, _ = read_audio(Span(path, 0.1, 0.4))
    assert rate == RATE
    tolerance = 2**-7 if codec == "pcm_u8" else 2**-15
    np.testing.assert_allclose(got, stereo.mean(axis=0)[1_600:6_400], atol=tolerance)


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "aac"),
        ("a.mkv", "aac"),
        ("a.avi", "libmp3lame"),
        ("a.mp3", "libmp3lame"),
        ("a.m4a", "alac"),
        ("a.webm", "libopus"),
        ("a.flv", "aac"),
        ("a.ts", "aac"),
        ("a.aac", "aac"),
    ],
)
def test_audio_is_where_it_was(tmp_path: Path, name: str, codec: str) -> None:
    path = encode(tmp_path / name, clicks()[None], codec)
    whole, rate, _ = read_audio(Span(path))
    assert rate == (48_000 if codec == "libopus" else RATE)
    # Where the writer does not say how long the encoder's run-up is, it is heard.
    late = 0.08 if name in ("a.avi", "a.ts", "a.aac", "a.flv", "a.mkv") else 0.003
    for second in CLICKS_SECONDS:
        part, *_ = read_audio(Span(path, second - 0.2, second + 0.3))
        assert len(part) == rate // 2
        if codec != "libopus":  # WebM rounds the time stamp that a seek lands on to 1 ms
            first = round((second - 0.2) * rate)
            np.testing.assert_allclose(part, whole[first : first + len(part)], atol=2e-3)
        heard = np.flatnonzero(np.abs(part) > 0.3) / rate
        assert 0.197 <= heard[0] <= 0.2 + late
        assert 0.012 < heard[-1] - heard[0] < 0.040


def test_the_audio_of_a_video(tmp_path: Path) -> None:
    path = numbered_video(tmp_path / "a.mp4", 40, rate=Fraction(10), waveform=clicks()[: 4 * RATE])
    got, *_ = read_audio(Span(path, 2.0, 2.5))
    assert np.flatnonzero(np.abs(got) > 0.3)[0] / RATE == pytest.approx(0.25, abs=0.003)


def test_ten_milliseconds(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(0.01), RATE)
    assert len(read_audio(Span(path))[0]) == 160


@pytest.mark.parametrize("name", ["a.wav", "a.m4a"])
@pytest.mark.parametrize(
    ("start", "end", "says"),
    [
        (4.0, 6.0, "the file ends at 2.00 s, before the clip's 4.00-6.00 s"),
        (1.0, 2.2, "the file ends at 2.00 s, before the clip's 1.00-2.20 s"),
        (4.0, None, "the file ends at 2.00 s, before the clip's 4.00 s"),
        (1.0, 1.0, "no clip lies between 1.0 and 1.0 s"),
        (1.0, 0.5, "no clip lies between"),
        (-1.0, 0.5, "no clip lies between"),
        (0.0, float("nan"), "no clip lies between"),
        (0.0, float("inf"), "no clip lies between"),
        (1e200, None, "no clip lies between"),
        (9e7, None, "the file ends at 2.00 s"),
    ],
)
def test_a_span_outside_of_the_file(
    tmp_path: Path, name: str, start: float, end: float | None, says: str
) -> None:
    path = tmp_path / name
    if name == "a.wav":
        soundfile.write(path, tone(2.0), RATE)
    else:
        encode(path, tone(2.0)[None], "alac")
    with pytest.raises(MediaError) as caught:
        read_audio(Span(path, start, end))
    assert str(caught.value).startswith(f"{path}: {says}")


def test_a_span_may_end_a_little_late(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(2.0), RATE)
    assert len(read_audio(Span(path, 1.0, 2.04))[0]) == RATE


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers(tmp_path: Path, bad: float) -> None:
    samples = tone(1.0)
    samples[8_000] = bad
    path = tmp_path / "a.wav"
    soundfile.write(path, samples, RATE, "FLOAT")
    with pytest.raises(MediaError, match="not finite"):
        read_audio(Span(path))
    assert len(read_audio(Span(path, 0.0, 0.4))[0]) == 6_400  # the rest is good


def test_no_samples(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.empty(0, np.float32), RATE)
    with pytest.raises(MediaError, match="holds no samples"):
        read_audio(Span(path))


def _cut_wave(path: Path) -> None:
    soundfile.write(path, tone(2.0), RATE)
    path.write_bytes(path.read_bytes()[:20_000])


def _cut_flac(path: Path) -> None:
    soundfile.write(path, tone(2.0), RATE, format="FLAC")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def _boasting_flac(path: Path) -> None:
    """Two seconds whose header promises 49 days."""
    soundfile.write(path, tone(2.0), RATE, format="FLAC")
    data = bytearray(path.read_bytes())
    data[21] |= 0x0F  # the upper 4 of the 36 bits that count samples
    data[22:26] = b"\xff" * 4
    path.write_bytes(data)


def _cut_avi(path: Path) -> None:
    film = path.with_suffix(".avi")
    numbered_video(film, 100, rate=Fraction(25), waveform=tone(4.0))
    data = film.read_bytes()
    path.write_bytes(data[: len(data) // 2])


@pytest.mark.parametrize("make", [_cut_wave, _cut_flac, _boasting_flac, _cut_avi])
def test_a_file_that_is_cut_short(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = tmp_path / "a.wav"
    make(path)
    with pytest.raises(MediaError, match=r"cut short|damaged audio|more than 1.0 h in one clip"):
        read_audio(Span(path))
    assert len(read_audio(Span(path, 0.0, 0.4))[0]) == round(0.4 * RATE)


def test_a_wave_from_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(2.0), RATE)
    data = bytearray(path.read_bytes())
    data[4:8] = data[40:44] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    assert len(read_audio(Span(path))[0]) == 2 * RATE


def test_damage_counts_only_inside_the_span(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.m4a", tone(8.0)[None], "alac")
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = container.demux(audio=0)
        packet = next(p for p in packets if p.pts is not None and p.pts * p.time_base > 4)
        assert packet.pos is not None
        data[packet.pos : packet.pos + packet.size] = b"\x3f" * packet.size
    path.write_bytes(data)
    for span in (Span(path, 0.5, 3.5), Span(path, 5.0, 7.5)):
        assert len(read_audio(span)[0]) > 2 * RATE
    for span in (Span(path), Span(path, 3.5, 5.0)):
        with pytest.raises(MediaError, match=r"damaged audio at 4\.\d\d s"):
            read_audio(span)


@pytest.mark.parametrize("name", ["a.wav", "a.m4a"])
def test_the_longest_span(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr("emohop.media.audio.MAX_SECONDS", 1)
    path = tmp_path / name
    if name == "a.wav":
        soundfile.write(path, tone(2.0), RATE)
    else:
        encode(path, tone(2.0)[None], "alac")
    with pytest.raises(MediaError, match="in one clip"):
        read_audio(Span(path))
    assert len(read_audio(Span(path, 0.5, 1.5))[0]) == RATE


def test_a_gap_in_the_time_stamps_is_silence(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("pcm_s16le", rate=RATE, layout="mono")
        for at in (0, 3 * RATE):
            frame: Any = av.AudioFrame.from_ndarray(
                np.full((1, RATE), 8192, np.int16), format="s16", layout="mono"
            )
            frame.sample_rate, frame.pts, frame.time_base = RATE, at, Fraction(1, RATE)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    got, *_ = read_audio(Span(path))
    expected = np.repeat(np.array([0.25, 0, 0, 0.25], np.float32), RATE)
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(read_audio(Span(path, 2.5, 3.5))[0], expected[40_000:56_000])


def test_a_header_of_many_channels(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros((10, 1024), np.float32), RATE)
    assert read_audio(Span(path))[0].shape == (10,)
    data = bytearray(path.read_bytes())
    data[22:24] = struct.pack("<H", 65_535)
    path.write_bytes(data)
    with pytest.raises(MediaError):
        read_audio(Span(path))
