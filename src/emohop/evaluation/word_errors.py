"""Word error rate: what a speech recogniser gets wrong."""

from __future__ import annotations

from collections.abc import Iterable

from emohop.spelling import plain_words


def word_error_rate(pairs: Iterable[tuple[str, str]]) -> float:
    """Wrong, missing and added words of all (true, heard) texts, as a share of the true words.

    Case, punctuation and [tags] do not count. NaN where nothing is said at all.
    """
    wrong = words = 0
    for true, heard in pairs:
        said = plain_words(true).split()
        wrong += word_errors(said, plain_words(heard).split())
        words += len(said)
    return wrong / words if words else float("nan")


def word_errors(true: list[str], heard: list[str]) -> int:
    """The fewest words to change, to take away and to add (Levenshtein 1966)."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(true, 1):
        above, row[0] = row[0], i
        for j, other in enumerate(heard, 1):
            change = above + (word != other)
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, change)
    return row[-1]
