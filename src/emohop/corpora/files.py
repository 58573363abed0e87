"""Finding a corpus's files, and reading its text files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from emohop.errors import CorpusError

AUDIO_ENDINGS = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aac", ".aif", ".aiff", ".wma")
VIDEO_ENDINGS = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".flv", ".m4v", ".mpg", ".mpeg", ".wmv")
_SHOWN_NAMES = 5


def corpus_folder(folder: str | Path, expected: str) -> Path:
    """The folder itself, or CorpusError when there is none; `expected` says what to give."""
    folder = Path(folder)
    if not folder.is_dir():
        state = "is not a folder" if folder.exists() else "does not exist"
        raise CorpusError(f"{folder} {state}: give {expected}")
    return folder


def not_this_corpus(folder: Path, corpus: str, expected: str) -> CorpusError:
    """The error for a folder of something else: it names what was found there."""
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    return CorpusError(f"{folder} is not {corpus}: expected {expected}, found {shown(names)}")


def shown(names: Iterable[str], most: int = _SHOWN_NAMES) -> str:
    """The first names of a list, and how many more there are."""
    names = list(names)
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "") or "nothing"


def media_files(folder: Path, *kinds: str) -> Iterator[Path]:
    """The files of these endings in a folder and below, by path.

    Names that start with a dot are passed over: many copies hold `._clip.wav`, which is not audio.
    """
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() in kinds and not hidden and path.is_file():
            yield path


def read_text(path: Path) -> str:
    """A whole file as UTF-8, or as Latin-1 when it is not UTF-8."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")
