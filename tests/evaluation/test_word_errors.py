from __future__ import annotations

import math

import pytest

from emohop.evaluation.word_errors import word_error_rate, word_errors


@pytest.mark.parametrize(
    ("true", "heard", "errors"),
    [
        ("kids are talking", "kids are talking", 0),
        ("kids are talking", "kids talking", 1),
        ("kids are talking", "the kids are all talking", 2),
        ("kids are talking", "dogs are sitting", 2),
        ("kids are talking", "", 3),
        ("", "you", 1),
        ("a b c d", "b c d a", 2),
    ],
)
def test_the_fewest_changes(true: str, heard: str, errors: int) -> None:
    assert word_errors(true.split(), heard.split()) == errors


def test_the_share_of_all_words() -> None:
    assert word_error_rate([("Kids, are talking!", "kids are TALKING"), ("No.", "go")]) == 1 / 4
    assert word_error_rate([("[LAUGHTER] no", "no")]) == 0
    assert math.isnan(word_error_rate([("", "")]))
