"""Where a command writes to, looked at before it works: what cannot be written is said first."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from emohop.errors import EmohopError


def check_output_file(path: Path | None, option: str, endings: Sequence[str] = ()) -> None:
    """EmohopError unless a file can be written at `path`; None is not asked for."""
    if path is None:
        return
    if endings and path.suffix.lower() not in endings:
        raise EmohopError(f"{option} {path}: a file that ends in {', '.join(endings)}")
    if path.is_dir():
        raise EmohopError(f"{option} {path} is a folder: give a file")
    if not path.parent.is_dir():
        raise EmohopError(f"{option} {path}: there is no folder {path.parent}")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise EmohopError(f"{option} {path} cannot be written: choose another place")


def check_output_folder(path: Path | None, option: str) -> None:
    """EmohopError unless a folder can be made at `path`, or written to; None is not asked for."""
    if path is None:
        return
    there = path.absolute()
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        raise EmohopError(f"{option} {path}: {there} is a file, not a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise EmohopError(f"{option} {path} cannot be written: {there} is closed to you")
