"""Files are put in place whole or not at all."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from emohop.files import replacing, sha256, write_text


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "first\n")
    with pytest.raises(ZeroDivisionError):
        write_half(path)
    assert path.read_text() == "first\n"
    assert list(tmp_path.iterdir()) == [path]


def write_half(path: Path) -> None:
    with replacing(path) as file:
        file.write(b"half")
        file.write(b"!" * (1 // 0))


def test_checksum(tmp_path: Path) -> None:
    path = tmp_path / "b"
    path.write_bytes(b"x" * 3_000_000)
    assert sha256(path) == hashlib.sha256(b"x" * 3_000_000).hexdigest()
