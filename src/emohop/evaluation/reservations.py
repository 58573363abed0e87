"""What has to be said beside a score: why it may be higher than it would be on strangers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from emohop.documents import Block

Kind = Literal[
    "protocol", "speakers", "adaptation", "context", "encoders", "copies", "left_out", "seen"
]


class Reservation(Block):
    """One thing that has to be said of a run's, or a model's, scores."""

    kind: Kind
    """protocol: speakers and sentences on both sides. speakers: of test, known from training.
    adaptation: to the test speakers. context: turns before a clip. encoders: finetuned on the
    corpus. copies: of test recordings, left out of training. left_out: clips that the model was
    trained on, left out of test. seen: such clips are in the scores."""
    text: str
    """A clause for people, without a full stop."""


def footnotes(
    rows: Sequence[Sequence[Reservation]],
) -> tuple[list[str], list[tuple[str, str]]]:
    """The marks of each row of a table, and what each mark says.

    Rows of which the same is said share a mark: a, b, …

    Example:
        >>> from emohop.evaluation.reservations import Reservation, footnotes
        >>> footnotes([[Reservation(kind="context", text="2 turns before a clip are read")], []])
        (['a', ''], [('a', '2 turns before a clip are read')])
    """
    said: dict[str, str] = {}
    for row in rows:
        for one in row:
            said.setdefault(one.text, _mark(len(said)))
    marks = [",".join(dict.fromkeys(said[one.text] for one in row)) for row in rows]
    return marks, [(mark, text) for text, mark in said.items()]


def joined(reservations: Iterable[Reservation]) -> str:
    """All that is to be said of one row, in one cell."""
    return "; ".join(one.text for one in reservations)


def _mark(number: int) -> str:
    """The mark of a number: a to z, then aa, ab and so on."""
    head, tail = divmod(number, 26)
    return ("" if not head else _mark(head - 1)) + chr(ord("a") + tail)
