"""What counts as the same: sentences, labels and names, however they are spelled."""

from __future__ import annotations

import re
import unicodedata

_SIGNS = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u02bc\x91\x92`\u00b4", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\x93\x94\u00ab\u00bb", '"'),
        **dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff\xad", ""),
    }
)
"""Apostrophes and quotation marks, and characters that nobody sees."""
_UNITS = [
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen"),
    *("eighteen", "nineteen"),
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_NUMBERS = {word: number for number, word in enumerate(_UNITS)} | {
    word: 10 * number for number, word in enumerate(_TENS, 2)
}
_TAG = re.compile(r"\[[^\]]*\]")
_WORD = re.compile(r"\w+(?:'\w+)*")


def plain(text: str) -> str:
    r"""A name as it is compared: case, composed and decomposed letters, widths, quotation marks.

    Example:
        >>> from emohop.spelling import plain
        >>> plain("Cafe\u0301") == plain("CAF\u00c9")
        True
    """
    folded = unicodedata.normalize("NFKC", text.translate(_SIGNS)).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).split())


def plain_words(text: str) -> str:
    r"""A sentence as it is compared: its words as `plain`, without punctuation and [tags].

    Digits of any script are ASCII digits, and English number words up to ninety-nine are digits.

    Example:
        >>> from emohop.spelling import plain_words
        >>> plain_words("I don\u2019t know: Twenty-two?") == plain_words("i don't know, 22")
        True
    """
    words = [_digits(word) for word in _WORD.findall(plain(_TAG.sub(" ", text)))]
    said: list[str] = []
    tens = False  # whether the word before is a number such as twenty
    for word in words:
        number = _NUMBERS.get(word)
        if tens and number is not None and 0 < number < 10:
            said[-1] = str(int(said[-1]) + number)
        else:
            said.append(word if number is None else str(number))
        tens = word in _TENS
    return " ".join(said)


def _digits(word: str) -> str:
    """A word with the digits of any script as those of ASCII."""
    if word.isascii():
        return word
    return "".join(str(unicodedata.decimal(sign, sign)) for sign in word)
