"""Finding a corpus's files, and reading its text files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from emohop.errors import CorpusError
from emohop.spelling import plain

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


def same_clip(path: Path, other: Path) -> CorpusError:
    """The error for two files of one clip."""
    return CorpusError(f"{path} is the same clip as {other}: keep one")


def by_stem(paths: Iterable[Path]) -> dict[str, Path]:
    """Files by their names without endings; CorpusError for two of one name."""
    found: dict[str, Path] = {}
    for path in paths:
        if path.stem in found:
            raise same_clip(path, found[path.stem])
        found[path.stem] = path
    return found


def shown(names: Iterable[str], most: int = _SHOWN_NAMES) -> str:
    """The first names of a list, and how many more there are."""
    names = list(names)
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "") or "nothing"


def media_files(folder: Path, *kinds: str) -> Iterator[Path]:
    """The files of these endings in a folder and below, by path.

    Names that start with a dot are passed over: many copies hold `._clip.wav`, which is not audio.
    Linked folders are read as if they lay there.
    """
    for path in sorted(_files_below(folder, frozenset())):
        if path.suffix.lower() in kinds:
            yield path


def _files_below(folder: Path, above: frozenset[Path]) -> Iterator[Path]:
    """The files in a folder and below; links to folders are followed, but not in circles."""
    here = folder.resolve()
    if here in above:
        return
    try:
        with os.scandir(folder) as entries:
            found = [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise CorpusError(f"{folder}: cannot be read: {error.strerror}") from None
    for entry in found:
        if entry.is_dir():
            yield from _files_below(folder / entry.name, above | {here})
        elif entry.is_file():
            yield folder / entry.name


class Names:
    """Files by the names that tables give them, which may be spelled in another way."""

    def __init__(self) -> None:
        """Each folder is listed once, when a file is missing in it."""
        self._listed: dict[Path, dict[str, list[str]]] = {}

    def find(self, path: Path) -> Path:
        """The file of a path, or the only one whose name is the same but for its spelling.

        Case, composed and decomposed letters and quotation marks do not count (`spelling.plain`):
        names that a Mac wrote differ from those in a table. The path itself where there is none.
        """
        if path.exists() or path.parent == path:
            return path
        folder = self.find(path.parent)
        if folder not in self._listed:
            names: dict[str, list[str]] = {}
            for there in sorted(folder.iterdir()) if folder.is_dir() else ():
                names.setdefault(plain(there.name), []).append(there.name)
            self._listed[folder] = names
        alike = self._listed[folder].get(plain(path.name), [])
        return folder / (alike[0] if len(alike) == 1 else path.name)


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
