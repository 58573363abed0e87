"""Words: tokens of a transcript and the vocabulary that numbers them.

Tokens are those of NLTK's word tokenizer, in lower case, as in the paper. The tokenizer itself
needs no data; the division into sentences before it, for which NLTK would download a model, is
made here.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from emohop.config import TextFeatures
from emohop.errors import EmohopError
from emohop.features.encoder import FeatureEncoder

if TYPE_CHECKING:
    from nltk.tokenize import NLTKWordTokenizer

__all__ = [
    "TURN",
    "Text",
    "Vocabulary",
    "embedding_matrix",
    "plain",
    "said",
    "tokenize",
]

UNIFORM_LIMIT = 0.25
"""Words without a vector start uniform in ±0.25, as in the paper."""

PADDING = "_PAD_"
UNKNOWN = "_UNK_"
RESERVED = (PADDING, UNKNOWN)

TURN = "[turn]"
"""Stands behind the words of each turn before a clip's own."""
CONTEXT_WORDS = 64
"""Words kept of the turns before, the last ones, so that they never crowd out the clip's own."""

# Typographic signs become the ASCII ones that NLTK's rules and GloVe's words are made of. \x85 to
# \x97 are Windows-1252 signs that were read as Latin-1.
_ASCII = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\x91\x92", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\x93\x94", '"'),
        **dict.fromkeys("\u2013\u2014\u2015\x96\x97", "--"),
        **dict.fromkeys("\u2010\u2011\u2212", "-"),
        **dict.fromkeys("\u2026\x85", "..."),
        **dict.fromkeys("\u200b\u2060\ufeff\xad", ""),
        "\xa0": " ",
    }
)
_NUMBER_RANGE = re.compile("(?<=[0-9])[\u2013\x96](?=[0-9])")
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
# [LAUGHTER], [BREATHING]; a bracket with several words is a stage direction and stays words
_TAG = re.compile(r"\[\s*([A-Za-z]+(?:[_-][A-Za-z]+)*)\s*\]")
# a full stop after a word, what may close a sentence after it, and the space before the next
_FULL_STOP = re.compile(r"(?<=[^\s.])\.[\"')\]]*\s+")
# before a name these keep their full stop, in NLTK's sentence model as here
_TITLES = {"mr", "mrs", "ms", "dr", "prof", "rev", "sen", "gov", "gen", "col", "sgt", "lt", "capt"}
_SHORT = _TITLES | {"st", "jr", "sr", "vs"}
_INITIALS = re.compile(r"[A-HJ-Z]|(?:[A-Za-z]\.)+[A-Za-z]")


@dataclass(frozen=True, slots=True)
class Text:
    """What is said in a clip, and in the turns before it, the earliest first."""

    words: str
    previous_turns: tuple[str, ...] = ()


def said(text: Text) -> list[str]:
    """The tokens of a text behind those of the turns before it, each turn closed by `TURN`."""
    context = [token for turn in text.previous_turns for token in (*tokenize(turn), TURN)]
    return [*context[-CONTEXT_WORDS:], *tokenize(text.words)]


def load_words(settings: TextFeatures, device: str) -> FeatureEncoder:
    """The encoder `words` of settings: tokens, whose vectors a model learns."""
    del settings, device
    return FeatureEncoder(lambda texts: [{"text": np.array(said(t), np.str_)} for t in texts], 0)


def tokenize(text: str) -> list[str]:
    """The lower-case word tokens of a text; an empty text has none.

    NLTK's rules: "can't" is `ca n't`, "gonna" `gon na`, straight double quotes are doubled back
    or forward quotes, punctuation stands alone, "Mr." stays whole. Curly quotes, dashes and the
    ellipsis sign count as `'`, `"`, `--`, `...`. A tag of one word such as `[LAUGHTER]` is ONE
    token, `[laughter]`.
    """
    tokens: list[str] = []
    # a pattern with one group: words at even places, the names of tags at odd ones
    for place, piece in enumerate(_TAG.split(plain(text))):
        if place % 2:
            tokens.append(f"[{piece.lower()}]")
            continue
        for sentence in _sentences(piece):
            tokens.extend(token.lower() for token in _tokenizer().tokenize(sentence))
    return tokens


def plain(text: str) -> str:
    """A text in composed Unicode with typographic signs as ASCII and no control characters."""
    text = unicodedata.normalize("NFC", text)
    return _UNPRINTABLE.sub(" ", _NUMBER_RANGE.sub("-", text).translate(_ASCII))


@cache
def _tokenizer() -> NLTKWordTokenizer:
    from nltk.tokenize import NLTKWordTokenizer  # a second and a half to import

    return NLTKWordTokenizer()


def _sentences(text: str) -> list[str]:
    """Cut after full stops: NLTK parts `?` and `!` anywhere, but a full stop only at the end."""
    sentences, start = [], 0
    for stop in _FULL_STOP.finditer(text):
        before = text[start : stop.start()].rsplit(maxsplit=1)
        word = before[-1].lstrip("\"'([.") if before else ""
        if not _abbreviates(word, text[stop.end() : stop.end() + 1]):
            sentences.append(text[start : stop.end()])
            start = stop.end()
    return [*sentences, text[start:]]


def _abbreviates(word: str, following: str) -> bool:
    if word.lower() in _SHORT:
        return True
    # "J. Smith" has an initial; "at 5 p.m. He" ends a sentence and "at 5 p.m. today" does not
    return bool(_INITIALS.fullmatch(word)) and (word.isupper() or following.islower())


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The words that a model knows: word i of `tokens` has number i.

    Number 0 is padding, 1 stands for every word that is not listed.
    """

    tokens: tuple[str, ...]
    _numbers: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.tokens[:2] != RESERVED:
            start = " ".join(self.tokens[:2])
            raise EmohopError(f"a vocabulary starts with {' '.join(RESERVED)}, not with {start!r}")
        numbers = {token: number for number, token in enumerate(self.tokens)}
        if len(numbers) != len(self.tokens):
            twice = Counter(self.tokens).most_common(1)[0][0]
            raise EmohopError(f"the vocabulary holds {twice!r} twice")
        object.__setattr__(self, "_numbers", numbers)

    @classmethod
    def build(
        cls, token_lists: Iterable[Iterable[str]], max_size: int | None = None, min_count: int = 1
    ) -> Vocabulary:
        """The words of the TRAINING texts, the most frequent first, equals in order of the word.

        At most `max_size` words (padding and unknown not counted), each seen `min_count` times.
        """
        counts = Counter(str(token) for tokens in token_lists for token in tokens)
        kept = [token for token, count in counts.items() if count >= min_count]
        kept = sorted(set(kept) - set(RESERVED), key=lambda token: (-counts[token], token))
        return cls((*RESERVED, *kept[:max_size]))

    def to_list(self) -> list[str]:
        """The tokens for JSON, in the order of their numbers."""
        return list(self.tokens)

    def __len__(self) -> int:
        return len(self.tokens)

    def ids(self, tokens: Iterable[str]) -> NDArray[np.int64]:
        """The numbers of tokens, [n]; words that are not listed have number 1."""
        unknown = self._numbers[UNKNOWN]
        return np.array([self._numbers.get(token, unknown) for token in tokens], dtype=np.int64)

    def unknown(self, tokens: Iterable[str]) -> list[str]:
        """Those tokens that are not listed, in their order, repeats included."""
        return [str(token) for token in tokens if token not in self._numbers]


def embedding_matrix(
    vocabulary: Vocabulary, vectors: Mapping[str, NDArray[np.float32]], dim: int, seed: int
) -> NDArray[np.float32]:
    """The embedding to start from, [len(vocabulary), dim].

    Row 0 (padding) is 0, words in `vectors` have their vector, all others are uniform in ±0.25.
    One block of numbers is drawn for the whole table, so what an unlisted word gets depends on
    the seed and its number in the vocabulary only, not on which other words have vectors.
    """
    draw = np.random.default_rng(seed)
    table = draw.uniform(-UNIFORM_LIMIT, UNIFORM_LIMIT, (len(vocabulary), dim)).astype(np.float32)
    table[0] = 0
    for row, word in enumerate(vocabulary.tokens):
        if word in vectors and word not in RESERVED:
            if vectors[word].shape != (dim,):
                raise EmohopError(
                    f"word vectors of {len(vectors[word])} numbers do not fit an embedding of "
                    f"{dim}: set model.text.embedding={len(vectors[word])} or use another file"
                )
            table[row] = vectors[word]
    return table
