"""A prepared corpus becomes the .npy folder of the 2019 program: whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from emohop.clips import MODALITIES, Split
from emohop.config import TextEncoderSettings
from emohop.errors import EmohopError
from emohop.evaluation.splits import SPLITS, Fold, make_folds
from emohop.features.glove import read_glove
from emohop.features.text import Vocabulary, embedding_matrix
from emohop.processes import Progress
from emohop.release_arrays.layout import (
    AUDIO,
    AUDIO_LENGTH,
    DICTIONARY,
    EMBEDDING,
    LABEL,
    PROSODY,
    TEXT,
    VIDEO,
    VIDEO_LENGTH,
    chunks,
    file_name,
    release_labels,
    whole_folder,
)
from emohop.release_arrays.vocabulary import write_dictionary
from emohop.storage import PreparedCorpus, Row, open_prepared

AUDIO_STEPS, TEXT_STEPS, VIDEO_STEPS = 1000, 128, 32
"""Steps that the 2019 program stores of a clip; what is longer is cut off at its end."""
PROSODY_NUMBERS = 35


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: the fold, clips of each part, classes by number, the words' vectors."""

    fold: Fold
    clips: Mapping[Split, int]
    labels: tuple[str, ...]
    words: int
    vectors: str
    """Where the word vectors came from."""
    prosody: bool
    """Whether the corpus has prosody; else zeros stand in its place."""


def export_arrays(
    prepared: str | Path,
    folder: str | Path,
    *,
    protocol: str | None = None,
    fold: int = 0,
    glove: str | Path | None = None,
    progress: Progress | None = None,
) -> Exported:
    """Write one fold of a prepared corpus as the .npy folder of the 2019 program.

    Word vectors come from `glove`, else from the corpus, else they are drawn uniform in ±0.25.
    A corpus without prosody gives zeros there, which the program loads and never uses.
    Raises EmohopError for a corpus without audio, text or video, a fold that there is not, and a
    folder that is not empty.
    """
    corpus, folder = open_prepared(prepared), Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise EmohopError(f"{folder} exists and is not empty: choose a new folder")
    _check_has_all(corpus)
    chosen = _fold(corpus, protocol, fold)
    vocabulary = _vocabulary(corpus, chosen)
    matrix, vectors = _matrix(corpus, vocabulary, glove)
    labels = _label_order(corpus.manifest.labels)
    parts = dict(zip(SPLITS, (chosen.train, chosen.dev, chosen.test), strict=True))
    done, todo = 0, sum(map(len, parts.values()))
    with whole_folder(folder) as new:
        write_dictionary(new / DICTIONARY, vocabulary.tokens)
        np.save(new / EMBEDDING, matrix)
        for split, numbers in parts.items():
            part = _Part(new, split, len(numbers), corpus.manifest.sizes)
            for places in chunks(len(numbers)):
                rows = [corpus[int(numbers[place])] for place in places]
                part.write(places, rows, vocabulary, labels)
                done += len(rows)
                if progress is not None:
                    progress(done, todo)
    counts = {split: len(numbers) for split, numbers in parts.items()}
    prosody = "prosody" in corpus.manifest.sizes
    return Exported(chosen, counts, labels, len(vocabulary), vectors, prosody)


def _check_has_all(corpus: PreparedCorpus) -> None:
    """The program reads all three; what is missing must not become something invented."""
    manifest = corpus.manifest
    missing = [m.value for m in MODALITIES if m not in manifest.features.modalities]
    if missing:
        raise EmohopError(
            f"{corpus.folder} was prepared without {', '.join(missing)}, which the folder of the "
            "2019 program holds: prepare it with audio, text and video"
        )


def _fold(corpus: PreparedCorpus, protocol: str | None, number: int) -> Fold:
    folds = make_folds(protocol, corpus.metadata)
    if not 0 <= number < len(folds):
        raise EmohopError(f"no fold {number}: there are 0..{len(folds) - 1}")
    return folds[number]


def _vocabulary(corpus: PreparedCorpus, fold: Fold) -> Vocabulary:
    """The words that the corpus brings along, else those of the training part."""
    if corpus.word_vectors is not None:
        return Vocabulary(corpus.word_vectors[0])
    return Vocabulary.build(corpus[int(i)].text.tolist() for i in fold.train)


def _matrix(
    corpus: PreparedCorpus, vocabulary: Vocabulary, glove: str | Path | None
) -> tuple[NDArray[np.float32], str]:
    """Word vectors, float32 [words, size], and where they came from."""
    if glove is not None:
        vectors = read_glove(glove, vocabulary.tokens)
        if not vectors:
            raise EmohopError(f"{glove} holds none of the corpus's {len(vocabulary)} words")
        size = len(next(iter(vectors.values())))
        return embedding_matrix(vocabulary, vectors, size, seed=0), str(glove)
    if corpus.word_vectors is not None:
        return np.array(corpus.word_vectors[1]), "the corpus"
    size = TextEncoderSettings().embedding
    return embedding_matrix(vocabulary, {}, size, seed=0), "chance, uniform in ±0.25"


def _label_order(labels: tuple[str, ...]) -> tuple[str, ...]:
    """The classes in the order of the release's numbers, where they are its classes."""
    known = release_labels().get(len(labels))
    return known.labels if known is not None and set(known.labels) == set(labels) else labels


class _Part:
    """The files of one split, made full of zeros (as holes) and filled some clips at a time."""

    def __init__(self, folder: Path, split: Split, clips: int, sizes: Mapping[str, int]) -> None:
        kinds: dict[str, tuple[tuple[int, ...], Any]] = {
            AUDIO: ((clips, AUDIO_STEPS, sizes["audio"]), np.float32),
            PROSODY: ((clips, sizes.get("prosody", PROSODY_NUMBERS)), np.float32),
            VIDEO: ((clips, VIDEO_STEPS, sizes["video"]), np.float32),
            TEXT: ((clips, TEXT_STEPS), np.int64),
            AUDIO_LENGTH: ((clips,), np.int64),
            VIDEO_LENGTH: ((clips,), np.int64),
            LABEL: ((clips,), np.int64),
        }
        self.files = {name: folder / file_name(split, name) for name in kinds}
        for name, (shape, kind) in kinds.items():
            open_memmap(self.files[name], mode="w+", dtype=kind, shape=shape)

    def write(
        self, places: range, rows: Sequence[Row], vocabulary: Vocabulary, labels: Sequence[str]
    ) -> None:
        """Write clips to these places; mapping anew each time keeps few pages in memory."""
        files = {name: open_memmap(path, mode="r+") for name, path in self.files.items()}
        for place, row in zip(places, rows, strict=True):
            _fill(files[AUDIO][place], row.audio)
            _fill(files[VIDEO][place], row.video)
            _fill(files[TEXT][place], vocabulary.ids(row.text.tolist()))
            if "prosody" in row.arrays:
                files[PROSODY][place] = row.prosody
            files[AUDIO_LENGTH][place] = len(row.audio)
            files[VIDEO_LENGTH][place] = len(row.video)
            files[LABEL][place] = labels.index(row.label)


def _fill(stored: NDArray[Any], steps: NDArray[Any]) -> None:
    kept = min(len(stored), len(steps))
    stored[:kept] = steps[:kept]
