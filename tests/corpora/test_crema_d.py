from __future__ import annotations

from pathlib import Path

import pytest

from emohop import corpora
from emohop.errors import CorpusError
from tests.corpora.tree import write_wave
from tests.media.making import numbered_video

PEOPLE = "ActorID,Age,Sex,Race,Ethnicity\n1001,51,Male,Caucasian,Not Hispanic\n1076,25,Female,,\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("1001_DFA_ANG_XX", "1001_IEO_HAP_HI", "1076_MTI_SAD_XX", "1040_ITH_SAD_X"):
        write_wave(tmp_path / "AudioWAV" / f"{name}.wav", 0.3)
    write_wave(tmp_path / "AudioWAV/readme.wav", 0.1)
    (tmp_path / "VideoFlash").mkdir()
    numbered_video(tmp_path / "VideoFlash/1001_DFA_ANG_XX.mp4", 9)
    (tmp_path / "VideoDemographics.csv").write_text(PEOPLE)
    return tmp_path


def test_what_a_name_says(tree: Path) -> None:
    clips = {clip.id: clip for clip in corpora.read("crema-d", tree)}
    assert len(clips) == 4
    happy = clips["1001_IEO_HAP_HI"]
    assert (happy.label, happy.speaker, happy.gender) == ("HAP", "1001", "M")
    assert happy.transcript == "It's eleven o'clock."
    assert happy.video is None
    angry = clips["1001_DFA_ANG_XX"]
    assert angry.video is not None
    assert angry.video.path.name == "1001_DFA_ANG_XX.mp4"
    assert clips["1076_MTI_SAD_XX"].gender == "F"
    assert clips["1040_ITH_SAD_X"].gender is None  # not in this table


def test_without_audio_or_without_the_table(tree: Path) -> None:
    for path in (tree / "AudioWAV").iterdir():
        path.unlink()
    (tree / "VideoDemographics.csv").unlink()
    (clip,) = corpora.read("crema-d", tree)
    assert clip.audio is None
    assert clip.gender is None
    report = corpora.check("crema-d", tree)
    assert "VideoDemographics.csv is missing: genders are unknown" in report.notes
    assert not report.usable


@pytest.mark.parametrize("line", ["1001,51,Robot,,", ",51,Male,,"])
def test_a_bad_table_of_actors(tree: Path, line: str) -> None:
    (tree / "VideoDemographics.csv").write_text(PEOPLE + line + "\n")
    with pytest.raises(CorpusError, match=r"VideoDemographics.csv:4: expected ActorID and Sex"):
        corpora.read("crema-d", tree)


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "AudioMP3").mkdir()
    with pytest.raises(CorpusError, match=r"not CREMA-D: expected AudioWAV.*found AudioMP3"):
        corpora.read("crema-d", tmp_path)


def test_the_known_bad_clip_is_known(tree: Path) -> None:
    (tree / "AudioWAV/1076_MTI_SAD_XX.wav").write_bytes(b"")
    report = corpora.check("crema-d", tree)
    (problem,) = report.problems
    assert problem.reason.endswith("(known: the release's own file holds no speech)")
    rows = {row.what: (row.found, row.expected) for row in report.counts}
    assert rows["clips"] == (4, 7442)
    assert rows["NEU"] == (0, 1087)
    assert rows["readable audio files"] == (3, 4)
    assert report.usable
