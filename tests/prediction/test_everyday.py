"""Recordings, captions, channels, names and consoles as people have them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from emohop.cli import app
from emohop.clips import Modality
from emohop.errors import EmohopError, MediaError
from emohop.features.audio import SAMPLE_RATE_HZ
from emohop.features.transcription import Heard
from emohop.prediction import Prediction, Predictor
from emohop.prediction.segmentation import CLIP_SECONDS, Cutting, clips_of
from emohop.prediction.transcripts import transcript_beside
from tests.media.kinds import KINDS, joined, mp3, surround, write
from tests.media.making import numbered_video
from tests.voices import silence, voice

RAVDESS = Path(__file__).parents[3] / "shared/corpora/ravdess"
COMMAND = [sys.executable, "-m", "emohop", "predict"]


class Listener:
    """A recogniser that hears one word a second."""

    name = "listener"

    def __init__(self, *words: str) -> None:
        self.words = words

    def __call__(self, waveform: np.ndarray) -> list[Heard]:
        seconds = int(len(waveform) / SAMPLE_RATE_HZ)
        return [Heard(w, k, k + 0.5) for k, w in enumerate(self.words[:seconds])]


def predicted(predictor: Predictor, path: Path, **options: Any) -> list[Prediction]:
    found = [one for _, one in predictor.predict([path], **options)]
    assert all(isinstance(one, Prediction) for one in found), found
    return [one for one in found if isinstance(one, Prediction)]


@dataclass
class Done:
    """How a command ended."""

    returncode: int
    stdout: bytes
    stderr: bytes


def run(*words: object, stdin: bytes | None = None) -> Done:
    done = CliRunner().invoke(app, ["predict", *map(str, words)], input=stdin)
    return Done(done.exit_code, done.stdout.encode(), done.stderr.encode())


def run_program(*words: object, **environment: str) -> Done:
    """The same in a process of its own, whose names and console are as they are set."""
    done = subprocess.run(
        [*COMMAND, *(w if isinstance(w, bytes) else str(w) for w in words)],
        capture_output=True, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )  # fmt: skip
    return Done(done.returncode, done.stdout, done.stderr)


def lines(done: Done) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """23 s: speech without a pause for 9 s, a pause of 2 s, and again 12 s of it."""
    path = tmp_path_factory.mktemp("talk") / "talk.wav"
    soundfile.write(path, np.concatenate([voice(9), silence(2), voice(12)]), 16_000)
    return path


def test_every_kind_of_file_has_an_answer_or_a_line(predictor: Predictor, tmp_path: Path) -> None:
    for kind in KINDS:
        kind.make(tmp_path / kind.name)
        answers = list(predictor.predict([tmp_path / kind.name], "Oh no!"))
        for _, found in answers:
            assert isinstance(found, MediaError) == bool(kind.error), (kind.name, found)
            if isinstance(found, Prediction):
                assert ("audio" in found.used) == (kind.sound is not None), (kind.name, found.notes)
                assert ("video" in found.used) == (kind.frame is not None), (kind.name, found.notes)


def test_segments_are_what_the_model_reads(predictor: Predictor, talk: Path) -> None:
    longest = predictor.longest_seconds
    assert longest == pytest.approx(7.515)
    for segments in (None, "speech"):
        found = predicted(predictor, talk, segments=segments)
        assert len(found) >= 4
        assert all((one.end or 0) - one.start <= longest + 1e-3 for one in found)
        assert not any("cut off" in note for one in found for note in one.notes)
        assert found[-1].end == pytest.approx(23, abs=0.2)


def test_what_is_named_is_one_row_and_read_in_parts(
    predictor: Predictor, talk: Path, tmp_path: Path
) -> None:
    (tmp_path / "s.srt").write_text(
        "1\n00:00:00,000 --> 00:00:09,000\none two three four\n\n"
        "2\n00:00:11,500 --> 00:00:13,000\nbye\n"
    )
    long, short = predicted(predictor, talk, segments=tmp_path / "s.srt")
    assert (long.start, long.end, long.transcript) == (0.0, 9.0, "one two three four")
    assert next(part.start for part in long.segments) == 0.0
    assert long.segments[-1].end == 9.0
    assert " ".join(part.transcript or "" for part in long.segments) == "one two three four"
    assert (short.segments, short.transcript) == ((), "bye")
    weights = [(part.end or 0) - part.start for part in long.segments]
    for label, p in long.probabilities.items():
        mean = np.average([part.probabilities[label] for part in long.segments], weights=weights)
        assert p == pytest.approx(mean, abs=1e-5)


def test_the_call_is_the_mean_of_the_clips(predictor: Predictor, talk: Path) -> None:
    whole = predictor(talk)
    assert len(whole.segments) >= 4
    assert whole.segments == tuple(predicted(predictor, talk))
    assert any(note.startswith("longer than the model reads") for note in whole.notes)
    assert sum(whole.probabilities.values()) == pytest.approx(1, abs=1e-5)
    once = predictor(talk, segments="none")
    assert once.segments == ()
    assert any("cut off" in note for note in once.notes)


def test_a_clip_is_one_clip(predictor: Predictor, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", voice(CLIP_SECONDS - 1), 16_000)
    (found,) = predicted(predictor, tmp_path / "a.wav")
    assert len(found.segments) == 2


def test_nobody_speaks_for_long(predictor: Predictor, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", silence(40), 16_000)
    found = predicted(predictor, tmp_path / "a.wav")
    assert len(found) == 6
    assert all("no speech was found" in " ".join(one.notes) for one in found)


@pytest.mark.parametrize(
    ("name", "text", "bad"),
    [
        (
            "zero.srt",
            "1\n00:00:00,5 --> 00:00:02,0\na\n\n2\n00:00:03,0 --> 00:00:03,0\nb\n",
            "line 6",
        ),
        (
            "tiny.rttm",
            "SPEAKER x 1 0.5 1.5 <NA> <NA> a\nSPEAKER x 1 3 0.017 <NA> <NA> b\n",
            "line 2",
        ),
        ("beyond.csv", "start,end\n0.5,2\n30,32\n", "line 3"),
        ("wrong.csv", "start,end\n0.5,2\nx,32\n", "line 3"),
        ("short.rttm", "SPEAKER x 1 0.5 1.5 <NA> <NA> a\nSPEAKER x 1 3\n", "line 2"),
    ],
)
def test_a_bad_segment_is_left_out(
    name: str, text: str, bad: str, model: Path, talk: Path, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    done = run(model, talk, "--segments", tmp_path / name, "--json")
    assert done.returncode == 3
    (one,) = lines(done)
    assert (one["start"], one["end"]) == (0.5, 2.0)
    error, count = done.stderr.decode().splitlines()
    assert error.startswith("error: ")
    assert bad in error
    assert error.endswith("left out")
    assert count == "clips that were left out: 1"


def test_a_segment_beyond_the_audio_of_a_longer_video(predictor: Predictor, tmp_path: Path) -> None:
    path = numbered_video(tmp_path / "a.mkv", 100, rate=Fraction(10), waveform=voice(6))
    (tmp_path / "s.csv").write_text("start,end\n1,3\n7,9\n")
    (_, good), (_, bad) = predictor.predict([path], segments=tmp_path / "s.csv")
    assert isinstance(good, Prediction)
    assert isinstance(bad, MediaError)
    assert "the end of the audio" in str(bad)


def test_one_clock_for_attention_and_segments(predictor: Predictor, tmp_path: Path) -> None:
    path = tmp_path / "late.mkv"
    write(path, "flac", "libx264", video_at=1.5)
    found = predictor(path, "No way!")
    video = next(hop for hop in found.attention if hop.target is Modality.VIDEO)
    assert video.starts[0] == pytest.approx(1.5, abs=0.05)
    audio = next(hop for hop in found.attention if hop.target is Modality.AUDIO)
    assert audio.starts[0] == 0


def test_channels(model: Path, predictor: Predictor, tmp_path: Path) -> None:
    two = np.stack([voice(2), silence(2)], axis=1)
    soundfile.write(tmp_path / "call.wav", two, 16_000)
    soundfile.write(tmp_path / "left.wav", two[:, 0], 16_000)
    left, right = predicted(predictor, tmp_path / "call.wav", channel="each")
    assert (left.speaker, right.speaker) == ("channel 1", "channel 2")
    assert left.probabilities == predictor(tmp_path / "left.wav").probabilities
    assert (
        "silence" in " ".join(predictor(tmp_path / "call.wav", channel=1).notes)
        or right.notes == ()
    )
    (only,) = lines(run(model, tmp_path / "call.wav", "--channel", "left", "--json"))
    assert only["probabilities"] == left.probabilities
    done = run(model, tmp_path / "left.wav", "--channel", "2")
    assert (done.returncode, b"has one channel: there is no channel 2" in done.stderr) == (1, True)
    assert run(model, tmp_path / "left.wav", "--channel", "middle").returncode == 1
    (tmp_path / "call.rttm").write_text(
        "SPEAKER call 1 0.0 1.5 <NA> <NA> ann\nSPEAKER call 2 0.2 1.5 <NA> <NA> bo\n"
    )
    ann, bo = clips_of(tmp_path / "call.wav", Cutting(str(tmp_path / "call.rttm")))
    assert [s.clip.audio and s.clip.audio.channel for s in (ann, bo)] == [0, 1]
    (tmp_path / "call.rttm").write_text("SPEAKER call 1 0.0 1.5 <NA> <NA> ann\n")
    (mix,) = clips_of(tmp_path / "call.wav", Cutting(str(tmp_path / "call.rttm")))
    assert mix.clip.audio is not None
    assert mix.clip.audio.channel is None  # diarisation of a mix says 1 always


def test_opposite_phases_are_not_silence(predictor: Predictor) -> None:
    speech = voice(2)
    found = predictor(np.stack([speech, -speech], axis=1))
    assert any("cancel each other out" in note for note in found.notes)
    assert found.probabilities == predictor(speech).probabilities


def test_the_centre_is_not_lost(tmp_path: Path) -> None:
    from emohop.clips import Span
    from emohop.media import read_audio

    write(tmp_path / "a.wav", "pcm_s16le", layout="5.1", channels=surround())
    samples = read_audio(Span(tmp_path / "a.wav")).samples
    assert np.abs(samples).max() == pytest.approx(0.5 / (2 + 2**0.5), rel=0.01)  # as ffmpeg -ac 1
    if shutil.which("ffmpeg"):
        done = subprocess.run(
            ["ffmpeg", "-v", "error", "-i", str(tmp_path / "a.wav"), "-ac", "1", "-f", "s16le",
             "-"], capture_output=True, check=True,
        )  # fmt: skip
        theirs = np.frombuffer(done.stdout, np.int16) / 32768
        np.testing.assert_allclose(samples, theirs, atol=1e-4)


def test_audio_tracks(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "two.mkv"
    write(path, "flac", "libx264", tracks=("eng", "deu"))
    first, second, named = (
        lines(run(model, path, "--json", *words))[0]["probabilities"]
        for words in ((), ("--audio-track", "2"), ("--audio-track", "deu"))
    )
    assert first != second == named
    done = run(model, path, "--audio-track", "fra")
    assert b"has no audio track fra: there are 1 (eng), 2 (deu)" in done.stderr


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x: x * 20_000, "where full scale is 1"),
        (lambda x: np.clip(x * 20, -1, 1), "clipped"),
        (lambda x: x * 0, "silence"),
        (lambda x: x, None),
    ],
)
def test_levels_are_noted(
    change: Any, said: str | None, predictor: Predictor, tmp_path: Path
) -> None:
    samples = np.asarray(change(voice(2)), np.float32)
    soundfile.write(tmp_path / "a.wav", samples, 16_000, "FLOAT")
    for found in (predictor(tmp_path / "a.wav"), predictor(samples)):
        assert [(said or "") in note for note in found.notes] == ([True] if said else []), (
            found.notes
        )


CAPTIONS = "1\n00:00:01,000 --> 00:00:02,000\nNa\u00efve words\n"


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        ("clip.srt", "utf-8"),
        ("clip.SRT", "utf-8-sig"),
        ("clip.wav.srt", "cp1252"),
        ("clip.en.srt", "utf-16"),
        ("clip.pt-BR.vtt", "utf-8"),
    ],
)
def test_captions_are_found_and_read(name: str, encoding: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(CAPTIONS, encoding)
    found = transcript_beside(tmp_path / "clip.wav")
    assert found is not None
    assert (found.text, found.origin) == ("Na\u00efve words", name)
    assert transcript_beside(tmp_path / "clip2.wav") is None


def test_times_without_fractions_and_of_many_hours(tmp_path: Path) -> None:
    (tmp_path / "a.srt").write_text("1\n123:00:01 --> 123:00:02\nlate\n")
    found = transcript_beside(tmp_path / "a.wav")
    assert found is not None
    assert (found.words[0].start, found.words[0].end) == (123 * 3600 + 1, 123 * 3600 + 2)


YOUTUBE = """WEBVTT
Kind: captions

00:00:00.000 --> 00:00:03.500 align:start position:0%
\x20
I<00:00:00.400><c> told</c><00:00:00.800><c> you</c>

00:00:03.500 --> 00:00:03.510 align:start position:0%
I told you
\x20

00:00:03.510 --> 00:00:07.000 align:start position:0%
I told you
times<00:00:04.000><c> that</c>

00:00:07.000 --> 00:00:07.010 align:start position:0%
times that
\x20
"""
ROLLED = (
    "1\n00:00:00,0 --> 00:00:02,0\nA\n\n2\n00:00:02,0 --> 00:00:04,0\nA\nB\n\n"
    "3\n00:00:04,0 --> 00:00:06,0\nB\nC\n"
)
TWICE = "1\n00:00:00,0 --> 00:00:02,0\nNo.\n\n2\n00:00:02,0 --> 00:00:04,0\nNo.\n"


@pytest.mark.parametrize(
    ("name", "text", "cues"),
    [
        ("a.vtt", YOUTUBE, [(0.0, "I told you"), (3.51, "times that")]),
        ("a.srt", ROLLED, [(0.0, "A"), (2.0, "B"), (4.0, "C")]),
        ("a.srt", TWICE, [(0.0, "No."), (2.0, "No.")]),  # said twice
    ],
)
def test_rolling_captions_come_once(
    name: str,
    text: str,
    cues: list[tuple[float, str]],
    predictor: Predictor,
    talk: Path,
    tmp_path: Path,
) -> None:
    (tmp_path / name).write_text(text)
    found = predicted(predictor, talk, segments=tmp_path / name)
    assert [(one.start, one.transcript) for one in found] == cues
    if name == "a.vtt":
        assert [(w.text, w.start) for w in found[0].words] == [
            ("I", 0),
            ("told", 0.4),
            ("you", 0.8),
        ]


def test_a_text_without_times_beside_a_recording(
    predictor: Predictor, talk: Path, tmp_path: Path
) -> None:
    path = tmp_path / "talk.wav"
    path.write_bytes(talk.read_bytes())
    (tmp_path / "talk.txt").write_text("One, two three. Four!")
    first, *others = predicted(predictor, path)
    assert "talk.txt was not used" in " ".join(first.notes)
    assert not any("talk.txt" in note for one in others for note in one.notes)
    hear: Any = Listener("one", "two", "three")
    cutting = predictor.cutting("speech", hear)
    sources = list(clips_of(path, cutting))
    said = " ".join(source.clip.transcript or "" for source in sources)
    assert said.split() == ["One,", "two", "three.", "Four!"]
    assert {s.transcript.origin for s in sources if s.transcript is not None} == {"talk.txt"}


def test_rttm_of_several_recordings(talk: Path, tmp_path: Path) -> None:
    path = tmp_path / "s.rttm"
    path.write_text("SPEAKER other 1 1 2 <NA> <NA> a\nSPEAKER talk 1 3 2 <NA> <NA> b\n")
    (one,) = clips_of(talk, Cutting(str(path)))
    assert (one.clip.start, one.clip.speaker) == (3.0, "b")
    path.write_text("SPEAKER other 1 1 2 <NA> <NA> a\nSPEAKER x 1 3 2 <NA> <NA> b\n")
    with pytest.raises(EmohopError, match="of other, x, but not of talk"):
        list(clips_of(talk, Cutting(str(path))))


def test_names_and_consoles(model: Path, tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/caf\xe9.wav"
    soundfile.write(tmp_path / ":smile:.wav", voice(1), 16_000)
    try:
        shutil.copy(os.fsencode(tmp_path / ":smile:.wav"), name)
    except OSError:
        pytest.skip("names are UTF-8 here")
    said = "na\u00efve \u65e5\u672c"
    done = run_program(model, name, tmp_path / ":smile:.wav", PYTHONUTF8="1")
    assert done.returncode == 0, done.stderr
    assert ":smile:.wav" in done.stdout.decode()
    assert "caf\\xe9.wav" in done.stdout.decode()
    done = run_program(model, name, "--text", said, "--json", PYTHONIOENCODING="ascii")
    (found,) = lines(done)
    assert found["source"].endswith("caf\\xe9.wav")
    assert found["transcript"] == said
    done = run_program(model, "--text", said, PYTHONIOENCODING="cp1252")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"###" in done.stdout  # bars of what every code page has


def test_more_than_one_file(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "calls"
    (folder / "deep").mkdir(parents=True)
    for number, name in enumerate(("b.wav", "a.flac", "deep/c.wav")):
        soundfile.write(folder / name, voice(1.0 + 0.1 * number), 16_000)
    (folder / "notes.txt").write_text("no media")

    def names(*words: object, stdin: bytes | None = None) -> list[str]:
        done = run(model, *words, "--json", stdin=stdin)
        assert done.returncode == 0, done.stderr
        return [Path(one["source"]).name for one in lines(done)]

    assert names(folder) == ["a.flac", "b.wav"]
    assert names(folder, "--recursive") == ["a.flac", "b.wav", "c.wav"]
    assert names(folder / "*.wav") == ["b.wav"]
    listed = f"{folder}/b.wav\n{folder}/deep/c.wav\n".encode()
    assert names("-", stdin=listed) == ["b.wav", "c.wav"]
    assert names("-", stdin=(folder / "b.wav").read_bytes()) == ["-"]
    done = run(model, folder / "*.mp3", folder / "deep")
    assert (done.returncode, b"no file fits this pattern" in done.stderr) == (3, True)
    done = run(model, tmp_path)
    assert (done.returncode, b"--recursive looks into its folders" in done.stderr) == (1, True)


def test_addresses_only_where_they_are_allowed(model: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", voice(1), 16_000)
    address = f"file://{tmp_path / 'a.wav'}"
    done = run(model, address)
    assert (done.returncode, b"say --allow-remote" in done.stderr) == (1, True)
    (found,) = lines(run(model, address, "--allow-remote", "--json"))
    assert found["source"] == address
    done = run(model, "gopher://x/a.wav", "--allow-remote")
    assert (done.returncode, b"no address of a kind that fsspec knows" in done.stderr) == (1, True)
    done = run(model, address.replace("a.wav", "b.wav"), "--allow-remote")
    assert (done.returncode, b"cannot be fetched" in done.stderr) == (1, True)


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_rows_are_kept_and_gone_on_with(
    ending: str, model: Path, talk: Path, tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "a.wav", voice(1), 16_000)
    files = [tmp_path / "a.wav", talk]
    whole, part = tmp_path / f"whole.{ending}", tmp_path / f"part.{ending}"
    assert run(model, *files, "--out", whole).returncode == 0
    rows = whole.read_bytes().splitlines(keepends=True)
    assert len(rows) >= 5
    part.write_bytes(b"".join(rows[:-2]) + rows[-2][:20])  # it died while it wrote a row
    done = run(model, *files, "--out", part)
    assert (done.returncode, b"say --resume" in done.stderr) == (1, True)
    assert run(model, *files, "--out", part, "--resume").returncode == 0
    assert part.read_bytes() == whole.read_bytes()
    (tmp_path / f"other.{ending}").write_text("something else\n")
    done = run(model, *files, "--out", tmp_path / f"other.{ending}", "--resume")
    assert (done.returncode, b"not rows of emohop predict" in done.stderr) == (1, True)


def test_notes_are_in_tables_and_rows(model: Path, talk: Path, tmp_path: Path) -> None:
    done = run(model, talk, "--segments", "none", "--csv")
    assert b"the rest was cut off" in done.stdout
    soundfile.write(tmp_path / "a.wav", voice(1), 16_000)
    done = run(model, talk, tmp_path / "a.wav", "--segments", "none")
    assert "[1] audio: the model reads" in done.stdout.decode()


def test_python_takes_all_kinds_of_items(predictor: Predictor, tmp_path: Path) -> None:
    samples = voice(2)
    soundfile.write(tmp_path / "a.wav", samples, 16_000, "FLOAT")
    whole = (samples * 32768).astype(np.int16)
    items: list[Any] = [
        str(tmp_path / "a.wav"),
        tmp_path / "a.wav",
        samples,
        (16_000, samples),
        (16_000, whole),
        {"audio": samples},
        {"audio": (16_000, samples), "text": None},
    ]
    found = [one for _, one in predictor.predict(items)]
    for one in found:
        assert isinstance(one, Prediction)
        for label, p in one.probabilities.items():
            assert p == pytest.approx(found[0].probabilities[label], abs=2e-2)  # type: ignore[union-attr]
    ((_, said),) = predictor.predict([{"text": "Oh no!"}])
    assert isinstance(said, Prediction)
    assert said.used == (Modality.TEXT,)
    ((_, missing),) = predictor.predict([tmp_path / "nowhere.wav"])
    assert isinstance(missing, MediaError)


@pytest.mark.parametrize(
    ("items", "options", "said"),
    [
        ("a.wav", {}, "predict takes several items, and this is one, of type str"),
        ([3], {}, "an item of type int: a file's name or Path, an array"),
        ([None], {}, "an item of type NoneType"),
        ([("16000", np.zeros(9))], {}, r"\(sample_rate, samples\)"),
        ([{"text": 3}], {}, "text of type int"),
        ([{"sound": np.zeros(9)}], {}, "no arrays 'sound'"),
        ([], {"segments": ["speech"]}, "segments of type list"),
        ([], {"segments": "sentences"}, "segments 'sentences': speech, none"),
        ([], {"asr": 3}, "asr of type int"),
        ([np.zeros(16_000)], {"device": "tpu"}, "tpu"),
    ],
)
def test_wrong_types_are_one_clear_error(
    items: Any, options: dict[str, Any], said: str, predictor: Predictor
) -> None:
    with pytest.raises(EmohopError, match=said) as caught:
        list(predictor.predict(items, **options))
    assert "\n" not in str(caught.value)


def test_a_recording_is_decoded_once_for_all_its_clips(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many batches its clips make, a file that cannot be sought is read twice: for where
    somebody speaks, and for the clips."""
    from emohop.media import blocks

    path = tmp_path / "a.mp3"
    with soundfile.SoundFile(path, "w", 16_000, 1) as file:
        for _ in range(40):
            file.write(np.concatenate([voice(1), silence(1)]))
    opened: list[object] = []
    true = blocks.Decoding.__init__

    def counted(self: blocks.Decoding, *words: Any) -> None:
        opened.append(words)
        true(self, *words)

    monkeypatch.setattr(blocks.Decoding, "__init__", counted)
    assert len(predicted(predictor, path)) == 40
    assert len(opened) == 2


def test_joined_files_are_read_to_the_end(predictor: Predictor, tmp_path: Path) -> None:
    joined(mp3, mp3)(tmp_path / "a.mp3")
    found = predictor(tmp_path / "a.mp3")
    assert found.end == pytest.approx(6, abs=0.2)
    assert any("silence in its place" in note for note in found.notes)


def test_the_benchmark_of_a_long_recording(model: Path) -> None:
    script = Path(__file__).parents[2] / "benchmarks/long_recording.py"
    words = [model, "--minutes", "0.5", "--holes", "2"]
    done = subprocess.run(
        [sys.executable, script, *map(str, words)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "| 0 | 2 | " in done.stdout


@pytest.mark.skipif(not RAVDESS.is_dir(), reason="needs ../shared")
def test_the_benchmark_of_detectors() -> None:
    script = Path(__file__).parents[2] / "benchmarks/vad.py"
    done = subprocess.run(
        [sys.executable, script, "ravdess", str(RAVDESS), "--every", "700"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "| music 0 dB |" in done.stdout
