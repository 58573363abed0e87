"""From features to batches: what was fitted on the training part and goes with a model.

Training and prediction make their batches here, so that a model always sees a clip the same way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from emohop.clips import Modality
from emohop.config import FeatureSettings, Recipe, checked
from emohop.errors import EmohopError
from emohop.features.standardisation import Standardiser
from emohop.features.text import Vocabulary
from emohop.models import check
from emohop.models.batch import Batch
from emohop.models.encoder import Sizes
from emohop.storage import PreparedCorpus, Row


@dataclass(frozen=True)
class Inputs:
    """How rows become batches for one trained model."""

    labels: tuple[str, ...]
    features: FeatureSettings
    sizes: Sizes
    max_steps: Mapping[Modality, int]
    standardiser: Standardiser
    vocabulary: Vocabulary | None

    @classmethod
    def fit(cls, corpus: PreparedCorpus, train: Sequence[int], recipe: Recipe) -> Inputs:
        """Fit the vocabulary and the standardisation on the training rows of a corpus.

        EmohopError when the corpus lacks what the model needs.
        """
        manifest, model = corpus.manifest, recipe.model
        check(model, manifest.features.modalities, prosody="prosody" in manifest.sizes)
        names = [m.value for m in model.uses if m is not Modality.TEXT]
        if model.prosody:
            names.append("prosody")
        rows = ((r.id, r.speaker, r.arrays) for r in (corpus[int(i)] for i in train))
        standardiser = Standardiser.fit(recipe.training.standardise, rows, names)
        vocabulary = None
        steps: dict[Modality, int] = {
            m: manifest.sizes[m.value] for m in model.uses if m is not Modality.TEXT
        }
        if Modality.TEXT in model.uses:
            texts = [corpus[int(i)].text.tolist() for i in train]
            vocabulary = Vocabulary.build(texts, max_size=recipe.training.vocabulary)
            steps[Modality.TEXT] = len(vocabulary)
        return cls(
            labels=manifest.labels,
            features=manifest.features,
            sizes=Sizes(
                len(manifest.labels),
                steps,
                manifest.sizes["prosody"] if model.prosody else 0,
            ),
            max_steps={m: model.encoder(m).max_steps for m in model.uses},
            standardiser=standardiser,
            vocabulary=vocabulary,
        )

    def check(self, corpus: PreparedCorpus) -> None:
        """EmohopError when a corpus has other labels or features than this model was fitted on."""
        manifest = corpus.manifest
        if manifest.labels != self.labels:
            raise EmohopError(
                f"{corpus.folder} has the classes {' '.join(manifest.labels)}, "
                f"the model {' '.join(self.labels)}"
            )
        for modality in self.max_steps:
            ours = getattr(self.features, modality.value)
            theirs = getattr(manifest.features, modality.value)
            if ours != theirs:
                raise EmohopError(
                    f"{corpus.folder} was prepared with {modality} = {theirs}, "
                    f"the model was fitted on {ours}"
                )
        if self.sizes.prosody and "prosody" not in manifest.sizes:
            raise EmohopError(f"{corpus.folder} was prepared without prosody; the model needs it")

    def batches(self, rows: Sequence[Row], size: int) -> Iterator[Batch]:
        """Batches of `size` rows in their order; the last may be smaller."""
        for first in range(0, len(rows), size):
            yield self.batch(rows[first : first + size])

    def batch(self, rows: Sequence[Row]) -> Batch:
        """One batch; steps beyond `max_steps` are cut off, classes are numbers of `labels`.

        EmohopError names a clip whose features hold NaN or infinity.
        """
        clips = [self._steps(row) for row in rows]
        steps, lengths = {}, {}
        for modality in self.max_steps:
            steps[modality], lengths[modality] = _padded([clip[modality] for clip in clips])
        prosody = None
        if self.sizes.prosody:
            vectors = [self._standard(row, "prosody", row.prosody) for row in rows]
            prosody = torch.from_numpy(np.stack(vectors))
        numbers = {label: number for number, label in enumerate(self.labels)}
        return Batch(
            ids=tuple(row.id for row in rows),
            steps=steps,
            lengths=lengths,
            prosody=prosody,
            classes=torch.tensor([numbers[row.label] for row in rows]),
        )

    def _steps(self, row: Row) -> dict[Modality, NDArray[Any]]:
        arrays: dict[Modality, NDArray[Any]] = {}
        for modality, limit in self.max_steps.items():
            array = row[modality.value][:limit]
            if modality is Modality.TEXT and self.vocabulary is not None:
                arrays[modality] = self.vocabulary.ids(array.tolist())
            else:
                arrays[modality] = self._standard(row, modality.value, array)
        return arrays

    def _standard(self, row: Row, name: str, array: NDArray[Any]) -> NDArray[np.float32]:
        standard = self.standardiser(name, array, row.speaker)
        if not np.isfinite(standard).all():
            raise EmohopError(
                f"clip {row.id}: its {name} holds NaN or infinity: prepare the corpus again"
            )
        return standard

    def to_json(self) -> dict[str, Any]:
        """Plain values for `model.json`."""
        return {
            "labels": list(self.labels),
            "features": self.features.model_dump(mode="json"),
            "sizes": {
                "classes": self.sizes.classes,
                "steps": {m.value: n for m, n in self.sizes.steps.items()},
                "prosody": self.sizes.prosody,
            },
            "max_steps": {m.value: n for m, n in self.max_steps.items()},
            "normalisation": self.standardiser.to_json(),
            "vocabulary": None if self.vocabulary is None else self.vocabulary.to_list(),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Inputs:
        """The inverse of `to_json`; KeyError, TypeError or ValueError when values are damaged."""
        sizes, tokens = values["sizes"], values["vocabulary"]
        return cls(
            labels=tuple(values["labels"]),
            features=checked(FeatureSettings, values["features"]),
            sizes=Sizes(
                int(sizes["classes"]),
                {Modality(m): int(n) for m, n in sizes["steps"].items()},
                int(sizes["prosody"]),
            ),
            max_steps={Modality(m): int(n) for m, n in values["max_steps"].items()},
            standardiser=Standardiser.from_json(values["normalisation"]),
            vocabulary=None if tokens is None else Vocabulary.from_list(tokens),
        )


def _padded(arrays: Sequence[NDArray[Any]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Arrays one below the other, 0 where they end; at least one step, so that empty ones pass."""
    lengths = [len(array) for array in arrays]
    time = max(1, *lengths)
    padded = np.zeros((len(arrays), time, *arrays[0].shape[1:]), arrays[0].dtype)
    for row, array in zip(padded, arrays, strict=True):
        row[: len(array)] = array
    return torch.from_numpy(padded), torch.tensor(lengths)
