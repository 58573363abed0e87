"""The sentences of the synthetic corpus: a phrase with an emotion between neutral carrier words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

PHRASES: dict[str, tuple[str, ...]] = {
    "ang": (
        "get out of my house",
        "how dare you say that",
        "I hate every bit of this",
        "I am furious with you",
        "shut up and get out",
        "you make me furious",
        "I hate you for this",
        "don't you dare lie again",
        "you lied to my face",
        "stop yelling at me",
    ),
    "hap": (
        "I am glad you came",
        "that makes me smile",
        "it was a lovely dinner",
        "I feel good about it",
        "I like it very much",
        "we had a lovely time",
        "you always make me smile",
        "I am glad it worked",
        "what a nice little gift",
        "I feel happy and good",
    ),
    "exc": (
        "we are getting married",
        "this is absolutely amazing",
        "I won the big prize",
        "I can't wait for it",
        "we are going to Hawaii",
        "they picked me at last",
        "it is amazing, absolutely amazing",
        "we won, we really won",
        "guess who is getting married",
        "I got in, I got in",
    ),
    "sad": (
        "I miss her so much",
        "he is never coming back",
        "I lost everything I had",
        "I cried all night long",
        "there is nothing left now",
        "she died last winter",
        "I feel so alone",
        "we lost him last winter",
        "I miss him every night",
        "I cried and felt alone",
    ),
    "fru": (
        "nobody ever listens to me",
        "I already filled that form",
        "this is a waste of time",
        "it never works properly",
        "I waited in line for hours",
        "why is it so complicated",
        "the form was wrong again",
        "they keep changing the rules",
        "I told you twice already",
        "they waste hours again and again",
    ),
    "sur": (
        "oh my god, really",
        "I never expected that",
        "are you serious right now",
        "wait, since when exactly",
        "no way, you are serious",
        "wow, I had no idea",
        "really, I had no idea",
        "wow, nobody expected that",
    ),
    "neu": (
        "the number is on page two",
        "the meeting starts at nine",
        "you take the second door",
        "it is next to the bank",
        "I have two brothers",
        "the bus leaves at ten",
        "my address is on page one",
        "they open the bank at nine",
        "there is a list by the door",
        "it takes about ten minutes",
    ),
}
"""A clip whose words show a class holds one of that class's phrases."""

# Ways to begin and to end a sentence, by their number of words. None of them leans to a class.
_OPENERS: tuple[tuple[str, ...], ...] = (
    ("",),
    ("well,", "so", "look,", "okay,", "yeah,", "and", "see,", "right,"),
    ("you know,", "I mean,", "and then", "well, actually,", "so, yeah,", "after that,", "by then"),
    (
        "about this morning:",
        "like I said,",
        "when you called,",
        "so you see,",
        "the thing is,",
        "as of today,",
        "on the phone:",
        "at the office,",
        "as you know,",
        "between the two,",
        "on that evening,",
        "in the kitchen,",
        "at my brother's:",
        "about the tickets:",
        "before the call,",
        "with the others,",
    ),
    (
        "what I mean is:",
        "about the other day,",
        "when I got there,",
        "after the whole thing,",
        "since you are asking,",
        "while you were away,",
        "so as of now,",
        "just after the call,",
        "with the door open,",
        "while they all listen,",
        "on our way there,",
        "as she told you,",
        "in the second week,",
        "about the blue one,",
        "from what he says,",
        "so at the station,",
    ),
    (
        "so I said to him:",
        "about the car and everything,",
        "since you want to know,",
        "when I talked to her,",
        "by the end of it,",
        "as far as it goes,",
        "and right after the lunch,",
        "to get back to this,",
        "on the way to town,",
        "with all of them here,",
        "at the end of June,",
        "from where we stand now,",
        "about that letter of theirs,",
        "as I told your sister,",
        "while we stand here like this,",
        "in the middle of it,",
    ),
)
_CLOSERS: tuple[tuple[str, ...], ...] = (
    ("",),
    ("anyway", "today", "again", "then", "okay"),
    ("you know", "this morning", "over there", "at work"),
    ("on the phone", "at the office", "with the others", "if you ask"),
    ("when I got home", "in front of everybody", "before I came here", "at the corner store"),
    ("after we talked about this", "while you were at work", "the last time we met"),
)
_ACCENTED = "at the caf\u00e9"  # its Latin-1 byte is no UTF-8
_WITH_COLON = "what I mean is:"

TAGS = ("[LAUGHTER]", "[BREATHING]", "[GARBAGE]", "[LIPSMACK]", "[garbage]")


@dataclass(frozen=True, slots=True)
class Sentence:
    """The spoken words, and the stretch of them, as fractions, that carries the emotion."""

    words: tuple[str, ...]
    start: float
    end: float

    def transcript(self, tag: str = "", mark: str = ".") -> str:
        """The sentence as a transcription file has it; `tag` stands at its end."""
        text = " ".join(self.words)
        return " ".join(filter(None, (f"{text[0].upper()}{text[1:]}{mark}", tag)))


def sentence(
    label: str, centre: float, width: float, generator: np.random.Generator, *, odd: str = ""
) -> Sentence:
    """A sentence whose words show `label` around `centre` over about `width` of its words.

    `odd` forces an oddity of the true texts: `colon` or `accent`.
    """
    phrase = str(generator.choice(PHRASES[label])).split()
    longest = len(_OPENERS) - 1
    total = round(len(phrase) / width)
    before = min(max(round(centre * total - len(phrase) / 2), 0), total - len(phrase), longest)
    after = min(total - len(phrase) - before, longest)
    opener = str(generator.choice(_OPENERS[before])).split()
    closer = str(generator.choice(_CLOSERS[after])).split()
    if odd == "colon":
        opener = _WITH_COLON.split()
    elif odd == "accent":
        closer = _ACCENTED.split()
    words = (*opener, *phrase, *closer)
    start = len(opener) / len(words)
    return Sentence(words, start, start + len(phrase) / len(words))
