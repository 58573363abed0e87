"""Uploads to predictions, inside a worker process."""

from __future__ import annotations

from collections.abc import Sequence

from emohop.clips import Modality
from emohop.config import ServingSettings
from emohop.errors import EmohopError, MediaError
from emohop.features.transcription import Transcriber
from emohop.media import probe
from emohop.prediction import Prediction
from emohop.prediction.inputs import Source, source_of_text
from emohop.prediction.segmentation import clips_of
from emohop.serving.messages import Answer, LeftOut, PredictRequest, Rejection, Served
from emohop.serving.schemas import Model

FULL = "it needs more memory than a request may take"


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

    def answers(self, jobs: Sequence[PredictRequest]) -> list[Answer]:
        """The predictions of each job, those of all in common batches, or why there are none."""
        read: list[list[Source] | Rejection] = [self._sources(job) for job in jobs]
        together = [source for found in read if isinstance(found, list) for source in found]
        try:
            predicted = list(self.predictor.predict(together))
        except MemoryError:
            return [self._alone(job, found) for job, found in zip(jobs, read, strict=True)]
        answers: list[Answer] = []
        at = 0
        for job, found in zip(jobs, read, strict=True):
            if isinstance(found, Rejection):
                answers.append(found)
                continue
            answers.append(_answer(job, predicted[at : at + len(found)]))
            at += len(found)
        return answers

    def _alone(self, job: PredictRequest, read: list[Source] | Rejection) -> Answer:
        """One job by itself, where all together needed too much memory."""
        if isinstance(read, Rejection):
            return read
        try:
            return _answer(job, list(self.predictor.predict(read)))
        except MemoryError:
            return Rejection(FULL)

    def _sources(self, job: PredictRequest) -> list[Source] | Rejection:
        """What a job is about, its words recognised where they were not given."""
        try:
            if job.path is None:
                return [source_of_text(job.text or "")]
            seconds, most = probe(job.path).duration, self.settings.clip_seconds
            if seconds > most:
                return Rejection(f"{job.name}: {seconds:.0f} s; up to {most:.0f} s are accepted")
            cutting = self.predictor.cutting(job.segments, self.transcriber)
            return list(clips_of(job.path, cutting, job.text))
        except MemoryError:
            return Rejection(FULL)
        except EmohopError as error:
            return Rejection(_told(job, error))


def _answer(job: PredictRequest, found: Sequence[tuple[Source, Prediction | MediaError]]) -> Answer:
    """A job's predictions under the name that it was sent by, or why there is none at all."""
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
