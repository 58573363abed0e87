"""What a model has learned from: hashes of its clips, by which they are known again anywhere.

Beside a model's weights lies one file of sorted 64-bit hashes (`content`), of the training, dev and
test clips that its fold had: no id, word or sample can be read in it. A clip is known by its
recording, whatever corpus, reader, folder, precision or class set it comes under.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emohop.clips import MODALITIES
from emohop.content import Content, hash_names
from emohop.documents import Block
from emohop.errors import brief
from emohop.files import replacing

LEARNED = "learned.safetensors"
"""The name of the file, in the folder of a model or of a finetuned encoder."""

Hashes = NDArray[np.uint64]
_PARTS = ("train", "dev", "test", "rest")
_KINDS = ("id", "audio", "text", "video")
_SPEAKERS = "speakers"


class ClipPart(IntEnum):
    """What a clip is to a model: unseen, one of its fold's parts, or of its corpus and in none."""

    NEW = 0
    TRAIN = 1
    DEV = 2
    TEST = 3
    REST = 4


@dataclass(frozen=True, slots=True, eq=False)
class ClipHashes:
    """Hashes of clips, uint64 [clips] each; 0 stands for what a clip has not.

    `id` and `speaker` are within the corpus that the clip was read from.
    """

    id: Hashes
    audio: Hashes
    text: Hashes
    video: Hashes
    speaker: Hashes

    @classmethod
    def of(
        cls,
        corpus: str,
        ids: Sequence[str],
        speakers: Sequence[str | None],
        contents: Sequence[Content],
    ) -> ClipHashes:
        """Of the clips of a corpus."""
        audio, text, video = (
            np.array([getattr(c, kind) or 0 for c in contents], np.uint64) for kind in _KINDS[1:]
        )
        return cls(hash_names(corpus, ids), audio, text, video, hash_names(corpus, speakers))

    def __len__(self) -> int:
        return len(self.id)


class LearnedFile(Block):
    """What `model.json` says of the file of hashes beside it."""

    sha256: str
    train: int
    """Clips that the model was trained on,"""
    dev: int
    """and those that its epoch was chosen on."""


@dataclass(frozen=True, eq=False)
class LearnedClips:
    """The clips of a fold by sorted hashes; `tables` are by part and kind, as `train.audio`."""

    tables: Mapping[str, Hashes]
    counts: tuple[int, int]
    """Clips of train and of dev."""

    @classmethod
    def of(cls, clips: ClipHashes, parts: Sequence[Sequence[int]]) -> LearnedClips:
        """Of the rows of train, dev and test; all others are in none."""
        taken = np.zeros(len(clips), bool)
        for rows in parts:
            taken[np.asarray(rows, dtype=np.int64)] = True
        tables = {}
        for part, rows in zip(_PARTS, [*parts, np.flatnonzero(~taken).tolist()], strict=True):
            chosen = np.asarray(rows, dtype=np.int64)
            for kind in _KINDS:
                tables[f"{part}.{kind}"] = _sorted(getattr(clips, kind)[chosen])
        heard = np.concatenate([np.asarray(rows, dtype=np.int64) for rows in parts[:2]])
        tables[_SPEAKERS] = _sorted(clips.speaker[heard])
        return cls(tables, (len(parts[0]), len(parts[1])))

    def beside(self, other: LearnedClips) -> LearnedClips:
        """What has learned from these clips, and before that from `other` ones."""
        tables = {
            name: table if name.startswith("rest") else _sorted(np.r_[table, other.tables[name]])
            for name, table in self.tables.items()
        }
        train, dev = (a + b for a, b in zip(self.counts, other.counts, strict=True))
        return LearnedClips(tables, (train, dev))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LearnedClips) and self.to_bytes() == other.to_bytes()

    __hash__ = None  # type: ignore[assignment]

    def to_bytes(self) -> bytes:
        """As a safetensors file; the same clips, the same bytes."""
        from safetensors.numpy import save

        return bytes(save(dict(sorted(self.tables.items()))))

    def write(self, folder: Path) -> LearnedFile:
        """Put the file into a folder; what is to be said of it there."""
        data = self.to_bytes()
        with replacing(folder / LEARNED) as file:
            file.write(data)
        return self.described(data)

    def described(self, data: bytes) -> LearnedFile:
        """What `model.json` says of its bytes."""
        sha256 = hashlib.sha256(data).hexdigest()
        return LearnedFile(sha256=sha256, train=self.counts[0], dev=self.counts[1])

    @classmethod
    def from_bytes(cls, data: bytes, told: LearnedFile) -> LearnedClips:
        """The inverse; ValueError when the bytes are damaged or are not those `told` of."""
        from safetensors import SafetensorError
        from safetensors.numpy import load

        if hashlib.sha256(data).hexdigest() != told.sha256:
            raise ValueError("it is damaged, or another model's")
        try:
            tables = load(data)
        except SafetensorError as error:
            raise ValueError(brief(error)) from None
        names = {_SPEAKERS, *(f"{part}.{kind}" for part in _PARTS for kind in _KINDS)}
        if tables.keys() != names or any(t.dtype != np.uint64 for t in tables.values()):
            raise ValueError("it does not hold the hashes of clips")
        return cls(tables, (told.train, told.dev))

    def find(self, clips: ClipHashes) -> NDArray[np.int8]:
        """What each of these clips is to the model, as `ClipPart` [clips].

        A clip is known by its audio, or by its frames where one side has no audio; by id and
        transcript where neither can be compared. Then, where most clips that have an id of the
        model's are its clips, the others of such ids are too: a clip whose file was mended. Where
        there is nothing but sentences, one that it was trained on is known, whoever says it.
        """
        comparable, same = self._by_content(clips)
        by_id = {part: self._in(part, "id", clips.id) for part in _PARTS}
        said = {part: self._in(part, "text", clips.text) for part in _PARTS}
        found = np.zeros(len(clips), np.int8)
        for number, part in enumerate(_PARTS, 1):
            without = ~comparable & by_id[part] & (said[part] | (clips.text == 0))
            _mark(found, same[part] | without, number)
        if self._ids_tell(clips, found):
            for number, part in enumerate(_PARTS, 1):
                _mark(found, by_id[part], number)
        for number, part in enumerate(_PARTS[:2], 1):
            _mark(found, ~comparable & said[part], number)
        return found

    def dropped(self, clips: ClipHashes, found: NDArray[np.int8]) -> NDArray[np.bool_]:
        """Which clips of the model's own corpus are in none of its parts, copies included.

        bool [clips]; `found` is what `find` says of them.
        """
        none = self._in("rest", "id", clips.id)
        return np.asarray(none & self._ids_tell(clips, found) & (found != ClipPart.TRAIN))

    def same_names(self, clips: ClipHashes) -> NDArray[np.bool_]:
        """Which clips have the id of one that the model learned from, bool [clips]."""
        return self._in("train", "id", clips.id) | self._in("dev", "id", clips.id)

    def knows_speakers(self, clips: ClipHashes) -> NDArray[np.bool_]:
        """Which clips are of a speaker, by name, that the model learned from, bool [clips]."""
        return _isin(clips.speaker, self.tables[_SPEAKERS])

    def _by_content(
        self, clips: ClipHashes
    ) -> tuple[NDArray[np.bool_], dict[str, NDArray[np.bool_]]]:
        """Where recordings can be compared, and which are the same as one of each part."""
        audio, video = (
            self._any[kind] & (getattr(clips, kind) != 0) for kind in ("audio", "video")
        )
        same = {
            part: np.where(
                audio,
                self._in(part, "audio", clips.audio),
                video & self._in(part, "video", clips.video),
            )
            for part in _PARTS
        }
        return audio | video, same

    def _ids_tell(self, clips: ClipHashes, found: NDArray[np.int8]) -> bool:
        """Whether ids are the model's own: most clips that have one are known otherwise too."""
        named, sure = np.zeros(len(clips), bool), np.zeros(len(clips), bool)
        for number, part in enumerate(_PARTS, 1):
            mine = self._in(part, "id", clips.id)
            named |= mine
            sure |= mine & (found == number)
            sure |= mine & _telling(clips) & self._in(part, "text", clips.text)
        return bool(2 * sure.sum() > named.sum())

    @cached_property
    def _any(self) -> dict[str, bool]:
        """Whether the model's clips have audio, text and video at all."""
        kinds = (modality.value for modality in MODALITIES)
        return {kind: any(len(self.tables[f"{p}.{kind}"]) for p in _PARTS) for kind in kinds}

    def _in(self, part: str, kind: str, hashes: Hashes) -> NDArray[np.bool_]:
        return _isin(hashes, self.tables[f"{part}.{kind}"])


def _telling(clips: ClipHashes) -> NDArray[np.bool_]:
    """Which clips say a sentence that tells (`content.TELLING_WORDS`)."""
    return np.asarray(clips.text & np.uint64(1), dtype=bool)


def _sorted(hashes: Hashes) -> Hashes:
    found = np.unique(hashes)
    return np.ascontiguousarray(found[found != 0], "<u8")


def _isin(hashes: Hashes, table: Hashes) -> NDArray[np.bool_]:
    """Which hashes are in a sorted table; 0 never is."""
    if not len(table):
        return np.zeros(len(hashes), bool)
    at = np.minimum(np.searchsorted(table, hashes), len(table) - 1)
    return np.asarray(table[at] == hashes)


def _mark(found: NDArray[np.int8], which: NDArray[np.bool_], number: int) -> None:
    """Give clips that are not known yet a part."""
    found[which & (found == 0)] = number
