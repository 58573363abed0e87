"""A trained model, rebuilt from its folder alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from emohop.clips import Modality
from emohop.config import ModelSettings, Recipe, checked
from emohop.errors import DAMAGED, EmohopError, brief
from emohop.evaluation.results import Predictions
from emohop.evaluation.splits import Fold, make_folds
from emohop.inputs import Inputs
from emohop.models.checkpoint import CARD, load_network, read_card
from emohop.scoring import score, score_fold
from emohop.storage import PreparedCorpus, Row


@dataclass(frozen=True, eq=False)
class Look:
    """Where one hop looked in one clip: float [steps] of the target's encoder, summing to 1.

    A clip without a step of the target has no weights.
    """

    target: Modality
    weights: NDArray[np.float32]

    @property
    def entropy(self) -> float:
        """How widely it looked: 1 is everywhere alike, 0 one step only (or none there)."""
        if len(self.weights) < 2:
            return 0.0
        seen = self.weights[self.weights > 0].astype(np.float64)
        return max(0.0, float(-(seen * np.log(seen)).sum() / np.log(len(self.weights))))


@dataclass(frozen=True)
class Predictor:
    """A network with what it needs to read clips as it was trained to."""

    network: nn.Module
    inputs: Inputs
    card: dict[str, Any]

    @classmethod
    def load(cls, folder: str | Path) -> Predictor:
        """Rebuild a model from its folder; EmohopError when the folder is damaged or newer."""
        folder = Path(folder)
        card = read_card(folder)
        try:
            inputs = Inputs.from_json(card["inputs"])
            settings = checked(ModelSettings, card["model"])
            if set(settings.uses) != set(inputs.max_steps):
                raise ValueError("its model does not look at what its inputs are")
        except (*DAMAGED, EmohopError) as error:
            raise EmohopError(f"{folder / CARD} is damaged: {_told(error)}") from None
        return cls(load_network(folder, settings, inputs.sizes), inputs, card)

    @property
    def temperature(self) -> float:
        """What dev says the probabilities' logarithms should be divided by; see `calibration`."""
        try:
            return float(self.card["calibration"]["temperature"])
        except DAMAGED as error:
            raise EmohopError(
                f"this model's {CARD} holds no temperature ({_told(error)})"
            ) from None

    def evaluate(self, corpus: PreparedCorpus) -> Predictions:
        """Predictions on the clips of a corpus that this model may be judged by.

        On the corpus that it was trained on, those are the dev and test clips of its own fold,
        and the numbers are those of its run. On any other corpus, every clip is `test`.
        Raises EmohopError when classes or features differ from the model's, or an encoder was
        finetuned on clips that would be `test`.
        """
        fold, inputs = self._fold(corpus), self.inputs.adapted(corpus)
        if fold is None:
            return score(corpus, range(len(corpus)), "test", self.network, inputs)
        return score_fold(corpus, fold, self.network, inputs)

    def adapted(self, corpus: PreparedCorpus) -> Predictor:
        """The same model for the rows of one corpus; see `Inputs.adapted`."""
        return replace(self, inputs=self.inputs.adapted(corpus))

    def test_rows(self, corpus: PreparedCorpus) -> list[int]:
        """The rows that `evaluate` calls test."""
        fold = self._fold(corpus)
        return list(range(len(corpus))) if fold is None else fold.test.tolist()

    def _fold(self, corpus: PreparedCorpus) -> Fold | None:
        """The model's own fold of the corpus that it was trained on; None for any other."""
        self.inputs.check(corpus)
        if not len(corpus):
            raise EmohopError(f"{corpus.folder} holds no clips")
        try:
            if corpus.manifest.fingerprint != self.card["corpus"]["fingerprint"]:
                _check_unseen(corpus)
                return None
            recipe, number = checked(Recipe, self.card["recipe"]), int(self.card["fold"])
        except (*DAMAGED, EmohopError) as error:
            raise EmohopError(f"this model's {CARD} is damaged: {_told(error)}") from None
        folds = make_folds(recipe.protocol, corpus.facts, recipe.fold_seed, recipe.groups)
        if not 0 <= number < len(folds):
            raise EmohopError(f"this model's {CARD} names fold {brief(number)} of {len(folds)}")
        return folds[number]

    def looks(self, rows: Sequence[Row]) -> list[tuple[Look, ...]]:
        """Where each hop looked in each of these clips; nothing for models without attention."""
        batch = self.inputs.batch(rows)
        with torch.inference_mode():
            hops = self.network(batch).hops
        stacks = {m: self.settings.encoder(m).stack for m in self.inputs.max_steps}
        return [
            tuple(
                Look(hop.target, hop.weights[i, : -(-length // stacks[hop.target])].numpy())
                for hop, length in ((hop, int(batch.lengths[hop.target][i])) for hop in hops)
            )
            for i in range(len(rows))
        ]

    @property
    def settings(self) -> ModelSettings:
        """The network's settings."""
        return checked(ModelSettings, self.card["model"])


def _check_unseen(corpus: PreparedCorpus) -> None:
    """EmohopError when an encoder of a corpus's features was finetuned on some of its clips."""
    if seen := corpus.manifest.seen:
        raise EmohopError(
            f"an encoder of {corpus.folder} was finetuned on {len(seen)} of its clips, which can "
            "test no model: evaluate on the corpus that this model was trained on, or on clips "
            "that the encoder has not seen"
        )


def _told(error: Exception) -> str:
    """What an error says; of a value that is not there, that it is not."""
    return f"no {error}" if isinstance(error, KeyError) else brief(error)
