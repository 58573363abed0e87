from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from emohop.errors import EmohopError
from emohop.features.text import Vocabulary, embedding_matrix, tokenize

SHARED = (Path(__file__).parents[2] / "../shared").resolve()
MELD = SHARED / "corpora" / "meld"


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", ""),
        (" \t\n ", ""),
        ("Excuse me.", "excuse me ."),
        # what nltk.word_tokenize gives for these
        ("I can't. You won't, she's gonna.", "i ca n't . you wo n't , she 's gon na ."),
        ("I'm, you're, we've, he'd; they'll!", "i 'm , you 're , we 've , he 'd ; they 'll !"),
        ('He said "no way." Then left.', "he said `` no way . '' then left ."),
        ("Go?! Now... $3.88 (or 1,000) - ok", "go ? ! now ... $ 3.88 ( or 1,000 ) - ok"),
        ("At 5:30 p.m. today: it's 50%", "at 5:30 p.m. today : it 's 50 %"),
        # full stops inside a text of several sentences
        ("Yes. No. Well, sure.  Fine", "yes . no . well , sure . fine"),
        ("So did I. I know. OK. Ole.", "so did i . i know . ok . ole ."),
        ("Dr. Smith met Mrs. J. Jones vs. St. Paul.", "dr. smith met mrs. j. jones vs. st. paul ."),
        ("Come at 5 p.m. He left the U.S. in May.", "come at 5 p.m . he left the u.s. in may ."),
        ("It is 3.14. See www.x.org for more.", "it is 3.14 . see www.x.org for more ."),
        ("(It is.) Really.", "( it is . ) really ."),
        ("Wait... What. . . so", "wait ... what . . . so"),
        # tags
        ("[LAUGHTER] Yeah. [laughter]ok", "[laughter] yeah . [laughter] ok"),
        ("Well [BREATHING]. [ LIPSMACK ]", "well [breathing] . [lipsmack]"),
        ("[Joey leaves] bye [", "[ joey leaves ] bye ["),
        # typographic signs, and Windows-1252 ones read as Latin-1
        (
            "It\u2019s \u201cfine\u201d \u2014 isn\u2019t it\u2026",
            "it 's `` fine '' -- is n't it ...",
        ),
        ("It\x92s \x93fine\x94 \x97 isn\x92t it\x85", "it 's `` fine '' -- is n't it ..."),
        ("wait\u2013no, 9\u20135 a\u00a0b \ufeffc", "wait -- no , 9-5 a b c"),
        ("caf\u0065\u0301 CAFÉ", "café café"),
        ("a\x00b\ud800c", "a b c"),
    ],
)
def test_tokens(text: str, tokens: str) -> None:
    assert tokenize(text) == tokens.split()


@given(st.text(max_size=60))
@settings(max_examples=150, deadline=None)
def test_any_text_has_clean_tokens(text: str) -> None:
    for token in tokenize(text):
        assert token
        assert not any(c in " \t\n\r\x00" for c in token)
        assert token == token.lower()
        token.encode("utf-8")


@given(
    st.lists(st.sampled_from(["Yes", "no", "it's", "[LAUGHTER]", "Dr.", "ok", "7"]), max_size=12)
)
@settings(max_examples=50, deadline=None)
def test_space_between_words_means_nothing(words: list[str]) -> None:
    assert tokenize("  ".join(words)) == tokenize("\n" + "\t ".join(words) + " ")


def test_long_texts_do_not_take_long() -> None:
    assert len(tokenize("Mr. A. B. said. " * 2000)) == 5 * 2000
    tokenize("[" * 20_000 + "." * 20_000 + '."' * 10_000)


def test_a_stress_on_the_words_of_a_television_series() -> None:
    if not MELD.is_dir():
        pytest.skip(f"no {MELD}")
    with (MELD / "dev_sent_emo.csv").open(encoding="utf-8", newline="") as file:
        lists = [tokenize(row["Utterance"]) for row in csv.DictReader(file)]
    assert len(lists) == 1109
    assert all(lists)
    counts = {token: sum(t.count(token) for t in lists) for token in ("n't", "'s", ".", "--")}
    assert all(count > 10 for count in counts.values()), counts
    joined = [t for tokens in lists for t in tokens if t[-1] == "." and len(t) > 1 and t[0] != "."]
    assert all(t in {"mr.", "mrs.", "ms.", "dr.", "st."} or t.count(".") > 1 for t in joined), (
        joined
    )


def test_the_tokenizer_is_loaded_when_it_is_used() -> None:
    code = (
        "import sys; from emohop.features.text import tokenize; "
        "assert 'nltk' not in sys.modules; tokenize('a'); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


TEXTS = [["b", "a", "b"], ["c", "a", "_UNK_"], ["z"]]


def test_vocabulary_is_ordered_by_count_then_word() -> None:
    vocabulary = Vocabulary.build(TEXTS)
    assert vocabulary.tokens == ("_PAD_", "_UNK_", "a", "b", "c", "z")
    assert len(vocabulary) == 6
    assert Vocabulary.build(TEXTS[::-1]) == vocabulary
    assert Vocabulary.build([t[::-1] for t in TEXTS], max_size=3).tokens[2:] == ("a", "b", "c")
    assert Vocabulary.build(TEXTS, min_count=2).tokens[2:] == ("a", "b")
    assert Vocabulary.build([]).tokens == ("_PAD_", "_UNK_")
    assert Vocabulary.build([np.array(["x", "y"])]).to_list() == ["_PAD_", "_UNK_", "x", "y"]


def test_vocabulary_numbers_words() -> None:
    vocabulary = Vocabulary.build(TEXTS)
    ids = vocabulary.ids(["z", "new", "a", "new"])
    assert ids.dtype == np.int64
    assert ids.tolist() == [5, 1, 2, 1]
    assert vocabulary.ids([]).shape == (0,)
    assert vocabulary.unknown(["z", "new", "a", "new", "one"]) == ["new", "new", "one"]


def test_vocabulary_goes_through_json() -> None:
    vocabulary = Vocabulary.build([tokenize("It\u2019s [LAUGHTER] a café")])
    again = Vocabulary(tuple(json.loads(json.dumps(vocabulary.to_list()))))
    assert again == vocabulary
    assert again.ids(["café"]).tolist() == vocabulary.ids(["café"]).tolist() != [1]


@pytest.mark.parametrize(
    ("tokens", "reason"),
    [
        (["a", "b"], "starts with _PAD_ _UNK_, not with 'a b'"),
        ([], "starts with _PAD_ _UNK_"),
        (["_PAD_", "_UNK_", "a", "a"], "holds 'a' twice"),
    ],
)
def test_lists_that_are_no_vocabulary(tokens: list[str], reason: str) -> None:
    with pytest.raises(EmohopError, match=reason):
        Vocabulary(tuple(tokens))


def ones(*words: str) -> dict[str, NDArray[np.float32]]:
    return {word: np.ones(3, np.float32) for word in words}


def test_embedding_has_zeros_vectors_and_uniform_numbers() -> None:
    vocabulary = Vocabulary.build([[f"w{i:04d}" for i in range(2000)]])
    table = embedding_matrix(vocabulary, ones("w0001", "other"), 3, seed=1)
    assert table.dtype == np.float32
    assert table.shape == (2002, 3)
    assert not table[0].any()
    assert (table[vocabulary.ids(["w0001"])[0]] == 1).all()
    rest = np.delete(table, [0, 3], axis=0)
    assert np.abs(rest).max() <= 0.25
    assert abs(rest.mean()) < 0.01
    assert rest.std() == pytest.approx(0.5 / 12**0.5, rel=0.03)
    assert len(np.unique(rest)) > 5900
    assert (embedding_matrix(vocabulary, ones("w0001", "_PAD_", "_UNK_"), 3, seed=1) == table).all()


def test_embedding_of_a_word_without_vector_does_not_depend_on_the_others() -> None:
    vocabulary = Vocabulary.build([["a", "b", "c"]])
    few, more = (embedding_matrix(vocabulary, ones(*w), 3, seed=5) for w in ("a", "ab"))
    assert (few[[0, 1, 4]] == more[[0, 1, 4]]).all()
    assert (embedding_matrix(vocabulary, ones("a"), 3, seed=5) == few).all()
    assert (embedding_matrix(vocabulary, ones("a"), 3, seed=6)[4] != few[4]).all()


def test_embedding_of_another_size_is_refused() -> None:
    vocabulary = Vocabulary.build([["a"]])
    with pytest.raises(EmohopError, match=r"of 3 numbers .* set model\.text\.embedding=3"):
        embedding_matrix(vocabulary, ones("a"), 4, seed=0)
