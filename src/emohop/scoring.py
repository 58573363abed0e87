"""A network's predictions on rows of a prepared corpus: the same call in a run and after it."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from emohop.evaluation.results import Predictions
from emohop.evaluation.splits import Fold
from emohop.inputs import Inputs
from emohop.models.inference import BATCH_SIZE, probabilities
from emohop.storage import PreparedCorpus


def score(
    corpus: PreparedCorpus, rows: Sequence[int], split: str, network: nn.Module, inputs: Inputs
) -> Predictions:
    """Predictions of the rows with these numbers, under the name `split`."""
    ids, speakers, labels = (corpus.facts(name) for name in ("id", "speaker", "label"))
    found = probabilities(network, inputs.batches(corpus, rows, BATCH_SIZE))  # checks the labels
    return Predictions.of(
        split,
        [ids[i] for i in rows],
        [speakers[i] for i in rows],
        [inputs.labels.index(labels[i]) for i in rows],
        found,
        inputs.labels,
    )


def score_fold(
    corpus: PreparedCorpus, fold: Fold, network: nn.Module, inputs: Inputs
) -> Predictions:
    """Predictions of a fold's dev and test clips."""
    dev = score(corpus, fold.dev.tolist(), "dev", network, inputs)
    return dev + score(corpus, fold.test.tolist(), "test", network, inputs)
