"""A prepared corpus: Arrow files with one row per clip, opened by memory map, and a manifest.

A row is ragged: it keeps its own number of frames and words. Opening a corpus reads the manifest
only; a shard is mapped when its first row is asked for. Going over all rows takes
the memory of some: pages that were read go back to the system now and then.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emohop.content import hash_name, hash_names
from emohop.errors import EmohopError
from emohop.learned import ClipHashes
from emohop.storage.backends import is_url
from emohop.storage.manifest import SHARDS, Manifest, Part, read_manifest
from emohop.storage.mmap import Pages, give_back, most_maps
from emohop.storage.reader import MappedShard, Row
from emohop.storage.shards import HASHES, METADATA
from emohop.storage.vectors import read_vectors


@dataclass(frozen=True)
class PreparedCorpus(Sequence[Row]):
    """The rows of a prepared corpus, in the corpus's order.

    Example:
        >>> corpus = emohop.open_prepared("demo/prepared")
        >>> corpus[0].arrays["audio"].dtype
        dtype('float32')
    """

    folder: Path
    manifest: Manifest
    visible: frozenset[int] | None = None
    """The rows whose metadata may be known; None is all. See `only`."""
    _open: dict[int, MappedShard] = field(default_factory=dict, repr=False)
    _pages: Pages = field(default_factory=Pages, repr=False)

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        i = int(index)
        if not -len(self) <= i < len(self):
            raise IndexError(f"row {i} of {len(self)}")
        i %= len(self)
        shard = bisect.bisect_right(self._ends, i)
        return self._row(self._shard(shard), i - (self._ends[shard - 1] if shard else 0))

    def __iter__(self) -> Iterator[Row]:
        for number, shard in enumerate(self.manifest.shards):
            mapped = self._shard(number)
            yield from (self._row(mapped, i) for i in range(shard.clips))

    def only(self, rows: Iterable[int]) -> PreparedCorpus:
        """The same corpus with its row numbers, and nothing known of other rows than these.

        Their metadata (label, speaker, id, …) are None, their votes cannot be read, and asking for
        one of them raises EmohopError.
        """
        return PreparedCorpus(self.folder, self.manifest, frozenset(int(row) for row in rows))

    def metadata(self, name: str) -> list[Any]:
        """One fact of every clip (`"label"`, `"speaker"`, …), without its arrays.

        `"recording"` is a number that copies of a recording share; clips of words alone share it
        where their own corpora give them one id and one sentence.
        """
        if name == "recording":
            return self._recordings()
        if name not in METADATA or name == "votes":
            raise EmohopError(f"no fact {name!r}: one of {', '.join(METADATA)}")
        values = []
        for number in range(len(self.manifest.shards)):
            shard = self._shard(number)
            values += shard.metadata[name]
            give_back([shard.pages])
        return values

    def _recordings(self) -> list[int | None]:
        audio, text, video = (self.metadata(name) for name in HASHES)
        recordings = [b if a is None else a for a, b in zip(audio, video, strict=True)]
        if self.visible is None and None in recordings:
            ids = [id_ for n in range(len(self.manifest.shards)) for id_ in self._own_ids(n)]
            recordings = [
                hash_name(ids[i], str(text[i])) if found is None and text[i] is not None else found
                for i, found in enumerate(recordings)
            ]
        return recordings

    def _own_ids(self, shard: int) -> list[str]:
        """Ids as the part of a joined corpus has them."""
        ids: list[str] = self._shard(shard).table["id"].to_pylist()
        return ids

    def hashes(self) -> ClipHashes:
        """What tells every clip from others, by the names that its own corpus gave it."""
        if self.visible is not None:
            raise EmohopError("hashes cannot be read where clips are hidden")
        return self._hashes

    @cached_property
    def _hashes(self) -> ClipHashes:
        columns: dict[str, list[NDArray[np.uint64]]] = {}
        for number in range(len(self.manifest.shards)):
            shard, part = self._shard(number), self._part(number)
            corpus = self.manifest.corpus if part is None else part.corpus
            for name in ("id", "speaker"):
                hashes = hash_names(corpus, shard.table[name].to_pylist())
                columns.setdefault(name, []).append(hashes)
            for name in HASHES:
                found = shard.table[name].fill_null(0).to_numpy()
                columns.setdefault(name.removesuffix("_hash"), []).append(found)
            give_back([shard.pages])
        empty = [np.zeros(0, np.uint64)]
        kinds = ("id", "audio", "text", "video", "speaker")
        return ClipHashes(*(np.concatenate(columns.get(kind, empty)) for kind in kinds))

    def votes(self) -> list[list[dict[str, Any]]]:
        """Every clip's ratings, as written by the corpus's raters."""
        if self.visible is not None:
            raise EmohopError("votes cannot be read where clips are hidden")
        shards = range(len(self.manifest.shards))
        return [value for n in shards for value in self._shard(n).table["votes"].to_pylist()]

    @cached_property
    def word_vectors(self) -> tuple[tuple[str, ...], NDArray[np.float32]] | None:
        """The words that the corpus brings along and their vectors, float32 [words, size]."""
        files = self.manifest.word_vectors
        return None if files is None else read_vectors(self.folder, files)

    def _row(self, shard: MappedShard, i: int) -> Row:
        row = shard.row(i)
        self._pages.lend(row.nbytes, (shard.pages for shard in self._open.values()))
        return row

    @cached_property
    def _parts(self) -> list[tuple[int, Part]]:
        """The parts of a joined corpus, each with the number of the shard behind its last."""
        parts = self.manifest.parts
        return list(zip(accumulate(part.shards for part in parts), parts, strict=True))

    def _part(self, number: int) -> Part | None:
        """The part of a joined corpus that a shard is of."""
        return next((part for end, part in self._parts if number < end), None)

    @cached_property
    def _ends(self) -> list[int]:
        return list(accumulate(shard.clips for shard in self.manifest.shards))

    def _shard(self, number: int) -> MappedShard:
        if number not in self._open:
            if len(self._open) >= most_maps():
                del self._open[next(iter(self._open))]  # what was lent of it stays mapped
            shard = self.manifest.shards[number]
            first = self._ends[number] - shard.clips
            visible = None
            if self.visible is not None:
                visible = {i for i in range(shard.clips) if first + i in self.visible}
            part = self._part(number)
            folder = self.folder if part is None else self.folder / part.folder
            mapped = MappedShard(folder / SHARDS / shard.file, visible, part)
            if len(mapped) != shard.clips:
                raise EmohopError(f"{shard.file} does not hold {shard.clips} clips: prepare again")
            self._open[number] = mapped
        return self._open[number]


def open_prepared(folder: str | Path) -> PreparedCorpus:
    """Open a prepared corpus: a sequence of `Row`s. EmohopError when it is not complete.

    Example:
        >>> corpus = emohop.open_prepared("demo/prepared")
        >>> len(corpus) == corpus.manifest.clips
        True
    """
    if is_url(folder):
        raise EmohopError(
            f"{folder} is not on this machine, where rows are read by memory map: "
            f"emohop fetch {folder} DIR copies it"
        )
    manifest = read_manifest(Path(folder))
    for part in manifest.parts:
        _check_part(Path(folder), part)
    return PreparedCorpus(Path(folder), manifest)


def _check_part(folder: Path, part: Part) -> None:
    """EmohopError unless a part of a joined corpus is what it was when it was joined."""
    now = read_manifest(folder / part.folder).fingerprint
    if now != part.fingerprint:
        raise EmohopError(
            f"{folder} joins {part.name}, and {folder / part.folder} is another since: join them "
            "anew, in a new folder"
        )
