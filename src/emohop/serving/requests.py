"""Uploads to predictions, inside a worker process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from emohop.clips import Modality
from emohop.config import ServingSettings
from emohop.errors import EmohopError, MediaError
from emohop.features.transcription import Transcriber
from emohop.media import Media, probe
from emohop.models.inference import BATCH_SIZE
from emohop.prediction import Prediction
from emohop.prediction.inputs import Source, source_of_text
from emohop.prediction.predictor import ReadClip
from emohop.prediction.segmentation import clips_of
from emohop.serving.memory import Memory, is_out_of_memory
from emohop.serving.messages import (
    Answer,
    Done,
    LeftOut,
    PredictRequest,
    Rejection,
    Served,
    Slow,
    Work,
)
from emohop.serving.schemas import Model

FULL = "it needs more memory than a request may take"
SLOW_SECONDS = 2.0
"""A file that takes longer than this to read is slow."""
# a rough count of the seconds that reading takes: per sample, pixel and second of sound
SAMPLES, PIXELS = 50e6, 150e6
FEATURES, HEARING = 0.01, 0.2
_Held = list[ReadClip]


class Predicting:
    """A model, and a speech recogniser if there is one."""

    def __init__(self, served: Served, settings: ServingSettings) -> None:
        """Load both; EmohopError when one cannot be."""
        self.settings, self.predictor = settings, served.load()
        self.transcriber: Transcriber | None = None
        if served.asr is not None and Modality.TEXT in self.predictor.preprocessor.max_length:
            self.transcriber = Transcriber(served.asr)
        if Modality.TEXT in self.predictor.preprocessor.max_length:
            list(self.predictor.predict([source_of_text("ready")]))  # imports take seconds
        self._memory = Memory(settings.memory_gb)

    def described(self) -> Model:
        """What is known of the model."""
        preprocessor, config = self.predictor.preprocessor, self.predictor.config
        return Model(
            model=self.predictor.settings.title,
            labels=list(preprocessor.labels),
            modalities=[m.value for m in preprocessor.max_length],
            corpus=config.corpus.name,
            emohop=config.emohop,
            asr=None if self.transcriber is None else self.transcriber.name,
        )

    def answers(self, work: Work) -> Iterator[Done]:
        """One `Done` for each request, as soon as it is read; with the last, those of all.

        Reading is by request; the network's part is computed for all of them together.
        """
        held: dict[int, tuple[PredictRequest, _Held]] = {}
        *_, last = work.jobs
        for number, job in work.jobs.items():
            found = self._read(job, slow=work.slow)
            answers: dict[int, Answer | Slow] = {}
            if isinstance(found, tuple):
                held[number] = found
            else:
                answers[number] = found
            if number == last:
                answers |= self._answered(held)
            yield Done(answers, self._memory.is_worn())

    def _answered(self, held: Mapping[int, tuple[PredictRequest, _Held]]) -> Mapping[int, Answer]:
        """The answers to all that are read."""
        if not held:
            return {}
        try:
            clips = [clip for _, read in held.values() for clip in read]
            predicted = iter(self.predictor.answers_to_read(clips))
            return {
                number: _answer(job, [next(predicted) for _ in read])
                for number, (job, read) in held.items()
            }
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
        return {number: self._alone(job, read) for number, (job, read) in held.items()}

    def _alone(self, job: PredictRequest, read: _Held) -> Answer:
        """One request by itself, where all together needed too much memory."""
        try:
            return _answer(job, self.predictor.answers_to_read(read))
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
        return Rejection(FULL)

    def _read(
        self, job: PredictRequest, *, slow: bool
    ) -> tuple[PredictRequest, _Held] | Answer | Slow:
        """What a request is about, its words recognised where they were not given.

        The answer itself where it has more clips than go together.
        """
        try:
            if job.path is None:
                return job, self.predictor.read([source_of_text(job.text or "")])
            media = probe(job.path)
            if (why_not := self._why_not(job, media, slow=slow)) is not None:
                return why_not
            cutting = self.predictor.cutting(job.segments, self.transcriber)
            sources = list(clips_of(job.path, cutting, job.text))
            if sum(len(source.parts) or 1 for source in sources) > BATCH_SIZE:
                return _answer(job, list(self.predictor.predict(sources)))
            return job, self.predictor.read(sources)
        except EmohopError as error:
            return Rejection(_told(job, error))
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            return Rejection(FULL)

    def _why_not(self, job: PredictRequest, media: Media, *, slow: bool) -> Rejection | Slow | None:
        """Why a file is not decoded, or not now, if it is not."""
        most, millions = self.settings.clip_seconds, _samples(media) / 1e6
        if media.duration > most:
            return Rejection(f"{job.name}: {media.duration:.0f} s; up to {most:.0f} s are accepted")
        if millions > self.settings.million_samples:
            return Rejection(
                f"{job.name}: {media.duration:.0f} s of {media.channels} channels at "
                f"{media.sample_rate} Hz are {millions:.0f} million samples; up to "
                f"{self.settings.million_samples:g} million are accepted"
            )
        return Slow() if not slow and self._seconds(media) > SLOW_SECONDS else None

    def _seconds(self, media: Media) -> float:
        """About how long it takes to read a file."""
        wanted = self.predictor.preprocessor.max_length
        seconds = 0.0
        if Modality.AUDIO in wanted or self.transcriber is not None:
            hearing = 0.0 if self.transcriber is None else HEARING
            seconds += _samples(media) / SAMPLES + (FEATURES + hearing) * media.duration
        if Modality.VIDEO in wanted and media.width and media.height:
            frames = media.duration * (media.frames_per_second or 0.0)
            seconds += frames * media.width * media.height / PIXELS
        return seconds


def _samples(media: Media) -> float:
    """Of all channels of a file."""
    return media.duration * (media.sample_rate or 0) * (media.channels or 0)


def _answer(job: PredictRequest, found: Sequence[tuple[Source, Prediction | MediaError]]) -> Answer:
    """A request's predictions under the name that it was sent by, or why there is none at all."""
    answers: list[Prediction | LeftOut] = []
    for source, one in found:
        if isinstance(one, MediaError):
            clip = source.clip
            answers.append(LeftOut(clip.start, clip.end, _told(job, one)))
            continue
        name = one.source if job.path is None else job.name
        notes = tuple(_plain(job, note) for note in one.notes)
        answers.append(one.model_copy(update={"source": name, "notes": notes}))
    lost = [one for one in answers if isinstance(one, LeftOut)]
    return Rejection(lost[0].reason) if len(lost) == len(answers) else answers


def _told(job: PredictRequest, error: EmohopError) -> str:
    """An error as a line, without the path at which the upload lies."""
    return _plain(job, " ".join(str(error).split()))


def _plain(job: PredictRequest, said: str) -> str:
    return said if job.path is None else said.replace(str(job.path), job.name)
