"""A trained model, rebuilt from its folder alone, and what it says of clips."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from emohop.clips import Clip, Modality
from emohop.config import ModelSettings, VideoFeatures
from emohop.errors import EmohopError, MediaError, MissingExtraError, brief
from emohop.evaluation.calibration import apply_temperature
from emohop.evaluation.results import Predictions
from emohop.features.audio import AUDIO_FEATURES, HOP_SECONDS, SAMPLE_RATE_HZ
from emohop.features.extraction import Extractor
from emohop.features.transcription import Transcriber
from emohop.files import printable
from emohop.learned import LearnedClips
from emohop.media import Passes
from emohop.model_config import ModelConfig
from emohop.models.batch import Batch
from emohop.models.folder import ModelFolder
from emohop.models.inference import BATCH_SIZE
from emohop.models.onnx_network import OnnxNetwork
from emohop.prediction.attention_maps import AttentionMap, Times, evenly, hops_of, shared_out
from emohop.prediction.features import read
from emohop.prediction.inputs import Item, Source, source_of_item, transcribed
from emohop.prediction.judging import JudgedRows, all_rows, unseen_rows
from emohop.prediction.schema import Prediction
from emohop.prediction.segmentation import Channel, Cutting, clips_of
from emohop.prediction.streaming import EVERY_SECONDS, Stream, most_samples
from emohop.preprocessor import Preprocessor
from emohop.scoring import score
from emohop.storage import PreparedCorpus, Row

ReadClip: TypeAlias = tuple[Source, Sequence[tuple[Row, Source] | MediaError]]
"""A clip and its features, or those of each of the parts that it is read in."""


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
        source: Item | None = None,
        text: str | None = None,
        *,
        previous_turns: Sequence[str] = (),
        sample_rate: int = SAMPLE_RATE_HZ,
        segments: str | Path | float | None = None,
        asr: str | Transcriber | None = None,
        channel: Channel = None,
        track: int | str | None = None,
        device: str | None = None,
    ) -> Prediction:
        """The emotion of one clip: a file, an array of audio, a mapping of arrays, or text alone.

        `text` is what is said; without it, a transcript beside the file is taken, if there is one.
        `previous_turns` are said before it, the earliest first, for a model that was trained with
        context. A recording that is cut into clips, because it is longer than the model reads or
        by `segments`, is their mean, with them in `Prediction.segments`. What else there is to be
        said is as in `predict`. Raises EmohopError when there is no input for the model, or it
        cannot be read.
        """
        if source is None and text is None:
            raise EmohopError("nothing to predict: give a file, an array or text")
        answers = self.predict(
            [{"text": text} if source is None else source],
            None if source is None else text,
            previous_turns=previous_turns, sample_rate=sample_rate, segments=segments, asr=asr,
            channel=channel, track=track, device=device,
        )  # fmt: skip
        found: list[Prediction] = []
        errors: list[MediaError] = []
        for _, one in answers:
            if isinstance(one, MediaError):
                errors.append(one)
            else:
                found.append(one)
        if not found:
            raise errors[0]
        if len(found) == 1 and not errors:
            return found[0]
        return Prediction.of_segments(found, [str(error) for error in errors])

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
        self,
        items: Iterable[Item],
        text: str | None = None,
        *,
        previous_turns: Sequence[str] = (),
        sample_rate: int = SAMPLE_RATE_HZ,
        segments: str | Path | float | None = None,
        asr: str | Transcriber | None = None,
        channel: Channel = None,
        track: int | str | None = None,
        device: str | None = None,
    ) -> Iterator[tuple[Source, Prediction | MediaError]]:
        """What the model says of clips, in their order; one that cannot be read has its error.

        An item is a file by its name or `Path`; samples [n] or [n, channels] at `sample_rate`; a
        pair of a rate and samples; a mapping of `audio`, `video` and `text`; or a `Source`. A file
        that is longer than the model reads is cut where somebody speaks; `segments` cuts as on the
        command line (`speech`, `none`, seconds, or a file). `asr` is a Whisper model, by name, that
        hears what is not given. `channel` (from 0, or `each`) and `track` choose of a file's audio;
        `device` is that of pretrained models, if not the predictor's own.
        Clips are read and computed BATCH_SIZE at a time.

        Raises:
            EmohopError: an item or an option of another kind.

        Example:
            >>> model = emohop.load("demo/runs/amh/fold-1/seed-0/model")
            >>> [found.used for _, found in model.predict([{"text": "Oh no!"}])]
            [(<Modality.TEXT: 'text'>,)]
        """
        if isinstance(items, (str, Path, Mapping, np.ndarray)):
            raise EmohopError(
                f"predict takes several items, and this is one, of type {type(items).__name__}: "
                "put it into a list, or call the predictor itself"
            )
        model = self if device is None else replace(self, device=device)
        cutting = model.cutting(segments, model.recogniser(asr), channel, track)
        sources = (
            source
            for item in items
            for source in model._sources(item, cutting, text, previous_turns, sample_rate)
        )
        return model._answered(sources)

    def _answered(
        self, sources: Iterator[Source]
    ) -> Iterator[tuple[Source, Prediction | MediaError]]:
        with Passes() as passes:
            while chosen := list(itertools.islice(sources, BATCH_SIZE)):
                yield from self.answers_to_read(self.read(chosen, passes))

    def read(self, sources: Sequence[Source], passes: Passes | None = None) -> list[ReadClip]:
        """The features of clips, for `answers_to_read`; each file is decoded once.

        With `passes`, it is decoded once for several calls.
        """
        each = [part for source in sources for part in source.parts or (source,)]
        found = iter(read(self.extractor, self.preprocessor.max_length, each, passes))
        return [(s, list(itertools.islice(found, len(s.parts) or 1))) for s in sources]

    def answers_to_read(
        self, clips: Sequence[ReadClip]
    ) -> list[tuple[Source, Prediction | MediaError]]:
        """What the model says of clips that were read, computed together."""
        every = [part for _, parts in clips for part in parts]
        answers = iter(self.answers([one for one in every if not isinstance(one, MediaError)]))
        found: list[tuple[Source, Prediction | MediaError]] = []
        for source, parts in clips:
            told = [one if isinstance(one, MediaError) else next(answers) for one in parts]
            found.append((source, _together(source, told) if source.parts else told[0]))
        return found

    def cutting(
        self,
        segments: str | Path | float | None = None,
        transcriber: Transcriber | None = None,
        channel: Channel = None,
        track: int | str | None = None,
    ) -> Cutting:
        """How files become clips that this model reads; EmohopError for what cannot be."""
        if isinstance(segments, bool) or not isinstance(
            segments, (str, Path, float, int, type(None))
        ):
            raise EmohopError(
                f"segments of type {type(segments).__name__}: speech, none, a number of seconds or "
                "a file is accepted"
            )
        said = None if segments is None else str(segments)
        return Cutting(said, self.longest_seconds, channel, track, transcriber)

    @cached_property
    def longest_seconds(self) -> float:
        """Seconds of the longest clip that the model reads whole; without end for text alone."""
        longest = []
        if Modality.AUDIO in self.preprocessor.max_length:
            longest.append(most_samples(self) / SAMPLE_RATE_HZ)
        if (frames := self.preprocessor.max_length.get(Modality.VIDEO)) is not None:
            longest.append(frames / self.frames_per_second)
        return min(longest, default=math.inf)

    @property
    def frames_per_second(self) -> float:
        """Of video, as the model was trained with."""
        return (self.preprocessor.features.video or VideoFeatures()).frames_per_second

    def recogniser(self, asr: str | Transcriber | None) -> Transcriber | None:
        """A speech recogniser by its name; EmohopError for a model that reads no words."""
        if asr is None or isinstance(asr, Transcriber):
            return asr
        if not isinstance(asr, str):
            raise EmohopError(f"asr of type {type(asr).__name__}: the name of a model is accepted")
        if Modality.TEXT not in self.preprocessor.max_length:
            raise EmohopError("--asr: this model has no text input: drop --asr")
        return _transcriber(asr, self.device)

    def _sources(
        self,
        item: Item,
        cutting: Cutting,
        text: str | None,
        previous_turns: Sequence[str],
        sample_rate: int,
    ) -> Iterator[Source]:
        """The clips of an item; what is wrong with a file is its error."""
        if isinstance(item, Source):
            yield item
        elif isinstance(item, (str, Path)):
            try:
                yield from clips_of(item, cutting, text, previous_turns)
            except MissingExtraError:
                raise
            except (EmohopError, OSError) as error:
                said = (
                    str(error) if isinstance(error, EmohopError) else str(error.strerror or error)
                )
                named = said if str(item) in said else f"{item}: {said}"
                yield Source(Clip(id=str(item)), error=MediaError(named))
        else:
            source = source_of_item(item, sample_rate, self.frames_per_second, text, previous_turns)
            hear = cutting.transcriber
            yield source if hear is None or source.transcript else transcribed(source, hear)

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
                rest = "the rest was cut off"
                if modality is not Modality.TEXT and None not in (row.start, row.end):
                    whole = (row.end or 0.0) - (row.start or 0.0)
                    rest += f" (only the first {whole * most / steps:.1f} s of {whole:.1f} s)"
                notes.append(
                    f"{modality}: the model reads {most} steps, of {steps} that are there: {rest}"
                )
        words = self.preprocessor.vocabulary
        unknown = [] if words is None or Modality.TEXT not in used else words.unknown(row.text)
        transcript = source.transcript
        return Prediction(
            source=printable(row.id),
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
            attention=hops_of(maps, row, self.stacks, transcript, self._times(row, source)),
            notes=tuple(map(printable, notes)),
        )

    def _times(self, row: Row, source: Source) -> dict[Modality, Times]:
        """When each frame of audio and video is, in seconds from the start of the clip."""
        times: dict[Modality, Times] = {}
        audio = self.preprocessor.features.audio
        if row.has(Modality.AUDIO):
            frames = len(row.arrays[Modality.AUDIO.value])
            if audio is not None and audio.encoder in AUDIO_FEATURES:
                _, last = source.times(Modality.AUDIO)
                times[Modality.AUDIO] = evenly(frames, 0.0, HOP_SECONDS, last)
            else:
                times[Modality.AUDIO] = shared_out(frames, *source.times(Modality.AUDIO))
        if row.has(Modality.VIDEO):
            frames = len(row.arrays[Modality.VIDEO.value])
            times[Modality.VIDEO] = shared_out(frames, *source.times(Modality.VIDEO))
        return times

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
                "repair": True,
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


@lru_cache(maxsize=1)
def _transcriber(name: str, device: str) -> Transcriber:
    return Transcriber(name, device)


def _together(source: Source, parts: Sequence[Prediction | MediaError]) -> Prediction | MediaError:
    """What is said of a clip that was read in parts; the first error if that is all there is."""
    found = [part for part in parts if not isinstance(part, MediaError)]
    errors = [part for part in parts if isinstance(part, MediaError)]
    if not found:
        return errors[0]
    whole = Prediction.of_segments(found, [str(error) for error in errors])
    said, clip = source.transcript, source.clip
    return whole.model_copy(
        update={
            "start": clip.start,
            "end": clip.end,
            "transcript": None if said is None else said.text,
            "words": () if said is None else said.words,
            "notes": (*source.notes, *whole.notes),
        }
    )
