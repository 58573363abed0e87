"""The manifest of a prepared corpus: what it holds and how it was made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, computed_field, model_validator

from emohop.clips import Modality
from emohop.config import FeatureSettings, settings_of
from emohop.documents import Block, Document
from emohop.errors import EmohopError
from emohop.features.identity import FeatureIdentity
from emohop.storage.backends import place

MANIFEST = "manifest.json"
SHARDS = "shards"
"""The folder beside it of the Arrow files."""
_LONGEST = 500  # characters of a name
INDEX = "index.csv"
"""Beside it: each clip's id and shard, so that a damaged shard's clips are known."""
WORDS = "words.json"
MATRIX = "word_vectors.npy"


def _named(value: str) -> str:
    if len(value) > _LONGEST or not value.isprintable():
        raise ValueError(f"{value[:50]!r} is not a name")
    return value


def _file(value: str) -> str:
    if value in ("", ".", "..") or "/" in value or "\\" in value:
        raise ValueError(f"{value!r} is not the name of a shard")
    return value


Count = Annotated[int, Field(ge=0, le=2**40)]
"""Of anything that a corpus holds."""
Name = Annotated[str, AfterValidator(_named)]
"""A name or a path that can be shown on a line."""


class Shard(Block):
    """One Arrow file of the corpus."""

    file: Annotated[Name, AfterValidator(_file)]
    clips: Count
    sha256: str


class Part(Block):
    """One of the prepared corpora that a joined one is made of."""

    name: Name
    """Put before its ids, speakers, sessions and dialogs."""
    corpus: str
    """The corpus that was prepared."""
    folder: Name
    """Where it lies, seen from the joined corpus's folder."""
    shards: Count
    test: bool
    """All its clips are for testing; else its own parts do not count."""
    fingerprint: str


class VectorFiles(Block):
    """The word vectors that a corpus brings along: how many words, numbers in each, checksums."""

    words: Count
    size: Count
    words_sha256: str
    matrix_sha256: str


class Manifest(Document):
    """`manifest.json`: what a prepared corpus holds.

    It is written last, so that its presence means completeness.
    """

    remedy: ClassVar[str] = "run `emohop prepare` again"
    computed: ClassVar[tuple[str, ...]] = ("clips",)

    version: Literal[4] = 4
    corpus: str
    class_set: str
    labels: tuple[str, ...]
    features: Annotated[FeatureSettings, BeforeValidator(settings_of(FeatureSettings))]
    sizes: dict[str, Count]
    """Numbers in a frame of each array: {"audio": 120, "prosody": 35, "video": 2048}, and
    "text_states" for the states of a language model."""
    label_counts: dict[str, Count]
    dropped: dict[str, Count]
    """Clips outside the class set, by corpus label."""
    problems: Count
    copies: Count = 0
    """Clips that hold the same recording as another one; `copies.csv` names them."""
    shards: tuple[Shard, ...]
    fingerprint: str
    """SHA-256 over the settings and what is in the shards: equal for equal corpora."""
    reading: dict[str, str | bool] = Field(default_factory=dict)
    """The options that the corpus was read with, such as the channel of RAVDESS."""
    word_vectors: VectorFiles | None = None
    """Those that the corpus brings along."""
    layers: dict[str, Annotated[int, Field(ge=1, le=2**40)]] = Field(default_factory=dict)
    """Hidden states that stand side by side in a modality's frames, where they are several."""
    encoders: dict[str, Name] = Field(default_factory=dict)
    """The fingerprint of each modality's pretrained encoder."""
    adapted: dict[str, tuple[Name, ...]] = Field(default_factory=dict)
    """By modality, the ids of those clips that its encoder was finetuned on, or chosen by."""
    parts: tuple[Part, ...] = ()
    """Of a joined corpus, whose `shards` are those of its parts, one part behind the other."""

    @model_validator(mode="after")
    def _parts_have_the_shards(self) -> Manifest:
        if self.parts and sum(part.shards for part in self.parts) != len(self.shards):
            raise ValueError(f"{len(self.shards)} shards are not those of its parts")
        return self

    def identity(self, modality: Modality) -> FeatureIdentity | None:
        """What the features of a modality are known by; None where it was left out."""
        return FeatureIdentity.of(modality, self.features, self.encoders)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def clips(self) -> int:
        """Rows of all shards together."""
        return sum(shard.clips for shard in self.shards)

    @property
    def seen(self) -> frozenset[str]:
        """The ids of the clips that some encoder was finetuned on, or chosen by."""
        return frozenset(id_ for ids in self.adapted.values() for id_ in ids)

    @property
    def checksums(self) -> dict[str, str]:
        """The SHA-256 of every file that a corpus that is not joined consists of, by its name."""
        sums = {f"{SHARDS}/{shard.file}": shard.sha256 for shard in self.shards}
        if self.word_vectors is not None:
            sums[WORDS] = self.word_vectors.words_sha256
            sums[MATRIX] = self.word_vectors.matrix_sha256
        return sums


def fingerprint(metadata: Mapping[str, Any], shards: Sequence[Shard]) -> str:
    """SHA-256 of what was asked for and what came out, whatever the shards' files are called."""
    found = [[shard.clips, shard.sha256] for shard in shards]
    text = json.dumps([metadata, found], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `manifest.json`, which declares the corpus complete."""
    manifest.write(folder / MANIFEST)


def read_manifest(where: str | Path) -> Manifest:
    """Read and check `manifest.json`; EmohopError when it is missing, damaged or newer.

    `where` is a folder, or a URL as `backends.place` takes it.
    """
    try:
        data = place(where).get(MANIFEST)
    except FileNotFoundError:
        hint = "it is not a prepared corpus, or `emohop prepare` did not finish"
        raise EmohopError(f"no {MANIFEST} in {where}: {hint}") from None
    return Manifest.parse(data, f"{where}/{MANIFEST}")
