from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile

from emohop.clips import Span
from emohop.errors import MediaError
from emohop.media import frames_at, probe, read_audio
from tests.media.making import numbered_video, tone


def test_probe_of_a_video(tmp_path: Path) -> None:
    path = numbered_video(tmp_path / "a.mp4", 30, rate=Fraction(15000, 1001), waveform=tone(3.0))
    media = probe(path)
    assert media.has_audio
    assert (media.sample_rate, media.width, media.height) == (16_000, 192, 48)
    assert media.frames_per_second == pytest.approx(15000 / 1001)
    assert media.video_end == pytest.approx(2.002, abs=1e-3)
    assert media.duration == pytest.approx(3.0, abs=0.1)


def test_probe_measures_where_the_header_is_silent(tmp_path: Path) -> None:
    path = numbered_video(tmp_path / "a.mkv", 50, rate=Fraction(25), waveform=tone(4.0))
    media = probe(path)
    assert media.video_end == pytest.approx(2.0, abs=0.01)
    assert media.duration == pytest.approx(4.0, abs=0.1)


def test_probe_of_a_audio(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, tone(1.5), 16_000)
    media = probe(path)
    assert (media.duration, media.has_audio, media.sample_rate) == (1.5, True, 16_000)
    assert media.width is media.height is media.frames_per_second is media.video_end is None


def _missing(path: Path) -> None:
    pass


def _folder(path: Path) -> None:
    path.mkdir()


def _empty(path: Path) -> None:
    path.touch()


def _text(path: Path) -> None:
    path.write_text("[6.2901 - 8.2357]\tSes01F_impro01_F000\tneu\n" * 50)


def _image(path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (64, 64)).save(path, format="png")


def _photograph(path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (64, 64)).save(path, format="jpeg")


def _playlist(path: Path) -> None:
    numbered_video(path.with_name("secret.ts"), 3, codec="mpeg2video", rate=Fraction(25))
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nsecret.ts\n#EXT-X-ENDLIST\n")


def _script(path: Path) -> None:
    numbered_video(path.with_name("secret.avi"), 3)
    path.write_text("ffconcat version 1.0\nfile secret.avi\nduration 5\n")


def _zeros(path: Path) -> None:
    path.write_bytes(bytes(5000))


READERS: list[Callable[[Path], object]] = [
    probe,
    lambda path: read_audio(Span(path)),
    lambda path: list(frames_at(path, [0.0])),
]


@pytest.mark.parametrize("reader", READERS, ids=["probe", "read_audio", "frames_at"])
@pytest.mark.parametrize("name", ["a.avi", "a.wav", "a.mp3", "a.raw"])
@pytest.mark.parametrize(
    ("make", "says"),
    [
        (_missing, "no such file"),
        (_folder, "not a file"),
        (_empty, "the file is empty"),
        (_text, ""),
        (_image, ""),
        (_photograph, ""),
        (_playlist, ""),
        (_script, ""),
        (_zeros, ""),
    ],
)
def test_what_is_no_medium(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    reader: Callable[[Path], object],
    name: str,
    make: Callable[[Path], None],
    says: str,
) -> None:
    path = tmp_path / name
    make(path)
    with pytest.raises(MediaError) as caught:
        reader(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert says in message
    assert "\n" not in message
    assert capfd.readouterr() == ("", "")


def test_the_missing_stream_is_named(tmp_path: Path) -> None:
    film = numbered_video(tmp_path / "mute.avi", 3)
    with pytest.raises(MediaError, match=r"mute\.avi: holds no audio"):
        read_audio(Span(film))
    waveform = tmp_path / "a.wav"
    soundfile.write(waveform, tone(0.5), 16_000)
    with pytest.raises(MediaError, match=r"a\.wav: holds no video"):
        next(frames_at(waveform, [0.0]))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(MediaError, match="not a file"):
        probe(tmp_path / "pipe.wav")


@pytest.mark.parametrize(
    "name", ["concat:a.avi", "a%03d.avi", "http:x.avi", "gr\u00fc\u00dfe \U0001f600.avi"]
)
def test_names_are_only_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    numbered_video(tmp_path / "plain.avi", 5).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert probe(Path(name)).width == 192
    assert len(list(frames_at(Path(name), [0.0, 0.1]))) == 2


def test_a_cut_wave_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(2.0), 16_000)
    assert not probe(path).truncated
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert probe(path).truncated
    assert probe(path).duration == pytest.approx(1.0, abs=0.01)
    size = data.index(b"data") + 4
    piped = data[:size] + b"\xff\xff\xff\xff" + data[size + 4 : len(data) // 2]
    path.write_bytes(piped)  # written to a pipe: nobody knew how long it would be
    assert not probe(path).truncated
    path.write_bytes(data[:4] + b"\x00\xff\xff\x00" + data[8:])  # the chunk inside is whole
    assert not probe(path).truncated
    assert probe(path).duration == 2.0


@pytest.mark.parametrize("container", ["avi", "mkv", "mp4"])
def test_titles_in_another_code_than_utf_8(tmp_path: Path, container: str) -> None:
    """PyAV 18 raises UnicodeDecodeError for them unless it is told not to."""
    path = tmp_path / f"a.{container}"
    titled = numbered_video(path, 5, title="A title", waveform=tone(0.2)).read_bytes()
    assert b"A title" in titled
    path.write_bytes(titled.replace(b"A title", "Verhöre".encode("latin-1")))
    assert probe(path).has_audio
    assert len(list(frames_at(path, [0.0, 0.1]))) == 2
    assert read_audio(Span(path, 0.0, 0.1))[0].size


def test_an_unbelievable_sample_rate(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(0.1), 16_000)
    data = bytearray(path.read_bytes())
    data[24:28] = struct.pack("<I", 2_000_000_000)
    path.write_bytes(data)
    with pytest.raises(MediaError, match="sample rate of 2000000000 Hz"):
        probe(path)
    with pytest.raises(MediaError, match="sample rate of 2000000000 Hz"):
        read_audio(Span(path))


def test_importing_loads_no_decoder() -> None:
    code = "import sys, emohop.media; print({'av', 'soundfile', 'PIL'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("rate", [999, 768_001])
def test_files_arrays_and_streams_have_one_limit_of_sample_rates(rate: int, tmp_path: Path) -> None:
    from emohop.prediction.inputs import source_of_arrays
    from emohop.serving.schemas import Begin

    message = f"a sample rate of {rate} Hz; from 1000 to 768000 is accepted"
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros(10), rate)
    with pytest.raises(MediaError, match=message):
        probe(path)
    with pytest.raises(MediaError, match=message):
        source_of_arrays(np.zeros(10), rate, 3.0)
    with pytest.raises(ValueError, match="sample_rate"):
        Begin(sample_rate=rate, format="s16le")
    inside = min(max(rate, 1000), 768_000)
    assert source_of_arrays(np.zeros(10), inside, 3.0).decoded
    assert Begin(sample_rate=inside, format="s16le").sample_rate == inside
