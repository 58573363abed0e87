"""What a model says of audio that is still being spoken.

A stream is cut into segments, each of which is a clip to the model. A segment is closed when it is
as long as the model reads at most, or, with `turns`, when a speaker pauses; then the next begins.
What was said of a closed segment stays so; nothing else of it is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import numpy as np
import soxr
from numpy.typing import NDArray
from torch import nn

from emohop.clips import Clip, Modality
from emohop.errors import EmohopError, MediaError
from emohop.features.arrays import Arrays
from emohop.features.audio import HOP_SAMPLES, SAMPLE_RATE_HZ, WINDOW_SAMPLES, too_short
from emohop.features.extraction import Extractor
from emohop.features.streaming import GrowingFrames
from emohop.features.text import Text
from emohop.features.vad import LONGEST_SECONDS, Turns
from emohop.media import check_rate
from emohop.models.batch import Batch
from emohop.models.streaming import GrowingEncoder
from emohop.prediction.features import row_of
from emohop.prediction.inputs import Source, finite
from emohop.prediction.schema import Prediction
from emohop.prediction.transcripts import Transcript
from emohop.preprocessor import Preprocessor
from emohop.storage import Row

EVERY_SECONDS = 0.5
"""New audio after which there is a new prediction."""
KEPT_SECONDS = 1.5
"""Of what is heard while nobody speaks: a turn is known this long after its start at most."""
STREAM = "stream"
"""The source of its predictions."""

Samples = NDArray[np.float32]


class Scorer(Protocol):
    """What a stream needs of a model; a `Predictor` is one."""

    @property
    def network(self) -> nn.Module:
        """From batches to logits and hops."""

    @property
    def preprocessor(self) -> Preprocessor:
        """From features to batches."""

    @property
    def extractor(self) -> Extractor:
        """From audio to features."""

    def answers_to(self, batch: Batch, clips: Sequence[tuple[Row, Source]]) -> list[Prediction]:
        """What the model says of each clip of a batch."""


class Update(NamedTuple):
    """What is said of the running segment; `final` if it ends there."""

    prediction: Prediction
    final: bool


class Stream:
    """Predictions on audio that comes in pieces: each of a segment from its start to what is known.

    A prediction is what the predictor says of the same audio and text as a whole clip; its start
    and end are in seconds of the stream. Memory does not grow with the stream.
    """

    def __init__(
        self,
        predictor: Scorer,
        text: str | None = None,
        sample_rate: int = SAMPLE_RATE_HZ,
        every: float = EVERY_SECONDS,
        *,
        turns: bool = False,
    ) -> None:
        """Begin with nothing heard; `text` is what is said in the first segment.

        There is a prediction whenever `every` seconds of new audio have come. With `turns` (which
        needs the extra `speech`) segments are where somebody speaks, and between them there are
        none. EmohopError for a model without audio, or another number.
        """
        if Modality.AUDIO not in predictor.preprocessor.max_length:
            raise EmohopError("this model has no audio input: there is nothing to stream to it")
        check_rate("sample_rate", sample_rate)
        if not 0.1 <= every <= 60:
            raise EmohopError(f"every = {every}: 0.1 to 60 seconds are accepted")
        self._predictor = predictor
        rates = [sample_rate, predictor.extractor.settings.bandwidth or sample_rate, SAMPLE_RATE_HZ]
        self._resamplers = [
            soxr.ResampleStream(rate, target, 1, dtype="float32")
            for rate, target in pairwise(rates)
            if rate != target
        ]
        self._every = round(every * SAMPLE_RATE_HZ)
        self._most = most_samples(predictor)
        self._turns = Turns() if turns else None
        self._waiting, self._at = np.empty(0, np.float32), 0  # heard, in no segment; its start
        self._segment: _Segment | None = None if turns else _Segment(predictor, 0)
        self._said = self._finished = False
        self.say(text)

    def say(self, text: str | None) -> None:
        """What is said in the running segment is `text`, in place of what it was; None: unknown.

        With `turns`, between two of them, it is said in the next. The next prediction knows it.
        """
        if not (text is None or isinstance(text, str)):
            raise EmohopError(f"text of type {type(text).__name__}: a string is accepted, or None")
        self._text = text
        self._words: Arrays | None = None

    def add(self, waveform: NDArray[np.floating[Any]]) -> list[Update]:
        """Hear more audio, float [n] from -1 to 1: what is said now, if it is time.

        Of a piece that ends segments there are several, each segment's last one being final.
        EmohopError for arrays of another shape or kind, or that hold NaN or infinity, of which
        nothing is heard.
        """
        if self._finished:
            raise EmohopError("this stream is finished: begin another one")
        return list(self._hear(self._resampled(_checked(waveform))))

    def finish(self) -> list[Update]:
        """End the stream: what is said of its last segment, unless it was said already.

        MediaError when there was too little audio to say anything at all.
        """
        if self._finished:
            raise EmohopError("this stream is finished already")
        found = list(self._hear(self._resampled(np.empty(0, np.float32), last=True), last=True))
        self._finished = True
        if self._turns is not None:
            for turn in self._turns.finish():
                found += self._end(_samples(turn.end))
        elif self._segment is not None:
            if not (self._said or self._tells(self._segment)):
                raise too_short(self._segment.waveform)
            found += self._end(self._at)
        return found

    def _resampled(self, waveform: Samples, *, last: bool = False) -> Samples:
        for resampler in self._resamplers:
            waveform = np.asarray(resampler.resample_chunk(waveform, last=last), np.float32)
        return waveform

    def _hear(self, waveform: Samples, *, last: bool = False) -> Iterator[Update]:
        """Put audio at 16 kHz into segments."""
        self._waiting = np.concatenate([self._waiting, waveform])
        for turn in () if self._turns is None else self._turns.add(waveform):
            if turn.over:
                yield from self._end(_samples(turn.end))
            else:
                self._drop(max(0, _samples(turn.start) - self._at))
                self._segment = _Segment(self._predictor, self._at)
        if self._segment is None:
            self._drop(max(0, len(self._waiting) - _samples(KEPT_SECONDS)))
            return
        yield from self._fill(self._at + len(self._waiting))
        if self._segment.unsaid >= self._every and self._tells(self._segment) and not last:
            yield self._update(self._segment, final=False)

    def _fill(self, until: int) -> Iterator[Update]:
        """Put what waits up to a sample of the stream into segments; full ones are closed."""
        while self._segment is not None and self._at < until:
            room = min(self._most - self._segment.samples, until - self._at)
            self._segment.add(self._waiting[:room])
            self._drop(room)
            if self._segment.samples == self._most:
                yield self._update(self._segment, final=True)
                self._segment = _Segment(self._predictor, self._at)

    def _end(self, at: int) -> Iterator[Update]:
        """Close the running segment at a sample of the stream; what was heard beyond it waits."""
        yield from self._fill(at)
        segment, self._segment = self._segment, None
        if segment is None:
            return
        if at < self._at:  # the pause was heard before it was known to be one
            waveform, cut = segment.waveform, max(0, at - segment.start)
            segment = _Segment(self._predictor, segment.start)
            segment.add(waveform[:cut])
            self._waiting = np.concatenate([waveform[cut:], self._waiting])
            self._at -= len(waveform) - cut
        if self._tells(segment):
            yield self._update(segment, final=True)

    def _drop(self, count: int) -> None:
        self._waiting, self._at = self._waiting[count:], self._at + count

    def _tells(self, segment: _Segment) -> bool:
        """Whether there is anything to go by."""
        uses_text = Modality.TEXT in self._predictor.preprocessor.max_length
        return segment.samples >= WINDOW_SAMPLES or (self._text is not None and uses_text)

    def _update(self, segment: _Segment, *, final: bool) -> Update:
        text = self._text
        if self._words is None:
            said = None if text is None else Text(text, ())
            self._words = self._predictor.extractor.of_media(text=said)
        found = segment.predict(self._words, text)
        self._said = True
        if final:
            self.say(None)
        return Update(found, final)


class _Segment:
    """A part of a stream that is a clip to the model: its audio, and what was computed of it."""

    def __init__(self, predictor: Scorer, start: int) -> None:
        """Begin at a sample of the stream at 16 kHz."""
        self.predictor, self.start = predictor, start
        self.samples = 0
        self.unsaid = 0
        """Samples since the last prediction."""
        feature = predictor.extractor.encoders[Modality.AUDIO].framewise
        self._frames = None if feature is None else GrowingFrames(feature)
        self._encoder = GrowingEncoder.of(predictor.network, Modality.AUDIO)
        self._waveform = np.empty(0, np.float32)
        self._new: list[Samples] = []

    def add(self, waveform: Samples) -> None:
        """Hear more."""
        self._new.append(waveform)
        self.samples += len(waveform)
        self.unsaid += len(waveform)

    @property
    def waveform(self) -> Samples:
        """All of it."""
        return np.concatenate([self._waveform, *self._new])

    def predict(self, words: Arrays, text: str | None) -> Prediction:
        """What the model says of it so far, and of its words."""
        new = np.concatenate([np.empty(0, np.float32), *self._new])
        self._waveform, self._new, self.unsaid = self.waveform, [], 0
        if self._frames is not None:
            self._frames.add(new)
        clip = Clip(
            id=STREAM,
            start=self.start / SAMPLE_RATE_HZ,
            end=(self.start + self.samples) / SAMPLE_RATE_HZ,
            transcript=text,
        )
        source = Source(clip, None if text is None else Transcript(text))
        row = row_of(clip, {**words, **self._heard()}, self.predictor.preprocessor.max_length)
        batch = self.predictor.preprocessor.batch([row], labelled=False)
        if self._encoder is not None and row.has(Modality.AUDIO):
            final = 0 if self._frames is None else self._frames.final
            encoded = self._encoder(batch.sequences[Modality.AUDIO], final)
            batch = replace(batch, encoded={Modality.AUDIO: encoded})
        (found,) = self.predictor.answers_to(batch, [(row, source)])
        return found

    def _heard(self) -> Arrays:
        """The arrays of its audio; of frames of our own only the new ones are computed."""
        extractor = self.predictor.extractor
        if self.samples < WINDOW_SAMPLES:
            return extractor.empty(Modality.AUDIO)
        waveform, more = extractor.heard(self._waveform, SAMPLE_RATE_HZ)
        if self._frames is not None:
            return {"audio": self._frames.all, **more}
        (found,) = extractor.encoders[Modality.AUDIO].encode([waveform])
        if isinstance(found, MediaError):
            raise found
        return {**found, **more}


def most_samples(predictor: Scorer) -> int:
    """Samples at 16 kHz of the longest clip whose audio the model reads whole."""
    encoder = predictor.extractor.encoders[Modality.AUDIO]
    steps = predictor.preprocessor.max_length[Modality.AUDIO]
    if encoder.framewise is not None:
        return WINDOW_SAMPLES + HOP_SAMPLES * (steps - 1)
    if not encoder.steps_per_second:  # a plug-in's encoder that does not say
        return _samples(LONGEST_SECONDS)
    return max(WINDOW_SAMPLES, int(steps * SAMPLE_RATE_HZ / encoder.steps_per_second))


def _samples(seconds: float) -> int:
    return round(seconds * SAMPLE_RATE_HZ)


def _checked(waveform: object) -> Samples:
    """Audio as float32; EmohopError unless it is mono and finite."""
    samples: NDArray[Any] = np.asarray(waveform)
    if samples.ndim != 1 or samples.dtype.kind != "f":
        raise EmohopError(
            f"audio of shape {samples.shape} and type {samples.dtype}: a stream takes one channel, "
            "[samples], of numbers from -1 to 1 as float32 or float64"
        )
    return np.array(finite(samples))  # a caller may use one array again and again
