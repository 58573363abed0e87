"""One of train, dev and test: its arrays, checked; the big ones stay in their files."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emohop.clips import Split
from emohop.errors import EmohopError
from emohop.release_arrays.layout import (
    AUDIO,
    AUDIO_LENGTH,
    AUDIO_LENGTH_2018,
    LABEL,
    PROSODY,
    TEXT,
    VIDEO,
    VIDEO_LENGTH,
    file_name,
)

Numbers = NDArray[np.int64]
_KINDS = {"f": "floating-point", "iu": "whole"}


@dataclass(frozen=True, slots=True)
class SplitArrays:
    """The clips of train, dev or test.

    `labels` is int64 [clips], `words` int64 [clips, words]; `lengths` maps audio, text and video
    to the valid steps of each clip, int64 [clips]; `files` maps audio, prosody and video to their
    files and `sizes` to the numbers in a frame.
    """

    name: Split
    labels: Numbers
    words: Numbers
    lengths: Mapping[str, Numbers]
    files: Mapping[str, Path]
    sizes: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.labels)

    def arrays(self, rows: range) -> Iterator[dict[str, NDArray[Any]]]:
        """The arrays of some clips: word numbers, and float32 copies of the valid frames.

        The files are mapped for these clips only. EmohopError names a frame that is not finite.
        """
        mapped = {name: _mapped(path) for name, path in self.files.items()}
        for row in rows:
            text = self.words[row, : self.lengths["text"][row]]
            yield {
                "text": text,
                **{name: self._valid(name, mapped[name], row) for name in self.files},
            }

    def _valid(self, name: str, array: NDArray[Any], row: int) -> NDArray[np.float32]:
        frames = array[row, : self.lengths[name][row]] if name in self.lengths else array[row]
        with np.errstate(over="ignore"):  # too large for float32 is infinity, said below
            valid: NDArray[np.float32] = frames.astype(np.float32)
        if not np.isfinite(valid).all():
            raise EmohopError(
                f"{self.files[name]} row {row}: NaN or infinity among its valid numbers: mend it, "
                "or take the clip out of every array"
            )
        return valid


def read_part(folder: Path, split: Split, vocabulary: int) -> SplitArrays:
    """Read and check a split: all but the frames, which are checked as they are read.

    EmohopError names the file, and the row, of whatever is missing, of another shape or kind, or
    out of range; `vocabulary` is the count of words.
    """
    label_file = folder / file_name(split, LABEL)
    labels = _numbers(label_file, 1)
    if not len(labels):
        raise EmohopError(f"{label_file} holds no clips: at least one is needed in {split}")
    for row in np.flatnonzero(labels < 0)[:1]:
        raise EmohopError(f"{label_file} row {row}: label {labels[row]}: 0 or more is expected")
    files = {"audio": folder / file_name(split, AUDIO)}
    if _any_split(folder, PROSODY):
        files["prosody"] = folder / file_name(split, PROSODY)
    if _any_split(folder, VIDEO) or _any_split(folder, VIDEO_LENGTH):
        files["video"] = folder / file_name(split, VIDEO)
    shapes = {name: _shape(path, 2 if name == "prosody" else 3) for name, path in files.items()}
    text_file = folder / file_name(split, TEXT)
    words = _numbers(text_file, 2)
    for path, count in ((text_file, len(words)), *((files[n], shapes[n][0]) for n in files)):
        _check_rows(path, count, label_file, len(labels))
    lengths = {"text": _text_lengths(text_file, words, vocabulary)}
    length_files = {"audio": _audio_lengths(folder, split), "video": VIDEO_LENGTH}
    for name in files:
        if name in length_files:
            path = folder / file_name(split, length_files[name])
            lengths[name] = _lengths(path, label_file, len(labels), shapes[name][1])
    sizes = {name: shape[-1] for name, shape in shapes.items()}
    return SplitArrays(split, labels, words, lengths, files, sizes)


def _any_split(folder: Path, array: str) -> bool:
    return any((folder / file_name(split, array)).exists() for split in ("train", "dev", "test"))


def _audio_lengths(folder: Path, split: str) -> str:
    """The name of 2019, unless only that of 2018 is there."""
    of_2018 = (folder / file_name(split, AUDIO_LENGTH_2018)).exists()
    of_2019 = (folder / file_name(split, AUDIO_LENGTH)).exists()
    return AUDIO_LENGTH_2018 if of_2018 and not of_2019 else AUDIO_LENGTH


def _mapped(path: Path) -> NDArray[Any]:
    """An .npy file mapped for reading; objects, which would be unpickled, are refused."""
    if not path.is_file():
        raise EmohopError(f"no {path.name} in {path.parent}: see docs/release-arrays.md")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*created on Python 2.*")
            array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        reason = " ".join(str(error).split())
        raise EmohopError(f"{path} is not an .npy array of numbers ({reason})") from None
    if not isinstance(array, np.ndarray):
        array.close()
        raise EmohopError(f"{path} is an archive: a single .npy array is expected")
    return array


def _checked(path: Path, dimensions: int, kinds: str) -> NDArray[Any]:
    array = _mapped(path)
    if array.ndim != dimensions or 0 in array.shape[1:]:
        raise EmohopError(
            f"{path} has the shape {list(array.shape)}: {dimensions} dimensions, clips first, "
            "none of the others 0, are expected"
        )
    if array.dtype.kind not in kinds:
        raise EmohopError(f"{path} holds {array.dtype}: {_KINDS[kinds]} numbers are expected")
    return array


def _numbers(path: Path, dimensions: int) -> Numbers:
    return np.array(_checked(path, dimensions, "iu"), dtype=np.int64)


def _shape(path: Path, dimensions: int) -> tuple[int, ...]:
    return _checked(path, dimensions, "f").shape


def _check_rows(path: Path, count: int, label_file: Path, labels: int) -> None:
    if count != labels:
        raise EmohopError(f"{path} holds {count} clips and {label_file.name} {labels}: make equal")


def _lengths(path: Path, label_file: Path, labels: int, stored: int) -> Numbers:
    lengths = _numbers(path, 1)
    _check_rows(path, len(lengths), label_file, labels)
    for row in np.flatnonzero(lengths < 0)[:1]:
        raise EmohopError(f"{path} row {row}: {lengths[row]} steps: 0 or more are expected")
    return np.minimum(lengths, stored)


def _text_lengths(path: Path, words: Numbers, vocabulary: int) -> Numbers:
    """The place of each row's first 0; every number before it must be a word's."""
    padding = words == 0
    ends = padding.argmax(axis=1).astype(np.int64)
    lengths: Numbers = np.where(padding.any(axis=1), ends, words.shape[1])
    valid = np.arange(words.shape[1]) < lengths[:, None]
    for row, place in np.argwhere(valid & ((words < 0) | (words >= vocabulary)))[:1]:
        raise EmohopError(
            f"{path} row {row}: word number {words[row, place]}: the dictionary has "
            f"0..{vocabulary - 1}"
        )
    return lengths


def read_matrix(path: Path, words: int) -> NDArray[np.float32]:
    """Word vectors, float32 [words, size], row 0 (padding) all 0."""
    stored = _checked(path, 2, "f")
    if len(stored) != words:
        raise EmohopError(f"{path} has {len(stored)} rows: one for each of {words} words is needed")
    with np.errstate(over="ignore"):
        matrix: NDArray[np.float32] = stored.astype(np.float32)
    for row in np.flatnonzero(~np.isfinite(matrix).all(axis=1))[:1]:
        raise EmohopError(f"{path} row {row}: NaN or infinity where numbers are expected")
    matrix[0] = 0
    return matrix
