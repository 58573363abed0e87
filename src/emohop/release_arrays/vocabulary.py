"""`dic.pkl`: the numbered words, read without running what a pickle may carry."""

from __future__ import annotations

import io
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from emohop.errors import EmohopError
from emohop.features.text import RESERVED

_WANTED = "a pickled dict of words and their numbers, _PAD_ 0 and _UNK_ 1 among them, is expected"


class _PlainUnpickler(pickle._Unpickler):
    """Knows the built-in kinds only: a pickle that names anything to be called is refused.

    It is the unpickler in Python: the one in C lets nine bytes ask for gigabytes of memory.
    """

    def find_class(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not run")


def read_dictionary(path: Path) -> tuple[str, ...]:
    """The words of a `dic.pkl` in the order of their numbers; EmohopError for any other pickle."""
    if not path.is_file():
        raise EmohopError(f"no {path.name} in {path.parent}: {_WANTED}")
    numbers = _load(path.read_bytes(), path)
    if not isinstance(numbers, dict):
        raise EmohopError(f"{path} holds a {type(numbers).__name__}: {_WANTED}")
    for word, number in numbers.items():
        if type(word) is not str or type(number) is not int:
            kinds = f"{type(word).__name__} with {type(number).__name__}"
            raise EmohopError(f"{path} holds {kinds}: {_WANTED}")
        if "\0" in word or word != word.encode("utf-8", "ignore").decode("utf-8"):
            raise EmohopError(f"{path}: the word {word!r} is not text: take it out")
    words = tuple(sorted(numbers, key=lambda word: numbers[word]))
    if [numbers[word] for word in words] != list(range(len(words))):
        raise EmohopError(f"{path}: its {len(words)} words are not numbered 0..{len(words) - 1}")
    if words[:2] != RESERVED:
        first = " ".join(map(repr, words[:2]))
        raise EmohopError(f"{path}: numbers 0 and 1 are {first}: {_WANTED}")
    return words


def _load(stored: bytes, path: Path) -> object:
    """Python 2 wrote words as bytes: UTF-8, or Latin-1 where they are not."""
    for encoding in ("utf-8", "latin-1"):
        try:
            return _PlainUnpickler(io.BytesIO(stored), encoding=encoding).load()
        except UnicodeDecodeError:
            continue
        except Exception as error:  # whatever a damaged pickle makes of itself: there is no list
            reason = " ".join(str(error).split()) or type(error).__name__
            raise EmohopError(f"{path} cannot be read ({reason}): {_WANTED}") from None
    raise EmohopError(f"{path} cannot be read: {_WANTED}")


def write_dictionary(path: Path, words: Sequence[str]) -> None:
    """Write words with their numbers, in a form that Python 2 reads too."""
    numbers = {word: number for number, word in enumerate(words)}
    path.write_bytes(pickle.dumps(numbers, protocol=2))
