"""The models that are judged, each by its own test clips, and what is said of their predictions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emohop.clips import Modality
from emohop.config import FeatureSettings, TextFeatures
from emohop.errors import EmohopError
from emohop.evaluation.metrics import SCORES, metrics
from emohop.evaluation.reservations import Reservation
from emohop.evaluation.run_files import Interval
from emohop.evaluation.run_folder import RunFolder
from emohop.evaluation.runs import read_runs
from emohop.evaluation.significance import cluster_intervals
from emohop.features.encoder import FeatureEncoder
from emohop.features.encoding import load_encoder
from emohop.features.text import Text
from emohop.models.batch import Batch
from emohop.models.inference import BATCH_SIZE, probabilities
from emohop.prediction import Predictor
from emohop.robustness.results import ConditionScores
from emohop.storage import PreparedCorpus, Row


@dataclass(frozen=True)
class EvaluationTarget:
    """A model and the rows that it is judged by."""

    predictor: Predictor
    rows: tuple[int, ...]
    reservations: tuple[Reservation, ...] = ()
    """What has to be said of scores on these rows."""

    @classmethod
    def load(
        cls, folder: Path, corpus: PreparedCorpus, *, include_seen: bool = False
    ) -> EvaluationTarget:
        """A model folder; EmohopError unless the corpus fits it and holds clips to test it."""
        predictor = Predictor.load(folder)
        judged = predictor.judged(corpus, include_seen=include_seen)  # which checks that it fits
        return cls(predictor.adapted(corpus), judged.test, judged.reservations)


def models_of(model: Path) -> list[Path]:
    """The model folders of a run, or the one given."""
    if not RunFolder(model).begun:
        return [model]
    (run,) = read_runs([model])
    return [fold_run.files.model_folder for fold_run in run.fold_runs]


def targets_of(
    model: str | Path, corpus: PreparedCorpus, *, include_seen: bool = False
) -> list[EvaluationTarget]:
    """A model, or every fold run of a run, with the rows of a corpus that it is judged by."""
    return [
        EvaluationTarget.load(folder, corpus, include_seen=include_seen)
        for folder in models_of(Path(model))
    ]


def reservations_of(targets: Sequence[EvaluationTarget]) -> tuple[Reservation, ...]:
    """What has to be said of the scores of all, each thing once."""
    said = {one.text: one for target in targets for one in target.reservations}
    return tuple(said.values())


def scored(target: EvaluationTarget, rows: Iterable[Row]) -> NDArray[np.float32]:
    """A fold run's probabilities of rows, [rows, classes]."""
    return probabilities(target.predictor.network, _batches(target, rows))


def _batches(target: EvaluationTarget, rows: Iterable[Row]) -> Iterator[Batch]:
    """Batches of the size that every score is computed with."""
    part: list[Row] = []
    for row in rows:
        part.append(row)
        if len(part) == BATCH_SIZE:
            yield target.predictor.preprocessor.batch(part)
            part = []
    if part:
        yield target.predictor.preprocessor.batch(part)


def entry_of(
    name: str,
    targets: Sequence[EvaluationTarget],
    corpus: PreparedCorpus,
    table: NDArray[np.float32],
    kind: str,
    level: float | None = None,
) -> ConditionScores:
    """The scores of all fold runs' probabilities [rows, classes] together, with their intervals."""
    labels = targets[0].predictor.preprocessor.labels
    facts = {fact: corpus.metadata(fact) for fact in ("label", "speaker")}
    rows = [row for target in targets for row in target.rows]
    true = [labels.index(facts["label"][row]) for row in rows]
    speakers = [facts["speaker"][row] for row in rows]
    intervals: dict[str, Interval | None] = dict.fromkeys(SCORES)
    if None not in speakers and len(set(speakers)) > 1:
        intervals.update(cluster_intervals(true, table.argmax(axis=1), speakers, len(labels)))
    return ConditionScores(
        name=name, metrics=metrics(true, table), interval_95=intervals, kind=kind, level=level
    )


def encoded(text: Text, features: FeatureSettings) -> Mapping[str, NDArray[Any]]:
    """The arrays of a text, by the language model that read the corpus, if one did."""
    (arrays,) = _language_model(features).encode([text])
    if isinstance(arrays, EmohopError):
        raise arrays
    return arrays


@cache
def _language_model(features: FeatureSettings) -> FeatureEncoder:
    """The encoder of a corpus's text, loaded once."""
    return load_encoder(Modality.TEXT, features.text or TextFeatures(), "auto", None)
