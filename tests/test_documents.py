"""Versioned JSON files: what is written is read, what is damaged or newer is one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar, Literal

import pytest
from pydantic import BaseModel

from emohop import EmohopError
from emohop.documents import Document


class Part(BaseModel):
    clips: int


class Note(Document):
    remedy: ClassVar[str] = "write it again"

    version: Literal[2] = 2
    name: str
    score: float
    parts: tuple[Part, ...] = ()


def test_what_is_written_is_read(tmp_path: Path) -> None:
    note = Note(name="über", score=0.1, parts=(Part(clips=3),))
    note.write(tmp_path / "note.json")
    assert Note.read(tmp_path / "note.json") == note
    text = (tmp_path / "note.json").read_text("utf-8")
    assert list(json.loads(text)) == ["version", "name", "score", "parts"]
    assert "über" in text


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "note.json is damaged (not JSON: "),
        (b"\xff\xfe", "note.json is damaged (not JSON: "),
        (b"[" * 100_000, "note.json is damaged (not JSON: "),
        (b"[]", "note.json is damaged (the whole file: "),
        (b"{}", "note.json is damaged (it has no version): write it again"),
        (b'{"version": 3}', "version 3, this emohop reads version 2: use the version of emohop"),
        (b'{"version": true}', "version True, this emohop reads version 2"),
        (b'{"version": 2, "name": "a"}', "(score: field required): write it again"),
        (b'{"version": 2, "name": "a", "score": "1"}', "(score: "),
        (b'{"version": 2, "name": "a", "score": NaN}', "(score: "),
        (b'{"version": 2, "name": "a", "score": 1e999}', "(score: "),
        (b'{"version": 2, "name": "a", "score": 1, "parts": [{"clips": []}]}', "(parts.0.clips: "),
        (b'{"version": 2, "name": "a", "score": 1, "more": 1}', "(more: extra inputs"),
    ],
)
def test_a_damaged_or_newer_file_is_one_line_that_names_the_key(data: bytes, said: str) -> None:
    with pytest.raises(EmohopError) as error:
        Note.parse(data, "note.json")
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(EmohopError, match=r"note\.json cannot be read .*: write it again"):
        Note.read(tmp_path / "note.json")


def test_nan_is_not_written(tmp_path: Path) -> None:
    note = Note.model_construct(name="a", score=float("nan"))
    with pytest.raises(EmohopError, match="would hold NaN or infinity"):
        note.write(tmp_path / "note.json")
    assert list(tmp_path.iterdir()) == []
