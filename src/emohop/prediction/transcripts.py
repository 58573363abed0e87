"""Transcripts of clips: given as text, or in an .srt, .vtt or .txt file."""

from __future__ import annotations

import codecs
import html
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from emohop.errors import EmohopError
from emohop.prediction.schema import Word

SUFFIXES = (".srt", ".vtt", ".txt")
"""Of a transcript that lies beside a clip, the first that is there."""
MOST_BYTES = 16 << 20
GIVEN = "given"
MOST_LINES = 8
"""On a screen at one time."""
ROLLING_SHARE = 1 / 3
"""Of captions that repeat lines of the one before: from this share on, they roll."""

_TIME = re.compile(r"(?<!\d)(?:(\d{1,6}):)?(\d{1,2}):(\d{1,2})(?:[.,](\d{1,3}))?")
_ARROW = "-->"
_INLINE_TIME = re.compile(r"<((?:\d{1,6}:)?\d{1,2}:\d{1,2}[.,]\d{1,3})>")
_MARKUP = re.compile(r"<[^<>]*>|\{\\[^{}]*\}")
_VOICE = re.compile(r"<v(?:\.[^ <>]*)?\s([^<>]+)>")
_LANGUAGE = r"\.[a-z]{2,3}(?:[-_][a-z0-9]+)*"


@dataclass(frozen=True, slots=True)
class Cue:
    """What is said from one time to another, in seconds, and by whom if that is known."""

    start: float
    end: float
    text: str
    speaker: str | None = None
    words: tuple[Word, ...] = ()
    """With times of their own, where the file has them."""
    channel: int | None = None
    """Of the audio, from 0, where the file says it."""
    line: int | None = None
    """Of the file that it is from."""
    fault: str | None = None
    """Why there is nothing to be done with it."""


@dataclass(frozen=True, slots=True)
class Transcript:
    """What is said in a clip; `words` carry times in seconds, where they are known."""

    text: str
    origin: str = GIVEN
    words: tuple[Word, ...] = ()
    notes: tuple[str, ...] = field(default=(), compare=False)
    """What of its file could not be read."""

    @property
    def timed(self) -> bool:
        """Whether it is known when its words are said."""
        return bool(self.words) and all(word.start is not None for word in self.words)

    def shared_out(self, seconds: float) -> Transcript:
        """The same with times: where words have none, they share out the clip by their letters."""
        if self.timed or not self.text:
            return self
        return replace(self, words=tuple(words_of(Cue(0.0, seconds, self.text))))

    def part(self, start: float, end: float) -> Transcript:
        """What is said from one time to another, its times counted from there.

        A word belongs to where its middle is. Words without times are in every part.
        """
        if not self.timed:
            return self
        inside = [
            Word(text=w.text, start=max(0.0, w.start - start), end=min(end, w.end) - start)
            for w in self.words
            if w.start is not None and w.end is not None and start <= (w.start + w.end) / 2 < end
        ]
        return Transcript(" ".join(w.text for w in inside), self.origin, tuple(inside))


def transcript_beside(path: Path) -> Transcript | None:
    """The transcript in a file of a clip's name beside it; None where there is none.

    Beside `talk.wav` that is `talk.srt`, `talk.wav.srt` or, with a language, `talk.en.srt`, the
    ending in any case; .srt goes before .vtt, and .vtt before .txt.
    """
    found = _beside(path)
    return None if found is None else read_transcript(found)


def _beside(path: Path) -> Path | None:
    try:
        names = _names(path.parent, path.parent.stat().st_mtime_ns)
    except OSError:
        return None
    for suffix in SUFFIXES:
        for pattern in (
            re.escape(path.stem) + f"(?i:{re.escape(suffix)})",
            re.escape(path.name) + f"(?i:{re.escape(suffix)})",
            re.escape(path.stem) + f"(?i:{_LANGUAGE}{re.escape(suffix)})",
        ):
            for name in names:
                if name != path.name and re.fullmatch(pattern, name):
                    return path.parent / name
    return None


@lru_cache(maxsize=8)
def _names(folder: Path, time_ns: int) -> tuple[str, ...]:
    """The files of a folder that may be transcripts."""
    del time_ns
    files = (path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    return tuple(sorted(path.name for path in files if path.is_file()))


def read_transcript(path: Path) -> Transcript:
    """The transcript in an .srt, .vtt or .txt file; EmohopError when it cannot be read.

    A cue whose times are wrong is left out with a note.
    """
    text = text_of(path)
    if path.suffix.lower() == ".txt":
        return Transcript(" ".join(text.split()), path.name)
    cues = list(read_cues(text, path))
    words = tuple(word for cue in cues if cue.fault is None for word in words_of(cue))
    notes = tuple(f"{cue.fault}: left out" for cue in cues if cue.fault is not None)
    return Transcript(" ".join(word.text for word in words), path.name, words, notes)


def read_cues(text: str, path: Path) -> Iterator[Cue]:
    """The cues of SubRip or WebVTT, each line of rolling captions once.

    A cue of wrong times has a fault that names the file and the line.
    """
    shown = list(_shown(text, path))
    rolling = _rolls([lines for _, lines in shown])
    before: list[str] = []
    for cue, lines in shown:
        new = lines
        if cue.fault is None:
            new = lines[_repeated(before, lines) :] if rolling else lines
            before = lines if any(map(_plain, lines)) else before
            if rolling and not any(map(_plain, new)):
                continue  # it only holds what was said
        yield _cue(cue, new)


def _shown(text: str, path: Path) -> Iterator[tuple[Cue, list[str]]]:
    """The cues as they are on the screen: their times, and their lines as they were written."""
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        if _ARROW not in lines[at]:
            at += 1
            continue
        number = at + 1
        begin, _, rest = lines[at].partition(_ARROW)
        start, end = _seconds(begin), _seconds(rest)
        fault = None
        if start is None or end is None or end < start:
            fault = (
                f"{path}, line {number}: {lines[at].strip()[:60]!r} are not times: write "
                "00:00:01,000 --> 00:00:02,500"
            )
        at += 1
        said = []
        while at < len(lines) and lines[at] and _ARROW not in lines[at]:
            said.append(lines[at])
            at += 1
        if at < len(lines) and _ARROW in lines[at] and said and said[-1].strip().isdigit():
            said.pop()  # the next cue's number, where no empty line parts them
        yield Cue(start or 0.0, end or 0.0, "", line=number, fault=fault), said


def _cue(cue: Cue, lines: Sequence[str]) -> Cue:
    """A cue with what these lines say."""
    whole = " ".join(lines)
    voice = _VOICE.search(whole)
    words: tuple[Word, ...] = ()
    if cue.fault is None and _INLINE_TIME.search(whole):
        words = tuple(_timed(cue, whole))
    return replace(
        cue, text=_plain(whole), speaker=voice.group(1).strip() if voice else None, words=words
    )


def _timed(cue: Cue, line: str) -> Iterator[Word]:
    """The words of a line that says between them when the next one begins."""
    first, *rest = _INLINE_TIME.split(line)
    starts = [cue.start, *(_seconds(time) or cue.start for time in rest[::2])]
    ends = [*starts[1:], cue.end]
    for text, start, end in zip([first, *rest[1::2]], starts, ends, strict=True):
        yield from words_of(Cue(start, max(start, end), _plain(text)))


def _plain(line: str) -> str:
    """A line without its markup."""
    return " ".join(html.unescape(_MARKUP.sub("", line)).split())


def _rolls(shown: Sequence[Sequence[str]]) -> bool:
    """Whether captions move up line by line, so that each line is in two of them or more."""
    if any(_INLINE_TIME.search(line) for lines in shown for line in lines):
        return True
    pairs = [(one, two) for one, two in itertools.pairwise(shown) if one and two]
    repeated = sum(0 < _repeated(one, two) < len(two) for one, two in pairs)
    return repeated > 0 and repeated >= ROLLING_SHARE * len(pairs)


def _repeated(before: Sequence[str], lines: Sequence[str]) -> int:
    """How many lines at the top, of MOST_LINES, are the last ones of what was shown before."""
    old = [said for said in map(_plain, before[-MOST_LINES:]) if said]
    top = [_plain(line) for line in lines[:MOST_LINES]]
    for count in range(len(top), 0, -1):
        new = [said for said in top[:count] if said]
        if new and old[-len(new) :] == new:
            return count
    return 0


def text_of(path: Path) -> str:
    """A file's text in UTF-8, UTF-16 or Windows' cp1252; EmohopError when it is none of them."""
    if path.stat().st_size > MOST_BYTES:
        raise EmohopError(f"{path}: over {MOST_BYTES >> 20} MB: no transcript is as long")
    data = path.read_bytes()
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    for encoding in ("utf-16",) if wide else ("utf-8-sig", "cp1252"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\x00" not in text:
            return text.replace("\r\n", "\n")
    raise EmohopError(f"{path}: not UTF-8, UTF-16 or cp1252: save it as UTF-8")


def _seconds(text: str) -> float | None:
    found = _TIME.search(text)
    if found is None:
        return None
    hours, minutes, seconds, fraction = found.groups()
    whole = int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds)
    return whole + int((fraction or "0").ljust(3, "0")) / 1000


def words_of(cue: Cue) -> list[Word]:
    """A cue's words: with their own times, or its time shared out by their letters."""
    if cue.words:
        return list(cue.words)
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
