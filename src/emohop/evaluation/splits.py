"""Folds by the name of their protocol, checked: what must not be on two sides is not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from emohop.errors import EmohopError
from emohop.evaluation.protocols import (
    SPLITS,
    Fold,
    Metadata,
    Rows,
    by_chance,
    by_corpus,
    by_script,
    by_session,
    by_speaker,
    by_speaker_group,
    by_split,
)
from emohop.evaluation.reservations import Reservation

__all__ = ["LEAKS", "PROTOCOLS", "SPLITS", "Fold", "Metadata", "default_protocol", "make_folds"]

PROTOCOLS: Mapping[str, Callable[[Metadata, int], list[Fold]]] = {
    "session": by_session,
    "speaker": by_speaker,
    "script": by_script,
    "random": by_chance,
    "official": by_split,
    "cross": by_corpus,
}
"""Every protocol by name; docs/evaluation.md says what each keeps apart."""

LEAKS: Mapping[str, str] = {
    "random": "speakers and scripted sentences of test are in train too: scores are too high for "
    "people whom the model has not heard",
}
"""What is on two sides of a protocol's folds, to be said in every table."""


ONE_FOLD = ("official", "cross")
"""Protocols whose one fold is as the corpora are divided: not every clip is tested."""


def default_protocol(metadata: Metadata) -> Literal["session", "speaker", "official", "cross"]:
    """The corpus's own parts where every clip has one, cross where only test is marked.

    Else session folds, or speaker folds where there are no sessions.
    """
    marked = set(metadata("split"))
    if marked and None not in marked:
        return "official"
    if "test" in marked and "train" not in marked:
        return "cross"
    sessions, speakers = set(metadata("session")), set(metadata("speaker"))
    return "speaker" if sessions == {None} and None not in speakers else "session"


def reservations_of(protocol: str, folds: Sequence[Fold], metadata: Metadata) -> list[Reservation]:
    """What has to be said beside every number of these folds."""
    said = []
    if protocol in LEAKS:
        said.append(Reservation(kind="protocol", text=LEAKS[protocol]))
    else:
        said += _shared_speakers(folds, metadata("speaker"))
    copies = max(fold.copies for fold in folds)
    where = "test" if protocol == "cross" else "training"
    if copies:
        clips = f"up to {copies}" if len(folds) > 1 else str(copies)
        text = f"left out of {where}: {clips} clips whose recordings are on another side too"
        said.append(Reservation(kind="copies", text=text))
    return said


def _shared_speakers(folds: Sequence[Fold], speakers: Sequence[str | None]) -> list[Reservation]:
    for fold in folds:
        train, _, test = ({speakers[row] for row in part} - {None} for part in _parts(fold))
        if shared := test & train:
            text = f"{len(shared)} of {len(test)} speakers of test are in train too"
            return [Reservation(kind="speakers", text=text)]
    return []


def adaptation_of(standardise: str) -> list[Reservation]:
    """What is to be said of features that are standardised in this way."""
    if standardise != "per_speaker":
        return []
    text = "features are standardised by each test speaker's own clips, without their labels"
    return [Reservation(kind="adaptation", text=text)]


def context_of(turns: int) -> list[Reservation]:
    """What is to be said of text features that see so many turns before a clip."""
    if not turns:
        return []
    what = "the turn" if turns == 1 else f"the {turns} turns"
    text = f"text features see {what} of the dialog before a clip, of other speakers too"
    return [Reservation(kind="context", text=text)]


def encoders_of(adapted: Mapping[str, Collection[str]]) -> list[Reservation]:
    """What is to be said of encoders, by modality, that were finetuned on clips of the corpus."""
    return [
        Reservation(
            kind="encoders",
            text=f"the {modality} encoder was finetuned on {len(ids)} clips of this corpus, of "
            "which none is tested",
        )
        for modality, ids in sorted(adapted.items())
        if ids
    ]


def check_unseen(
    protocol: str, folds: Sequence[Fold], metadata: Metadata, seen: Collection[str]
) -> None:
    """EmohopError when a fold tests clips that an encoder was finetuned on (ids `seen`).

    Where a protocol keeps speakers apart, the speakers of such clips may not be tested either.
    """
    if not seen:
        return
    ids, speakers = metadata("id"), metadata("speaker")
    known: set[str | None] = set()
    if protocol not in LEAKS and protocol != "official":
        known = {speakers[row] for row, id_ in enumerate(ids) if id_ in seen} - {None}
    for fold in folds:
        leaked = [r for r in fold.test.tolist() if ids[r] in seen or speakers[r] in known]
        if leaked:
            raise EmohopError(
                f"fold {fold.index} ({fold.name}) tests {len(leaked)} clips that an encoder of "
                f"these features was finetuned on, or whose speakers it knows, {ids[leaked[0]]} "
                "first: take the fold that it was finetuned for (--fold), or finetune for this one"
            )


def make_folds(
    protocol: str | None, metadata: Metadata, seed: int = 0, groups: int | None = None
) -> list[Fold]:
    """The folds of `protocol` (None: `default_protocol`) over clips with these metadata.

    No clip is on two sides of a fold, nor, but for `LEAKS` and official, a speaker; one that is
    None cannot be checked. In all protocols but official, every class is in each fold's training
    part. Every clip is tested exactly once, but for ONE_FOLD. `seed` draws the folds of random
    and the dev speakers of cross. Protocol speaker leaves one of so many `groups` of speakers out
    at a time, or one speaker.
    No recording is on two sides under two ids: what is trained on loses its copies, or in cross
    what is tested; of clips of words alone, cross tests no sentence that is trained on.
    Raises EmohopError for an unknown protocol, or clips that it cannot divide.
    """
    name = protocol or default_protocol(metadata)
    if name not in PROTOCOLS:
        raise EmohopError(f"no protocol {name!r}: one of {', '.join(PROTOCOLS)}")
    speakers = metadata("speaker")
    if not speakers:
        raise EmohopError(f"protocol {name}: there are no clips to divide")
    if groups is None:
        folds = PROTOCOLS[name](metadata, seed)
    elif name == "speaker":
        folds = by_speaker_group(metadata, groups)
    else:
        raise EmohopError(f"groups = {groups} are of protocol speaker, not of {name}")
    if name not in LEAKS and name != "official":  # its parts are as its makers have them
        _check_speakers(folds, speakers)
    recordings = list(metadata("recording"))
    if name == "cross":  # what only says something is tested where training did not say it
        media = zip(metadata("audio_hash"), metadata("video_hash"), strict=True)
        said = metadata("text_hash")
        for row, held in enumerate(media):
            if held == (None, None):
                recordings[row] = said[row]
    folds = [_without_copies(fold, recordings, cross=name == "cross") for fold in folds]
    if name != "official":
        _check_classes(name, folds, metadata("label"))
    return folds


def _without_copies(fold: Fold, recordings: Sequence[object], *, cross: bool) -> Fold:
    """The fold with no recording on two sides.

    What is trained on gives way to dev, and both to test; where another corpus is the test, it
    gives way to what is trained on. EmohopError when nothing is left of it.
    """
    order = ("train", "dev", "test") if cross else ("test", "dev", "train")
    taken: set[object] = set()
    parts: dict[str, Rows] = {}
    for part in order:
        rows = [row for row in getattr(fold, part).tolist() if recordings[row] not in taken]
        if not rows:
            raise EmohopError(
                f"fold {fold.name}: all {len(getattr(fold, part))} clips of {part} hold recordings "
                f"that {' or '.join(order[: order.index(part)])} holds too, so nothing unseen is "
                "left: give other clips"
            )
        taken |= {recordings[row] for row in rows} - {None}
        parts[part] = np.array(rows, dtype=np.int64)
    copies = sum(len(getattr(fold, part)) - len(rows) for part, rows in parts.items())
    if not copies:
        return fold
    return replace(fold, copies=copies, train=parts["train"], dev=parts["dev"], test=parts["test"])


def _check_speakers(folds: Sequence[Fold], speakers: Sequence[str | None]) -> None:
    for fold in folds:
        sides = [{speakers[row] for row in part} - {None} for part in _parts(fold)]
        shared = (sides[0] & sides[1]) | (sides[0] & sides[2]) | (sides[1] & sides[2])
        if shared:
            name = min(str(speaker) for speaker in shared)
            raise EmohopError(f"fold {fold.name}: speaker {name} is in two of train, dev and test")


def _check_classes(protocol: str, folds: Sequence[Fold], labels: Sequence[str | None]) -> None:
    for fold in folds:
        train, dev, test = ({labels[row] for row in part} for part in _parts(fold))
        if unseen := (dev | test) - train - {None}:
            name = min(str(label) for label in unseen)
            raise EmohopError(
                f"protocol {protocol}, fold {fold.name}: class {name} ({list(labels).count(name)} "
                "clips in all) is in dev or test but not in train; choose a class set without it, "
                "or another protocol"
            )


def _parts(fold: Fold) -> tuple[Rows, Rows, Rows]:
    return fold.train, fold.dev, fold.test
