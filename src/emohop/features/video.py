"""Frames of the speaker, at a fixed rate, by time stamp, cropped to the speaker's half."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emohop.clips import Half, Span
from emohop.errors import MediaError
from emohop.media import Media, frames_at, probe
from emohop.media.container import MAX_SECONDS

CROP_PIXELS = 224
ROUNDING = 1e-6  # of a frame: 1 s at 3 a second is 3 frames, however 1 s was computed

Faces = NDArray[np.uint8]


def sample_times(start: float, end: float, frames_per_second: float) -> NDArray[np.float64]:
    """The times `[frames]` in seconds at which a span is looked at: `start + k / rate < end`.

    There is always a first one, however short the span.
    """
    frames = max(1, math.ceil((end - start) * frames_per_second - ROUNDING))
    return start + np.arange(frames) / frames_per_second


def side_of(frame: NDArray[np.uint8], half: Half | None) -> NDArray[np.uint8]:
    """The half of a frame `[height, width, 3]` that shows the speaker, or all of it."""
    if half is None:
        return frame
    width = frame.shape[1]
    middle = max(1, width // 2)  # an odd column in the middle belongs to nobody
    return frame[:, :middle] if half == "left" else frame[:, width - middle :]


def crop(frame: NDArray[np.uint8], half: Half | None, size: int = CROP_PIXELS) -> Faces:
    """The centre of a frame `[height, width, 3]`, or of one half of it, `[size, size, 3]`.

    A half is cut at the file's own scale, as the paper does, and enlarged first only where it is
    smaller than `size`. A whole frame is scaled until its shorter side is `size`.
    """
    frame = side_of(frame, half)
    height, width = frame.shape[:2]
    if half is None or min(height, width) < size:
        return _scaled_centre(frame, size)
    top, left = (height - size) // 2, (width - size) // 2
    return np.ascontiguousarray(frame[top : top + size, left : left + size])


def _scaled_centre(frame: NDArray[np.uint8], size: int) -> Faces:
    """The central square, as long as the shorter side, scaled to `size`."""
    from PIL import Image

    height, width = frame.shape[:2]
    side = min(height, width)
    left, top = (width - side) / 2, (height - side) / 2
    image = Image.fromarray(np.ascontiguousarray(frame))
    box = (left, top, left + side, top + side)
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC, box=box))


def face_crop(
    frame: NDArray[np.uint8], half: Half | None, size: int = CROP_PIXELS
) -> tuple[Faces, bool]:
    """The square around the largest face of a frame, or of its half, and whether one was found.

    Where none is, it is the centre, as in `crop`.
    """
    from emohop.features.faces import around, find_face

    shown = np.ascontiguousarray(side_of(frame, half))
    face = find_face(shown)
    return (crop(frame, half, size), False) if face is None else (around(face, shown, size), True)


@dataclass(frozen=True)
class Cropped:
    """The frames of a span, uint8 `[frames, size, size, 3]`, and where a face was found."""

    frames: Faces
    found: NDArray[np.bool_]
    notes: tuple[str, ...] = ()
    """What is to be said of them."""


def cropped(frames: Faces, *, face: bool = False, size: int = CROP_PIXELS) -> Cropped:
    """The crops of frames uint8 `[n, height, width, 3]`, as `crops_of` makes them of a file's."""
    pairs = [
        face_crop(frame, None, size) if face else (crop(frame, None, size), False)
        for frame in frames
    ]
    return Cropped(np.stack([shown for shown, _ in pairs]), np.array([found for _, found in pairs]))


def crops_of(
    spans: Sequence[Span],
    frames_per_second: float,
    size: int = CROP_PIXELS,
    *,
    face: bool = False,
    repair: bool = False,
) -> Iterator[tuple[int, Cropped | MediaError]]:
    """The crops of many spans of ONE file in one decoding pass, whatever their order and overlap.

    Yields `(i, crops)` as soon as a span is complete: the centres of its frames, or with `face`
    the squares around faces. Only the spans that are open at one time are in memory. A span whose
    frames are not all there comes as a MediaError, except that the very last one may be missing.
    A span without an end lasts as long as the video, and one that starts before the video starts
    with it. With `repair`, frames that are not there are the one before, with a note.

    Raises:
        MediaError: the file as a whole cannot be read.
        ValueError: the spans are of several files, or the rate is not above 0.
    """
    if not spans:
        return
    path = spans[0].path
    if any(span.path != path for span in spans):
        raise ValueError("crops_of reads one file at a time")
    if not frames_per_second > 0:
        raise ValueError("the rate of frames must be above 0")
    media = probe(path)
    wanted: list[_Wanted] = []
    for i, span in enumerate(spans):
        try:
            ends = _ends(span, media, repair=repair)
            wanted.append(_Wanted(i, span, ends, frames_per_second, repair=repair))
        except MediaError as error:
            yield i, error
    if not wanted:
        return

    # One ascending list of times; `member[j]` is the span that looks at time j.
    times = np.concatenate([w.times for w in wanted])
    member = np.repeat(np.arange(len(wanted)), [len(w.times) for w in wanted])
    order = np.argsort(times, kind="stable")
    times, member = times[order], member[order]
    last = {int(m): j for j, m in enumerate(member)}  # the position of a span's last time
    closing = sorted(range(len(wanted)), key=lambda m: last[m])
    closed = 0
    for j, frame in frames_at(path, [float(t) for t in times]):
        entry = wanted[member[j]]
        half = entry.span.half
        shown, found = face_crop(frame, half, size) if face else (crop(frame, half, size), False)
        entry.crops[float(times[j])] = shown, found
        while closed < len(closing) and last[closing[closed]] <= j:
            yield wanted[closing[closed]].result(path)
            closed += 1
    for m in closing[closed:]:
        yield wanted[m].result(path)


def _ends(span: Span, media: Media, *, repair: bool) -> tuple[float, float]:
    """Where a span starts and ends in seconds; MediaError if it is not a span of its video."""
    if media.video_end is None:
        raise MediaError(f"{span.path}: {media.video_fault or 'holds no video'}")
    if span.end is None and media.truncated and not repair:
        raise MediaError(f"{span.path}: cut short: the file is smaller than its header says")
    start = max(span.start, media.video_start or 0.0)
    end = media.video_end if span.end is None else span.end
    if not 0 <= span.start <= start < end < math.inf:
        raise MediaError(
            f"{span.path}: no clip lies between {span.start} and {end} s of its video, which goes "
            f"from {media.video_start or 0.0:.2f} to {media.video_end:.2f} s"
        )
    if end - span.start > MAX_SECONDS:
        hours = (end - span.start) / 3600
        limit = MAX_SECONDS / 3600
        raise MediaError(f"{span.path}: a clip of {hours:.1f} h; up to {limit:.0f} h are accepted")
    return start, end


class _Wanted:
    """A span that waits for its frames."""

    def __init__(
        self, index: int, span: Span, times: tuple[float, float], rate: float, *, repair: bool
    ) -> None:
        self.index, self.span, self.repair = index, span, repair
        self.start, self.end = times
        self.times = sample_times(self.start, self.end, rate)
        self.crops: dict[float, tuple[Faces, bool]] = {}

    def result(self, path: Path) -> tuple[int, Cropped | MediaError]:
        """The span's crops; what is in memory for it is let go."""
        crops, self.crops = self.crops, {}
        got, expected = len(crops), len(self.times)
        where = f"{self.start:.2f}-{self.end:.2f} s"
        if got == 0:
            return self.index, MediaError(f"{path}: no frame at {where}: the video ends before it")
        only_last_missing = got == expected - 1 and self.times[-1] not in crops
        notes = []
        if got < expected and not only_last_missing:
            lost = (
                f"{got} of the {expected} frames at {where} are there: the video is truncated or "
                "damaged"
            )
            if not self.repair:
                return self.index, MediaError(f"{path}: {lost}")
            notes.append(lost)
            crops = _filled(self.times, crops)
        frames = np.stack([frame for frame, _ in crops.values()])
        faces = np.array([found for _, found in crops.values()])
        return self.index, Cropped(frames, faces, tuple(notes))


def _filled(
    times: NDArray[np.float64], crops: dict[float, tuple[Faces, bool]]
) -> dict[float, tuple[Faces, bool]]:
    """Crops at all times: where one is missing, the one before it, or else the first."""
    shown = next(iter(crops.values()))
    filled = {}
    for time in times.tolist():
        shown = crops.get(time, shown)
        filled[time] = shown
    return filled
