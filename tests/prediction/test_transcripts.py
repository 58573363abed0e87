from __future__ import annotations

import re
from pathlib import Path

import pytest

from emohop.errors import EmohopError
from emohop.prediction.schema import Word
from emohop.prediction.transcripts import Transcript, read_transcript, times_of, transcript_beside

SRT = """1
00:00:01,000 --> 00:00:02,000
<i>Kids</i> are

2
00:00:02,500 --> 00:00:03,000
talking &amp; {\\an8}more
"""


def read(path: Path, text: str) -> Transcript:
    path.write_text(text, "utf-8")
    return read_transcript(path)


def test_subtitles_become_words_with_times(tmp_path: Path) -> None:
    found = read(tmp_path / "a.srt", SRT)
    assert found.text == "Kids are talking & more"
    assert found.origin == "a.srt"
    kids, are, *rest = found.words
    assert (kids.start, are.end) == (1.0, 2.0)
    assert kids.end == are.start == pytest.approx(1 + 5 / 9)  # by letters, spaces counted
    assert [word.text for word in rest] == ["talking", "&", "more"]


def test_webvtt(tmp_path: Path) -> None:
    vtt = "WEBVTT\n\nNOTE x\n\nintro\n00:01.000 --> 00:01.500 align:start\n<v Ann Lee>Oh no</v>\n"
    found = read(tmp_path / "a.vtt", vtt)
    assert [(w.text, w.start, w.end) for w in found.words] == [("Oh", 1.0, 1.25), ("no", 1.25, 1.5)]


@pytest.mark.parametrize(
    "text", [SRT.replace("\n\n", "\n"), SRT.replace("\n", "\r\n"), "\ufeff" + SRT]
)
def test_other_line_ends_and_no_empty_lines(text: str, tmp_path: Path) -> None:
    assert read(tmp_path / "a.srt", text).text == "Kids are talking & more"


def test_plain_text_has_no_times(tmp_path: Path) -> None:
    found = read(tmp_path / "a.txt", " Kids\n are  talking.\n")
    assert found == Transcript("Kids are talking.", "a.txt")
    assert read(tmp_path / "b.txt", "\ufeffKids").text == "Kids"


def test_times_of_hours_and_of_parts_of_a_second(tmp_path: Path) -> None:
    (word,) = read(tmp_path / "a.srt", "00:59:00,5 --> 01:01:02.25\nwhat\n").words
    assert (word.start, word.end) == (3540.5, 3662.25)


@pytest.mark.parametrize("line", ["1 --> 2", "00:00:02,0 --> 00:00:01,0", "x --> 00:00:01,0"])
def test_wrong_times_are_named_by_their_line(line: str, tmp_path: Path) -> None:
    found = read(tmp_path / "a.srt", f"\n1\n{line}\nwhat\n\n2\n00:00:03,0 --> 00:00:04,0\nyes\n")
    assert found.text == "yes"
    (note,) = found.notes
    assert re.search(r"a\.srt, line 3: .* are not times: .*: left out", note)


def test_what_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(EmohopError, match="not UTF-8, UTF-16 or cp1252"):
        read_transcript(tmp_path / "a.txt")
    with (tmp_path / "b.txt").open("wb") as file:
        file.truncate(20 << 20)
    with pytest.raises(EmohopError, match="over 16 MB"):
        read_transcript(tmp_path / "b.txt")


def test_the_file_beside_a_clip(tmp_path: Path) -> None:
    assert transcript_beside(tmp_path / "clip.wav") is None
    (tmp_path / "clip.txt").write_text("plain")
    (tmp_path / "clip.srt").write_text(SRT)
    assert (transcript_beside(tmp_path / "clip.wav") or Transcript("")).origin == "clip.srt"
    assert (transcript_beside(tmp_path / "clip.srt") or Transcript("")).origin == "clip.txt"
    (tmp_path / "clip.vtt").write_text(SRT)
    assert (transcript_beside(tmp_path / "clip.wav") or Transcript("")).origin == "clip.srt"


def test_a_part_has_its_own_words_and_times(tmp_path: Path) -> None:
    part = read(tmp_path / "a.srt", SRT).part(1.6, 2.8)
    assert part.text == "are talking"
    assert part.words[0].start == 0.0
    assert part.words[0].end == pytest.approx(0.4)
    assert part.words[1].start == pytest.approx(0.9)
    assert read(tmp_path / "a.srt", SRT).part(1.6, 2.7).words[1].end == pytest.approx(1.1)  # cut
    assert Transcript("all of it").part(3, 4).text == "all of it"
    untimed = Transcript("all of it", words=tuple(Word(text=w) for w in ("all", "of", "it")))
    assert untimed.part(3, 4) == untimed


def words(text: str) -> list[Word]:
    return [Word(text=w, start=float(i), end=i + 1.0) for i, w in enumerate(text.split())]


@pytest.mark.parametrize(
    ("tokens", "said", "starts"),
    [
        (["ca", "n't", "you", "?"], "Can't you?", [0, 0, 1, 1]),
        (["``", "no", "''"], '"No"', [0, 0, 0]),
        (["a", "b"], "a", [0, 0]),  # more letters than were said: the last word
        (["gimme", "that"], "gim me that", [0, 2]),  # where its first letter is
        (["..."], "", [None]),
        ([], "a b", []),
    ],
)
def test_tokens_take_the_time_of_their_word(
    tokens: list[str], said: str, starts: list[float | None]
) -> None:
    assert [start for start, _ in times_of(tokens, words(said))] == starts


def test_words_without_times() -> None:
    assert times_of(["a"], [Word(text="a")]) == [(None, None)]
