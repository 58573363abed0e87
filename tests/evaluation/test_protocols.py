"""What each protocol keeps apart, on corpora drawn by chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.model_selection import LeaveOneGroupOut

from emohop.errors import EmohopError
from emohop.evaluation.protocols import Fold
from emohop.evaluation.splits import LEAKS, ONE_FOLD, PROTOCOLS, make_folds
from emohop.spelling import plain_words

LABELS = ("ang", "hap", "sad")


@dataclass
class Corpus:
    """Metadata of clips, a list each."""

    known: Mapping[str, Sequence[Any]]

    def __call__(self, name: str) -> Sequence[Any]:
        return self.known.get(name, [None] * len(self.known["label"]))

    def __len__(self) -> int:
        return len(self.known["label"])


@st.composite
def corpora(draw: st.DrawFn) -> Corpus:
    """3 to 6 sessions of 1 to 3 speakers, each with several clips of every class, in any order."""
    drawn: list[tuple[str, str, str, bool, int]] = []
    for session in range(draw(st.integers(3, 6))):
        for speaker in range(draw(st.integers(1, 3))):
            for label in LABELS:
                for _ in range(draw(st.integers(2, 4))):
                    scripted = draw(st.booleans())
                    line = draw(st.integers(0, 8))
                    drawn.append((f"S{session}", f"S{session}.{speaker}", label, scripted, line))
    rows = draw(st.permutations(drawn))
    return Corpus(
        {
            "session": [session for session, *_ in rows],
            "speaker": [speaker for _, speaker, *_ in rows],
            "label": [label for *_, label, _, _ in rows],
            "scripted": [scripted for *_, scripted, _ in rows],
            # a line is unique to its clip unless it is small: those recur everywhere
            "transcript": [
                f"Line {n}, [LAUGHTER] please!" if n < 3 else f"line number {i} of its own"
                for i, (*_, n) in enumerate(rows)
            ],
            "split": [("train", "dev", "test")[min(int(s[1:]), 2)] for s, *_ in rows],
        }
    )


def sides(fold: Fold, fact: Sequence[Any]) -> list[set[Any]]:
    return [{fact[row] for row in part} for part in (fold.train, fold.dev, fold.test)]


def apart(fold: Fold, fact: Sequence[Any]) -> bool:
    train, dev, test = sides(fold, fact)
    return not (train & dev or train & test or dev & test)


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
@given(corpus=corpora(), seed=st.integers(0, 3))
@settings(max_examples=25)
def test_of_every_protocol(protocol: str, corpus: Corpus, seed: int) -> None:
    assume(protocol != "random" or len(corpus) >= 30)  # ten clips of some class
    try:
        folds = make_folds(protocol, corpus, seed)
    except EmohopError as error:  # a script's sentences can be all that train has of a class
        assume(
            protocol != "script" or not any(x in str(error) for x in ("not in train", "no clips"))
        )
        raise
    again = make_folds(protocol, corpus, seed)
    for number, (fold, same) in enumerate(zip(folds, again, strict=True)):
        parts = [part.tolist() for part in (fold.train, fold.dev, fold.test)]
        assert fold.index == number
        assert parts == [part.tolist() for part in (same.train, same.dev, same.test)]
        assert all(part == sorted(set(part)) for part in parts)
        assert apart(fold, range(len(corpus)))
        train, dev, test = sides(fold, corpus("label"))
        assert train == set(LABELS) or protocol == "script"
        assert dev | test <= train
        if protocol not in LEAKS:
            assert apart(fold, corpus("speaker"))
    tested = np.concatenate([fold.test for fold in folds]).tolist()
    if protocol in ONE_FOLD:
        assert len(folds) == 1
    else:
        assert sorted(tested) == list(range(len(corpus)))


@given(corpora())
@settings(max_examples=25)
def test_scripts_recur_on_no_other_side(corpus: Corpus) -> None:
    try:
        folds = make_folds("script", corpus)
    except EmohopError:
        assume(False)
    said = [plain_words(text) for text in corpus("transcript")]
    scripted = corpus("scripted")
    for fold, whole in zip(folds, make_folds("session", corpus), strict=True):
        for part, others in ((fold.test, (fold.dev, fold.train)), (fold.dev, (fold.train,))):
            lines = {said[row] for row in part if scripted[row]}
            for other in others:
                assert not lines & {said[row] for row in other}
        assert fold.test.tolist() == whole.test.tolist()
        lost = set(whole.train.tolist()) - set(fold.train.tolist())
        held = {said[r] for p in (whole.dev, whole.test) for r in p if scripted[r]}
        # nothing else is lost
        assert all(said[row] in held for row in lost)


@given(corpora())
@settings(max_examples=25)
def test_speaker_folds_test_the_groups_of_scikit_learn(corpus: Corpus) -> None:
    folds = make_folds("speaker", corpus)
    groups = corpus("speaker")
    expected = LeaveOneGroupOut().split(groups, groups=groups)
    ours = sorted(tuple(fold.test.tolist()) for fold in folds)
    assert ours == sorted(tuple(test.tolist()) for _, test in expected)
    home = dict(zip(groups, corpus("session"), strict=True))
    for fold in folds:
        (dev,) = {groups[row] for row in fold.dev}
        assert home[dev] != home[fold.name]
        assert {groups[row] for row in fold.train} == set(groups) - {dev, fold.name}


def test_dev_is_the_partner_in_the_next_session() -> None:
    speakers = [f"Ses0{n}{who}" for n in (1, 2, 3) for who in "FM"]
    corpus = Corpus(
        {"speaker": speakers, "session": [s[:5] for s in speakers], "label": ["ang"] * 6}
    )
    found = [(fold.name, speakers[fold.dev[0]]) for fold in make_folds("speaker", corpus)]
    assert found == [
        ("Ses01F", "Ses02M"), ("Ses01M", "Ses02F"), ("Ses02F", "Ses03M"),
        ("Ses02M", "Ses03F"), ("Ses03F", "Ses01M"), ("Ses03M", "Ses01F"),
    ]  # fmt: skip
    actors = [f"Actor_{n}" for n in (1, 2, 10)]
    alone = Corpus({"speaker": actors, "label": ["ang"] * 3})
    found = [(fold.name, actors[fold.dev[0]]) for fold in make_folds("speaker", alone)]
    assert found == [("Actor_1", "Actor_2"), ("Actor_2", "Actor_10"), ("Actor_10", "Actor_1")]


@given(st.integers(0, 5), st.lists(st.integers(20, 60), min_size=2, max_size=4))
@settings(max_examples=20)
def test_random_folds_have_every_class_in_equal_shares(seed: int, counts: list[int]) -> None:
    labels = [f"c{number}" for number, count in enumerate(counts) for _ in range(count)]
    corpus = Corpus({"label": labels})
    folds = make_folds("random", corpus, seed)
    assert len(folds) == 10
    assert [fold.dev.tolist() for fold in folds] == [
        folds[(k + 1) % 10].test.tolist() for k in range(10)
    ]
    for fold in folds:
        shares = [len(part) / len(labels) for part in (fold.train, fold.dev, fold.test)]
        assert shares == pytest.approx([0.8, 0.1, 0.1], abs=2 / len(labels))
        for number, count in enumerate(counts):
            of_class = sum(labels[row] == f"c{number}" for row in fold.test)
            assert abs(of_class - count / 10) < 1
    other = make_folds("random", corpus, seed + 1)
    assert any(a.test.tolist() != b.test.tolist() for a, b in zip(folds, other, strict=True))


ONE = {"label": ["ang"] * 12, "speaker": ["a"] * 12, "session": ["s"] * 12}
TWO_SADS = ["ang"] * 10 + ["sad"] * 2


@pytest.mark.parametrize(
    ("protocol", "known", "reason"),
    [
        ("session", ONE, r"session needs at least 3 sessions \(test, dev, train\), not 1 \(s\)"),
        ("speaker", ONE, r"speaker needs at least 3 speakers \(test, dev, train\), not 1 \(a\)"),
        ("speaker", {"label": ["ang"] * 2, "speaker": ["a", None]}, "1 of 2 clips have no speaker"),
        ("script", {"label": ["ang"] * 2, "speaker": ["a", "b"]}, "2 of 2 clips have no note"),
        (
            "script",
            {**ONE, "scripted": [True] * 12, "transcript": ["a"] * 12},
            "script needs at least 3 sessions",
        ),
        ("random", {"label": TWO_SADS}, "not sad 2, ang 10: choose a class set without"),
        ("random", {"label": ["ang"] * 4}, "and 10 of some class, not ang 4"),
        (
            "session",
            {"label": TWO_SADS, "session": [f"{i % 5}" for i in range(10)] + ["1", "1"]},
            r"session, fold 0: class sad \(2 clips in all\) is in dev or test but not in train",
        ),
    ],
)
def test_what_a_corpus_cannot_carry(
    protocol: str, known: Mapping[str, Sequence[Any]], reason: str
) -> None:
    with pytest.raises(EmohopError, match=reason):
        make_folds(protocol, Corpus(known))


def test_words_of_a_sentence() -> None:
    assert plain_words("Well, I DON'T know... [LAUGHTER] -- do you?") == "well i don't know do you"
