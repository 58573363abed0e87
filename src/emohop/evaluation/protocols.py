"""Each protocol by itself: which clips are train, dev and test in each of its folds."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from emohop.clips import Split
from emohop.errors import EmohopError
from emohop.spelling import plain_words

Rows = NDArray[np.int64]
Metadata = Callable[[str], Sequence[Any]]
"""One fact of every clip by its name, as `PreparedCorpus.metadata` gives it; entry i is clip i."""

SPLITS: tuple[Split, ...] = get_args(Split)
RANDOM_FOLDS = 10
DEV_SHARE = 0.2
FEWEST_OF_A_CLASS = 3
"""Clips of a class that a random fold can put into train, dev and test."""


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """One division of the clips; `train`, `dev` and `test` are row numbers [n], ascending."""

    index: int
    name: str
    """What is tested, in the corpus's own words: `Ses01`."""
    train: Rows
    dev: Rows
    test: Rows
    train_sessions: tuple[str, ...] = ()
    dev_sessions: tuple[str, ...] = ()
    test_sessions: tuple[str, ...] = ()
    copies: int = 0
    """Clips that were left out, since their recordings are on another side too."""

    def __post_init__(self) -> None:
        parts = {"train": self.train, "dev": self.dev, "test": self.test}
        for part, rows in parts.items():
            if len(rows) == 0:
                raise EmohopError(f"fold {self.name}: no clips in {part}")
        everything = np.concatenate(list(parts.values()))
        if len(np.unique(everything)) != len(everything):
            raise EmohopError(f"fold {self.name}: a clip is in two of train, dev and test")


def by_session(metadata: Metadata, seed: int) -> list[Fold]:
    """Leave one session out; dev is the next one (the first after the last), train the rest."""
    del seed
    return _session_folds("session", metadata)


def _session_folds(protocol: str, metadata: Metadata) -> list[Fold]:
    sessions = metadata("session")
    _check_known(protocol, "session", sessions)
    _check_sessions(protocol, sessions, metadata("speaker"))
    rows = _rows_by_name(sessions)
    names = _three_or_more(protocol, "sessions", rows)
    folds = []
    for index, test in enumerate(names):
        dev = names[(index + 1) % len(names)]
        train = tuple(name for name in names if name not in (test, dev))
        folds.append(
            Fold(
                index=index,
                name=test,
                train=_rows(row for name in train for row in rows[name]),
                dev=_rows(rows[dev]),
                test=_rows(rows[test]),
                train_sessions=train,
                dev_sessions=(dev,),
                test_sessions=(test,),
            )
        )
    return folds


def by_speaker(metadata: Metadata, seed: int) -> list[Fold]:
    """Leave one speaker out; dev is a speaker of the next session, train all other speakers.

    That speaker holds the other place in their session: the k-th of a session's n speakers is
    tested beside the n-1-k-th of the next (counted around where it has fewer), so that with pairs
    each speaker is dev once. Where sessions are unknown, dev is the next speaker.
    """
    del seed
    speakers, sessions = metadata("speaker"), metadata("session")
    _check_known("speaker", "speaker", speakers)
    rows = _rows_by_name(speakers)
    names = _three_or_more("speaker", "speakers", rows)
    partner = _partners(names, {name: sessions[rows[name][0]] for name in names})
    return [
        Fold(
            index=index,
            name=test,
            train=_rows(
                r for name in names if name not in (test, partner[test]) for r in rows[name]
            ),
            dev=_rows(rows[partner[test]]),
            test=_rows(rows[test]),
        )
        for index, test in enumerate(names)
    ]


def by_speaker_group(metadata: Metadata, groups: int) -> list[Fold]:
    """Leave a group of speakers out; dev is the next group, train all others.

    Women and men are each cut, in the natural order of their names, into groups of as equal size
    as can be; where one gender's groups are larger, the other's are smaller.
    """
    speakers, genders = metadata("speaker"), metadata("gender")
    _check_known("speaker", "speaker", speakers)
    rows = _rows_by_name(speakers)
    if len(rows) < groups:
        raise EmohopError(f"protocol speaker: {len(rows)} speakers cannot make {groups} groups")
    by_gender: dict[str, list[str]] = {}
    for name in sorted(rows, key=_natural):
        by_gender.setdefault(str(genders[rows[name][0]]), []).append(name)
    members: list[list[str]] = [[] for _ in range(groups)]
    for turn, names in enumerate(by_gender[gender] for gender in sorted(by_gender)):
        sizes = [len(names) // groups + (k < len(names) % groups) for k in range(groups)]
        ends = np.cumsum(sizes[:: -1 if turn % 2 else 1])[:-1]
        for group, part in zip(members, np.split(np.array(names), ends), strict=True):
            group.extend(part.tolist())
    if not all(members):
        raise EmohopError(f"protocol speaker: {len(rows)} speakers cannot make {groups} groups")
    taken = [_rows(row for name in group for row in rows[name]) for group in members]
    folds = []
    for index, test in enumerate(taken):
        dev = (index + 1) % groups
        train = _rows(
            row for k, part in enumerate(taken) if k not in (index, dev) for row in part.tolist()
        )
        name = f"group {index + 1}"
        folds.append(Fold(index=index, name=name, train=train, dev=taken[dev], test=test))
    return folds


def by_script(metadata: Metadata, seed: int) -> list[Fold]:
    """Session folds without the sentences of scripts that recur in another part.

    Train loses the clips whose sentence a scripted clip of dev or test speaks, dev those whose
    sentence a scripted clip of test speaks; test stays whole. Sentences are compared by their
    words: case, punctuation and tags in brackets do not count.
    """
    scripted, transcripts = metadata("scripted"), metadata("transcript")
    _check_known("script", "note whether they are scripted", scripted)
    _check_known("script", "transcript", transcripts)
    del seed
    sentences = [plain_words(str(text)) for text in transcripts]

    def without(part: Rows, *others: Rows) -> Rows:
        taken = {sentences[row] for rows in others for row in rows if scripted[row]} - {""}
        return _rows(row for row in part.tolist() if sentences[row] not in taken)

    return [
        replace(
            fold, train=without(fold.train, fold.dev, fold.test), dev=without(fold.dev, fold.test)
        )
        for fold in _session_folds("script", metadata)
    ]


def by_chance(metadata: Metadata, seed: int) -> list[Fold]:
    """Ten folds of clips drawn by chance, each class in equal shares; dev is the next fold.

    8 parts train, 1 dev, 1 test, as in the papers of 2018 to 2020. Speakers and scripted
    sentences are on all sides.
    """
    from sklearn.model_selection import StratifiedKFold

    labels = metadata("label")
    counts = sorted((list(labels).count(name), str(name)) for name in set(labels))
    if counts[0][0] < FEWEST_OF_A_CLASS or counts[-1][0] < RANDOM_FOLDS:
        said = ", ".join(f"{name} {count}" for count, name in counts)
        raise EmohopError(
            f"protocol random needs {FEWEST_OF_A_CLASS} clips of each class, for train, dev and "
            f"test, and {RANDOM_FOLDS} of some class, not {said}: choose a class set without the "
            "rare ones, or another protocol"
        )
    divide = StratifiedKFold(RANDOM_FOLDS, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class")  # said in the docs
        tests = [_rows(test) for _, test in divide.split(np.zeros(len(labels)), labels)]
    folds = []
    for index, test in enumerate(tests):
        dev = tests[(index + 1) % RANDOM_FOLDS]
        train = _rows(set(range(len(labels))) - {*test.tolist(), *dev.tolist()})
        folds.append(Fold(index=index, name=f"part {index + 1}", train=train, dev=dev, test=test))
    return folds


def by_split(metadata: Metadata, seed: int) -> list[Fold]:
    """One fold: the train, dev and test parts that the corpus itself names."""
    del seed
    splits = metadata("split")
    without = sum(split not in SPLITS for split in splits)
    if without:
        raise EmohopError(
            f"protocol official: {without} of {len(splits)} clips are in none of the corpus's own "
            f"{', '.join(SPLITS)}: choose another protocol"
        )
    train, dev, test = (
        _rows(row for row, split in enumerate(splits) if split == part) for part in SPLITS
    )
    return [Fold(index=0, name="test", train=train, dev=dev, test=test)]


def by_corpus(metadata: Metadata, seed: int) -> list[Fold]:
    """One fold: test is what is marked so (another corpus), dev a part of the other speakers.

    Dev holds those that are marked dev, if any; else speakers drawn by `seed` until they have
    about DEV_SHARE of the clips. A clip of an unknown speaker counts as a speaker of its own.
    """
    splits, speakers = metadata("split"), metadata("speaker")
    test = [row for row, split in enumerate(splits) if split == "test"]
    if not test:
        raise EmohopError(
            "protocol cross: no clips of another corpus to test on: name one, "
            "emohop train A B OUT --test C"
        )
    dev = {row for row, split in enumerate(splits) if split == "dev"}
    others = [row for row, split in enumerate(splits) if split != "test"]
    if not dev:
        names = [f"{row}" if speakers[row] is None else f"of {speakers[row]}" for row in others]
        dev = {others[i] for i in _share_of_speakers(names, seed)}
    train = _rows(row for row in others if row not in dev)
    return [Fold(index=0, name="test", train=train, dev=_rows(dev), test=_rows(test))]


def _share_of_speakers(names: Sequence[str], seed: int) -> list[int]:
    """Positions of whole speakers with about DEV_SHARE of all; one speaker at least."""
    places = _rows_by_name(names)
    order = sorted(places, key=_natural)
    np.random.default_rng(seed).shuffle(order)
    wanted = DEV_SHARE * len(names)
    chosen: list[int] = []
    for name in order:
        if len(chosen) + len(places[name]) <= 1.25 * wanted:
            chosen += places[name]
    return chosen or places[min(order, key=lambda name: len(places[name]))]


def _partners(names: Sequence[str], session_of: dict[str, str | None]) -> dict[str, str]:
    """The dev speaker of each test speaker."""
    homes = _rows_by_name([session_of[name] for name in names])
    if None in session_of.values() or len(homes) < 2:
        return dict(zip(names, [*names[1:], names[0]], strict=True))
    order = sorted(homes, key=_natural)
    partner = {}
    for here, there in zip(order, [*order[1:], order[0]], strict=True):
        for place, number in enumerate(homes[here]):
            other = homes[there]
            partner[names[number]] = names[other[(len(homes[here]) - 1 - place) % len(other)]]
    return partner


def _three_or_more(protocol: str, what: str, found: Iterable[str]) -> list[str]:
    """Names in natural order; EmohopError when they are too few for test, dev and train."""
    names = sorted(found, key=_natural)
    if len(names) < 3:
        raise EmohopError(
            f"protocol {protocol} needs at least 3 {what} (test, dev, train), not {len(names)} "
            f"({', '.join(names)}): try another protocol"
        )
    return names


def _check_known(protocol: str, fact: str, values: Sequence[object]) -> None:
    unknown = sum(value is None for value in values)
    if unknown:
        raise EmohopError(
            f"protocol {protocol}: {unknown} of {len(values)} clips have no {fact}; "
            "name one for every clip or choose another protocol"
        )


def _check_sessions(
    protocol: str, sessions: Sequence[str | None], speakers: Sequence[str | None]
) -> None:
    home: dict[str, str] = {}
    for session, speaker in zip(sessions, speakers, strict=True):
        if speaker is not None and home.setdefault(speaker, str(session)) != session:
            raise EmohopError(
                f"protocol {protocol}: speaker {speaker} is in sessions {home[speaker]} and "
                f"{session}, so session folds would test on a speaker of the training part"
            )


def _rows_by_name(values: Sequence[str | None]) -> dict[str, list[int]]:
    rows: dict[str, list[int]] = {}
    for row, value in enumerate(values):
        rows.setdefault(str(value), []).append(row)
    return rows


def _rows(rows: Iterable[int]) -> Rows:
    return np.array(sorted(rows), dtype=np.int64)


def _natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """Ses2 before Ses10: digits compare as numbers; the name itself settles Ses1 and Ses01."""
    pieces = re.findall(r"[0-9]+|[^0-9]+", name)
    return [(int(p), "") if p[0] in "0123456789" else (-1, p) for p in pieces], name
