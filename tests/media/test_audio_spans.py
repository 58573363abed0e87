"""The waveforms of many spans of one file are those of each alone, whatever the container."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from emohop.clips import Span
from emohop.errors import MediaError
from emohop.media import blocks, container, read_audio, read_audio_spans
from emohop.media.audio import Audio
from tests.media.test_audio import RATE, clicks, encode

# out of order, overlapping, the same twice, past the end, impossible, without an end
TIMES: tuple[tuple[float, float | None], ...] = (
    (7.0, 8.5),
    (0.0, 1.0),
    (2.0, 6.0),
    (2.2, 2.5),
    (0.5, 9.9),
    (2.2, 2.5),
    (9.0, 12.0),
    (5.0, 5.0),
    (8.0, None),
    (20.0, 21.0),
)


def write(folder: Path, name: str, codec: str | None) -> Path:
    path = folder / name
    if codec is None:
        soundfile.write(path, clicks(), RATE)
    else:
        encode(path, clicks()[None], codec)
    return path


def alone(span: Span) -> Audio | MediaError:
    try:
        return read_audio(span)
    except MediaError as error:
        return error


def assert_same(one: Audio | MediaError, other: Audio | MediaError) -> None:
    if isinstance(one, MediaError) or isinstance(other, MediaError):
        assert str(one) == str(other)
    else:
        assert one[1] == other[1]
        assert np.array_equal(one[0], other[0])


FILES = [
    ("a.wav", None),
    ("a.flac", None),
    ("a.mp3", "libmp3lame"),
    ("a.aac", "aac"),
    ("a.ts", "aac"),
    ("a.mp4", "aac"),
    ("a.mkv", "aac"),
]


@pytest.mark.parametrize(("name", "codec"), FILES)
def test_each_is_as_alone(tmp_path: Path, name: str, codec: str | None) -> None:
    spans = [Span(write(tmp_path, name, codec), *times) for times in TIMES]
    found = dict(read_audio_spans(spans))
    assert sorted(found) == list(range(len(spans)))
    for i, span in enumerate(spans):
        assert_same(found[i], alone(span))
    assert sum(isinstance(one, MediaError) for one in found.values()) == 3


@pytest.mark.parametrize(("name", "passes"), [("a.mp3", 1), ("a.ts", 1), ("a.mp4", 8)])
def test_what_cannot_seek_is_decoded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, passes: int
) -> None:
    path = write(tmp_path, name, dict(FILES)[name])
    calls: Counter[str] = Counter()
    true = container.decoded

    def decoded(*words: Any) -> Any:
        calls["decoded"] += 1
        return true(*words)

    monkeypatch.setattr(blocks, "decoded", decoded)
    dict(read_audio_spans([Span(path, k, k + 1.0) for k in range(8)]))
    assert calls["decoded"] >= passes
    assert (calls["decoded"] == 1) == (passes == 1)


def test_damage_is_one_spans_own(tmp_path: Path) -> None:
    path = write(tmp_path, "a.mp3", "libmp3lame")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 2000] = bytes(2000)
    path.write_bytes(data)
    spans = [Span(path, k, k + 1.0) for k in range(9)]
    found = dict(read_audio_spans(spans))
    for i, span in enumerate(spans):
        assert_same(found[i], alone(span))


def test_files_as_a_whole(tmp_path: Path) -> None:
    assert list(read_audio_spans([])) == []
    with pytest.raises(ValueError, match="one file at a time"):
        list(read_audio_spans([Span(tmp_path / "a.wav"), Span(tmp_path / "b.wav")]))
    (tmp_path / "a.mp3").write_bytes(b"no audio at all")
    two = [Span(tmp_path / "a.mp3", 0, 1), Span(tmp_path / "a.mp3", 1, 2)]
    with pytest.raises(MediaError, match="not a readable audio or video file"):
        list(read_audio_spans(two))
    ((_, error),) = read_audio_spans(two[:1])
    assert isinstance(error, MediaError)
