"""From features to batches: what was fitted on the training part and goes with a model.

Training and prediction make their batches here, so that a model always sees a clip the same way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from emohop.clips import Modality
from emohop.config import FeatureSettings, Recipe, Standardisation, checked
from emohop.errors import EmohopError, brief
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
        check_fit(corpus, recipe)
        manifest, model = corpus.manifest, recipe.model
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
            vocabulary = _vocabulary(corpus, train, recipe.training.vocabulary)
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
                f"{corpus.folder} has the classes {brief(' '.join(manifest.labels))}, "
                f"the model {brief(' '.join(self.labels))}"
            )
        for modality in self.max_steps:
            ours = getattr(self.features, modality.value)
            theirs = getattr(manifest.features, modality.value)
            if ours != theirs:
                raise EmohopError(
                    f"{corpus.folder} was prepared with {modality} = {brief(theirs)}, "
                    f"the model was fitted on {brief(ours)}"
                )
        if self.sizes.prosody and "prosody" not in manifest.sizes:
            raise EmohopError(f"{corpus.folder} was prepared without prosody; the model needs it")

    def batches(self, corpus: PreparedCorpus, rows: Sequence[int], size: int) -> Iterator[Batch]:
        """Batches of `size` of a corpus's rows in their order; the last may be smaller."""
        for first in range(0, len(rows), size):
            yield self.batch([corpus[int(i)] for i in rows[first : first + size]])

    def batch(self, rows: Sequence[Row]) -> Batch:
        """One batch; steps beyond `max_steps` are cut off, classes are numbers of `labels`.

        EmohopError names a clip whose features hold NaN or infinity.
        """
        steps, lengths = {}, {}
        for modality in self.max_steps:
            steps[modality], lengths[modality] = self._padded(rows, modality)
        prosody = None
        if self.sizes.prosody:
            vectors = [self._standard(row, "prosody", row.prosody) for row in rows]
            prosody = torch.from_numpy(np.stack(vectors))
        numbers = {label: number for number, label in enumerate(self.labels)}
        for row in rows:
            if row.label not in numbers:
                known = brief(", ".join(self.labels))
                raise EmohopError(
                    f"clip {brief(row.id)} is of class {brief(row.label)}, the model knows {known}"
                )
        return Batch(
            ids=tuple(row.id for row in rows),
            steps=steps,
            lengths=lengths,
            prosody=prosody,
            classes=torch.tensor([numbers[row.label] for row in rows]),
        )

    def _padded(self, rows: Sequence[Row], modality: Modality) -> tuple[Tensor, Tensor]:
        """Clips one below the other, 0 where they end; at least one step, for empty ones.

        They are made one at a time in their place: a batch is in memory once.
        """
        lengths = [min(len(row[modality.value]), self.max_steps[modality]) for row in rows]
        shape: tuple[int, ...] = (len(rows), max(1, *lengths))
        if modality is not Modality.TEXT:
            shape = (*shape, rows[0][modality.value].shape[1])
        padded = np.zeros(shape, np.int64 if modality is Modality.TEXT else np.float32)
        for place, row, length in zip(padded, rows, lengths, strict=True):
            place[:length] = self._numbers(row, modality, length)
        return torch.from_numpy(padded), torch.tensor(lengths)

    def _numbers(self, row: Row, modality: Modality, length: int) -> NDArray[Any]:
        array = row[modality.value][:length]
        if modality is Modality.TEXT and self.vocabulary is not None:
            return self.vocabulary.ids(array.tolist())
        return self._standard(row, modality.value, array)

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
        with np.errstate(over="ignore"):  # infinity is refused below
            standardiser = Standardiser.from_json(values["normalisation"])
        inputs = cls(
            labels=tuple(values["labels"]),
            features=checked(FeatureSettings, values["features"]),
            sizes=Sizes(
                int(sizes["classes"]),
                {Modality(m): int(n) for m, n in sizes["steps"].items()},
                int(sizes["prosody"]),
            ),
            max_steps={Modality(m): int(n) for m, n in values["max_steps"].items()},
            standardiser=standardiser,
            vocabulary=None if tokens is None else Vocabulary.from_list(tokens),
        )
        inputs._check_whole()
        return inputs

    def _check_whole(self) -> None:
        """ValueError unless the parts fit each other; what was fitted always does."""
        labels, sizes, words = self.labels, self.sizes, self.vocabulary
        if not all(isinstance(name, str) for name in labels) or len(labels) != sizes.classes:
            raise ValueError(f"its labels are not the names of {sizes.classes:.3g} classes")
        if len(set(labels)) != len(labels):
            raise ValueError("a label stands there twice")
        if self.max_steps.keys() != sizes.steps.keys() or min(self.max_steps.values()) < 1:
            raise ValueError("max_steps are not numbers from 1 for each of its modalities")
        if sizes.steps.get(Modality.TEXT, 0) != (0 if words is None else len(words)):
            raise ValueError("its vocabulary is not of the size that it says")
        if self.standardiser.kind not in get_args(Standardisation):
            raise ValueError("its normalisation is of no known kind")
        if self.standardiser.kind == "none":
            return
        shapes = {m.value: (n,) for m, n in sizes.steps.items() if m is not Modality.TEXT}
        if sizes.prosody:
            shapes["prosody"] = (sizes.prosody,)
        for moments in (self.standardiser.overall, *self.standardiser.speakers.values()):
            for name, shape in shapes.items():
                mean, deviation = moments[name]
                finite = np.isfinite(mean).all() and np.isfinite(deviation).all()
                known = (shape, (1,))  # one number where a speaker has no steps at all
                if mean.shape not in known or deviation.shape not in known or not finite:
                    raise ValueError(f"its normalisation of {name} is not {shape[0]:.3g} numbers")
                if not (deviation > 0).all():
                    raise ValueError(f"a deviation of {name} is not above 0")


def check_fit(corpus: PreparedCorpus, recipe: Recipe) -> None:
    """EmohopError when a recipe's model cannot be fitted on a corpus: it lacks something."""
    manifest, model = corpus.manifest, recipe.model
    check(model, manifest.features.modalities, prosody="prosody" in manifest.sizes)
    brought, text = manifest.word_vectors, model.text
    if Modality.TEXT not in model.uses or brought is None or text.glove is not None:
        return
    if brought.size != text.embedding:
        raise EmohopError(
            f"{corpus.folder} brings word vectors of {brought.size} numbers, not {text.embedding}: "
            f"set model.text.embedding={brought.size}, or model.text.glove=random to do without"
        )


def _vocabulary(corpus: PreparedCorpus, train: Sequence[int], limit: int | None) -> Vocabulary:
    """The words that the corpus brings along, in its order; else those of training, limited."""
    if corpus.word_vectors is not None and limit is None:
        return Vocabulary(corpus.word_vectors[0])
    return Vocabulary.build((corpus[int(i)].text.tolist() for i in train), max_size=limit)
