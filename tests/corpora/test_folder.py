from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from emohop import corpora
from emohop.clips import Span
from emohop.errors import CorpusError
from tests.corpora.tree import write_wave
from tests.media.making import numbered_video, tone


@pytest.fixture
def media(tmp_path: Path) -> Path:
    """A folder with a waveform and a video."""
    write_wave(tmp_path / "clips/a.wav", 2.0)
    numbered_video(tmp_path / "clips/b.mp4", 30, waveform=tone(1.0))
    return tmp_path


def write(folder: Path, text: str, name: str = "clips.csv") -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def test_a_table(media: Path) -> None:
    write(
        media,
        "path,label,speaker,session,gender,split,text,start,end\n"
        'clips/a.wav,happy,anna,s1,F,train,"Well, well.",0.5,1.5\n'
        "clips/a.wav,sad,anna,s1,female,valid,,1.5,\n"
        "\n"
        "clips/b.mp4,happy,bert,s2,m,test,No.,,\n",
    )
    first, second, film = corpora.read("folder", media)
    assert first.audio == Span((media / "clips/a.wav").resolve(), 0.5, 1.5)
    assert first.video is None
    assert (first.id, first.label, first.transcript) == (
        "clips/a.wav@0.500",
        "happy",
        "Well, well.",
    )
    assert (first.speaker, first.session, first.gender, first.split) == ("anna", "s1", "F", "train")
    assert (second.split, second.gender, second.transcript, second.end) == ("dev", "F", None, None)
    assert film.audio == film.video == Span((media / "clips/b.mp4").resolve())
    assert film.id == "clips/b.mp4"
    assert corpora.class_set("folder", None, [first, second, film]).labels == ("happy", "sad")


def test_audio_and_video_as_two_files_and_words_alone(media: Path) -> None:
    path = write(
        media,
        "id\taudio\tvideo\temotion\ttranscript\n"
        "one\tclips/a.wav\tclips/b.mp4\thappy\t\n"
        "two\t\t\tsad\tOh dear.\n",
        "mine.tsv",
    )
    one, two = corpora.read("folder", path)
    assert one.audio is not None
    assert one.video is not None
    assert (one.audio.path.name, one.video.path.name) == ("a.wav", "b.mp4")
    assert (two.audio, two.video, two.label, two.transcript) == (None, None, "sad", "Oh dear.")


def test_parquet_and_semicolons_say_the_same(media: Path) -> None:
    rows = {"path": ["clips/a.wav", "clips/b.mp4"], "label": ["x", "y"], "start": [0.5, None]}
    pq.write_table(pa.table(rows), media / "clips.parquet")
    text = "Path;Label;Start\nclips/a.wav;x;0.5\nclips/b.mp4;y;\n"
    semicolons = write(media, text, "german.csv")
    from_parquet = corpora.read("folder", media)
    assert from_parquet == corpora.read("folder", semicolons)
    assert [clip.start for clip in from_parquet] == [0.5, 0.0]


def test_a_folder_by_label(tmp_path: Path) -> None:
    write_wave(tmp_path / "angry/anna/1.wav", 0.5)
    write_wave(tmp_path / "angry/2.WAV", 0.5)
    write_wave(tmp_path / "calm/bert/1.wav", 0.5)
    (tmp_path / "angry/anna/1.txt").write_text("Get\n out!\n")
    (tmp_path / "readme.txt").write_text("mine")
    write_wave(tmp_path / ".cache/x/1.wav", 0.5)
    clips = {clip.id: clip for clip in corpora.read("folder", tmp_path)}
    assert list(clips) == ["angry/2", "angry/anna/1", "calm/bert/1"]
    assert [clip.label for clip in clips.values()] == ["angry", "angry", "calm"]
    assert [clip.speaker for clip in clips.values()] == [None, "anna", "bert"]
    assert clips["angry/anna/1"].transcript == "Get out!"
    report = corpora.check("folder", tmp_path)
    assert report.usable
    assert "1 of 3 clips have no speakers" in report.notes
    assert "2 of 3 clips have no transcripts" in report.notes


HEADER = "path,label,start,end,gender,split,id\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            HEADER + "../secret.wav,x\n",
            r"clips.csv:2: ../secret.wav lies outside .*allow-outside",
        ),
        (HEADER + "/etc/passwd,x\n", "lies outside"),
        (HEADER + "clips/a\0.wav,x\n", "is not a path|contains NUL"),
        (HEADER + "clips/a.wav,x,soon\n", "start is 'soon': expected seconds from 0"),
        (HEADER + "clips/a.wav,x,nan\n", "expected seconds from 0"),
        (HEADER + "clips/a.wav,x,-1\n", "expected seconds from 0"),
        (HEADER + "clips/a.wav,x,2,1\n", "goes from 2.0 to 1.0 s: end must be later"),
        (HEADER + "clips/a.wav,x,,,dog\n", "gender is 'dog': expected f, female, m, male"),
        (HEADER + "clips/a.wav,x,,,,exam\n", "split is 'exam': expected train, dev"),
        (HEADER + "clips/a.wav,x\nclips/a.wav,y\n", "2 clips are named clips/a.wav"),
        (HEADER + "clips/a.wav,x,,,,,,more\n", "8 cells under 7 columns"),
        (HEADER + ",x\n", "neither path, audio, video nor id"),
        (HEADER, "holds no clips: expected columns path, audio"),
        ("", "holds no clips"),
        ("path,path\na,b\n", "two columns are named path"),
        ("file\nclips/a.wav\n", "has no labels: expected a column label"),
        ("id,label\n1,x\n", "names neither media nor transcripts"),
    ],
)
def test_rows_that_cannot_be_used_are_named(media: Path, text: str, message: str) -> None:
    write(media, text)
    with pytest.raises(CorpusError, match=message) as caught:
        corpora.read("folder", media)
    assert "\n" not in str(caught.value)


def test_files_outside_by_permission_and_links(media: Path, tmp_path: Path) -> None:
    table = write(media / "clips", "path,label\n../x.wav,happy\n")
    (clip,) = corpora.read("folder", table, allow_outside=True)
    assert clip.audio is not None
    link = media / "clips/link.wav"
    link.symlink_to("/etc/hostname")
    write(media / "clips", "path,label\nlink.wav,happy\n")
    with pytest.raises(CorpusError, match=r"link.wav lies outside"):
        corpora.read("folder", table)


def test_folders_that_are_something_else(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="does not exist: give a table"):
        corpora.read("folder", tmp_path / "nowhere")
    with pytest.raises(CorpusError, match="is not a folder of clips: expected a table"):
        corpora.read("folder", tmp_path)
    write(tmp_path, "hello", "notes.txt")
    with pytest.raises(CorpusError, match=r"notes.txt is not a table: give a .csv"):
        corpora.read("folder", tmp_path / "notes.txt")
    write(tmp_path, "PAR1", "clips.parquet")
    with pytest.raises(CorpusError, match="cannot be read as Parquet"):
        corpora.read("folder", tmp_path)
    write(tmp_path, "path,label\n")
    with pytest.raises(CorpusError, match=r"holds clips.csv, clips.parquet: give the one to read"):
        corpora.read("folder", tmp_path)
    write_wave(tmp_path / "deep/a/b/c/1.wav")
    with pytest.raises(CorpusError, match="lies too deep"):
        corpora.read("folder", tmp_path / "deep")


def test_one_label_is_no_class_set(media: Path) -> None:
    write(media, "path,label\nclips/a.wav,happy\n")
    clips = corpora.read("folder", media)
    with pytest.raises(CorpusError, match=r"the clips have one label \(happy\)"):
        corpora.class_set("folder", None, clips)
