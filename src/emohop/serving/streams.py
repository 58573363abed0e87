"""Streams of audio to predictions, inside a process of their own."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from emohop.clips import Modality
from emohop.errors import EmohopError
from emohop.media import INT16_SCALE
from emohop.prediction.streaming import Stream, Update
from emohop.serving.memory import is_out_of_memory
from emohop.serving.messages import Rejection, Served, StreamEvent
from emohop.serving.requests import FULL
from emohop.serving.schemas import Begin, StreamAnswer

SAMPLES: Mapping[str, np.dtype[Any]] = {"s16le": np.dtype("<i2"), "f32le": np.dtype("<f4")}
"""`schemas.SAMPLE_BYTES` says how large they are."""


@dataclass(frozen=True, slots=True)
class _Open:
    stream: Stream
    kind: np.dtype[Any]
    attention: bool


class Listening:
    """A model, and all streams of a server."""

    def __init__(self, served: Served) -> None:
        """Load it, and predict once: what is imported late takes seconds."""
        self._predictor = served.load()
        self._open: dict[int, _Open] = {}
        if Modality.AUDIO in self._predictor.preprocessor.max_length:
            self._predictor.stream("ready").add(np.zeros(16_000, np.float32))

    def described(self) -> None:
        """Nothing that the server does not know."""

    def answers(self, heard: StreamEvent) -> Iterator[list[str] | Rejection]:
        """Of what came on a stream, updates as JSON, or why the stream is ended; one of them."""
        yield self._answer(heard)

    def _answer(self, heard: StreamEvent) -> list[str] | Rejection:
        try:
            updates = self._updates(heard)
        except EmohopError as error:
            self._open.pop(heard.stream, None)
            return Rejection(" ".join(str(error).split()))
        except Exception as error:  # the others' streams go on
            self._open.pop(heard.stream, None)
            if isinstance(error, (MemoryError, RuntimeError)) and is_out_of_memory(error):
                return Rejection(FULL)
            line = {"event": "stream failed", "error": type(error).__name__}
            print(json.dumps(line), file=sys.stderr, flush=True)
            return Rejection("the server failed")
        return updates

    def _updates(self, heard: StreamEvent) -> list[str]:
        if heard.event == "begin":
            begin: Begin = heard.value
            stream = self._predictor.stream(
                begin.text, sample_rate=begin.sample_rate, turns=begin.turns
            )
            self._open[heard.stream] = _Open(stream, SAMPLES[begin.format], begin.attention)
            return []
        if heard.event == "leave":
            self._open.pop(heard.stream, None)
            return []
        mine = self._open[heard.stream]
        if heard.event == "text":
            mine.stream.say(heard.value)
            return []
        if heard.event == "end":
            del self._open[heard.stream]
            return _told(mine, mine.stream.finish())
        if len(heard.value) % mine.kind.itemsize:
            raise EmohopError(
                f"a message of {len(heard.value)} bytes: samples have {mine.kind.itemsize} each"
            )
        samples = np.frombuffer(heard.value, mine.kind).astype(np.float32)
        if mine.kind.kind == "i":
            samples /= np.float32(INT16_SCALE)
        return _told(mine, mine.stream.add(samples))


def _told(mine: _Open, updates: Sequence[Update]) -> list[str]:
    found = []
    for prediction, final in updates:
        said = prediction if mine.attention else prediction.without_attention()
        found.append(StreamAnswer(prediction=said, final=final).model_dump_json())
    return found
