"""The word vectors that a corpus brings along: a list of words and a matrix beside the shards."""

from __future__ import annotations

import json
import tokenize
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emohop.errors import EmohopError, brief
from emohop.files import replacing, sha256, write_text
from emohop.storage.manifest import MATRIX, WORDS, VectorFiles

_BAD_HEADER = (SyntaxError, tokenize.TokenError, EOFError, OverflowError, Warning)  # numpy's


def write_vectors(folder: Path, words: Sequence[str], matrix: NDArray[np.float32]) -> VectorFiles:
    """Write words and their vectors, float32 [words, size]; row i belongs to word i."""
    write_text(folder / WORDS, json.dumps(list(words), indent=0, ensure_ascii=False) + "\n")
    with replacing(folder / MATRIX) as file:
        np.save(file, np.ascontiguousarray(matrix, np.float32), allow_pickle=False)
    sums = [sha256(folder / name) for name in (WORDS, MATRIX)]
    return VectorFiles(
        words=len(words), size=matrix.shape[1], words_sha256=sums[0], matrix_sha256=sums[1]
    )


def read_vectors(folder: Path, files: VectorFiles) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """Words and their vectors, a map of the file; EmohopError when they are damaged."""
    try:
        words = tuple(map(str, json.loads((folder / WORDS).read_text("utf-8"))))
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # numpy takes a damaged header for one of Python 2
            matrix = np.lib.format.open_memmap(folder / MATRIX, "r")
    except (OSError, ValueError, TypeError, RecursionError, *_BAD_HEADER) as error:
        reason = brief(error)
        raise EmohopError(
            f"{folder}: its word vectors cannot be read ({reason}): make it anew"
        ) from None
    shape = (files.words, files.size)
    if len(words) != files.words or matrix.shape != shape or matrix.dtype != np.float32:
        raise EmohopError(f"{folder}: its word vectors are not those of its manifest: make it anew")
    if not np.isfinite(matrix).all():
        raise EmohopError(f"{folder}: its word vectors hold NaN or infinity: make it anew")
    return words, matrix
