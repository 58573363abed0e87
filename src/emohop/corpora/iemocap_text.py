r"""IEMOCAP's two text formats: EmoEvaluation files (labels) and transcriptions (words).

An EmoEvaluation file holds one block for each turn: a header with times, name, label and the mean
valence, activation and dominance, then a line for each rating:

    [6.2901 - 8.2357]\tSes01F_impro01_F000\tneu\t[2.5000, 2.5000, 2.5000]
    C-E4:\tNeutral; Happiness;\t()
    A-E3:\tval 3; act 2; dom  2;\t(a comment)

C lines hold categories, A lines attributes from 1 to 5; `E1`, `E2`, ... are outside raters, `F1`
and `M1` the actor. A value can be blank or its name missing. Comments are free text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from emohop.clips import Vote
from emohop.errors import CorpusError

_TIME = r"\d+(?:\.\d*)?"
_NUMBER = rf"-?{_TIME}"
_HEADER = re.compile(
    rf"\[\s*(?P<start>{_TIME})\s*-\s*(?P<end>{_TIME})\s*\]\s+(?P<name>\S+)\s+(?P<label>\S+)"
    rf"\s+\[\s*(?P<val>{_NUMBER})?\s*,\s*(?P<act>{_NUMBER})?\s*,\s*(?P<dom>{_NUMBER})?\s*\]"
)
_RATING = re.compile(r"(?P<kind>[CA])-(?P<rater>\w+):\s*(?P<values>[^(]*)(?P<comment>\(.*)?")
_ATTRIBUTE = re.compile(rf"(?P<name>val|act|dom)(?:\s+(?P<value>{_NUMBER}))?")
_TRANSCRIPT = re.compile(r"(?P<name>[^\s\[]+)\s*\[[^\]]*\]:(?P<text>.*)")

_EXPECTED_HEADER = "[start - end] NAME label [valence, activation, dominance]"
_EXPECTED_RATING = "C-RATER: Category; or A-RATER: val 3; act 2; dom 2;"
_SHOWN = 60  # characters of a wrong line that its error repeats


@dataclass(frozen=True, slots=True)
class LabelledTurn:
    """One block of an EmoEvaluation file; times in seconds, `line` counted from 1."""

    name: str
    line: int
    start: float
    end: float
    label: str
    valence: float | None
    activation: float | None
    dominance: float | None
    votes: tuple[Vote, ...]


def parse_evaluation(text: str, path: Path) -> list[LabelledTurn]:
    """The turns of an EmoEvaluation file, in its order; `path` is named in errors.

    Raises:
        CorpusError: for the first line that is not a header, rating, comment or `%` remark.
    """
    blocks: list[tuple[int, re.Match[str], list[tuple[str, Vote]]]] = []
    comment_open = False
    for number, line in _lines(text):
        if not line or line.startswith("%"):
            comment_open = False
        elif line.startswith("["):
            header = _HEADER.fullmatch(line)
            if header is None:
                raise _malformed(path, number, line, _EXPECTED_HEADER)
            blocks.append((number, header, []))
            comment_open = False
        elif (rating := _RATING.fullmatch(line)) is not None:
            if not blocks:
                raise _malformed(path, number, line, f"{_EXPECTED_HEADER} before any rating")
            vote = _vote(rating)
            if vote is None:
                raise _malformed(path, number, line, _EXPECTED_RATING)
            blocks[-1][2].append((rating["kind"], vote))
            comment = rating["comment"]
            comment_open = comment is not None and not comment.endswith(")")
        elif comment_open:
            comment_open = not line.endswith(")")
        else:
            raise _malformed(path, number, line, f"{_EXPECTED_HEADER} or {_EXPECTED_RATING}")
    return [_turn(number, header, ratings) for number, header, ratings in blocks]


def parse_transcription(text: str) -> dict[str, str]:
    """The words of each named line, tags such as `[LAUGHTER]` included, without outer spaces.

    Lines in another form (`M: sorry`) are not utterances. Names recur only on lines without a
    label (`..._FXX0`); the first of them is kept.
    """
    words: dict[str, str] = {}
    for _, line in _lines(text):
        match = _TRANSCRIPT.fullmatch(line)
        if match is not None:
            words.setdefault(match["name"], match["text"].strip(" \t"))
    return words


def _lines(text: str) -> Iterator[tuple[int, str]]:
    # Not splitlines: it would also cut at characters such as U+0085, which a text can hold.
    for number, line in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1):
        yield number, line.strip(" \t")


def _turn(number: int, header: re.Match[str], ratings: list[tuple[str, Vote]]) -> LabelledTurn:
    return LabelledTurn(
        name=header["name"],
        line=number,
        start=float(header["start"]),
        end=float(header["end"]),
        label=header["label"],
        valence=_number(header["val"]),
        activation=_number(header["act"]),
        dominance=_number(header["dom"]),
        votes=_join(ratings),
    )


def _vote(rating: re.Match[str]) -> Vote | None:
    """What a rating line says, or None when its values are not in the format."""
    values = [part.strip() for part in rating["values"].split(";") if part.strip()]
    if rating["kind"] == "C":
        return Vote(rating["rater"], categories=tuple(values))
    found = {}
    for value in values:
        match = _ATTRIBUTE.fullmatch(value)
        if match is None or match["name"] in found:
            return None
        found[match["name"]] = _number(match["value"])
    return Vote(
        rating["rater"],
        valence=found.get("val"),
        activation=found.get("act"),
        dominance=found.get("dom"),
    )


def _join(ratings: list[tuple[str, Vote]]) -> tuple[Vote, ...]:
    """One vote for each rater, whose categories (C) and attributes (A) stand on two lines."""
    votes: list[Vote] = []
    kinds: list[str] = []
    for kind, new in ratings:
        for index, old in enumerate(votes):
            if old.rater == new.rater and kind not in kinds[index]:
                attributes = new if kind == "A" else old
                categories = old.categories + new.categories
                votes[index] = replace(attributes, categories=categories)
                kinds[index] += kind
                break
        else:  # a rater's second line of a kind becomes a vote of its own: nothing is lost
            votes.append(new)
            kinds.append(kind)
    return tuple(votes)


def _number(text: str | None) -> float | None:
    return None if text is None else float(text)


def _malformed(path: Path, number: int, line: str, expected: str) -> CorpusError:
    shown = line if len(line) <= _SHOWN else f"{line[:_SHOWN]}..."
    return CorpusError(f"{path}:{number}: {shown!r} is not in IEMOCAP's form: {expected}")
