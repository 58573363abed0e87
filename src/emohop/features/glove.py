"""Word vectors in GloVe's text format, read in one pass without holding the file."""

from __future__ import annotations

import gzip
import itertools
import zipfile
import zlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, cast

import numpy as np
from numpy.typing import NDArray

from emohop.errors import EmohopError, brief

_HEAD = 32  # lines that settle the dimension
_LONGEST = 1 << 20  # bytes of a line, which a packed file could make of next to nothing


def read_glove(
    path: str | Path, words: Collection[str], dim: int | None = None
) -> dict[str, NDArray[np.float32]]:
    """The vectors, each [dim], of those `words` that a GloVe text file holds.

    A line is a word, which may hold spaces, and its numbers, parted by single spaces; the
    dimension is found from the first lines. A word2vec header (`words dim`) is passed over. The
    file may be plain, `.gz`, or a `.zip` with one text file or, given `dim`, one `*.{dim}d.txt`.
    Of a word that occurs twice the first vector counts, and reading stops when all are found.
    Raises EmohopError, with path and line, for lines of wanted words that are malformed or of
    another dimension, a last line that is cut off, and a file whose dimension is not `dim`.
    """
    path = Path(path)
    wanted = {word.encode("utf-8"): word for word in words}
    try:
        with ExitStack() as stack:
            return _read(_open(path, dim, stack), path, wanted, dim)
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise EmohopError(f"word vectors {path} cannot be read: {brief(reason)}") from None


def _open(path: Path, dim: int | None, stack: ExitStack) -> IO[bytes]:
    if path.suffix == ".gz":
        return cast(IO[bytes], stack.enter_context(gzip.open(path, "rb")))
    if path.suffix != ".zip":
        return stack.enter_context(path.open("rb"))
    try:
        archive = stack.enter_context(zipfile.ZipFile(path))
    except UnicodeDecodeError as error:
        raise EmohopError(f"{path} cannot be unpacked ({brief(error)}): unpack it") from None
    names = [name for name in archive.namelist() if name.endswith(".txt")]
    if len(names) > 1 and dim is not None:
        names = [name for name in names if name.endswith(f".{dim}d.txt")] or names
    if len(names) != 1:
        held = brief(", ".join(archive.namelist()[:8]) or "nothing")
        raise EmohopError(f"{path} holds {held}: unpack it and name one .txt file")
    try:
        return stack.enter_context(archive.open(names[0]))
    except (RuntimeError, UnicodeDecodeError) as error:  # encrypted, packed in another way, damaged
        raise EmohopError(f"{path} cannot be unpacked ({brief(error)}): unpack it") from None


def _lines(file: IO[bytes], path: Path) -> Iterator[bytes]:
    while line := file.readline(_LONGEST):
        if len(line) == _LONGEST:
            raise EmohopError(f"{path} has a line of more than {_LONGEST} bytes: no word vectors")
        yield line


def _read(
    file: IO[bytes], path: Path, wanted: Mapping[bytes, str], expected: int | None
) -> dict[str, NDArray[np.float32]]:
    lines = _lines(file, path)
    head = list(itertools.islice(lines, _HEAD))
    header = _header(head)
    dim = _dimension(head[header:])
    if dim is None:
        raise EmohopError(f"{path} holds no word vectors: lines of a word and numbers are expected")
    if expected is not None and dim != expected:
        raise EmohopError(
            f"{path} has vectors of {dim} numbers, not {expected}: set model.text.embedding={dim} "
            "or use another file"
        )
    first_pieces = {word.split(b" ", 1)[0] for word in wanted}
    vectors: dict[str, NDArray[np.float32]] = {}
    line, number = b"", 0
    for number, line in _numbered(head, lines, header):
        # most lines end here, before anything of them is parsed
        if line[: line.find(b" ")] not in first_pieces:
            continue
        pieces = line.rstrip(b"\r\n ").rsplit(b" ", dim)
        word = wanted.get(pieces[0])
        if word is None:
            _refuse_other_dimension(pieces, wanted, dim, f"{path} line {number}")
        elif word not in vectors:
            vectors[word] = _vector(pieces, dim, f"{path} line {number}")
            if len(vectors) == len(wanted):
                return vectors
    if line.strip() and len(line.rstrip(b"\r\n ").rsplit(b" ", dim)) <= dim:
        raise EmohopError(f"{path} line {number}: fewer than {dim} numbers; is the file cut off?")
    return vectors


def _numbered(head: list[bytes], rest: Iterator[bytes], header: int) -> Iterator[tuple[int, bytes]]:
    lines = enumerate(itertools.chain(head, rest), start=1)
    return itertools.islice(lines, header, None)


def _header(head: list[bytes]) -> int:
    """1 when the first line is word2vec's `words dim`, else 0."""
    pieces = head[0].split() if head else []
    counts = len(pieces) == 2 and all(piece.isdigit() for piece in pieces)
    return int(counts and len(head) > 1 and _dimension(head[1:]) == int(pieces[1]))


def _dimension(head: list[bytes]) -> int | None:
    """The most frequent count of numbers at the end of a line, the earliest of equals."""
    counts = Counter(_trailing_numbers(line) for line in head)
    del counts[0]
    return counts.most_common(1)[0][0] if counts else None


def _trailing_numbers(line: bytes) -> int:
    """How many pieces are numbers, counted from the end; the first piece is part of the word."""
    pieces = line.rstrip(b"\r\n ").split(b" ")[1:]
    return sum(1 for _ in itertools.takewhile(_is_number, reversed(pieces)))


def _is_number(piece: bytes) -> bool:
    try:
        float(piece)
    except ValueError:
        return False
    return True


def _vector(pieces: list[bytes], dim: int, where: str) -> NDArray[np.float32]:
    if len(pieces) != dim + 1:
        raise EmohopError(f"{where}: {len(pieces) - 1} numbers, the file began with {dim}")
    try:
        vector = np.array([float(piece) for piece in pieces[1:]], dtype=np.float32)
    except ValueError as error:
        raise EmohopError(f"{where}: {brief(error)}") from None
    if not np.isfinite(vector).all():
        raise EmohopError(f"{where}: the vector holds NaN or infinity")
    return vector


def _refuse_other_dimension(
    pieces: list[bytes], wanted: Mapping[bytes, str], dim: int, where: str
) -> None:
    """Tell a wanted word with numbers too many (`the 0.1 …`) from a word with spaces (`. . .`).

    A word that is itself a number says nothing: `1 2` may be one word.
    """
    word, *rest = pieces[0].split(b" ")
    if word in wanted and not _is_number(word) and all(map(_is_number, rest)):
        raise EmohopError(f"{where}: {dim + len(rest)} numbers, the file began with {dim}")
