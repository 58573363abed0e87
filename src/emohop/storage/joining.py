"""Several prepared corpora as one, to train on some and to test on others. Nothing is copied."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from emohop.clips import Modality
from emohop.errors import EmohopError, brief
from emohop.features.identity import FeatureIdentity
from emohop.storage.locks import locked
from emohop.storage.manifest import MANIFEST, Manifest, Part, read_manifest, write_manifest
from emohop.storage.shards import RATERS


def join(
    folders: Sequence[Path], tests: Sequence[Path], out: Path, *, replace: bool = False
) -> Manifest:
    """Write to `out` the manifest of a corpus made of `folders` and, for testing, of `tests`.

    Ids, speakers, sessions and dialogs get the name of their corpus before them. Raises EmohopError
    when the corpora have other classes or features, or `out` joins others, unless to `replace` it.
    """
    everything = [*folders, *tests]
    manifests = [read_manifest(folder) for folder in everything]
    for folder, manifest in zip(everything, manifests, strict=True):
        _check_agree(everything[0], manifests[0], folder, manifest)
    names = _names(everything, manifests)
    parts = tuple(
        Part(
            name=names[i],
            corpus=manifest.corpus,
            folder=_seen_from(out, everything[i]),
            shards=len(manifest.shards),
            test=i >= len(folders),
            fingerprint=manifest.fingerprint,
        )
        for i, manifest in enumerate(manifests)
    )
    counts = sum((Counter(manifest.label_counts) for manifest in manifests), Counter[str]())
    dropped = sum((Counter(manifest.dropped) for manifest in manifests), Counter[str]())
    known = [[part.name, part.test, part.fingerprint] for part in parts]
    first = manifests[0]
    title = "+".join(part.name for part in parts if not part.test)
    tested = "+".join(part.name for part in parts if part.test)
    manifest = Manifest(
        corpus=f"{title}, tested on {tested}" if tested else title,
        class_set=first.class_set,
        labels=first.labels,
        features=first.features,
        sizes={
            name: size
            for name, size in first.sizes.items()
            if all(name in manifest.sizes for manifest in manifests)
        },
        label_counts={label: counts[label] for label in first.labels},
        dropped=dict(sorted(dropped.items())),
        problems=sum(manifest.problems for manifest in manifests),
        copies=sum(manifest.copies for manifest in manifests),
        shards=tuple(shard for manifest in manifests for shard in manifest.shards),
        fingerprint=hashlib.sha256(json.dumps(known).encode()).hexdigest(),
        layers=first.layers,
        encoders=first.encoders,
        adapted=_adapted(names, manifests),
        parts=parts,
    )
    with locked(out):
        joined = (out / MANIFEST).exists()
        if joined and not replace and read_manifest(out).fingerprint != manifest.fingerprint:
            raise EmohopError(f"{out} joins other corpora: choose a new folder")
        write_manifest(out, manifest)
    return manifest


def _check_agree(first: Path, ours: Manifest, folder: Path, theirs: Manifest) -> None:
    """EmohopError, naming the folder, unless a corpus can stand beside the first."""
    if theirs.parts or theirs.word_vectors is not None:
        what = "is itself joined" if theirs.parts else "brings word vectors of its own"
        raise EmohopError(f"{folder} {what} and cannot be joined: name prepared corpora")
    if theirs.labels != ours.labels:
        raise EmohopError(
            f"{folder} has the classes {' '.join(theirs.labels)}, {first} "
            f"{' '.join(ours.labels)}: prepare both with one map, such as --labels common-4"
        )
    for modality in Modality:
        here, there = ours.identity(modality), theirs.identity(modality)
        if here is None or there is None:
            if here is not there:
                raise EmohopError(
                    f"{folder} was prepared with {_shown(there)} of {modality}, {first} with "
                    f"{_shown(here)}: prepare them alike"
                )
            continue
        for name in here.differing(there):
            raise EmohopError(
                f"{folder} was prepared with {modality}.{name} = {there.value(name)}, {first} with "
                f"{here.value(name)}: prepare them alike"
            )
    if ours.features.prosody != theirs.features.prosody:
        with_it, without = (first, folder) if ours.features.prosody else (folder, first)
        raise EmohopError(
            f"{with_it} was prepared with prosody, {without} without: prepare them alike"
        )
    if _without_raters(theirs.sizes) != _without_raters(ours.sizes):
        raise EmohopError(f"{folder} has features of {theirs.sizes} numbers, {first} {ours.sizes}")


def _without_raters(sizes: Mapping[str, int]) -> dict[str, int]:
    """Sizes but for votes, which corpora may lack: what is joined then has none."""
    return {name: size for name, size in sizes.items() if name != RATERS}


def _shown(features: FeatureIdentity | None) -> str:
    return "none" if features is None else brief(features.settings.encoder)


def _names(folders: Sequence[Path], manifests: Sequence[Manifest]) -> list[str]:
    """The corpora's names; their folders' where two are of one corpus."""
    names = [manifest.corpus for manifest in manifests]
    if len(set(names)) < len(names):
        names = [folder.resolve().name for folder in folders]
    if len(set(names)) < len(names):
        again = next(name for name in names if names.count(name) > 1)
        raise EmohopError(f"two corpora are named {again}: rename a folder, or name each once")
    return names


def _adapted(names: Sequence[str], manifests: Sequence[Manifest]) -> dict[str, tuple[str, ...]]:
    """The clips that encoders were finetuned on, by the ids that they have together."""
    found: dict[str, tuple[str, ...]] = {}
    for name, manifest in zip(names, manifests, strict=True):
        for modality, ids in manifest.adapted.items():
            found[modality] = (*found.get(modality, ()), *(f"{name}/{id_}" for id_ in ids))
    return found


def _seen_from(out: Path, folder: Path) -> str:
    """The way from the joined corpus to a part, so that both may be moved together."""
    return os.path.relpath(folder.resolve(), out.resolve())
