"""The files that a command is given: names, folders, patterns, standard input, addresses."""

from __future__ import annotations

import glob
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from emohop.corpora.files import AUDIO_ENDINGS, VIDEO_ENDINGS
from emohop.errors import EmohopError
from emohop.files import printable

STDIN = "-"
"""Standard input: audio or video, or a list of files, a line each."""
HEAD_BYTES = 4096
"""Of standard input, what tells a list from media."""
MOST_REMOTE_BYTES = 4 << 30
ENDINGS = (
    *AUDIO_ENDINGS, *VIDEO_ENDINGS, ".3gp", ".amr", ".au", ".caf", ".m2ts", ".m4b", ".mka", ".mts",
    ".mxf", ".oga", ".ogv", ".ts", ".vob", ".w64", ".wv",
)  # fmt: skip
"""Of files in a folder that are taken for audio or video."""


@dataclass
class GivenFiles:
    """The files of a command line, where they lie, and what is wrong with some."""

    paths: list[Path] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    """What a file is called that lies in a temporary place."""
    faults: list[str] = field(default_factory=list)

    def name(self, path: str) -> str:
        """What to call a file."""
        return printable(self.names.get(path, path))


@contextmanager
def given_files(
    given: Sequence[str], *, recursive: bool = False, allow_remote: bool = False
) -> Iterator[GivenFiles]:
    """The files that arguments stand for; what was fetched for them is deleted in the end.

    A folder stands for the audio and video in it, by their endings, with `recursive` also for that
    of the folders in it; a pattern such as `calls/*.wav` for the files that it fits.

    Raises:
        EmohopError: an address without `allow_remote`, or one of an unknown kind.
    """
    found = GivenFiles()
    with TemporaryDirectory(prefix="emohop-") as place:
        for one in given:
            _add(found, one, Path(place), recursive, allow_remote)
        found.paths = list(dict.fromkeys(found.paths))
        yield found


def _add(found: GivenFiles, one: str, place: Path, recursive: bool, allow_remote: bool) -> None:
    path = Path(one)
    if one == STDIN:
        _add_stdin(found, place)
    elif "://" in one and not path.exists():
        if not allow_remote:
            raise EmohopError(
                f"{one} is an address: say --allow-remote to fetch it, or download it"
            )
        _fetch(found, one, place / str(len(found.names)))
    elif path.is_dir():
        inside = _in_folder(path, recursive)
        if not inside:
            deeper = "" if recursive else " (--recursive looks into its folders)"
            found.faults.append(f"{one}: holds no audio or video files{deeper}")
        found.paths += inside
    elif not path.exists() and glob.has_magic(one):
        names = sorted(glob.glob(one, recursive=True))  # noqa: PTH207  (of any root)
        fitting = [path for name in names if (path := Path(name)).is_file()]
        if not fitting:
            found.faults.append(f"{one}: no file fits this pattern")
        found.paths += fitting
    else:
        found.paths.append(path)


def _in_folder(folder: Path, recursive: bool) -> list[Path]:
    files = folder.rglob("*") if recursive else folder.iterdir()
    return sorted(
        path
        for path in files
        if path.suffix.lower() in ENDINGS and not path.name.startswith(".") and path.is_file()
    )


def _add_stdin(found: GivenFiles, place: Path) -> None:
    """What comes on standard input: a list of files if it is lines of text, else one file."""
    head = sys.stdin.buffer.read(HEAD_BYTES)
    if not head:
        raise EmohopError(
            "-: standard input is empty: pipe audio, video or a list of files into it"
        )
    if b"\0" not in head and _is_text(head):
        lines = os.fsdecode(head + sys.stdin.buffer.read()).splitlines()
        found.paths += [Path(line) for line in lines if line.strip()]
        return
    path = place / "stdin"
    with path.open("wb") as file:
        file.write(head)
        shutil.copyfileobj(sys.stdin.buffer, file)
    found.names[str(path)] = STDIN
    found.paths.append(path)


def _is_text(head: bytes) -> bool:
    """Whether bytes are printable lines; names need not be UTF-8."""
    text = head.decode("utf-8", "replace")
    return all(sign.isprintable() or sign in "\r\n\t" for sign in text) and (
        text.count("\ufffd") <= len(text) // 4
    )


def _fetch(found: GivenFiles, address: str, path: Path) -> None:
    """Copy a file from an address that fsspec knows; what goes wrong is that file's fault."""
    import fsspec

    protocol = address.partition("://")[0]
    if "::" in address or protocol not in fsspec.available_protocols():
        raise EmohopError(
            f"{address}: no address of a kind that fsspec knows, such as https, s3, gs"
        )
    try:
        with fsspec.open(address, "rb") as source, path.open("wb") as file:
            while block := source.read(1 << 20):
                file.write(block)
                if file.tell() > MOST_REMOTE_BYTES:
                    raise ValueError(f"over {MOST_REMOTE_BYTES >> 30} GB")
    except ImportError as error:
        raise EmohopError(f"{address}: {error}") from None
    except Exception as error:  # of whichever library fetches
        found.faults.append(
            f"{address} cannot be fetched: {' '.join(str(error).split()) or error!r}"
        )
        return
    found.names[str(path)] = address
    found.paths.append(path)
