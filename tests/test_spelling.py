"""What counts as the same name and the same sentence."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emohop.spelling import plain, plain_words


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("I don\u2019t know!", "I don't know."),
        ("I don\u00b4t know", "i DON`T know"),
        ("\u201cNo,\u201d she said", '"No", she said.'),
        ("caf\u00e9", "cafe\u0301"),
        ("\u212bngstr\u00f6m", "\u00e5NGSTRO\u0308M"),
        ("room 12", "room \u0661\u0662"),
        ("room 12", "room \uff11\uff12"),
        ("room twelve", "room 12"),
        ("twenty-two dogs", "22 dogs"),
        ("Stra\u00dfe", "STRASSE"),
        ("dancin'", "dancin"),
        ("[LAUGHTER] yes", "yes"),
        ("soft\u00adware", "software"),
        ("so\u200bft", "soft"),
    ],
)
def test_the_same_sentence(one: str, other: str) -> None:
    assert plain_words(one) == plain_words(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("its", "it's"), ("I am 2", "I am 3"), ("twenty", "two"), ("well", "we'll"), ("a b", "ab")],
)
def test_another_sentence(one: str, other: str) -> None:
    assert plain_words(one) != plain_words(other)


@given(st.text(max_size=40))
def test_composed_and_decomposed_are_alike(text: str) -> None:
    forms = [text, *(unicodedata.normalize(form, text) for form in ("NFC", "NFD"))]
    assert len({plain(form) for form in forms}) == 1
    assert plain(plain(text)) == plain(text)
    assert len({plain_words(form) for form in forms}) == 1
