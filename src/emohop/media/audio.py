"""The audio of a span, by libsndfile where it can read the file and by FFmpeg elsewhere."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emohop.clips import Span
from emohop.errors import MediaError
from emohop.media.blocks import Block, Decoding, Samples, as_channels, cut_short
from emohop.media.channels import chosen, mixed
from emohop.media.container import (
    MAX_SECONDS,
    MAX_TIME_SECONDS,
    check_file,
    check_rate,
    is_indexed,
    open_media,
)
from emohop.media.sndfile import audio_file, ends_in_a_chunk

MAX_SAMPLES = MAX_SECONDS * 48_000  # 700 MB of float32, whatever the rate says
END_TOLERANCE_SECONDS = 0.05  # a span may end so much after its file: rounded times, codec frames
BLOCK_SAMPLES = 1 << 20
INT16_SCALE = 32_768.0
"""What 1 is as a whole number of 16 bits."""

LOUDEST = 1e12
"""The largest sample that is taken for audio; full scale is 1, and its square is a number still."""

TOLD = 3
"""Of so many damaged places a note is made; the others are counted."""


class Audio(NamedTuple):
    """Samples `[samples]` and their rate in Hz, with what was noticed in reading them."""

    samples: NDArray[np.float32]
    sample_rate: int
    notes: tuple[str, ...] = ()


class _Damage:
    """What is wrong in a span: the first of it is raised, or all of it is told."""

    def __init__(self, path: Path, *, repair: bool) -> None:
        self.path, self.repair = path, repair
        self.said: list[str] = []

    def meet(self, error: MediaError) -> None:
        """Raise an error, or keep it as a note."""
        if not self.repair:
            raise error
        self.note(self.told(error))

    def told(self, error: Exception) -> str:
        """An error without the file's name."""
        return str(error).removeprefix(f"{self.path}: ")

    def note(self, said: str) -> None:
        """Keep what is to be said, if it is to be repaired at all."""
        if self.repair and said not in self.said:
            self.said.append(said)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was repaired; of many places, the first ones and how many."""
        more = len(self.said) - TOLD
        counted = [f"{more} more places like these"] if more > 0 else []
        return (*self.said[:TOLD], *counted)


def read_audio(span: Span, *, repair: bool = False) -> Audio:
    """The audio of a span, `[samples]` of one channel, and its sample rate in Hz.

    libsndfile reads the file where it can, else FFmpeg: any container of `CONTAINERS`. A span may
    end up to `END_TOLERANCE_SECONDS` after the file and then gets what there is. What a container
    skips by its time stamps, the time before its audio starts included, is silence. Channels are
    mixed (`channels.mixed`), or the one of `Span.channel` is taken.

    With `repair`, what does not decode is silence, what is missing at the end is left out, and
    samples that are not numbers are 0, each with a note.

    Raises:
        MediaError: the file is missing, empty, without audio, or nothing of the span is in it; and
            without `repair`, it is damaged in the span or shorter than its header says, the span is
            not inside it, or a sample is not a finite number.
    """
    check_file(span.path)
    _check_span(span)
    if not repair and span.end is None and ends_in_a_chunk(span.path):
        raise MediaError(f"{span.path}: cut short: the file is smaller than its header says")
    damage = _Damage(span.path, repair=repair)
    with audio_file(span.path, to_the_end=repair) as file:
        if file is None or span.track is not None:
            return _ffmpeg_audio(span, damage)
        try:
            samples, rate = _libsndfile_audio(span, file, damage)
        except _DamagedError as error:
            if not repair:
                raise MediaError(str(error)) from None
            found = _ffmpeg_audio(span, _Damage(span.path, repair=True))
            return found if found.notes else found._replace(notes=(damage.told(error),))
        return _checked(span, samples, rate, damage)


def read_audio_spans(
    spans: Sequence[Span], *, repair: bool = False, passes: Passes | None = None
) -> Iterator[tuple[int, Audio | MediaError]]:
    """The waveforms of many spans of ONE file, each as `read_audio` gives it, or its error.

    Yields `(i, audio)` by the spans' starts. A file in which nothing can be found without decoding
    all before it (MP3, AAC, transport streams) is decoded once, and with `passes` once for all
    calls whose spans follow each other; in others each span is looked up.

    Raises:
        MediaError: the file as a whole cannot be read.
        ValueError: the spans are of several files.
    """
    order = sorted(range(len(spans)), key=lambda i: spans[i].start)
    if not order:
        return
    path = spans[0].path
    if any(span.path != path for span in spans):
        raise ValueError("read_audio_spans reads one file at a time")
    if (len(spans) > 1 or passes is not None) and not _can_seek(path, repair=repair):
        with Passes() as own:
            for channel, track in sorted({(one.channel, one.track) for one in spans}, key=str):
                for i in order:
                    if (spans[i].channel, spans[i].track) == (channel, track):
                        one = (passes or own).of(spans[i], repair=repair)
                        yield i, one.read(spans[i])
        return
    for i in order:
        try:
            audio: Audio | MediaError = read_audio(spans[i], repair=repair)
        except MediaError as error:
            audio = error
        yield i, audio


def _can_seek(path: Path, *, repair: bool) -> bool:
    check_file(path)
    with audio_file(path, to_the_end=repair) as file:
        if file is not None:
            return True
    with open_media(path) as container:
        return is_indexed(container)


class Passes:
    """Ways through files that can only be read from front to back, left open to be gone on with.

    Of each channel and track of the last file there is one; leaving the block closes them.

    Example:
        >>> from emohop.media import Passes
        >>> with Passes() as passes:
        ...     list(read_audio_spans([], passes=passes))
        []
    """

    def __init__(self) -> None:
        """Nothing is open yet."""
        self._open: dict[tuple[int | None, int | str | None], _Pass] = {}

    def __enter__(self) -> Passes:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close what is open."""
        for one in self._open.values():
            one.close()
        self._open = {}

    def of(self, span: Span, *, repair: bool) -> _Pass:
        """The way that comes by a span; MediaError for a file that cannot be read."""
        kind = (span.channel, span.track)
        found = self._open.get(kind)
        if found is not None and found.comes_by(span, repair=repair):
            return found
        if found is not None and found.path != span.path:
            self.close()
        elif found is not None:
            self._open.pop(kind).close()
        self._open[kind] = _Pass(span, repair=repair)
        return self._open[kind]


class _Pass:
    """One decoding of a file, from front to back, for spans in the order of their starts."""

    def __init__(self, span: Span, *, repair: bool) -> None:
        import av

        self.path, self.repair = span.path, repair
        self._container = open_media(span.path)
        try:
            self._decoding = Decoding(
                Span(span.path, channel=span.channel, track=span.track), self._container
            )
        except (av.FFmpegError, ValueError) as error:
            self.close()
            raise MediaError(f"{span.path}: the audio cannot be read ({error})") from None
        except MediaError:
            self.close()
            raise
        self._rate = self._decoding.rate
        self._blocks = self._decoding.blocks(repair=repair)
        self._kept: deque[Block] = deque()  # what a later span may need too
        self._gone = 0  # the sample before which nothing is kept

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def comes_by(self, span: Span, *, repair: bool) -> bool:
        """Whether a span is still ahead."""
        ahead = span.start * self._rate >= self._gone
        return (span.path, repair) == (self.path, self.repair) and ahead

    def read(self, span: Span) -> Audio | MediaError:
        """A span's waveform, or its error."""
        import av

        rate, damage = self._rate, _Damage(self.path, repair=self.repair)
        try:
            _check_span(span)
            while len(self._kept) > 1 and _ends_before(self._kept[0], span.start * rate):
                self._kept.popleft()  # one stays: it tells how far the file goes
                self._gone = max(self._gone, self._kept[0][0])
            declared = self._decoding.declared * rate
            samples = _collect(span, rate, self._fed(), declared, damage)
            return _checked(span, samples, rate, damage)
        except MediaError as error:
            return error
        except (av.FFmpegError, ValueError) as error:
            return MediaError(f"{self.path}: the audio cannot be read ({error})")

    def _fed(self) -> Iterator[Block]:
        yield from tuple(self._kept)
        for block in self._blocks:
            self._kept.append(block)
            yield block


def _ends_before(block: Block, sample: float) -> bool:
    at, samples = block
    return at < sample if isinstance(samples, MediaError) else at + samples.shape[1] <= sample


def _checked(span: Span, samples: Samples, rate: int, damage: _Damage) -> Audio:
    """One channel of samples that are numbers; MediaError for what cannot be audio."""
    mono, note = mixed(samples)
    low, high = float(mono.min()), float(mono.max())
    if not np.isfinite((low, high)).all():
        damage.meet(
            MediaError(f"{span.path}: holds samples that are not finite numbers (NaN or inf)")
        )
        mono = np.where(np.isfinite(mono), mono, np.float32(0))
        low, high = float(mono.min()), float(mono.max())
    if max(-low, high) > LOUDEST:
        raise MediaError(f"{span.path}: holds a sample of {max(-low, high):.0e}: full scale is 1")
    return Audio(mono, rate, damage.notes if note is None else (note, *damage.notes))


class _DamagedError(Exception):
    """What libsndfile does not get over; FFmpeg may."""


def _libsndfile_audio(span: Span, file: Any, damage: _Damage) -> tuple[Samples, int]:
    import soundfile

    rate = check_rate(span.path, file.samplerate)
    first = round(span.start * rate)

    def blocks() -> Iterator[Block]:
        at, left = first, _last(span, rate) - first  # and nothing behind the span, good or bad
        if first >= file.frames:
            yield file.frames, np.empty((1, 0), np.float32)
            return
        if first:
            file.seek(first)
        while left > 0:
            size = int(min(left, max(1, BLOCK_SAMPLES // file.channels)))
            block = file.read(size, dtype="float32", always_2d=True)
            yield at, chosen(block.T, (), span.channel, span.path)
            at, left = at + len(block), left - size
            if len(block) < size:
                break
        if left > 0 and at < file.frames:
            raise _DamagedError(cut_short(span.path, at / rate, file.frames / rate))

    try:
        return _collect(span, rate, blocks(), file.frames, damage), rate
    except soundfile.LibsndfileError as error:
        raise _DamagedError(f"{span.path}: damaged audio ({error.error_string})") from None


def _ffmpeg_audio(span: Span, damage: _Damage) -> Audio:
    import av

    with open_media(span.path) as container:
        try:
            decoding = Decoding(span, container)
            rate = decoding.rate
            blocks = decoding.blocks(repair=damage.repair)
            samples = _collect(span, rate, blocks, decoding.declared * rate, damage)
        except (av.FFmpegError, ValueError) as error:  # ValueError: samples of an unknown kind
            raise MediaError(f"{span.path}: the audio cannot be read ({error})") from None
    return _checked(span, samples, rate, damage)


def _collect(
    span: Span, rate: int, blocks: Iterable[Block], declared: float, damage: _Damage
) -> Samples:
    """The span's samples out of `(position, samples)` blocks in order; gaps are silence.

    `declared` samples are in the file by its header, 0 where it does not say. What did not decode
    before the span does not matter.
    """
    first = round(span.start * rate)
    last = _last(span, rate)
    longest = min(MAX_SAMPLES, MAX_SECONDS * rate)
    too_long = MediaError(f"{span.path}: more than {longest / rate / 3600:.1f} h in one clip")
    if min(last, declared) - first > longest:
        raise too_long
    pieces: list[Samples] = []
    at, end = first, 0  # the next sample wanted; the end of what was seen
    for position, block in blocks:
        if isinstance(block, MediaError):
            if position >= first:
                damage.meet(block)
            continue
        before, end = end, max(end, position + block.shape[1])
        until = min(last, position + block.shape[1])
        if until <= at:
            continue
        if until - first > longest:
            raise too_long
        channels = len(pieces[0]) if pieces else len(block)
        if position > at:
            if before > 0:
                gap = f"{at / rate:.2f} to {min(position, until) / rate:.2f} s"
                damage.note(f"no audio from {gap}: silence in its place")
            pieces.append(np.zeros((channels, min(position, int(until)) - at), np.float32))
        wanted = block[:, max(at - position, 0) : max(int(until) - position, 0)]
        pieces.append(as_channels(wanted, channels))
        at = int(until)
        if at == last:
            break
    if end == 0:
        raise MediaError(f"{span.path}: holds no samples")
    missing = 0.0 if last == math.inf else (last - at) / rate
    if at == first or missing > END_TOLERANCE_SECONDS:
        clip = f"{span.start:.2f} s" if span.end is None else f"{span.start:.2f}-{span.end:.2f} s"
        error = MediaError(
            f"{span.path}: the file ends at {end / rate:.2f} s, before the clip's {clip}"
        )
        if at == first:
            raise error
        damage.meet(error)
    return np.concatenate(pieces, axis=1)


def _last(span: Span, rate: int) -> float:
    """The sample before which a span ends; a span holds at least one."""
    if span.end is None:
        return math.inf
    return max(round(span.start * rate) + 1, round(span.end * rate))


def _check_span(span: Span) -> None:
    end = MAX_TIME_SECONDS if span.end is None else span.end
    if not 0 <= span.start < end <= MAX_TIME_SECONDS:
        raise MediaError(
            f"{span.path}: no clip lies between {span.start} and {span.end} s: a clip starts at 0"
            " or later and ends after it starts"
        )
