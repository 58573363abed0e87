"""A network's predictions on rows of a prepared corpus: the same call in a run and after it."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from emohop.evaluation.results import Predictions
from emohop.evaluation.splits import Fold
from emohop.models.inference import BATCH_SIZE, probabilities
from emohop.preprocessor import Preprocessor
from emohop.storage import PreparedCorpus


def score(
    corpus: PreparedCorpus,
    rows: Sequence[int],
    split: str,
    network: nn.Module,
    preprocessor: Preprocessor,
) -> Predictions:
    """Predictions of the rows with these numbers, under the name `split`."""
    ids, speakers, labels = (corpus.metadata(name) for name in ("id", "speaker", "label"))
    found = probabilities(
        network, preprocessor.batches(corpus, rows, BATCH_SIZE)
    )  # checks the labels
    return Predictions.of(
        split,
        [ids[i] for i in rows],
        [speakers[i] for i in rows],
        [preprocessor.labels.index(labels[i]) for i in rows],
        found,
        preprocessor.labels,
    )


def score_fold(
    corpus: PreparedCorpus, fold: Fold, network: nn.Module, preprocessor: Preprocessor
) -> Predictions:
    """Predictions of a fold's dev and test clips."""
    dev = score(corpus, fold.dev.tolist(), "dev", network, preprocessor)
    return dev + score(corpus, fold.test.tolist(), "test", network, preprocessor)
