"""Where somebody speaks in a recording: WebRTC's voice activity detector over a stream of sound."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from emohop.errors import MissingExtraError
from emohop.features.audio import SAMPLE_RATE_HZ

FRAME_SAMPLES = SAMPLE_RATE_HZ * 30 // 1000
FRAME_SECONDS = 0.03
STRICTNESS = 2
"""Of WebRTC's detector, 0 to 3: a frame counts as speech the less often the stricter it is."""
MAJORITY = 0.5
"""The share of frames around one that must be speech for it to be,"""
AROUND_FRAMES = 10
"""of so many, 0.3 s."""
PAUSE_SECONDS = 0.6
"""A shorter pause is part of what is said."""
SHORTEST_SECONDS = 0.3
"""What is shorter is no utterance."""
EDGE_SECONDS = 0.1
"""Kept before and after."""
LONGEST_SECONDS = 15.0
"""A longer utterance is cut into equal parts."""

Sound = NDArray[np.float32]


def utterances(blocks: Iterable[Sound]) -> Iterator[tuple[float, float]]:
    """Start and end in seconds of each utterance in sound that comes in blocks [n] at 16 kHz.

    Only flags of frames are kept of what was heard: memory does not grow with the sound.
    Raises MissingExtraError without webrtcvad.
    """
    begun: int | None = None
    last, frames = 0, 0
    pause = round(PAUSE_SECONDS / FRAME_SECONDS)
    for frame, speaks in enumerate(_smooth(_flags(blocks))):
        frames = frame + 1
        if speaks:
            begun, last = frame if begun is None else begun, frame
        elif begun is not None and frame - last > pause:
            yield from _parts(begun, last, frames)
            begun = None
    if begun is not None:
        yield from _parts(begun, last, frames)


def _flags(blocks: Iterable[Sound]) -> Iterator[bool]:
    """Whether each frame of 30 ms is speech; what is left at the end is no frame."""
    try:
        import webrtcvad
    except ImportError:
        raise MissingExtraError("finding speech", "speech") from None

    detector, rest = webrtcvad.Vad(STRICTNESS), np.empty(0, np.float32)
    for block in blocks:
        sound = np.concatenate([rest, block])
        whole = len(sound) // FRAME_SAMPLES * FRAME_SAMPLES
        rest = sound[whole:]
        data = (np.clip(sound[:whole], -1, 1) * 32767).astype("<i2").reshape(-1, FRAME_SAMPLES)
        for frame in data:
            yield detector.is_speech(frame.tobytes(), SAMPLE_RATE_HZ)


def _smooth(flags: Iterable[bool]) -> Iterator[bool]:
    """The majority of the frames around each; beyond the ends is silence."""
    half = AROUND_FRAMES // 2
    window = [False] * (2 * half + 1)
    ahead = -half
    for flag in flags:
        window = [*window[1:], flag]
        ahead += 1
        if ahead > 0:
            yield sum(window) > MAJORITY * len(window)
    for _ in range(half):
        window = [*window[1:], False]
        ahead += 1
        if ahead > 0:
            yield sum(window) > MAJORITY * len(window)


def _parts(first: int, last: int, frames: int) -> Iterator[tuple[float, float]]:
    """An utterance from one frame to another, with its edges, cut where it is too long."""
    start = max(0.0, first * FRAME_SECONDS - EDGE_SECONDS)
    end = min(frames * FRAME_SECONDS, (last + 1) * FRAME_SECONDS + EDGE_SECONDS)
    if (last + 1 - first) * FRAME_SECONDS < SHORTEST_SECONDS:
        return
    count = int(np.ceil((end - start) / LONGEST_SECONDS - 1e-9))
    edges = np.linspace(start, end, count + 1)
    yield from zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
