"""Raters' words as shares of classes."""

from __future__ import annotations

import numpy as np
import pytest

from emohop.clips import Clip, LabelSet, Vote
from emohop.corpora.votes import vote_shares
from emohop.registry.corpora import CORPORA

FOUR = LabelSet("four", ("ang", "hap", "neu", "sad"), {"exc": "hap"})
WORDS = CORPORA["iemocap"].rated


def shares(*votes: tuple[str, ...]) -> list[float]:
    clip = Clip("c", votes=tuple(Vote(f"E{i}", words) for i, words in enumerate(votes)))
    found = vote_shares(clip, WORDS, FOUR)
    assert found.dtype == np.float32
    return [float(x) for x in found]


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        ([("Anger",), ("Anger",), ("Neutral state",)], [2 / 3, 0, 1 / 3, 0]),
        ([("Excited",), ("Happiness",), (" sadness ",)], [0, 2 / 3, 0, 1 / 3]),
        ([("Anger", "Sadness"), ("Sadness",)], [0.25, 0, 0, 0.75]),
        ([("Excited", "Happiness")], [0, 1, 0, 0]),  # both are the same class
        ([("Frustration",), ("Anger",)], [1, 0, 0, 0]),  # what is outside is dropped
        ([("Frustration", "Anger"), ("Neutral",)], [1 / 3, 0, 2 / 3, 0]),
        ([("Frustration",), ("Other",), ("no such word",)], [0, 0, 0, 0]),
        ([(), ("Sadness",)], [0, 0, 0, 1]),
        ([], [0, 0, 0, 0]),
    ],
)
def test_shares(votes: list[tuple[str, ...]], expected: list[float]) -> None:
    assert shares(*votes) == pytest.approx(expected, abs=1e-6)


def test_only_iemocap_has_votes() -> None:
    assert [spec.name for spec in CORPORA.values() if spec.rated] == ["iemocap"]
