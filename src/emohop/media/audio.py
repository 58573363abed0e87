"""The audio of a span, by libsndfile where it can read the file and by FFmpeg elsewhere."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emohop.clips import Span
from emohop.errors import MediaError
from emohop.media.blocks import (
    Block,
    audio_blocks,
    cut_short,
    declared_seconds,
    frames_from,
    required_audio_stream,
)
from emohop.media.container import (
    MAX_SECONDS,
    MAX_TIME_SECONDS,
    UNKNOWN_FRAMES,
    audio_file,
    check_file,
    check_rate,
    is_cut,
    is_indexed,
    open_media,
)

MAX_SAMPLES = MAX_SECONDS * 48_000  # 700 MB of float32, whatever the rate says
END_TOLERANCE_SECONDS = 0.05  # a span may end so much after its file: rounded times, codec frames
BLOCK_SAMPLES = 1 << 20
INT16_SCALE = 32_768.0
"""What 1 is as a whole number of 16 bits."""

LOUDEST = 1e12
"""The largest sample that is taken for audio; full scale is 1, and its square is a number still."""

Audio = tuple[NDArray[np.float32], int]
"""Samples `[samples]` and their rate in Hz."""


def read_audio(span: Span) -> tuple[NDArray[np.float32], int]:
    """The audio of a span, `[samples]` with channels averaged, and its sample rate in Hz.

    libsndfile reads the file where it can, else FFmpeg: any container of `CONTAINERS`. A span may
    end up to `END_TOLERANCE_SECONDS` after the file and then gets what there is. What a container
    skips by its time stamps is silence.

    Raises:
        MediaError: the file is missing, empty, without audio, damaged in the span or shorter than
            its header says, the span is not inside it, or a sample is not a finite number.
    """
    check_file(span.path)
    _check_span(span)
    if span.end is None and is_cut(span.path):
        raise MediaError(f"{span.path}: cut short: the file is smaller than its header says")
    with audio_file(span.path) as file:
        samples, rate = _ffmpeg_audio(span) if file is None else _libsndfile_audio(span, file)
    return _checked(span, samples), rate


def read_audio_spans(spans: Sequence[Span]) -> Iterator[tuple[int, Audio | MediaError]]:
    """The waveforms of many spans of ONE file, each as `read_audio` gives it, or its error.

    Yields `(i, audio)` by the spans' starts. A file in which nothing can be found without decoding
    all before it (MP3, AAC, transport streams) is decoded once; in others each span is looked up.

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
    if len(spans) > 1 and not _can_seek(path):
        yield from _one_pass(path, [(i, spans[i]) for i in order])
        return
    for i in order:
        try:
            audio: Audio | MediaError = read_audio(spans[i])
        except MediaError as error:
            audio = error
        yield i, audio


def _can_seek(path: Path) -> bool:
    check_file(path)
    with audio_file(path) as file:
        if file is not None:
            return True
    with open_media(path) as container:
        return is_indexed(container)


def _one_pass(
    path: Path, spans: Sequence[tuple[int, Span]]
) -> Iterator[tuple[int, Audio | MediaError]]:
    """The waveforms of spans in the order of their starts, out of one decoding of the file."""
    import av

    with open_media(path) as container:
        stream = required_audio_stream(path, container)
        try:
            frames, rate, zero = frames_from(Span(path), container, stream)
        except (av.FFmpegError, ValueError) as error:
            raise MediaError(f"{path}: the audio cannot be read ({error})") from None
        blocks = audio_blocks(path, stream, frames, rate, zero)
        declared = declared_seconds(stream) * rate
        kept: deque[Block] = deque()  # what a later span may need too

        def fed() -> Iterator[Block]:
            yield from tuple(kept)
            for block in blocks:
                kept.append(block)
                yield block

        for i, span in spans:
            try:
                _check_span(span)
                while len(kept) > 1 and _ends_before(kept[0], span.start * rate):
                    kept.popleft()  # one stays: it tells how far the file goes
                wanted = _wanted(span, rate, fed())
                samples = _collect(span, rate, wanted, declared)
                audio: Audio | MediaError = _checked(span, samples), rate
            except MediaError as error:
                audio = error
            except (av.FFmpegError, ValueError) as error:
                audio = MediaError(f"{path}: the audio cannot be read ({error})")
            yield i, audio


def _ends_before(block: Block, sample: float) -> bool:
    at, samples = block
    return at < sample if isinstance(samples, MediaError) else at + len(samples) <= sample


def _checked(span: Span, samples: NDArray[np.float32]) -> NDArray[np.float32]:
    low, high = float(samples.min()), float(samples.max())
    if not np.isfinite((low, high)).all():
        raise MediaError(f"{span.path}: holds samples that are not finite numbers (NaN or inf)")
    if max(-low, high) > LOUDEST:
        raise MediaError(f"{span.path}: holds a sample of {max(-low, high):.0e}: full scale is 1")
    return samples


def _libsndfile_audio(span: Span, file: Any) -> tuple[NDArray[np.float32], int]:
    import soundfile

    rate = check_rate(span.path, file.samplerate)
    first = round(span.start * rate)

    def blocks() -> Iterator[tuple[int, NDArray[np.float32]]]:
        at, left = first, _last(span, rate) - first  # and nothing behind the span, good or bad
        if first >= file.frames:
            yield file.frames, np.empty(0, np.float32)
            return
        if first:
            file.seek(first)
        while left > 0:
            size = int(min(left, max(1, BLOCK_SAMPLES // file.channels)))
            block = file.read(size, dtype="float32", always_2d=True)
            with np.errstate(invalid="ignore", over="ignore"):  # NaN is refused later
                mono = block.mean(axis=1, dtype=np.float32)
            yield at, mono
            at, left = at + len(block), left - size
            if len(block) < size:
                break
        if left > 0 and at < file.frames < UNKNOWN_FRAMES:
            raise MediaError(cut_short(span.path, at / rate, file.frames / rate))

    declared = file.frames if file.frames < UNKNOWN_FRAMES else 0
    try:
        return _collect(span, rate, blocks(), declared), rate
    except soundfile.LibsndfileError as error:
        raise MediaError(f"{span.path}: damaged audio ({error.error_string})") from None


def _ffmpeg_audio(span: Span) -> tuple[NDArray[np.float32], int]:
    import av

    with open_media(span.path) as container:
        stream = required_audio_stream(span.path, container)
        try:
            frames, rate, zero = frames_from(span, container, stream)
            blocks = _wanted(span, rate, audio_blocks(span.path, stream, frames, rate, zero))
            return _collect(span, rate, blocks, declared_seconds(stream) * rate), rate
        except (av.FFmpegError, ValueError) as error:  # ValueError: samples of an unknown kind
            raise MediaError(f"{span.path}: the audio cannot be read ({error})") from None


def _wanted(
    span: Span, rate: int, blocks: Iterable[Block]
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """The blocks that decoded; MediaError for what did not at or after the span's start."""
    for at, samples in blocks:
        if not isinstance(samples, MediaError):
            yield at, samples
        elif at >= span.start * rate:
            raise samples


def _collect(
    span: Span, rate: int, blocks: Iterable[tuple[int, NDArray[np.float32]]], declared: float
) -> NDArray[np.float32]:
    """The span's samples out of `(position, samples)` blocks in order; gaps are silence.

    `declared` samples are in the file by its header, 0 where it does not say.
    """
    first = round(span.start * rate)
    last = _last(span, rate)
    longest = min(MAX_SAMPLES, MAX_SECONDS * rate)
    too_long = MediaError(f"{span.path}: more than {longest / rate / 3600:.1f} h in one clip")
    if min(last, declared) - first > longest:
        raise too_long
    pieces: list[NDArray[np.float32]] = []
    at, end = first, 0  # the next sample wanted; the end of what was seen
    for position, block in blocks:
        end = max(end, position + len(block))
        until = min(last, position + len(block))
        if until <= at:
            continue
        if until - first > longest:
            raise too_long
        if position > at:
            pieces.append(np.zeros(min(position, int(until)) - at, np.float32))
        pieces.append(block[max(at - position, 0) : max(int(until) - position, 0)])
        at = int(until)
        if at == last:
            break
    if end == 0:
        raise MediaError(f"{span.path}: holds no samples")
    missing = 0.0 if last == math.inf else (last - at) / rate
    if at == first or missing > END_TOLERANCE_SECONDS:
        clip = f"{span.start:.2f} s" if span.end is None else f"{span.start:.2f}-{span.end:.2f} s"
        raise MediaError(
            f"{span.path}: the file ends at {end / rate:.2f} s, before the clip's {clip}"
        )
    return np.concatenate(pieces)


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
