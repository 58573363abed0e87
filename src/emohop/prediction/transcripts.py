"""Transcripts of clips: given as text, or in an .srt, .vtt or .txt file."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from emohop.errors import EmohopError
from emohop.prediction.schema import Word

SUFFIXES = (".srt", ".vtt", ".txt")
"""Of a transcript that lies beside a clip, the first that is there."""
MOST_BYTES = 16 << 20
GIVEN = "given"

_TIME = re.compile(r"(?:(\d+):)?(\d{1,2}):(\d{1,2})[.,](\d{1,3})")
_ARROW = "-->"
_MARKUP = re.compile(r"<[^>]*>|\{\\[^}]*\}")
_VOICE = re.compile(r"<v(?:\.[^ >]*)?\s+([^>]+)>")


@dataclass(frozen=True, slots=True)
class Cue:
    """What is said from one time to another, in seconds, and by whom if that is known."""

    start: float
    end: float
    text: str
    speaker: str | None = None


@dataclass(frozen=True, slots=True)
class Transcript:
    """What is said in a clip; `words` carry times in seconds, where they are known."""

    text: str
    origin: str = GIVEN
    words: tuple[Word, ...] = ()

    def part(self, start: float, end: float) -> Transcript:
        """What is said from one time to another, its times counted from there.

        A word belongs to where its middle is. Words without times are in every part.
        """
        if any(word.start is None for word in self.words) or not self.words:
            return self
        inside = [
            Word(text=w.text, start=max(0.0, w.start - start), end=min(end, w.end) - start)
            for w in self.words
            if w.start is not None and w.end is not None and start <= (w.start + w.end) / 2 < end
        ]
        return Transcript(" ".join(w.text for w in inside), self.origin, tuple(inside))


def transcript_beside(path: Path) -> Transcript | None:
    """The transcript in a file of a clip's name beside it; None where there is none."""
    for suffix in SUFFIXES:
        beside = path.with_suffix(suffix)
        if beside != path and beside.is_file():
            return read_transcript(beside)
    return None


def read_transcript(path: Path) -> Transcript:
    """The transcript in an .srt, .vtt or .txt file; EmohopError when it cannot be read."""
    text = text_of(path)
    if path.suffix.lower() == ".txt":
        return Transcript(" ".join(text.split()), path.name)
    cues = list(read_cues(text, path))
    words = tuple(word for cue in cues for word in _spread(cue))
    return Transcript(" ".join(word.text for word in words), path.name, words)


def read_cues(text: str, path: Path) -> Iterator[Cue]:
    """The cues of SubRip or WebVTT; EmohopError, naming the file and line, for a wrong time."""
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        if _ARROW not in lines[at]:
            at += 1
            continue
        begin, _, rest = lines[at].partition(_ARROW)
        start, end = _seconds(begin), _seconds(rest)
        if start is None or end is None or end < start:
            raise EmohopError(
                f"{path}, line {at + 1}: {lines[at].strip()[:60]!r} are not times: write "
                "00:00:01,000 --> 00:00:02,500"
            )
        at += 1
        said = []
        while at < len(lines) and lines[at].strip() and _ARROW not in lines[at]:
            said.append(lines[at])
            at += 1
        if at < len(lines) and _ARROW in lines[at] and said and said[-1].strip().isdigit():
            said.pop()  # the next cue's number, where no empty line parts them
        whole = " ".join(said)
        voice = _VOICE.search(whole)
        cleaned = " ".join(html.unescape(_MARKUP.sub("", whole)).split())
        yield Cue(start, end, cleaned, voice.group(1).strip() if voice else None)


def text_of(path: Path) -> str:
    """A file's text in UTF-8; EmohopError when it is something else, or far too long."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise EmohopError(f"{path}: over {MOST_BYTES >> 20} MB: no transcript is as long")
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise EmohopError(f"{path}: not UTF-8 ({error.reason}): save it as UTF-8") from None


def _seconds(text: str) -> float | None:
    found = _TIME.search(text)
    if found is None:
        return None
    hours, minutes, seconds, fraction = found.groups()
    whole = int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds)
    return whole + int(fraction.ljust(3, "0")) / 1000


def _spread(cue: Cue) -> list[Word]:
    """A cue's words, its time shared out by their letters."""
    words = cue.text.split()
    letters = [len(word) + 1 for word in words]
    total, done, spread = sum(letters), 0, []
    length = cue.end - cue.start
    for word, count in zip(words, letters, strict=True):
        start, done = done, done + count
        spread.append(
            Word(
                text=word,
                start=cue.start + length * start / total,
                end=cue.start + length * done / total,
            )
        )
    return spread


def times_of(
    tokens: Sequence[str], words: Sequence[Word]
) -> list[tuple[float, float] | tuple[None, None]]:
    """When each token is said: the time of the word that its first letter is in.

    Tokens are the words' letters cut otherwise (`ca n't` for "can't"), with signs for which there
    is not a letter; those take the time of the word before them.
    """
    owner = [i for i, word in enumerate(words) for _ in _letters(word.text)]
    times: list[tuple[float, float] | tuple[None, None]] = []
    at, last = 0, 0
    for token in tokens:
        if count := len(_letters(token)):
            last = owner[min(at, len(owner) - 1)] if owner else 0
            at += count
        word = words[last] if words else Word(text="")
        known = word.start is not None and word.end is not None
        times.append((word.start, word.end) if known else (None, None))  # type: ignore[arg-type]
    return times


def _letters(text: str) -> str:
    return "".join(c for c in text if c.isalnum())
