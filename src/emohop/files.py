"""Files that are put in place whole or not at all."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_LONE = re.compile("[\ud800-\udfff]")  # what Python makes of a byte that is not UTF-8


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write that takes `path`'s place when the block ends well.

    What stood there stays until then, and stays for good when the block raises or the machine
    stops. The temporary name starts with a dot and holds the process number.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        error.filename = error.filename or str(path)  # a full disk does not name the file
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Put a whole UTF-8 text file in place."""
    with replacing(path) as file:
        file.write(text.encode("utf-8"))


def csv_text(header: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """A table as CSV; what is None is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def sha256(path: Path) -> str:
    """The checksum of a file, as hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def printable(text: str) -> str:
    r"""A text in which names may stand that are not UTF-8: their other bytes are shown as \xe9.

    Example:
        >>> from emohop.files import printable
        >>> printable("caf\udce9.wav")
        'caf\\xe9.wav'
    """
    return _LONE.sub(lambda found: rf"\x{ord(found[0]) & 0xFF:02x}", text)
