"""Long recordings: where they are cut, and what becomes of their parts."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from emohop.clips import Span
from emohop.errors import EmohopError, MediaError
from emohop.prediction import Prediction, Predictor
from emohop.prediction.inputs import Source
from emohop.prediction.segmentation import Cutting, clips_of
from tests.media.making import tone, write_video
from tests.voices import recording as talk
from tests.voices import silence, voice


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recording") / "talk.wav"
    soundfile.write(path, talk(), 16_000)
    return path


def segments_of(path: Path, segments: str) -> Iterator[Source]:
    return clips_of(path, Cutting(segments))


def spans(sources: list[Source]) -> list[tuple[float, float]]:
    return [(source.clip.start, source.clip.end or 0.0) for source in sources]


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_where_somebody_speaks(recording: Path) -> None:
    found = list(segments_of(recording, "speech"))
    np.testing.assert_allclose(spans(found), [(0.9, 4.4), (7.3, 8.9)], atol=0.25)
    assert found[0].clip.audio is not None
    assert found[0].clip.audio.end == pytest.approx(found[0].clip.end, abs=1e-3)
    assert found[0].clip.video is None


@pytest.mark.parametrize(
    ("seconds", "edges"),
    [("4", [0, 4, 8.9]), ("2.5", [0, 2.5, 5, 7.5, 8.9]), ("100", [0, 8.9]), ("8.8", [0, 8.9])],
)
def test_evenly(seconds: str, edges: list[float], recording: Path) -> None:
    assert spans(list(segments_of(recording, seconds))) == list(pairwise(edges))


def test_the_audio_goes_on_after_the_frame(tmp_path: Path) -> None:
    """A segment's frame ends with the frame, and a segment after its end has none."""
    frames = [np.zeros((32, 32, 3), np.uint8)] * 10
    film = write_video(tmp_path / "a.mkv", frames, Fraction(5), waveform=tone(6.0))
    first, second, third = segments_of(film, write_cues(tmp_path))
    assert [one.clip.audio and one.clip.audio.end for one in (first, second, third)] == [1, 3, 5]
    assert first.clip.video is not None
    assert first.clip.video.end == 1
    assert second.clip.video is not None
    assert second.clip.video.end == pytest.approx(2, abs=0.21)  # of its ten frames at 5 a second
    assert third.clip.video is None


def write_cues(folder: Path) -> str:
    return write(folder / "cues.csv", "start,end\n0,1\n1,3\n3,5\n")


def test_a_table(recording: Path, tmp_path: Path) -> None:
    table = write(tmp_path / "s.csv", "speaker,start,end,text\nann,5,9,What?\n,0.5,2,\n")
    first, second = segments_of(recording, table)
    assert spans([first, second]) == [(0.5, 2.0), (5.0, 8.9)]
    assert (first.clip.speaker, second.clip.speaker) == (None, "ann")
    assert (first.clip.transcript, second.clip.transcript) == ("", "What?")
    assert second.transcript is not None
    assert second.transcript.origin == "s.csv"


def test_rttm_and_subtitles(recording: Path, tmp_path: Path) -> None:
    rttm = write(tmp_path / "s.rttm", ";; x\nSPEAKER talk 1 0.5 1.5 <NA> <NA> ann <NA> <NA>\n")
    (one,) = segments_of(recording, rttm)
    assert (one.clip.start, one.clip.end, one.clip.speaker) == (0.5, 2.0, "ann")
    assert one.transcript is None
    vtt = write(tmp_path / "s.vtt", "WEBVTT\n\n00:01.000 --> 00:03.000\n<v Bo>Hey you\n")
    (one,) = segments_of(recording, vtt)
    assert (one.clip.speaker, one.clip.transcript) == ("Bo", "Hey you")


def test_what_is_said_comes_from_subtitles_beside(recording: Path, tmp_path: Path) -> None:
    path = tmp_path / "talk.wav"
    path.write_bytes(recording.read_bytes())
    write(
        tmp_path / "talk.srt",
        "00:00:01,000 --> 00:00:03,000\nOh no\n\n00:00:07,500 --> 00:00:08,500\nbye\n",
    )
    one, other = segments_of(path, "speech")
    assert (one.clip.transcript, other.clip.transcript) == ("Oh no", "bye")
    assert one.transcript is not None
    assert one.transcript.words[0].start == pytest.approx(1.0 - one.clip.start, abs=1e-3)
    write(tmp_path / "talk.srt", "00:00:01,000 --> 00:00:03,000\nOh no\n")
    _, other = segments_of(path, "speech")
    assert other.clip.transcript == ""


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("s.csv", "start,stop\n1,2\n", "has no column end: start and end in seconds"),
        ("s.csv", "start,end\n3,3\n", "line 2: '3' and '3' are not a start and an end"),
        ("s.csv", "start,end\nx,2\n", "line 2: 'x' and '2'"),
        ("s.csv", "start,end\n-1,2\n", "line 2"),
        ("s.csv", "start,end\n", "there are no segments in it"),
        ("s.csv", "start,end\n9,10\n", "begins at 9 s, the end of the audio of .* is at 8.90 s"),
        ("s.rttm", "SPEAKER talk 1 0.5\n", "line 1: 4 fields, 8 at least"),
        ("s.rttm", "SPEAKER a 1 0.5 0 <NA> <NA> x\n", "not a start and a length"),
        ("s.json", "{}", "speech, none, a number of seconds, or a file"),
    ],
)
def test_segments_that_cannot_be(
    name: str, text: str, said: str, recording: Path, tmp_path: Path
) -> None:
    with pytest.raises(EmohopError, match=said):
        list(segments_of(recording, write(tmp_path / name, text)))


@pytest.mark.parametrize("seconds", ["0", "-1", "4000", "nan"])
def test_seconds_that_cannot_be(seconds: str, recording: Path) -> None:
    with pytest.raises(EmohopError, match=r"0.1 to 3600 seconds are accepted"):
        list(segments_of(recording, seconds))


def test_nobody_speaks_and_nothing_is_heard(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", silence(3), 16_000)
    with pytest.raises(
        MediaError, match="nobody speaks in it: set segments to a number of seconds"
    ):
        list(segments_of(tmp_path / "a.wav", "speech"))
    frames = [np.full((64, 64, 3), k, np.uint8) for k in range(20)]
    write_video(tmp_path / "b.mp4", frames, Fraction(10))
    with pytest.raises(EmohopError, match=r"b\.mp4 has no audio"):
        list(segments_of(tmp_path / "b.mp4", "speech"))
    assert len(list(segments_of(tmp_path / "b.mp4", "1"))) == 2


def test_only_a_long_file_is_cut_by_itself(recording: Path, tmp_path: Path) -> None:
    (whole,) = clips_of(recording, Cutting(longest=10), "Oh no")
    assert whole.clip.transcript == "Oh no"
    path = tmp_path / "long.wav"
    soundfile.write(path, np.concatenate([voice(2), silence(60), voice(2)]), 16_000)
    assert len(list(clips_of(path, Cutting(longest=10)))) == 2
    assert len(list(clips_of(path, Cutting("none", longest=10)))) == 1
    assert len(list(clips_of(path, Cutting()))) == 1  # a model of words alone reads all of it
    with pytest.raises(EmohopError, match="a text is one clip's"):
        list(clips_of(path, Cutting(longest=10), "Oh no"))
    with pytest.raises(EmohopError, match="a text is one clip's"):
        list(clips_of(recording, Cutting("2"), "Oh no"))


def test_its_parts_are_predicted_as_clips_of_their_own(
    recording: Path, predictor: Predictor, tmp_path: Path
) -> None:
    answers = list(predictor.predict(segments_of(recording, "speech")))
    samples, _ = soundfile.read(recording, dtype="float32")
    for number, (source, found) in enumerate(answers):
        assert isinstance(found, Prediction)
        first, last = (round(t * 16_000) for t in (source.clip.start, source.clip.end or 0))
        soundfile.write(tmp_path / f"{number}.wav", samples[first:last], 16_000, subtype="FLOAT")
        alone = predictor(tmp_path / f"{number}.wav")
        for label, p in alone.probabilities.items():
            assert found.probabilities[label] == pytest.approx(p, abs=1e-3)
        assert found.attention[1].starts[0] == 0  # seconds from the start of the clip


@pytest.mark.parametrize("suffix", ["wav", "mp3"])
def test_memory_does_not_grow_with_the_recording(suffix: str, tmp_path: Path) -> None:
    peaks = []
    for minutes in (4, 16):
        path = tmp_path / f"{minutes}.{suffix}"
        with soundfile.SoundFile(path, "w", 16_000, 1) as file:
            for _ in range(minutes):
                file.write(np.concatenate([voice(5), silence(55)]))
        tracemalloc.start()
        assert sum(1 for _ in segments_of(path, "speech")) == minutes
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.25 * peaks[0]


def test_a_block_that_cannot_be_read_keeps_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from emohop.media import read_audio_spans
    from emohop.prediction import segmentation

    def faulty(spans: list[Span], **options: Any) -> Iterator[tuple[int, Any]]:
        for i, audio in read_audio_spans(spans, **options):
            yield i, MediaError("unreadable") if spans[i].start == 60 else audio

    path = tmp_path / "long.wav"
    soundfile.write(path, np.concatenate([voice(2), silence(138), voice(2)]), 16_000)
    monkeypatch.setattr(segmentation, "read_audio_spans", faulty)
    first, last = spans(list(segments_of(path, "speech")))
    assert first[0] == 0.0
    assert last[0] == pytest.approx(139.9, abs=0.2)
