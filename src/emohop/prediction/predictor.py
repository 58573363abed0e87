"""A trained model, rebuilt from its folder alone, and what it says of clips."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from emohop.clips import Modality
from emohop.config import ModelSettings, VideoFeatures
from emohop.errors import EmohopError, MediaError, MissingExtraError, brief
from emohop.evaluation.calibration import apply_temperature
from emohop.evaluation.results import Predictions
from emohop.features.audio import SAMPLE_RATE_HZ
from emohop.features.extraction import Extractor
from emohop.learned import LearnedClips
from emohop.model_config import ModelConfig
from emohop.models.batch import Batch
from emohop.models.folder import ModelFolder
from emohop.models.inference import BATCH_SIZE
from emohop.models.onnx_network import OnnxNetwork
from emohop.prediction.attention_maps import AttentionMap, hops_of
from emohop.prediction.features import read
from emohop.prediction.inputs import (
    Source,
    Waveform,
    source_of_arrays,
    source_of_file,
    source_of_text,
)
from emohop.prediction.judging import JudgedRows, all_rows, unseen_rows
from emohop.prediction.schema import Prediction
from emohop.prediction.streaming import EVERY_SECONDS, Stream
from emohop.preprocessor import Preprocessor
from emohop.scoring import score
from emohop.storage import PreparedCorpus, Row


@dataclass(frozen=True)
class Predictor:
    """A network with what it needs to read clips as it was trained to.

    Example:
        >>> model = emohop.Predictor.load("demo/runs/amh/fold-1/seed-0/model")
        >>> model(text="Oh no!").used
        (<Modality.TEXT: 'text'>,)
    """

    network: nn.Module
    preprocessor: Preprocessor
    config: ModelConfig
    """What its folder says of it."""
    encoders: Mapping[Modality, str] = field(default_factory=dict)
    """Where pretrained encoders lie here, if not where they lay when the model was trained."""
    device: str = "auto"
    """Of pretrained encoders; the model itself is small and stays on the CPU."""
    folder: Path | None = None
    """Where it was loaded from."""

    @classmethod
    def load(cls, folder: str | Path) -> Predictor:
        """Rebuild a model from its folder; EmohopError when the folder is damaged or newer."""
        files = ModelFolder(Path(folder))
        config = files.config()
        try:
            preprocessor = Preprocessor.from_config(config.preprocessor)
        except EmohopError as error:
            raise EmohopError(
                f"{files.config_file} is damaged (preprocessor.vocabulary: {brief(error)}): "
                f"{config.remedy}"
            ) from None
        return cls(files.network(config), preprocessor, config, folder=files.path)

    @property
    def exported(self) -> bool:
        """Whether the network is a graph of `emohop export`, which has no gradients."""
        return isinstance(self.network, OnnxNetwork)

    @property
    def temperature(self) -> float:
        """What dev says the probabilities' logarithms should be divided by; see `calibration`."""
        return self.config.calibration.temperature

    def evaluate(self, corpus: PreparedCorpus, *, include_seen: bool = False) -> Predictions:
        """Predictions on the clips of a corpus that this model may be judged by.

        On the corpus that it was trained on, however prepared, those are the dev and test clips of
        its own fold, and the numbers are those of its run. On any other corpus, they are the clips
        that it has not learned from, as `test`; `judged` says what was left out. With
        `include_seen` they are all clips, and the scores no test scores.
        Raises EmohopError when classes or features differ from the model's, nothing unseen is left,
        or the model does not say what it learned from.
        """
        return self.score(corpus, self.judged(corpus, include_seen=include_seen))

    def score(self, corpus: PreparedCorpus, rows: JudgedRows) -> Predictions:
        """Predictions of these rows of a corpus."""
        preprocessor = self.preprocessor.adapted(corpus)
        test = score(corpus, rows.test, "test", self.network, preprocessor)
        if not rows.dev:
            return test
        return score(corpus, rows.dev, "dev", self.network, preprocessor) + test

    def adapted(self, corpus: PreparedCorpus) -> Predictor:
        """The same model for the rows of one corpus; see `Preprocessor.adapted`."""
        return replace(self, preprocessor=self.preprocessor.adapted(corpus))

    def judged(self, corpus: PreparedCorpus, *, include_seen: bool = False) -> JudgedRows:
        """The rows that `evaluate` scores, and what has to be said of their scores."""
        self.preprocessor.check(corpus)
        if not len(corpus):
            raise EmohopError(f"{corpus.folder} holds no clips")
        if include_seen:
            known = None if self.folder is None or self.config.learned is None else self.learned
            return all_rows(self.config, known, corpus)
        return unseen_rows(self.config, self.learned, corpus)

    @cached_property
    def learned(self) -> LearnedClips:
        """The clips that it learned from; EmohopError where its folder does not say."""
        if self.folder is None:
            raise EmohopError("a predictor that was not loaded from a folder can test nothing")
        return ModelFolder(self.folder).learned(self.config)

    def __call__(
        self,
        source: str | Path | Waveform | Mapping[str, Any] | None = None,
        text: str | None = None,
        *,
        previous_turns: Sequence[str] = (),
        sample_rate: int = SAMPLE_RATE_HZ,
    ) -> Prediction:
        """The emotion of one clip: a file, an array of audio, a mapping of arrays, or text alone.

        `text` is what is said; without it, a transcript beside the file is taken, if there is one.
        `previous_turns` are said before it, the earliest first, for a model that was trained with
        context. Arrays are as in `source_of_arrays`. Raises EmohopError when there is no input for
        the model, or it cannot be read.
        """
        if source is None:
            if text is None:
                raise EmohopError("nothing to predict: give a file, an array or text")
            wanted = source_of_text(text, previous_turns)
        elif isinstance(source, (str, Path)):
            wanted = source_of_file(source, text, previous_turns)
        else:
            rate = (self.preprocessor.features.video or VideoFeatures()).frames_per_second
            wanted = source_of_arrays(source, sample_rate, rate, text, previous_turns)
        ((_, found),) = self.predict([wanted])
        if isinstance(found, MediaError):
            raise found
        return found

    def stream(
        self,
        text: str | None = None,
        *,
        sample_rate: int = SAMPLE_RATE_HZ,
        every: float = EVERY_SECONDS,
        turns: bool = False,
    ) -> Stream:
        """What is said of audio while it is still being spoken; see `Stream`."""
        return Stream(self, text, sample_rate, every, turns=turns)

    def predict(
        self, sources: Iterable[Source]
    ) -> Iterator[tuple[Source, Prediction | MediaError]]:
        """What the model says of clips, in their order; a clip that cannot be read has its error.

        Clips are read and computed BATCH_SIZE at a time.
        """
        waiting = iter(sources)
        while chosen := list(itertools.islice(waiting, BATCH_SIZE)):
            found = read(self.extractor, self.preprocessor.max_length, chosen)
            answers = iter(self.answers([one for one in found if not isinstance(one, MediaError)]))
            for source, one in zip(chosen, found, strict=True):
                yield source, one if isinstance(one, MediaError) else next(answers)

    def rows(self, sources: Sequence[Source]) -> list[Row | MediaError]:
        """Clips' features, or why there are none; each file is decoded once."""
        found = read(self.extractor, self.preprocessor.max_length, sources)
        return [one if isinstance(one, MediaError) else one[0] for one in found]

    def answers(self, clips: Sequence[tuple[Row, Source]]) -> list[Prediction]:
        """What the model says of clips whose features are computed."""
        if not clips:
            return []
        return self.answers_to(
            self.preprocessor.batch([row for row, _ in clips], labelled=False), clips
        )

    def answers_to(self, batch: Batch, clips: Sequence[tuple[Row, Source]]) -> list[Prediction]:
        """What the model says of a batch of these clips."""
        with torch.inference_mode():
            output = self.network(batch)
        maps = self._maps(output.hops, batch)
        plain = torch.softmax(output.logits, dim=-1).numpy()
        calibrated = apply_temperature(plain, self.temperature)
        return [
            self._answer(row, source, mine, seen)
            for (row, source), mine, seen in zip(clips, calibrated, maps, strict=True)
        ]

    def _answer(
        self,
        row: Row,
        source: Source,
        probabilities: NDArray[np.float64],
        maps: Sequence[AttentionMap],
    ) -> Prediction:
        used = tuple(m for m in self.preprocessor.max_length if row.has(m))
        notes = list(source.notes)
        for modality in used:
            steps, most = len(row.arrays[modality.value]), self.preprocessor.max_length[modality]
            if steps > most:
                notes.append(
                    f"{modality}: the model reads {most} steps, of {steps} that are there: the "
                    "rest was cut off"
                )
        words = self.preprocessor.vocabulary
        unknown = [] if words is None or Modality.TEXT not in used else words.unknown(row.text)
        transcript = source.transcript
        return Prediction(
            source=row.id,
            start=row.start,
            end=row.end,
            speaker=row.speaker,
            label=self.preprocessor.labels[int(probabilities.argmax())],
            probabilities={
                label: round(float(p), 6)
                for label, p in zip(self.preprocessor.labels, probabilities, strict=True)
            },
            used=used,
            missing=tuple(m for m in self.preprocessor.max_length if m not in used),
            transcript=None if transcript is None else transcript.text,
            transcript_from=None if transcript is None else transcript.origin,
            words=() if transcript is None else transcript.words,
            unknown_words=tuple(dict.fromkeys(unknown)),
            attention=hops_of(maps, row, self.stacks, transcript),
            notes=tuple(notes),
        )

    @cached_property
    def extractor(self) -> Extractor:
        """What computes features as they were when the model was trained.

        EmohopError when a pretrained encoder is not there, or is another one.
        """
        features = self.preprocessor.features.model_copy(
            update={
                **{m.value: None for m in Modality if m not in self.preprocessor.max_length},
                "prosody": self.preprocessor.sizes.prosody > 0,
                "keep_incomplete": True,
                "precision": "float32",
            }
        )
        for modality, name in self.encoders.items():
            features = features.with_encoder(modality, name)
        try:
            extractor = Extractor(features, self.device)
        except MissingExtraError:
            raise
        except EmohopError as error:
            if not self.preprocessor.encoders:
                raise
            raise EmohopError(
                f"{error}. The model's encoders are looked for where they lay when it was trained: "
                f"say where they are, --encoder {next(iter(self.preprocessor.encoders))}=FOLDER"
            ) from error
        for modality, encoder in extractor.encoders.items():
            if encoder.fingerprint != self.preprocessor.encoders.get(modality):
                chosen = features.of(modality)
                raise EmohopError(
                    f"{brief(chosen and chosen.encoder)} is not the {modality} encoder "
                    f"that this model was trained with: name that one, --encoder {modality}=FOLDER"
                )
        return extractor

    @property
    def stacks(self) -> dict[Modality, int]:
        """Frames in a step, by modality."""
        return {m: self.settings.encoder(m).stack_frames for m in self.preprocessor.max_length}

    def attention_maps(self, rows: Sequence[Row]) -> list[tuple[AttentionMap, ...]]:
        """The attention maps of each of these clips; none for models without attention."""
        batch = self.preprocessor.batch(rows, labelled=False)
        with torch.inference_mode():
            return self._maps(self.network(batch).hops, batch)

    def _maps(self, hops: Sequence[Any], batch: Batch) -> list[tuple[AttentionMap, ...]]:
        stacks = self.stacks
        return [
            tuple(
                AttentionMap(hop.target, hop.weights[i, : -(-length // stacks[hop.target])].numpy())
                for hop, length in ((hop, int(batch.lengths[hop.target][i])) for hop in hops)
            )
            for i in range(len(batch))
        ]

    @property
    def settings(self) -> ModelSettings:
        """The network's settings."""
        return self.config.model
