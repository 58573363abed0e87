from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from emohop import corpora
from emohop.clips import Clip, Span
from emohop.corpora.checks import audio_problems, overlap_notes, time_problems, video_problems
from emohop.corpora.frames import mark, write_sample_frames
from emohop.corpora.report import CheckCount, CheckReport, Problem
from emohop.errors import CorpusError
from emohop.registry.corpora import CORPORA
from tests.corpora.tree import (
    HEIGHT,
    LEFT,
    RIGHT,
    WIDTH,
    Line,
    film_bytes,
    write_dialog,
    write_tree,
    write_wave,
)

YELLOW = (255, 220, 0)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tree(tmp_path_factory.mktemp("iemocap"))


@pytest.fixture
def release(whole: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return Path(shutil.copytree(whole, tmp_path / whole.name))


def _found(report: CheckReport, what: str, part: str = "all") -> tuple[int, int | None]:
    ((found, expected),) = [
        (row.found, row.expected) for row in report.counts if (row.what, row.part) == (what, part)
    ]
    return found, expected


def test_a_small_copy_is_usable_and_its_counts_stand_beside_the_complete_ones(whole: Path) -> None:
    report = corpora.check("iemocap", whole)
    assert report.usable
    assert [p for p in report.problems if p.path.suffix in (".wav", ".avi")] == []
    assert _found(report, "dialogs") == (7, 151)
    assert _found(report, "dialogs", "Session3") == (4, 32)
    assert _found(report, "utterances") == (16, 10039)
    assert _found(report, "sad") == (5, 1084)
    assert _found(report, "sad", "Session5") == (1, 245)
    assert _found(report, "fru", "Session5") == (1, None)
    assert _found(report, "xxx") == (1, 2507)
    assert _found(report, "improvised") == (12, 4784)
    assert _found(report, "scripted") == (4, 5255)
    assert _found(report, "iemocap-7") == (14, 7487)
    assert _found(report, "iemocap-4") == (9, 5531)
    assert _found(report, "iemocap-4-noexc") == (8, 4490)
    assert _found(report, "iemocap-6") == (14, 7380)
    assert _found(report, "transcripts") == (15, 16)
    assert _found(report, "readable audio files") == (16, 16)
    assert _found(report, "readable video files") == (7, 7)
    assert report.notes[:2] == ("Session2 is missing", "Session4 is missing")
    assert "1 turns begin while the other person still speaks" in report.notes


def test_the_complete_counts_agree_with_each_other(whole: Path) -> None:
    rows = corpora.check("iemocap", whole).counts
    expected = {row.what: row.expected or 0 for row in rows if row.part == "all"}
    labels = ("ang", "exc", "hap", "sad", "neu", "fru", "sur", "fea", "dis", "oth", "xxx")
    assert sum(expected[label] for label in labels) == expected["utterances"] == 10039
    assert expected["improvised"] + expected["scripted"] == expected["utterances"]
    for labels_of in CORPORA["iemocap"].class_sets:
        members = (*labels_of.labels, *labels_of.merged)
        assert sum(expected[label] for label in members) == expected[labels_of.name]


def test_what_is_missing_or_unreadable_is_named(release: Path) -> None:
    first = release / "Session1" / "sentences" / "wav" / "Ses01F_impro01"
    films = release / "Session3" / "dialog" / "avi" / "DivX"
    words = release / "Session5" / "dialog" / "transcriptions" / "Ses05M_script01_1b.txt"
    (first / "Ses01F_impro01_F000.wav").unlink()
    (first / "Ses01F_impro01_F001.wav").write_bytes(b"")
    (first / "Ses01F_impro01_M000.wav").write_bytes(b"this is not a wave file")
    (films / "Ses03M_impro05a.avi").unlink()
    (films / "Ses03M_impro05b.avi").write_bytes(b"")
    (films / "Ses03M_impro08a.avi").write_bytes(b"this is not a video")
    words.unlink()
    report = corpora.check("iemocap", release)
    reasons = {problem.path: problem.reason for problem in report.problems}
    assert reasons.pop(first / "Ses01F_impro01_F000.wav") == "no such file"
    assert reasons.pop(first / "Ses01F_impro01_F001.wav") == "the file is empty"
    assert reasons.pop(films / "Ses03M_impro05a.avi") == "no such file"
    assert reasons.pop(films / "Ses03M_impro05b.avi") == "the file is empty"
    assert reasons.pop(words) == "missing: its clips have no words"
    assert str(films) not in reasons.pop(films / "Ses03M_impro08a.avi")
    assert str(first) not in reasons.pop(first / "Ses01F_impro01_M000.wav")
    (silent,) = reasons.items()
    assert silent[0].name == "Ses01F_impro01.txt"
    assert silent[1] == "no line for 1 of 4 utterances: Ses01F_impro01_M001"
    assert _found(report, "readable audio files") == (13, 16)
    assert _found(report, "readable video files") == (4, 7)
    assert _found(report, "readable video files", "Session3") == (1, 4)
    assert _found(report, "transcripts") == (13, 16)
    assert report.usable
    assert all("\n" not in str(problem) for problem in report.problems)


def test_a_video_without_frames_is_a_problem(release: Path) -> None:
    film = release / "Session5" / "dialog" / "avi" / "DivX" / "Ses05M_script01_1b.avi"
    audio = (
        release / "Session1" / "sentences" / "wav" / "Ses01F_impro01" / "Ses01F_impro01_F000.wav"
    )
    shutil.copyfile(audio, film)
    report = corpora.check("iemocap", release)
    assert Problem(film, "holds no video") in report.problems


def test_malformed_labels_make_it_unusable_but_all_of_them_are_named(release: Path) -> None:
    folder = release / "Session3" / "dialog" / "EmoEvaluation"
    for name in ("Ses03M_impro05a.txt", "Ses03M_impro08b.txt"):
        with (folder / name).open("a") as file:
            file.write("A-E3:\tval x;\t()\n")
    report = corpora.check("iemocap", release)
    assert not report.usable
    wrong = [problem for problem in report.problems if problem.path.parent == folder]
    assert [problem.path.name for problem in wrong] == [
        "Ses03M_impro05a.txt",
        "Ses03M_impro08b.txt",
    ]
    assert wrong[0].reason.startswith("line 11: 'A-E3:\\tval x;\\t()' is not in IEMOCAP's form")
    assert any("not usable" in note for note in report.notes)
    with pytest.raises(CorpusError, match=r"impro05a\.txt:11"):
        corpora.read("iemocap", release)


def test_a_transcription_that_cannot_be_read_is_named(
    whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = whole / "Session5" / "dialog" / "transcriptions" / "Ses05M_script01_1b.txt"
    read_bytes = Path.read_bytes

    def refuse(path: Path) -> bytes:
        if path == closed:
            raise PermissionError(13, "Permission denied")
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    report = corpora.check("iemocap", whole)
    assert Problem(closed, "cannot be read: Permission denied") in report.problems
    assert not report.usable
    with pytest.raises(CorpusError, match=r"script01_1b\.txt: cannot be read: Permission denied"):
        corpora.read("iemocap", whole)


def test_without_audio_it_is_not_usable(release: Path) -> None:
    for session in release.glob("Session*"):
        shutil.rmtree(session / "sentences")
    report = corpora.check("iemocap", release)
    assert not report.usable
    missing = [problem.path for problem in report.problems if problem.reason == "no such folder"]
    assert missing == [release / f"Session{n}" / "sentences" for n in (1, 3, 5)]
    assert _found(report, "readable audio files") == (0, 16)
    assert "not usable: no clip of a class set has a readable audio file" in report.notes


def test_labels_outside_every_class_set_are_not_enough(tmp_path: Path) -> None:
    turns = [Line("Ses01F_impro01_F000", 0, 1, "xxx"), Line("Ses01F_impro01_F001", 1, 2, "zzz")]
    write_dialog(tmp_path / "Session1", "Ses01F_impro01", turns, film=b"film")
    report = corpora.check("iemocap", tmp_path)
    assert not report.usable
    assert _found(report, "readable audio files") == (2, 2)
    assert _found(report, "other labels") == (1, None)


def test_times_that_cannot_be(tmp_path: Path) -> None:
    turns = [
        Line("Ses01F_impro01_F000", 2, 2, "neu"),
        Line("Ses01F_impro01_F001", 5, 4.5, "neu"),
        Line("Ses01F_impro01_F002", 6, 8, "neu"),
        Line("Ses01F_impro01_F003", 7, 9, "neu"),
    ]
    write_dialog(tmp_path / "Session1", "Ses01F_impro01", turns)
    report = corpora.check("iemocap", tmp_path)
    labels = tmp_path / "Session1" / "dialog" / "EmoEvaluation" / "Ses01F_impro01.txt"
    assert [problem.reason for problem in report.problems if problem.path == labels] == [
        "Ses01F_impro01_F000 goes from 2.0 to 2.0 s",
        "Ses01F_impro01_F001 goes from 5.0 to 4.5 s",
    ]
    assert "1 turns begin before the same speaker's last one ends" in report.notes


def test_files_that_are_no_dialogs_are_noted(release: Path) -> None:
    copy = release / "Session1" / "dialog" / "EmoEvaluation" / "Ses01F_impro01 (1).txt"
    copy.write_text("anything")
    report = corpora.check("iemocap", release)
    assert f"{copy} is not named like a dialog: passed over" in report.notes
    assert not any("._" in note for note in report.notes)
    assert report.usable


def test_the_check_answers_as_the_reader_does(tmp_path: Path, whole: Path) -> None:
    with pytest.raises(CorpusError, match="is not IEMOCAP"):
        corpora.check("iemocap", tmp_path)
    with pytest.raises(CorpusError, match="give marker-left or woman-left"):
        corpora.check("iemocap", whole, seating="left")
    with pytest.raises(CorpusError, match="unknown option of iemocap: 'frames'"):
        corpora.check("iemocap", whole, frames="x")


def test_the_table_has_a_line_for_each_count_and_a_column_for_each_part() -> None:
    rows = (
        CheckCount("ang", 1, 2, "S1"),
        CheckCount("fru", 3, None, "S1"),
        CheckCount("ang", 5, 5),
    )
    report = CheckReport("made", Path("x"), rows, (), (), usable=True)
    assert report.table() == [["", "S1", "all"], ["ang", "1 / 2", "5"], ["fru", "3", ""]]


# Sample frames


@pytest.mark.parametrize(("half", "other"), [("left", "right"), ("right", "left")])
def test_the_half_is_marked(half: str, other: str) -> None:
    frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image = np.asarray(mark(frame, half, "Ses01F_impro01_F000"))  # type: ignore[arg-type]
    sides = {"left": image[:, : WIDTH // 2], "right": image[:, WIDTH // 2 :]}
    for edge in (sides[half][0], sides[half][-1], sides[half][:, 0], sides[half][:, -1]):
        assert (edge == YELLOW).all()
    assert not (sides[other][:, 0] == YELLOW).all()
    assert not sides[other][0].any()
    assert not frame.any()


def test_a_whole_frame_is_marked_when_no_half_is_known() -> None:
    image = np.asarray(mark(np.zeros((48, 72, 3), np.uint8), None, ""))
    assert (image[0] == YELLOW).all()
    assert (image[:, [0, -1]] == YELLOW).all()


def test_one_frame_of_each_session(whole: Path, tmp_path: Path) -> None:
    report = corpora.check("iemocap", whole, frames_folder=tmp_path / "out")
    assert [path.name for path in report.frames] == ["Ses01.png", "Ses03.png", "Ses05.png"]
    image = np.asarray(Image.open(report.frames[0]))
    assert image.shape == (HEIGHT, WIDTH, 3)
    assert (image[:, 0] == YELLOW).all()  # the man, who wears the markers
    assert np.abs(image[200, 180].astype(int) - LEFT).max() < 12
    assert np.abs(image[200, 540].astype(int) - RIGHT).max() < 12


def test_the_seating_moves_the_mark(whole: Path, tmp_path: Path) -> None:
    # Session 1's first dialog is one where both seatings agree: another must be shown.
    for name, seating, x in (
        ("Ses01", "marker-left", 0),
        ("Ses01", "woman-left", -1),
        ("Ses03", "marker-left", -1),
        ("Ses03", "woman-left", 0),
    ):
        corpora.check("iemocap", whole, frames_folder=tmp_path, seating=seating)
        image = np.asarray(Image.open(tmp_path / f"{name}.png"))
        assert (image[:, x] == YELLOW).all()
        assert not (image[:, -1 - x] == YELLOW).all()


def test_a_video_that_does_not_decode_is_named_and_the_next_one_is_taken(
    release: Path, tmp_path: Path
) -> None:
    clips = corpora.read("iemocap", release)
    first = release / "Session3" / "dialog" / "avi" / "DivX" / "Ses03M_impro05a.avi"
    first.write_bytes(b"this is not a video")
    written, failed = write_sample_frames(clips, tmp_path / "out")
    assert len(written) == 3
    assert list(failed) == [first]
    assert str(first) not in failed[first].reason


def test_frames_that_cannot_be_written(whole: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CorpusError, match="a sample frame cannot be written"):
        corpora.check("iemocap", whole, frames_folder=tmp_path / "file")


def test_clips_without_video_have_no_frame(tmp_path: Path) -> None:
    clip = Clip("a", audio=Span(tmp_path / "a.wav"))
    assert write_sample_frames([clip], tmp_path) == ([], {})


# Times, for any corpus


def test_overlaps_are_told_apart_by_speaker_and_dialog() -> None:
    def turn(start: float, end: float, speaker: str, dialog: str = "d") -> Clip:
        return Clip("x", speaker=speaker, dialog=dialog, start=start, end=end)

    assert overlap_notes([turn(0, 2, "a"), turn(2, 3, "b"), turn(0, 1, "a", "e")]) == []
    assert overlap_notes([turn(0, 2, "a"), turn(1, 3, "b"), turn(2.5, 4, "a")]) == [
        "2 turns begin while the other person still speaks"
    ]
    assert overlap_notes([turn(0, 2, "a"), turn(1, 3, "a")]) == [
        "1 turns begin before the same speaker's last one ends"
    ]


def test_a_clip_to_the_end_of_its_file_has_a_good_time() -> None:
    assert time_problems([Clip("x", dialog="d", start=3.0)], {}) == []


def test_media_that_end_before_their_clips(tmp_path: Path) -> None:
    film, audio = tmp_path / "a.avi", tmp_path / "a.wav"
    film.write_bytes(film_bytes(tmp_path / "b.avi"))
    write_wave(audio, seconds=0.0)
    spans = [Span(film, 0, 2), Span(film, 3, 4.5), None, Span(film, 5, 6), Span(film, 1)]
    reason = "video ends at 4.00 s: 2 clips end later, the last at 6.00 s"
    assert video_problems(spans) == {film: Problem(film, reason)}
    assert video_problems(spans[:1]) == {}
    assert audio_problems([Span(audio)]) == {audio: Problem(audio, "holds no audio")}
    assert list(audio_problems([Span(film)])) == [film]
    clip = Clip("late", video=Span(film, 5, 6))
    failed = {film: Problem(film, "no frame at 5.50 s, in late")}
    assert write_sample_frames([clip], tmp_path) == ([], failed)
