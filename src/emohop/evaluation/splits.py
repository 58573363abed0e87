"""Protocols: how clips are divided into train, dev and test, so that no speaker is on two sides."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from emohop.clips import Split
from emohop.errors import EmohopError

Rows = NDArray[np.int64]
Facts = Callable[[str], Sequence[str | None]]
"""One fact of every clip by its name, as `PreparedCorpus.facts` gives it; entry i is clip i."""

SPLITS: tuple[Split, ...] = get_args(Split)


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

    def __post_init__(self) -> None:
        parts = {"train": self.train, "dev": self.dev, "test": self.test}
        for part, rows in parts.items():
            if len(rows) == 0:
                raise EmohopError(f"fold {self.name}: no clips in {part}")
        everything = np.concatenate(list(parts.values()))
        if len(np.unique(everything)) != len(everything):
            raise EmohopError(f"fold {self.name}: a clip is in two of train, dev and test")


def default_protocol(facts: Facts) -> Literal["session", "fixed"]:
    """The corpus's own parts where every clip has one, else session folds."""
    return "session" if None in facts("split") else "fixed"


def make_folds(protocol: str | None, facts: Facts) -> list[Fold]:
    """The folds of `protocol` (None: `default_protocol`) over clips with these facts.

    No clip and no speaker is on two sides of a fold; a speaker that is None cannot be checked.
    Session folds test every clip exactly once and keep sessions apart too.
    Raises EmohopError for an unknown protocol, or clips that it cannot divide.
    """
    name = protocol or default_protocol(facts)
    if name not in PROTOCOLS:
        raise EmohopError(f"no protocol {name!r}: one of {', '.join(PROTOCOLS)}")
    speakers = facts("speaker")
    if not speakers:
        raise EmohopError(f"protocol {name}: there are no clips to divide")
    folds = PROTOCOLS[name](facts)
    _check_speakers(folds, speakers)
    return folds


def _by_session(facts: Facts) -> list[Fold]:
    """Leave one session out; dev is the next one (the first after the last), train the rest."""
    sessions = facts("session")
    unknown = sum(session is None for session in sessions)
    if unknown:
        raise EmohopError(
            f"protocol session: {unknown} of {len(sessions)} clips have no session; "
            "name one for every clip or choose another protocol"
        )
    _check_sessions(sessions, facts("speaker"))
    rows: dict[str, list[int]] = {}
    for row, session in enumerate(sessions):
        rows.setdefault(str(session), []).append(row)
    names = sorted(rows, key=_natural)
    if len(names) < 3:
        raise EmohopError(
            f"protocol session needs at least 3 sessions (test, dev, train), not {len(names)} "
            f"({', '.join(names)})"
        )
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


def _by_split(facts: Facts) -> list[Fold]:
    """One fold: the train, dev and test parts that the corpus itself names."""
    splits = facts("split")
    without = sum(split not in SPLITS for split in splits)
    if without:
        raise EmohopError(
            f"protocol fixed: {without} of {len(splits)} clips are in none of the corpus's own "
            f"{', '.join(SPLITS)}: choose another protocol"
        )
    train, dev, test = (
        _rows(row for row, split in enumerate(splits) if split == part) for part in SPLITS
    )
    return [Fold(index=0, name="test", train=train, dev=dev, test=test)]


PROTOCOLS: Mapping[str, Callable[[Facts], list[Fold]]] = {
    "session": _by_session,
    "fixed": _by_split,
}
"""Every protocol by name; docs/evaluation.md says what each keeps apart."""


def _check_sessions(sessions: Sequence[str | None], speakers: Sequence[str | None]) -> None:
    home: dict[str, str] = {}
    for session, speaker in zip(sessions, speakers, strict=True):
        if speaker is not None and home.setdefault(speaker, str(session)) != session:
            raise EmohopError(
                f"protocol session: speaker {speaker} is in sessions {home[speaker]} and "
                f"{session}, so session folds would test on a speaker of the training part"
            )


def _check_speakers(folds: Sequence[Fold], speakers: Sequence[str | None]) -> None:
    for fold in folds:
        sides = [{speakers[row] for row in part} - {None} for part in _parts(fold)]
        shared = (sides[0] & sides[1]) | (sides[0] & sides[2]) | (sides[1] & sides[2])
        if shared:
            name = min(str(speaker) for speaker in shared)
            raise EmohopError(f"fold {fold.name}: speaker {name} is in two of train, dev and test")


def _parts(fold: Fold) -> tuple[Rows, Rows, Rows]:
    return fold.train, fold.dev, fold.test


def _rows(rows: Iterable[int]) -> Rows:
    return np.array(sorted(rows), dtype=np.int64)


def _natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """Ses2 before Ses10: digits compare as numbers; the name itself settles Ses1 and Ses01."""
    pieces = re.findall(r"[0-9]+|[^0-9]+", name)
    return [(int(p), "") if p[0] in "0123456789" else (-1, p) for p in pieces], name
