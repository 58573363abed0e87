from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from emohop import corpora
from emohop.errors import CorpusError
from tests.corpora.tree import write_wave
from tests.media.making import numbered_video

SHARED = Path(__file__).parents[3] / "shared/corpora/ravdess"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/corpora/ravdess")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Actors 1 and 2: speech of both, a song and a video of the second, and things beside them."""
    for name in ("03-01-01-01-01-01-01", "03-01-06-02-02-01-01"):
        write_wave(tmp_path / "Actor_01" / f"{name}.wav", 0.3)
    write_wave(tmp_path / "Actor_02/03-01-02-01-01-02-02.wav", 0.3)
    write_wave(tmp_path / "Actor_02/03-02-03-01-01-01-02.wav", 0.3)
    for modality in ("01", "02"):
        numbered_video(tmp_path / f"Actor_02/{modality}-01-02-01-01-02-02.mp4", 9)
    write_wave(tmp_path / "Actor_02/._03-01-05-01-01-01-02.wav", 0.1)
    write_wave(tmp_path / "Actor_02/take 2.wav", 0.1)
    return tmp_path


def test_what_a_name_says(tree: Path) -> None:
    clips = {clip.id: clip for clip in corpora.read("ravdess", tree)}
    assert list(clips) == ["01-01-01-01-01-01", "01-06-02-02-01-01", "01-02-01-01-02-02"]
    fearful = clips["01-06-02-02-01-01"]
    assert (fearful.label, fearful.speaker, fearful.gender) == ("fearful", "Actor_01", "M")
    assert fearful.transcript == "Dogs are sitting by the door."
    assert fearful.scripted
    assert fearful.video is None
    assert clips["01-02-01-01-02-02"].gender == "F"


def test_the_files_of_one_performance_are_one_clip(tree: Path) -> None:
    clip = corpora.read("ravdess", tree)[-1]
    assert clip.audio is not None
    assert clip.video is not None
    assert clip.audio.path.name.startswith("03-")  # not the video's
    assert clip.video.path.name.startswith("01-")
    (tree / "Actor_02/03-01-02-01-01-02-02.wav").unlink()
    clip = corpora.read("ravdess", tree)[-1]
    assert clip.audio == clip.video  # the video's own
    (tree / "Actor_02/01-01-02-01-01-02-02.mp4").unlink()
    clip = corpora.read("ravdess", tree)[-1]
    assert clip.audio is None
    assert clip.video is not None
    assert clip.video.path.name.startswith("02-")


def test_channels(tree: Path) -> None:
    (song,) = corpora.read("ravdess", tree, channel="song")
    assert (song.id, song.label) == ("02-03-01-01-01-02", "happy")
    assert len(corpora.read("ravdess", tree, channel="both")) == 4
    with pytest.raises(CorpusError, match="unknown channel: 'opera': give speech, song, both"):
        corpora.read("ravdess", tree, channel="opera")
    for path in tree.rglob("03-01*"):
        path.unlink()
    for path in tree.rglob("0[12]-01*"):
        path.unlink()
    with pytest.raises(CorpusError, match="holds song only: give --channel song"):
        corpora.read("ravdess", tree)


def test_the_same_performance_twice(tree: Path) -> None:
    write_wave(tree / "copy/03-01-01-01-01-01-01.wav", 0.3)
    with pytest.raises(CorpusError, match=r"is the same clip as .*: keep one"):
        corpora.read("ravdess", tree)


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="does not exist: give the folder of RAVDESS"):
        corpora.read("ravdess", tmp_path / "nowhere")
    write_wave(tmp_path / "03a01Wa.wav")
    with pytest.raises(CorpusError, match=r"is not RAVDESS: expected Actor_01.*found 03a01Wa.wav"):
        corpora.read("ravdess", tmp_path)


def test_check_counts_beside_a_complete_copy(tree: Path) -> None:
    report = corpora.check("ravdess", tree)
    rows = {row.what: (row.found, row.expected) for row in report.counts}
    assert rows["clips"] == (3, 1440)
    assert rows["speakers"] == (2, 24)
    assert rows["neutral"] == (1, 96)
    assert rows["surprised"] == (0, 192)
    assert rows["readable video files"] == (1, 1)
    assert report.usable
    assert report.problems == ()
    both = corpora.check("ravdess", tree, channel="both")
    assert {(r.what, r.expected) for r in both.counts} >= {("clips", 2452), ("calm", 376)}
    song = corpora.check("ravdess", tree, channel="song")
    assert {(r.what, r.expected) for r in song.counts} >= {("clips", 1012), ("speakers", 23)}


def test_check_names_bad_files(tree: Path) -> None:
    (tree / "Actor_01/03-01-01-01-01-01-01.wav").write_bytes(b"RIFF")
    report = corpora.check("ravdess", tree)
    (problem,) = report.problems
    assert problem.path.name == "03-01-01-01-01-01-01.wav"
    assert report.usable


@needs_shared
def test_the_true_corpus() -> None:
    clips = corpora.read("ravdess", SHARED)
    assert len(clips) == 1440
    assert Counter(c.label for c in clips)["neutral"] == 96
    assert len({c.speaker for c in clips}) == 24
    assert sum(c.video is not None for c in clips) == 1
    report = corpora.check("ravdess", SHARED)
    wrong = [r for r in report.counts if r.expected is not None and r.found != r.expected]
    assert wrong == []
    assert report.problems == ()
    (note,) = report.notes
    assert note == "01-03-01-02-02-07 is the same recording as 01-03-01-02-01-07"
