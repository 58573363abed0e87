from __future__ import annotations

from pathlib import Path

import pytest

from emohop import corpora
from emohop.errors import CorpusError
from tests.corpora.tree import write_wave


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("03a01Wa", "08b02Tb", "16b10Lb", "17a01Wa", "03a03Wa"):
        write_wave(tmp_path / "wav" / f"{name}.wav", 0.3)
    return tmp_path


def test_what_a_name_says(tree: Path) -> None:
    clips = {clip.id: clip for clip in corpora.read("emodb", tree)}
    assert list(clips) == ["03a01Wa", "08b02Tb", "16b10Lb"]  # no speaker 17, no text a03
    assert [clip.label for clip in clips.values()] == ["anger", "sadness", "boredom"]
    assert [clip.gender for clip in clips.values()] == ["M", "F", "F"]
    assert clips["03a01Wa"].speaker == "03"
    assert clips["03a01Wa"].transcript == "Der Lappen liegt auf dem Eisschrank."
    assert corpora.read("emodb", tree / "wav") == list(clips.values())


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"not EmoDB: expected wav/03a01Wa.wav and others"):
        corpora.read("emodb", tmp_path)
    with pytest.raises(CorpusError, match="there are none"):
        corpora.read("emodb", tmp_path, channel="speech")


def test_check(tree: Path) -> None:
    report = corpora.check("emodb", tree)
    rows = {row.what: (row.found, row.expected) for row in report.counts}
    assert rows["clips"] == (3, 535)
    assert rows["anger"] == (1, 127)
    assert rows["emodb-4"] == (2, None)
    assert report.usable
