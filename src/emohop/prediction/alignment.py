"""When the words of a transcript without times are said: by what a recogniser hears."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher

from emohop.prediction.schema import Word
from emohop.prediction.transcripts import Cue, Transcript, words_of
from emohop.spelling import plain_words


def aligned(transcript: Transcript, heard: Sequence[Word], end: float) -> Transcript | None:
    """A transcript with the times of the words that were heard, in seconds of the recording.

    Words that were heard as they are written take their times; those between two such share out
    the time between them by their letters. None where nothing was heard as it is written.
    """
    words = transcript.text.split()
    matcher = SequenceMatcher(
        None, [plain_words(w) for w in words], [plain_words(w.text) for w in heard]
    )
    found: list[Word] = []
    at, done = 0.0, 0
    matched = False
    for block in matcher.get_matching_blocks():  # the last one is empty, at the end
        first = heard[block.b].start or at if block.size else end
        found += words_of(Cue(at, max(at, first), " ".join(words[done : block.a])))
        for k in range(block.size):
            one = heard[block.b + k]
            start = max(at, one.start or at)
            at = max(start, one.end or start)
            found.append(Word(text=words[block.a + k], start=start, end=at))
            matched = True
        done = block.a + block.size
    if not matched:
        return None
    return Transcript(transcript.text, transcript.origin, tuple(found), transcript.notes)
