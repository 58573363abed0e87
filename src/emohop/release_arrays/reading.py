"""The .npy folder becomes a prepared corpus: whole or not at all, the same bytes each time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from emohop.clips import Clip, LabelSet
from emohop.config import FeatureSettings
from emohop.documents import Document
from emohop.errors import EmohopError
from emohop.evaluation.splits import SPLITS
from emohop.files import sha256
from emohop.processes import Progress
from emohop.release_arrays.layout import (
    ARRAYS,
    AUDIO_LENGTH,
    DICTIONARY,
    EMBEDDING,
    LABEL,
    chunks,
    file_name,
    release_labels,
    whole_folder,
)
from emohop.release_arrays.parts import SplitArrays, read_matrix, read_part
from emohop.release_arrays.vocabulary import read_dictionary
from emohop.storage.manifest import (
    Manifest,
    Shard,
    fingerprint,
    read_manifest,
    write_manifest,
)
from emohop.storage.shards import write_shard
from emohop.storage.vectors import write_vectors

CORPUS: Final = "release-arrays"
PLAN = "plan.json"
_AUDIO = {120: "mfcc120", 39: "mfcc39"}
_VIDEO = {2048: "resnet101"}


@dataclass(frozen=True, slots=True)
class Imported:
    """What a call of `import_arrays` did: `computed` is False when everything was there."""

    manifest: Manifest
    computed: bool


class ImportPlan(Document):
    """What decides the corpus: a finished one is left as it is under an equal plan."""

    version: Literal[1] = 1
    corpus: Literal["release-arrays"] = CORPUS
    class_set: LabelSet
    files: dict[str, str]
    """SHA-256 of each file that was read, by name."""


@dataclass(frozen=True, slots=True)
class _Source:
    folder: Path
    words: tuple[str, ...]
    matrix: NDArray[np.float32]
    parts: tuple[SplitArrays, ...]

    @property
    def sizes(self) -> Mapping[str, int]:
        return self.parts[0].sizes

    @property
    def features(self) -> FeatureSettings:
        """What the arrays hold, as far as their widths tell."""
        audio, video = self.sizes["audio"], self.sizes.get("video")
        return FeatureSettings(
            audio=_AUDIO.get(audio, f"imported-{audio}"),
            prosody="prosody" in self.sizes,
            text="words",
            video=None if video is None else _VIDEO.get(video, f"imported-{video}"),
        )

    def rows(self, part: SplitArrays, rows: range, labels: LabelSet) -> Iterator[tuple[Clip, Any]]:
        words = np.array(self.words, dtype=object)
        for row, arrays in zip(rows, part.arrays(rows), strict=True):
            label = labels.labels[part.labels[row]]
            clip = Clip(id=f"{part.name}-{row:05d}", label=label, split=part.name)
            yield clip, {**arrays, "text": words[arrays["text"]]}


def import_arrays(
    folder: str | Path,
    out: str | Path,
    labels: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> Imported:
    """Read the .npy folder of the 2018 or 2019 program and write a prepared corpus to `out`.

    `labels` names the classes 0, 1, …; without it they are the releases' seven (2019) or four.
    Raises EmohopError, naming file and row, for arrays that cannot be used, and for an `out`
    that holds something else.
    """
    folder, out = Path(folder), Path(out)
    finished = _finished(out)
    source = _read(folder)
    label_set = _label_set(source, labels)
    plan = _plan(source, label_set)
    if finished is not None:
        if finished != plan:
            raise EmohopError(f"{out} was made from other arrays or labels: choose a new folder")
        return Imported(read_manifest(out), computed=False)
    with whole_folder(out) as new:
        plan.write(new / PLAN)
        manifest = _write(new, source, label_set, progress)
    return Imported(manifest, computed=True)


def _finished(out: Path) -> ImportPlan | None:
    """The plan of what is in `out`, None where there is nothing; EmohopError for anything else."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    try:
        read_manifest(out)
        return ImportPlan.read(out / PLAN)
    except (EmohopError, OSError):
        raise EmohopError(
            f"{out} exists and is not a corpus of import-arrays: choose a new folder"
        ) from None


def _read(folder: Path) -> _Source:
    if not folder.is_dir():
        raise EmohopError(f"no folder {folder}: name the folder of train_audio_mfcc.npy and others")
    words = read_dictionary(folder / DICTIONARY)
    matrix = read_matrix(folder / EMBEDDING, len(words))
    parts = tuple(read_part(folder, split, len(words)) for split in SPLITS)
    for part in parts[1:]:
        for name, size in part.sizes.items():
            if size != parts[0].sizes[name]:
                raise EmohopError(
                    f"{part.files[name]} has {size} numbers in a frame and "
                    f"{parts[0].files[name].name} {parts[0].sizes[name]}: make equal"
                )
    return _Source(folder, words, matrix, parts)


def _label_set(source: _Source, names: Sequence[str] | None) -> LabelSet:
    """The classes by name: those given, or the 2019 form's seven or the 2018 form's four."""
    part = max(source.parts, key=lambda part: int(part.labels.max()))
    row = int(part.labels.argmax())
    largest = int(part.labels[row])
    where = f"{source.folder / file_name(part.name, LABEL)} row {row}: label {largest}"
    known = release_labels()
    if names is None:
        is_2019 = (source.folder / file_name(part.name, AUDIO_LENGTH)).exists()
        usual = known[7 if is_2019 else 4]
        if largest >= len(usual.labels):
            raise EmohopError(
                f"{where}: such a folder has the classes 0..{len(usual.labels) - 1}; name yours, "
                "class 0 first, with --labels a,b,…"
            )
        return usual
    if len(set(names)) != len(names) or not all(names):
        raise EmohopError(f"--labels {','.join(names)}: every class needs a name of its own")
    if largest >= len(names):
        raise EmohopError(f"{where}: --labels names {len(names)} classes, 0..{len(names) - 1}")
    same = [known_set for known_set in known.values() if known_set.labels == tuple(names)]
    return same[0] if same else LabelSet(f"imported-{len(names)}", tuple(names))


def _plan(source: _Source, labels: LabelSet) -> ImportPlan:
    names = [file_name(split, array) for split in SPLITS for array in ARRAYS]
    paths = [source.folder / name for name in (DICTIONARY, EMBEDDING, *names)]
    files = {path.name: sha256(path) for path in paths if path.exists()}
    return ImportPlan(class_set=labels, files=files)


def _write(folder: Path, source: _Source, labels: LabelSet, progress: Progress | None) -> Manifest:
    """Write word vectors and shards, then the manifest."""
    features, sizes = source.features, source.sizes
    vectors = write_vectors(folder, source.words, source.matrix)
    (folder / "shards").mkdir()
    shards: list[Shard] = []
    done, todo = 0, sum(map(len, source.parts))
    for part in source.parts:
        for rows in chunks(len(part)):
            path = folder / "shards" / f"{len(shards):05d}.arrow"
            clips = list(source.rows(part, rows, labels))
            note = write_shard(path, clips, labels, features, sizes)
            shards.append(Shard(file=path.name, clips=len(rows), sha256=note.sha256))
            done += len(rows)
            if progress is not None:
                progress(done, todo)
    found = Counter(labels.labels[number] for part in source.parts for number in part.labels)
    facts = {
        "corpus": CORPUS,
        "class_set": asdict(labels),
        "features": features.model_dump(mode="json"),
        "word_vectors": vectors.model_dump(),
    }
    manifest = Manifest(
        corpus=CORPUS,
        class_set=labels.name,
        labels=labels.labels,
        features=features,
        sizes=sizes,
        label_counts={label: found[label] for label in labels.labels},
        dropped={},
        problems=0,
        shards=tuple(shards),
        fingerprint=fingerprint(facts, shards),
        word_vectors=vectors,
    )
    write_manifest(folder, manifest)
    return manifest
