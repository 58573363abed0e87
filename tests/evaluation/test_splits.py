from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from emohop.errors import EmohopError
from emohop.evaluation.splits import (
    PROTOCOLS,
    Fold,
    Metadata,
    check_unseen,
    default_protocol,
    make_folds,
    reservations_of,
)

IEMOCAP = ["Ses01", "Ses02", "Ses03", "Ses04", "Ses05"]


def metadata(**known: Sequence[str | None]) -> Metadata:
    """Metadata by name; those that are not given are unknown."""
    count = len(next(iter(known.values())))
    return lambda name: known.get(name, [None] * count)


@st.composite
def corpora(draw: st.DrawFn) -> tuple[list[str], list[str | None]]:
    """Clips of 3 to 12 sessions in any order, each with one to three speakers or unknown ones."""
    count = draw(st.integers(3, 12))
    extra = draw(st.lists(st.integers(0, count - 1), max_size=40))
    numbers = draw(st.permutations([*range(count), *extra]))
    speakers = [draw(st.sampled_from(["F", "M", "X", None])) for _ in numbers]
    return (
        [f"Ses{n}" for n in numbers],
        [None if s is None else f"{n}{s}" for n, s in zip(numbers, speakers, strict=True)],
    )


@given(corpora())
@settings(max_examples=60, deadline=None)
def test_session_folds_keep_sessions_and_speakers_apart(
    corpus: tuple[list[str], list[str | None]],
) -> None:
    sessions, speakers = corpus
    folds = make_folds("session", metadata(session=sessions, speaker=speakers))
    tested = np.concatenate([fold.test for fold in folds])
    assert sorted(tested.tolist()) == list(range(len(sessions)))
    for number, fold in enumerate(folds):
        assert fold.index == number
        parts = (fold.train, fold.dev, fold.test)
        assert sorted(np.concatenate(parts).tolist()) == list(range(len(sessions)))
        stated = (fold.train_sessions, fold.dev_sessions, fold.test_sessions)
        for fact in (sessions, speakers):
            sides = [{fact[row] for row in part} - {None} for part in parts]
            assert not sides[0] & sides[1]
            assert not sides[0] & sides[2]
            assert not sides[1] & sides[2]
        for part, names in zip(parts, stated, strict=True):
            assert part.dtype == np.int64
            assert part.tolist() == sorted(part.tolist())
            assert {sessions[row] for row in part} == set(names)


@given(corpora())
@settings(max_examples=30, deadline=None)
def test_folds_follow_from_the_facts_alone(corpus: tuple[list[str], list[str | None]]) -> None:
    sessions, speakers = corpus
    known = metadata(session=sessions, speaker=speakers)
    one, other = (make_folds("session", known) for _ in range(2))
    backwards = make_folds("session", metadata(session=sessions[::-1], speaker=speakers[::-1]))
    last = len(sessions) - 1
    for a, b, c in zip(one, other, backwards, strict=True):
        assert (a.name, a.test.tolist(), a.dev.tolist()) == (
            b.name,
            b.test.tolist(),
            b.dev.tolist(),
        )
        assert (a.name, a.dev_sessions) == (c.name, c.dev_sessions)
        assert a.train.tolist() == [last - row for row in c.train.tolist()][::-1]


def test_dev_is_the_next_session() -> None:
    sessions = [name for name in IEMOCAP for _ in range(2)]
    speakers = [f"{name}{who}" for name in IEMOCAP for who in "FM"]
    folds = make_folds("session", metadata(session=sessions, speaker=speakers))
    assert [fold.name for fold in folds] == IEMOCAP
    assert [fold.dev_sessions for fold in folds] == [(n,) for n in [*IEMOCAP[1:], IEMOCAP[0]]]
    assert folds[4].train_sessions == ("Ses02", "Ses03", "Ses04")
    assert folds[4].dev.tolist() == [0, 1]
    assert folds[4].test.tolist() == [8, 9]


def test_sessions_are_in_natural_order() -> None:
    names = ["10", "9", "Ses10", "Ses9", "2a", "Ses1", "2", "Ses01"]
    folds = make_folds("session", metadata(session=names))
    assert [fold.name for fold in folds] == [
        "Ses01", "Ses1", "Ses9", "Ses10", "2", "2a", "9", "10",
    ]  # fmt: skip


def test_what_cannot_be_divided_is_said() -> None:
    three: list[str | None] = ["a", "b", "c"]
    for sessions, speakers, reason in (
        (["a", "a", "b"], three, r"at least 3 sessions .* not 2 \(a, b\)"),
        (["a", None, "b", "c"], [*three, "d"], "1 of 4 clips have no session"),
        (["a", "b", "c"], ["x", "y", "x"], "speaker x is in sessions a and c"),
        ([], [], "no clips"),
    ):
        with pytest.raises(EmohopError, match=reason):
            make_folds("session", metadata(session=sessions, speaker=speakers))
    with pytest.raises(EmohopError, match="no protocol 'loso': one of session, speaker"):
        make_folds("loso", metadata(session=three))


def test_the_corpus_s_own_parts() -> None:
    splits = ["test", "train", "dev", "train", "test", "train"]
    speakers = ["c", "a", "b", "a", None, None]
    known = metadata(split=splits, speaker=speakers)
    assert default_protocol(known) == "official"
    for protocol in ("official", None):
        (fold,) = make_folds(protocol, known)
        assert (fold.index, fold.name) == (0, "test")
        assert (fold.train.tolist(), fold.dev.tolist(), fold.test.tolist()) == (
            [1, 3, 5],
            [2],
            [0, 4],
        )


def test_session_folds_unless_every_clip_has_its_part() -> None:
    some = metadata(split=["train", "dev", None], session=["a", "b", "c"])
    assert default_protocol(some) == "session"
    assert len(make_folds(None, some)) == 3
    with pytest.raises(EmohopError, match="protocol official: 1 of 3 clips are in none of the"):
        make_folds("official", some)


def test_parts_that_cannot_be_used() -> None:
    with pytest.raises(EmohopError, match="1 of 3 clips are in none of the corpus's own train"):
        make_folds("official", metadata(split=["train", "val", "test"]))
    with pytest.raises(EmohopError, match="fold test: no clips in dev"):
        make_folds("official", metadata(split=["train", "train", "test"]))
    with pytest.raises(EmohopError, match="there are no clips"):
        make_folds(None, metadata(split=[]))


def test_every_protocol_is_checked_for_shared_speakers(monkeypatch: pytest.MonkeyPatch) -> None:
    leaky = Fold(0, "leak", np.array([0]), np.array([1]), np.array([2]))
    monkeypatch.setitem(PROTOCOLS, "leaky", lambda known, seed: [leaky])
    assert make_folds("leaky", metadata(speaker=["x", "y", "z"])) == [leaky]
    for speakers in (["x", "y", "x"], ["x", "x", "y"], ["y", "x", "x"]):
        with pytest.raises(EmohopError, match="fold leak: speaker x is in two"):
            make_folds("leaky", metadata(speaker=speakers))


def test_a_fold_refuses_shared_clips_and_empty_parts() -> None:
    one, two = np.array([0, 1]), np.array([2])
    with pytest.raises(EmohopError, match="a clip is in two"):
        Fold(0, "f", one, two, np.array([1]))
    with pytest.raises(EmohopError, match="no clips in dev"):
        Fold(0, "f", one, np.array([], dtype=np.int64), two)


def test_cross_keeps_dev_speakers_apart_and_takes_marked_ones() -> None:
    speakers = [f"s{i // 4}" for i in range(40)] + ["t"] * 5 + [None] * 3
    splits = [None] * 40 + ["test"] * 5 + [None] * 3
    labels = ["x", "y"] * 24
    marked = metadata(split=splits, speaker=speakers, label=labels)
    assert default_protocol(marked) == "cross"
    (fold,) = make_folds(None, marked)
    assert fold.test.tolist() == list(range(40, 45))
    assert len(fold.dev) + len(fold.train) == 43
    assert 4 <= len(fold.dev) <= 11
    named = [{speakers[i] for i in part} - {None} for part in (fold.dev, fold.train)]
    assert not named[0] & named[1]
    own = ["dev" if i < 8 else split for i, split in enumerate(splits)]
    (fold,) = make_folds("cross", metadata(split=own, speaker=speakers, label=labels))
    assert fold.dev.tolist() == list(range(8))
    with pytest.raises(EmohopError, match="no clips of another corpus to test on"):
        make_folds("cross", metadata(split=[None, "dev"], speaker=["a", "b"], label=["x", "x"]))


@pytest.mark.parametrize(
    ("speakers", "count"),
    [
        ([f"s{i // 5}" for i in range(45)], 10),  # of 9: whole speakers, up to a quarter more
        ([None] * 20, 5),  # of 4: each counts as a speaker of its own
    ],
)
def test_cross_draws_about_a_fifth_for_dev(speakers: list[str | None], count: int) -> None:
    n = len(speakers)
    known = metadata(split=[None] * n + ["test"], speaker=[*speakers, "t"], label=["x"] * (n + 1))
    drawn = [make_folds("cross", known, seed)[0].dev.tolist() for seed in range(4)]
    assert [len(dev) for dev in drawn] == [count] * 4
    assert len({str(dev) for dev in drawn}) > 1


def test_speaker_folds_where_there_are_no_sessions() -> None:
    plain = metadata(split=[None] * 3, speaker=["a", "b", "c"], session=[None] * 3, label=["x"] * 3)
    assert default_protocol(plain) == "speaker"
    unknown = metadata(split=[None] * 3, speaker=["a", "b", None], session=[None] * 3)
    assert default_protocol(unknown) == "session"


def test_what_leaks_is_said() -> None:
    parts = metadata(
        split=["train", "train", "dev", "test", "test"], speaker=["a", "b", "a", "b", "c"]
    )
    folds = make_folds("official", parts)
    (said,) = reservations_of("official", folds, parts)
    assert (said.kind, said.text) == ("speakers", "1 of 2 speakers of test are in train too")
    apart = metadata(split=["train", "dev", "test"], speaker=["a", "b", None])
    assert reservations_of("official", make_folds("official", apart), apart) == []
    (said,) = reservations_of("random", folds, parts)
    assert said.text.startswith("speakers and scripted sentences")


def ravdess() -> Metadata:
    """24 actors of three clips each, odd ones men, even ones women."""
    actors = [f"Actor_{n:02d}" for n in range(1, 25) for _ in range(3)]
    genders = ["M" if n % 2 else "F" for n in range(1, 25) for _ in range(3)]
    return metadata(speaker=actors, gender=genders, label=["a", "b", "c"] * 24)


def test_groups_of_speakers_by_hand() -> None:
    known = ravdess()
    folds = make_folds("speaker", known, groups=5)
    speakers = known("speaker")

    def actors(rows: NDArray[np.int64]) -> list[int]:
        return sorted({int(str(speakers[row])[-2:]) for row in rows})

    # 12 women (even) in 3 3 2 2 2, 12 men (odd) in 2 2 2 3 3
    groups = [
        [1, 2, 3, 4, 6],
        [5, 7, 8, 10, 12],
        [9, 11, 14, 16],
        [13, 15, 17, 18, 20],
        [19, 21, 22, 23, 24],
    ]
    assert [actors(fold.test) for fold in folds] == groups
    assert [actors(fold.dev) for fold in folds] == [*groups[1:], groups[0]]
    for fold in folds:
        assert len(actors(fold.train)) == 24 - len(actors(fold.test)) - len(actors(fold.dev))
    tested = np.concatenate([fold.test for fold in folds])
    assert sorted(tested.tolist()) == list(range(72))


def test_groups_of_unknown_gender_and_too_many() -> None:
    names = ["s10", "s9", "s1", "s2"]
    folds = make_folds("speaker", metadata(speaker=names, label=["a"] * 4), groups=3)
    tested = [{names[i] for i in fold.test} for fold in folds]
    assert tested == [{"s1", "s2"}, {"s9"}, {"s10"}]
    with pytest.raises(EmohopError, match="4 speakers cannot make 5 groups"):
        make_folds("speaker", metadata(speaker=names), groups=5)
    with pytest.raises(EmohopError, match="groups = 3 are of protocol speaker, not of random"):
        make_folds("random", metadata(speaker=names, label=["a"] * 4), groups=3)


SIX = metadata(id=list("abcdef"), session=list("112233"), speaker=list("AABBCC"), label=["x"] * 6)


@pytest.mark.parametrize(
    ("protocol", "seen", "refused"),
    [
        ("session", "", ""),
        ("session", "zz", ""),
        ("session", "cdef", "12"),
        ("session", "e", "2"),  # f is of the same speaker
        ("random", "e", "2"),
        ("random", "c", "1"),
    ],
)
def test_folds_that_test_what_an_encoder_saw_are_refused(
    protocol: str, seen: str, refused: str
) -> None:
    for fold in make_folds("session", SIX):
        if str(fold.index) in refused:
            with pytest.raises(EmohopError, match=f"^fold {fold.index} .* tests . clips"):
                check_unseen(protocol, [fold], SIX, set(seen))
        else:
            check_unseen(protocol, [fold], SIX, set(seen))


def test_a_speaker_counts_only_where_speakers_are_kept_apart() -> None:
    fold = make_folds("session", SIX)[2]
    with pytest.raises(EmohopError, match="tests 2 clips"):
        check_unseen("session", [fold], SIX, {"e"})
    with pytest.raises(EmohopError, match="tests 1 clips"):
        check_unseen("random", [fold], SIX, {"e"})
