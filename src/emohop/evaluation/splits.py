"""Protocols: how clips are divided into train, dev and test, so that no speaker is on two sides."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emohop.errors import EmohopError

Rows = NDArray[np.int64]


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


@dataclass(frozen=True, slots=True)
class _Clips:
    """What protocols may look at, one entry a clip."""

    sessions: Sequence[str | None]
    speakers: Sequence[str | None]


def make_folds(
    protocol: str, sessions: Sequence[str | None], speakers: Sequence[str | None]
) -> list[Fold]:
    """The folds of `protocol` over clips with these sessions and speakers (row i is clip i).

    Every clip is in the test part of exactly one fold, and neither a session nor a speaker is on
    two sides of a fold. A speaker that is None cannot be checked and follows its session.
    Raises EmohopError for an unknown protocol, or clips that it cannot divide.
    """
    if protocol not in PROTOCOLS:
        raise EmohopError(f"no protocol {protocol!r}: one of {', '.join(PROTOCOLS)}")
    if len(sessions) != len(speakers):
        raise ValueError(f"{len(sessions)} sessions and {len(speakers)} speakers")
    if not sessions:
        raise EmohopError(f"protocol {protocol}: there are no clips to divide")
    folds = PROTOCOLS[protocol](_Clips(sessions, speakers))
    _check_speakers(folds, speakers)
    return folds


def _by_session(clips: _Clips) -> list[Fold]:
    """Leave one session out; dev is the next one (the first after the last), train the rest."""
    unknown = sum(session is None for session in clips.sessions)
    if unknown:
        raise EmohopError(
            f"protocol session: {unknown} of {len(clips.sessions)} clips have no session; "
            "name one for every clip or choose another protocol"
        )
    _check_sessions(clips)
    rows: dict[str, list[int]] = {}
    for row, session in enumerate(clips.sessions):
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


PROTOCOLS: Mapping[str, Callable[[_Clips], list[Fold]]] = {"session": _by_session}
"""Every protocol by name; docs/evaluation.md says what each keeps apart."""


def _check_sessions(clips: _Clips) -> None:
    home: dict[str, str] = {}
    for session, speaker in zip(clips.sessions, clips.speakers, strict=True):
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
