"""Recordings that a corpus holds twice, linked folders, and names that are spelled otherwise."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
import soundfile

from emohop import corpora
from emohop.clips import Clip, LabelSet, Span
from emohop.corpora.copies import SHOWN_COPIES, copied_clips, copy_notes
from emohop.errors import CorpusError
from tests.corpora.tree import write_wave
from tests.features.tiny import waveform


def tones(folder: Path, *names: str, seed: int = 0, seconds: float = 0.3) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        samples = (20_000 * waveform(seconds, seed=seed)).astype("int16")
        soundfile.write(folder / name, samples, 16_000)


def copies(folder: Path) -> list[str]:
    return [note for note in corpora.check("folder", folder).notes if "recording" in note]


def test_files_of_the_same_bytes_and_of_the_same_sound(tmp_path: Path) -> None:
    tones(tmp_path / "angry", "1.wav", "2.flac")
    tones(tmp_path / "calm", "1.wav", seed=1)
    tones(tmp_path / "calm", "2.wav", seed=2)
    tones(tmp_path / "calm", "3.wav", seed=1)
    assert copies(tmp_path) == [
        "angry/2 is the same recording as angry/1",
        "calm/3 is the same recording as calm/1",
    ]
    assert corpora.check("folder", tmp_path).usable


def test_stretches_of_one_file(tmp_path: Path) -> None:
    tones(tmp_path, "all.wav", seconds=2.0)
    lines = ["path,id,label,start,end", "all.wav,a,angry,0,1", "all.wav,b,calm,1,2"]
    (tmp_path / "clips.csv").write_text("\n".join([*lines, "all.wav,c,calm,0,1"]) + "\n")
    assert copies(tmp_path) == ["c is the same recording as a"]


def test_silence_and_what_cannot_be_read_are_no_copies(tmp_path: Path) -> None:
    for name in ("angry/1", "calm/1"):
        path = tmp_path / f"{name}.wav"
        path.parent.mkdir()
        path.write_bytes(b"RIFF" + name.encode())
    tones(tmp_path / "calm", "2.wav")
    assert copies(tmp_path) == []


def test_only_the_first_of_many_are_named() -> None:
    pairs = [(Clip(f"{n}"), Clip("0")) for n in range(SHOWN_COPIES + 5)]
    assert copy_notes(pairs)[-1] == "... and 5 more copies"
    assert copied_clips([Clip("a", audio=Span(Path("gone.wav")))], {}) == []


@pytest.mark.parametrize(
    ("corpus", "names"),
    [
        ("emodb", ("wav/03a01Wa.wav", "wav/16k/03a01Wa.wav")),
        ("emodb", ("wav/03a01Wa.wav", "wav/03a01Wa.flac")),
        ("crema-d", ("AudioWAV/1001_DFA_ANG_XX.wav", "AudioWAV/old/1001_DFA_ANG_XX.wav")),
    ],
)
def test_two_files_of_one_clip_are_refused(
    corpus: str, names: tuple[str, str], tmp_path: Path
) -> None:
    for n, name in enumerate(names):
        tones((tmp_path / name).parent, Path(name).name, seed=n)
    with pytest.raises(CorpusError, match=r"is the same clip as .*: keep one"):
        corpora.read(corpus, tmp_path)


def test_linked_folders_are_read_and_circles_are_not(tmp_path: Path) -> None:
    for name in ("mine/angry/1", "mine/calm/1", "store/sad/1", "store/sad/2"):
        write_wave(tmp_path / f"{name}.wav", 0.3)
    (tmp_path / "mine/sad").symlink_to(tmp_path / "store/sad")
    (tmp_path / "store/sad/round").symlink_to(tmp_path / "mine")
    found = [clip.id for clip in corpora.read("folder", tmp_path / "mine") if clip.label == "sad"]
    assert found == ["sad/1", "sad/2"]


def test_names_of_files_may_be_spelled_otherwise(tmp_path: Path) -> None:
    """As a Mac writes them: decomposed; and as another table has them: in capitals."""
    name = unicodedata.normalize("NFD", "für Zoë\u2019s.wav")
    write_wave(tmp_path / "größe" / name, 0.3)
    write_wave(tmp_path / "größe" / "Other.WAV", 0.3)
    lines = ["path,label", "größe/für Zoë's.wav,angry", "GRÖSSE/other.wav,calm"]
    (tmp_path / "clips.csv").write_text("\n".join(lines) + "\n", "utf-8")
    clips = corpora.read("folder", tmp_path)
    assert all(clip.audio and clip.audio.path.is_file() for clip in clips)
    (tmp_path / "clips.csv").write_text("path,label\ngrösse/nobody.wav,a\nx,b\n", "utf-8")
    report = corpora.check("folder", tmp_path)
    assert "nobody.wav" in str(report.problems[0].path)


def test_which_of_two_is_meant_is_not_guessed(tmp_path: Path) -> None:
    for name in ("A.wav", "a.WAV"):
        write_wave(tmp_path / name, 0.3)
    (tmp_path / "clips.csv").write_text("path,label\nA.WAV,angry\nA.wav,calm\n")
    first, second = corpora.read("folder", tmp_path)
    assert first.audio is not None
    assert not first.audio.path.exists()
    assert second.audio is not None
    assert second.audio.path.exists()


def test_labels_and_people_of_one_name_are_one(tmp_path: Path) -> None:
    lines = ["path,id,label,speaker,session"]
    for n, (label, speaker) in enumerate(
        [("Fear", "Zoë"), ("fear", "Zoe\u0308"), ("fear", "zoë"), ("joy", "Bo"), ("Joy", "bo")]
    ):
        write_wave(tmp_path / f"{n}.wav", 0.3)
        lines.append(f"{n}.wav,c{n},{label},{speaker},")
    (tmp_path / "clips.csv").write_text("\n".join(lines) + "\n", "utf-8")
    clips = corpora.read("folder", tmp_path)
    assert [clip.label for clip in clips] == ["fear"] * 3 + ["joy"] * 2
    assert len({clip.speaker for clip in clips}) == 2


def test_a_map_names_labels_as_the_corpus_spells_them() -> None:
    labels = LabelSet("mine", ("Happy", "sad"), {"Fröhlich": "Happy"})
    assert labels.class_of("happy") == "Happy"
    assert labels.class_of("FRO\u0308HLICH") == "Happy"
    assert labels.class_of("angry") is None
    assert labels.class_of(None) is None
