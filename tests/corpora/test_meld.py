from __future__ import annotations

from pathlib import Path

import pytest

from emohop import corpora
from emohop.clips import Clip
from emohop.errors import CorpusError
from tests.media.making import numbered_video, tone

SHARED = Path(__file__).parents[3] / "shared/corpora/meld"
HEADER = (
    "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,"
    "StartTime,EndTime\r\n"
)
TIMES = '8,21,"00:16:16,059","00:16:21,731"'
LINES = (
    f"1,also I was the point person,Chandler,neutral,neutral,0,0,{TIMES}\r\n",
    f'2,"You must\x92ve ""had"" it, Ross\x85",The Interviewer,joy,positive,0,1,{TIMES}\r\n',
    '3,No.,Ross,anger,negative,125,3,8,21,"0:36:59,425","0:37:01,4"\r\n',
)


def table(folder: Path, split: str = "train", *lines: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{split}_sent_emo.csv"
    path.write_bytes((HEADER + "".join(lines or LINES)).encode())
    return path


def test_what_a_line_says(tmp_path: Path) -> None:
    table(tmp_path)
    first, second, third = corpora.read("meld", tmp_path)
    assert first == Clip(
        id="train_dia0_utt0",
        label="neutral",
        speaker="Chandler",
        dialog="train_dia0",
        scripted=True,
        transcript="also I was the point person",
        start=16 * 60 + 16.059,
        end=16 * 60 + 21.731,
        split="train",
    )
    assert second.transcript == 'You must\u2019ve "had" it, Ross\u2026'  # wrongly decoded bytes
    assert (third.start, third.end) == (36 * 60 + 59.425, 37 * 60 + 1.4)
    assert third.id == "train_dia125_utt3"


def test_media_that_are_there_and_media_that_are_not(tmp_path: Path) -> None:
    table(tmp_path / "MELD.Raw")
    table(tmp_path / "MELD.Raw", "dev", LINES[0])
    media = tmp_path / "MELD.Raw/train/train_splits"
    media.mkdir(parents=True)
    for name in ("dia0_utt0", "dia0_utt1"):
        numbered_video(media / f"{name}.mp4", 12, waveform=tone(0.4))
    (media / "dia125_utt3.mp4").write_bytes(b"no video")
    clips = {clip.id: clip for clip in corpora.read("meld", tmp_path)}
    audio = clips["train_dia0_utt0"].audio
    assert audio is not None
    assert audio.path == media / "dia0_utt0.mp4"
    assert audio == clips["train_dia0_utt0"].video
    assert clips["dev_dia0_utt0"].audio is None  # text only
    report = corpora.check("meld", tmp_path)
    (problem,) = report.problems
    assert problem.path.name == "dia125_utt3.mp4"
    assert problem.reason.endswith("(known: its file is damaged in the release)")
    assert any("no folder dev_splits_complete: text only" in note for note in report.notes)
    assert "test_sent_emo.csv is missing" in report.notes
    rows = {(row.what, row.part): (row.found, row.expected) for row in report.counts}
    assert rows[("clips", "train")] == (3, 9989)
    assert rows[("clips", "all")] == (4, 13708)
    assert rows[("readable audio files", "train")] == (2, 3)
    assert report.usable


def test_text_alone_is_usable(tmp_path: Path) -> None:
    table(tmp_path)
    assert corpora.check("meld", tmp_path).usable


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('1,a,b,joy,positive,x,0,1,1,"0:0:1,0","0:0:2,0"\r\n', "expected numbers"),
        ('1,a,b,joy,positive,²,0,1,1,"0:0:1,0","0:0:2,0"\r\n', "expected numbers"),
        ('1,a,b,joy,positive,0,0,1,1,soon,"0:0:2,0"\r\n', r"a time is 'soon': expected one like"),
        ("1,a\r\n", "expected numbers"),
        (LINES[0] * 2, "train_dia0_utt0 stands in its table twice"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    table(tmp_path, "train", line)
    with pytest.raises(CorpusError, match=message):
        corpora.read("meld", tmp_path)


def test_another_table_or_folder(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"is not MELD: expected train_sent_emo.csv"):
        corpora.read("meld", tmp_path)
    (tmp_path / "dev_sent_emo.csv").write_text("a;b\n1;2\n")
    with pytest.raises(CorpusError, match=r"dev_sent_emo.csv: no column Utterance: expected"):
        corpora.read("meld", tmp_path)


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/corpora/meld")
def test_the_true_tables() -> None:
    report = corpora.check("meld", SHARED)
    assert [r for r in report.counts if r.expected is not None and r.found != r.expected] == []
    assert {r.found for r in report.counts if r.what == "clips"} == {9989, 1109, 2610, 13708}
    told = [problem.reason for problem in report.problems]
    assert told == ["test_dia38_utt4 lasts 305 s", "test_dia220_utt0 lasts 235 s"]


def test_times_beyond_an_hour(tmp_path: Path) -> None:
    line = '4,Hi.,Ross,joy,positive,7,0,8,21,"1:02:03,004","01:02:05,5"\r\n'
    table(tmp_path, "train", line)
    (clip,) = corpora.read("meld", tmp_path)
    assert (clip.start, clip.end) == (3723.004, 3725.5)
