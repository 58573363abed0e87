from __future__ import annotations

import filecmp
import itertools
import re
import sys
import wave
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emohop.clips import Clip
from emohop.corpora import read
from emohop.corpora.files import read_text
from emohop.errors import EmohopError, MissingExtraError
from emohop.synthetic import Synthesis, synthesize
from emohop.synthetic.annotations import CATEGORIES
from emohop.synthetic.plan import (
    DIALOGS,
    PROPORTIONS,
)
from emohop.synthetic.speech import (
    Synthesiser,
)

CLIPS = 25
UTTERANCE = re.compile(r"Ses0[1-5][FM]_(impro0[1-8][ab]?|script0[1-3]_[1-3]b?)_[FM]\d{3}")
CODES = {category: label for label, category in CATEGORIES.items()}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Synthesis:
    calls: list[tuple[int, int]] = []
    folder = tmp_path_factory.mktemp("made") / "corpus"
    made = synthesize(folder, CLIPS, progress=lambda done, total: calls.append((done, total)))
    assert [done for done, _ in calls] == sorted({done for done, _ in calls})
    assert calls[-1] == (CLIPS + 5, CLIPS + 5)
    return made


@pytest.fixture(scope="module")
def clips(made: Synthesis) -> list[Clip]:
    return read("iemocap", made.folder)


def files(folder: Path, pattern: str) -> list[Path]:
    return sorted(path for path in folder.glob(pattern) if not path.name.startswith("."))


def blocks(folder: Path) -> list[list[str]]:
    found = []
    for path in files(folder, "Session*/dialog/EmoEvaluation/*.txt"):
        header, *rest = path.read_text(encoding="utf-8").split("\n\n")
        assert header == "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]"
        found += [block.strip().split("\n") for block in rest if block.strip()]
    return found


def test_the_reader_finds_every_utterance_of_ten_speakers(
    made: Synthesis, clips: list[Clip]
) -> None:
    assert Counter(clip.label for clip in clips) == made.counts
    assert sum(made.counts[label] for label in PROPORTIONS) == CLIPS
    assert len({clip.speaker for clip in clips}) == 10
    assert {clip.dialog for clip in clips} == {names[0] for names in DIALOGS}
    assert made.dialogs == 5
    assert all(UTTERANCE.fullmatch(clip.id) for clip in clips)
    assert made.seconds == pytest.approx(sum((clip.end or 0) - clip.start for clip in clips))
    assert all(clip.transcript for clip in clips)


def test_the_layout_is_that_of_the_release(made: Synthesis) -> None:
    assert "NOTHING ABOUT PEOPLE" in (made.folder / "Documentation/README.txt").read_text()
    for number, names in enumerate(DIALOGS, 1):
        session, dialog = made.folder / f"Session{number}", names[0]
        assert (session / f"dialog/avi/DivX/{dialog}.avi").is_file()
        assert (session / f"dialog/transcriptions/{dialog}.txt").is_file()
        assert (session / f"dialog/wav/{dialog}.wav").is_file()
        for folder in ("Attribute", "Categorical", "Self-evaluation"):
            assert files(session, f"dialog/EmoEvaluation/{folder}/*.txt")
    for folder in ("dialog/EmoEvaluation/._*.txt", "dialog/transcriptions/._*.txt"):
        assert list(made.folder.glob(f"Session*/{folder}"))
    for folder in ("dialog/avi/DivX/._*.avi", "sentences/wav/*/._*.wav"):
        assert list(made.folder.glob(f"Session*/{folder}"))


def test_sentences_are_cut_from_their_speakers_channel(made: Synthesis, clips: list[Clip]) -> None:
    for clip in clips:
        assert clip.audio is not None
        assert clip.end is not None
        assert clip.dialog is not None
        with wave.open(str(clip.audio.path)) as file:
            assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16000, 1, 2)
            assert file.getnframes() == round((clip.end - clip.start) * 16000)
            samples = np.frombuffer(file.readframes(-1), "<i2")
        assert 1 <= clip.end - clip.start <= 5
        assert 300 < np.abs(samples.astype(int)).max() < 32767
        session = clip.audio.path.parents[3]
        with wave.open(str(session / "dialog" / "wav" / f"{clip.dialog}.wav")) as file:
            assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16000, 2, 2)
            file.setpos(round(clip.start * 16000))
            both = np.frombuffer(file.readframes(len(samples)), "<i2").reshape(-1, 2)
        channel = 0 if clip.gender == clip.dialog[5] else 1
        assert np.array_equal(both[:, channel], samples)


def test_videos_last_as_long_as_their_dialogs(made: Synthesis) -> None:
    import av

    for path in files(made.folder, "Session*/dialog/avi/DivX/*.avi"):
        with wave.open(str(path.parents[2] / "wav" / f"{path.stem}.wav")) as file:
            seconds = file.getnframes() / file.getframerate()
        with av.open(str(path)) as video:
            stream = video.streams.video[0]
            assert (video.format.name, stream.codec_context.name) == ("avi", "mpeg4")
            assert (stream.width, stream.height) == (720, 480)
            rate = stream.average_rate
            assert rate is not None
            assert rate.denominator > 1
            frames = keys = 0
            for frame in video.decode(stream):
                assert frame.time == pytest.approx(frames / float(rate), abs=1e-4)
                frames, keys = frames + 1, keys + frame.key_frame
        assert seconds < frames / float(rate) < seconds + 0.2
        assert 1 < keys < frames / 20  # to seek to key frames only would be seen


def test_the_speakers_half_shows_a_face_that_moves(clips: list[Clip]) -> None:
    import av

    clip = clips[0]
    assert clip.video is not None
    assert clip.video.end is not None
    with av.open(str(clip.video.path)) as video:
        grey = [
            frame.to_ndarray(format="gray").astype(int)
            for frame in video.decode(video=0)
            if clip.start <= frame.time < clip.video.end
        ]
    left = 0 if clip.video.half == "left" else 360
    crops = np.stack(grey)[:, 128:352, left + 68 : left + 292]
    assert np.ptp(crops, axis=(1, 2)).min() > 100  # eyes, mouth and skin, no bare wall
    assert np.abs(np.diff(crops, axis=0)).max() > 50
    assert np.stack(grey)[:, 10:90].max() < 30  # above the picture all is black
    assert np.stack(grey)[:, 390:470].max() < 30


def test_votes_agree_with_labels_and_means_with_ratings(made: Synthesis) -> None:
    lengths, several, blank, absent = set(), 0, 0, 0
    for header, *ratings in blocks(made.folder):
        _, name, label, means = header.split("\t")
        lengths.add(len(ratings))
        outside: Counter[str] = Counter()
        rated: dict[str, list[float]] = {"val": [], "act": [], "dom": []}
        for rating in ratings:
            rater, values, comment = rating.split("\t")
            assert re.fullmatch(r"[CA]-(E\d|F1|M1):", rater)
            assert re.fullmatch(r"\(\w*\)", comment)
            if rater.startswith("C-E"):
                given = [CODES[value.strip()] for value in values.split(";") if value.strip()]
                several += len(given) > 1
                outside.update(given)
            elif rater.startswith("A-E"):
                for what, value in re.findall(r"(val|act|dom) +(\d)", values):
                    rated[what].append(int(value))
                blank += "dom  ;" in values
                absent += "dom" not in values
            else:
                assert rater[2] == name[-4]  # only the actor who speaks rates a turn
        best = [key for key, count in outside.items() if count == max(outside.values())]
        assert label == (best[0] if len(best) == 1 else "xxx")
        expected = [sum(values) / len(values) for values in rated.values()]
        assert means == "[{:.4f}, {:.4f}, {:.4f}]".format(*expected)
    assert len(lengths) > 1
    assert several
    assert blank
    assert absent


def test_transcriptions_hold_what_readers_stumble_over(made: Synthesis, clips: list[Clip]) -> None:
    paths = files(made.folder, "Session*/dialog/transcriptions/*.txt")
    texts = {path.stem: read_text(path) for path in paths}
    whole = "\n".join(texts.values())
    assert any(b"caf\xe9" in path.read_bytes() for path in paths)
    assert any("café".encode() in path.read_bytes() for path in paths)
    assert "café" in whole
    assert re.search(r"\]: [^\n]*:", whole)
    assert re.search(r"^M: sorry$", whole, re.MULTILINE)
    assert re.search(r"_[FM]XX0 \[\d{3}\.\d{4}-\d{3}\.\d{4}\]:$", whole, re.MULTILINE)
    unnamed = Counter(re.findall(r"^(\S+_[FM]XX0) ", whole, re.MULTILINE))
    assert max(unnamed.values()) == 2
    for tag in ("[LAUGHTER]", "[BREATHING]", "[GARBAGE]"):
        assert tag in whole
    spans = dict(re.findall(r"^(\S+_[FM]\d{3}) \[([\d.]+-[\d.]+)\]:", whole, re.MULTILINE))
    assert spans == {clip.id: f"{clip.start:08.4f}-{clip.end:08.4f}" for clip in clips}


def test_turns_overlap_and_the_files_orders_differ(made: Synthesis, clips: list[Clip]) -> None:
    for names in DIALOGS:
        own = [clip for clip in clips if clip.dialog == names[0]]
        pairs = list(itertools.pairwise(own))
        assert any(b.start < (a.end or 0) for a, b in pairs)
        for gender in "FM":
            turns = [clip for clip in own if clip.gender == gender]
            assert [int(clip.id[-3:]) for clip in turns] == list(range(len(turns)))
            assert all(b.start > (a.end or 0) for a, b in itertools.pairwise(turns))
    words = "\n".join(
        read_text(path) for path in files(made.folder, "Session*/dialog/transcriptions/*.txt")
    )
    order = re.findall(r"^(\S+_[FM]\d{3}) ", words, re.MULTILINE)
    assert [header.split("\t")[1] for header, *_ in blocks(made.folder)] != order


def test_the_same_seed_gives_the_same_bytes_with_two_processes(
    made: Synthesis, tmp_path: Path
) -> None:
    again = synthesize(tmp_path / "again", CLIPS, seed=0, jobs=2)
    names = [str(p.relative_to(made.folder)) for p in made.folder.rglob("*") if p.is_file()]
    others = [str(p.relative_to(again.folder)) for p in again.folder.rglob("*") if p.is_file()]
    assert sorted(names) == sorted(others)
    _, different, unreadable = filecmp.cmpfiles(made.folder, again.folder, names, shallow=False)
    assert not different
    assert not unreadable
    assert again.counts == made.counts
    assert list(tmp_path.iterdir()) == [again.folder]


def test_a_folder_with_something_in_it_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(EmohopError, match="is not empty") as caught:
        synthesize(tmp_path, CLIPS)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(EmohopError, match="is a file"):
        synthesize(tmp_path / "mine.txt", CLIPS)
    with pytest.raises(EmohopError, match="cannot be written"):
        synthesize(tmp_path / "mine.txt" / "below", CLIPS)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"clips": 19}, "too few"), ({"seed": -1}, "negative"), ({"jobs": 0}, "0 jobs")],
)
def test_wrong_numbers_are_refused(wrong: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(EmohopError, match=message):
        synthesize(tmp_path / "corpus", **wrong)
    assert not list(tmp_path.iterdir())


def test_without_espeak_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(MissingExtraError, match=r"emohop\[demo\]"):
        synthesize(tmp_path / "corpus", CLIPS)
    with pytest.raises(MissingExtraError, match=r"emohop\[demo\]"):
        Synthesiser()


def test_an_interrupted_run_leaves_nothing_and_an_empty_folder_is_filled(tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    folder.mkdir()

    def stop(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthesize(folder, 20, progress=stop)
    assert list(tmp_path.iterdir()) == [folder]
    assert not list(folder.iterdir())
    leftover = tmp_path / ".corpus.unfinished" / "Session1"
    leftover.mkdir(parents=True)
    (leftover / "half.txt").write_text("left by a run that was killed")
    made = synthesize(folder, 20)
    assert list(tmp_path.iterdir()) == [folder]
    assert not list(folder.rglob("half.txt"))
    assert sum(made.counts[label] for label in PROPORTIONS) == 20
