"""Where somebody speaks in a recording: Silero's detector over a stream of audio.

Its model (MIT) is the file that faster-whisper carries, run by onnxruntime. In noise and in music
it is wrong far less often than WebRTC's detector (benchmarks/vad.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emohop.errors import MissingExtraError
from emohop.features.audio import SAMPLE_RATE_HZ
from emohop.features.pauses import Levels
from emohop.onnx_sessions import import_onnxruntime

MODEL = "assets/silero_vad_v6.onnx"
"""In the package faster_whisper."""
FRAME_SAMPLES = 512
FRAME_SECONDS = FRAME_SAMPLES / SAMPLE_RATE_HZ
CONTEXT_SAMPLES = 64
"""Of the frame before, which the model sees too."""
STATE = (1, 1, 128)
"""The shape of each of the two states that it goes on from."""
SPEECH = 0.5
"""The probability from which on a frame counts as speech."""
MAJORITY = 0.5
"""The share of frames around one that must be speech for it to be,"""
AROUND_FRAMES = 8
"""of so many, a quarter of a second."""
PAUSE_SECONDS = 0.6
"""A shorter pause is part of what is said."""
PAUSE_FRAMES = round(PAUSE_SECONDS / FRAME_SECONDS)
SHORTEST_SECONDS = 0.3
"""Anything shorter is not taken for an utterance."""
EDGE_SECONDS = 0.1
"""Kept before and after."""
LONGEST_SECONDS = 15.0
"""A longer utterance is cut, at pauses where it has some."""

Waveform = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Turn:
    """Somebody speaks: from one frame of 32 ms to another, the last one that is known so far."""

    first: int
    last: int
    heard: int
    """Frames that were heard when this was known."""
    over: bool
    """Whether a pause followed."""

    @property
    def start(self) -> float:
        """In seconds, with its edge."""
        return max(0.0, self.first * FRAME_SECONDS - EDGE_SECONDS)

    @property
    def end(self) -> float:
        """In seconds, with its edge."""
        return min(self.heard * FRAME_SECONDS, (self.last + 1) * FRAME_SECONDS + EDGE_SECONDS)


class Turns:
    """Somebody's turns in audio that is still coming; MissingExtraError without the extra speech.

    Only flags of frames are kept of what was heard: memory does not grow with the audio.
    """

    def __init__(self) -> None:
        """Begin with nothing heard."""
        self._session, self._rest = _session(), np.empty(0, np.float32)
        self._context = np.zeros(CONTEXT_SAMPLES, np.float32)
        self._states = [np.zeros(STATE, np.float32), np.zeros(STATE, np.float32)]
        self._half = AROUND_FRAMES // 2
        self._window = [False] * (2 * self._half + 1)
        self._frame = -self._half - 1  # the last one whose neighbours are known
        self._first: int | None = None
        self._last = 0
        self._told = False

    def add(self, waveform: Waveform) -> Iterator[Turn]:
        """Hear more audio [n] at 16 kHz: each turn once when it is known, and when it is over."""
        waveform = np.concatenate([self._rest, waveform])
        whole = len(waveform) // FRAME_SAMPLES * FRAME_SAMPLES
        self._rest = waveform[whole:]
        for flag in self._speech(waveform[:whole]):
            yield from self._flag(bool(flag))

    def _speech(self, waveform: Waveform) -> NDArray[np.bool_]:
        """Which of whole frames are speech, bool [frames]."""
        if not len(waveform):
            return np.empty(0, np.bool_)
        frames = np.clip(waveform, -1, 1).reshape(-1, FRAME_SAMPLES)
        ends = np.concatenate([self._context[None], frames[:, -CONTEXT_SAMPLES:]])
        self._context = ends[-1]
        seen = {"input": np.concatenate([ends[:-1], frames], axis=1)}
        states = dict(zip(("h", "c"), self._states, strict=True))
        found, *self._states = self._session.run(None, {**seen, **states})
        return np.asarray(np.ravel(found) >= SPEECH)

    @property
    def start(self) -> float:
        """Seconds before which nothing belongs to a turn that is still to come."""
        first = self._frame if self._first is None else self._first
        return max(0.0, (first - len(self._window)) * FRAME_SECONDS - EDGE_SECONDS)

    def finish(self) -> Iterator[Turn]:
        """The turn that the end of the audio ends; beyond it is silence."""
        for _ in range(self._half):
            yield from self._flag(False)
        if self._told:
            yield self._turn(over=True)

    def _flag(self, flag: bool) -> Iterator[Turn]:
        """A frame is speech or not; the majority of those around one decide about it."""
        self._window = [*self._window[1:], flag]
        self._frame += 1
        if self._frame < 0:
            return
        if sum(self._window) > MAJORITY * len(self._window):
            self._first = self._frame if self._first is None else self._first
            self._last = self._frame
            if (
                not self._told
                and (self._last + 1 - self._first) * FRAME_SECONDS >= SHORTEST_SECONDS
            ):
                self._told = True
                yield self._turn(over=False)
        elif self._first is not None and self._frame - self._last > PAUSE_FRAMES:
            if self._told:
                yield self._turn(over=True)
            self._first, self._told = None, False

    def _turn(self, *, over: bool) -> Turn:
        return Turn(self._first or 0, self._last, self._frame + 1, over)


def utterances(
    blocks: Iterable[Waveform], longest: float = LONGEST_SECONDS
) -> Iterator[tuple[float, float]]:
    """Start and end in seconds of each utterance in audio that comes in blocks [n] at 16 kHz.

    One that is longer than `longest` seconds is cut at its pauses, as `pauses.cut` does.
    Raises MissingExtraError without the extra speech.
    """
    turns, levels = Turns(), Levels()
    for block in blocks:
        levels.add(block)
        yield from _parts(turns.add(block), levels, longest)
        levels.forget(turns.start)
    yield from _parts(turns.finish(), levels, longest)


def _parts(turns: Iterable[Turn], levels: Levels, longest: float) -> Iterator[tuple[float, float]]:
    """Turns that are over, cut where they are too long."""
    for turn in turns:
        if turn.over:
            yield from levels.cut(turn.start, turn.end, longest)


@cache
def _session() -> Any:
    """The detector, in one thread; MissingExtraError where it is not installed."""
    package = find_spec("faster_whisper")
    model = (
        None if package is None or package.origin is None else Path(package.origin).parent / MODEL
    )
    if model is None or not model.exists():
        raise MissingExtraError("finding speech", "speech")
    onnxruntime = import_onnxruntime("finding speech", "speech")
    options = onnxruntime.SessionOptions()
    options.inter_op_num_threads = options.intra_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    return onnxruntime.InferenceSession(str(model), options, ["CPUExecutionProvider"])
