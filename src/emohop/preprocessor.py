"""From features to batches: what was fitted on the training part and goes with a model.

Training and prediction make their batches here, so that a model always sees a clip the same way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from emohop.clips import Modality
from emohop.config import FeatureSettings, Recipe
from emohop.errors import EmohopError, brief
from emohop.features.arrays import PROSODY
from emohop.features.identity import FeatureIdentity
from emohop.features.standardisation import Standardiser
from emohop.features.text import Vocabulary
from emohop.model_config import STATES, InputDims, PreprocessorConfig, array_of
from emohop.models import check
from emohop.models.batch import Batch
from emohop.storage import PreparedCorpus, Row
from emohop.storage.shards import RATERS

_NOTHING: NDArray[Any] = np.zeros(0, np.float32)


@dataclass(frozen=True)
class Preprocessor:
    """How rows become batches for one trained model."""

    labels: tuple[str, ...]
    features: FeatureSettings
    sizes: InputDims
    max_length: Mapping[Modality, int]
    standardiser: Standardiser
    vocabulary: Vocabulary | None
    encoders: Mapping[Modality, str] = field(default_factory=dict)
    """The fingerprint of each modality's pretrained encoder."""

    @classmethod
    def fit(cls, corpus: PreparedCorpus, train: Sequence[int], recipe: Recipe) -> Preprocessor:
        """Fit the vocabulary and the standardisation on the training rows of a corpus.

        EmohopError when the corpus lacks what the model needs.
        """
        check_fit(corpus, recipe)
        manifest, model = corpus.manifest, recipe.model
        states = STATES in manifest.sizes
        names = {
            m: array_of(m, text_states=states)
            for m in model.uses
            if m is not Modality.TEXT or states
        }
        standardiser = Standardiser.fit(
            recipe.training.standardise,
            _numbers_of(corpus, train, names, prosody=model.prosody),
            [*names.values(), *([PROSODY] if model.prosody else [])],
        )
        layers = {m: n for m in names if (n := manifest.layers.get(m.value, 1)) > 1}
        steps = {m: manifest.sizes[name] // layers.get(m, 1) for m, name in names.items()}
        vocabulary = None
        if Modality.TEXT in model.uses and not states:
            vocabulary = _vocabulary(corpus, train, recipe.training.vocabulary)
            steps[Modality.TEXT] = len(vocabulary)
        preprocessor = cls(
            labels=manifest.labels,
            features=manifest.features,
            sizes=InputDims(
                len(manifest.labels),
                steps,
                manifest.sizes[PROSODY] if model.prosody else 0,
                layers,
                states and Modality.TEXT in model.uses,
            ),
            max_length={m: model.encoder(m).max_length for m in model.uses},
            standardiser=standardiser,
            vocabulary=vocabulary,
            encoders={m: f for m in model.uses if (f := manifest.encoders.get(m.value))},
        )
        return preprocessor.adapted(corpus)

    def adapted(self, corpus: PreparedCorpus) -> Preprocessor:
        """The same for the clips of one corpus.

        With `per_speaker`, they are standardised by its speakers' own clips; where clips are
        hidden, they do not count.
        """
        if self.standardiser.kind != "per_speaker":
            return self
        states = self.sizes.text_states
        names = {
            m: array_of(m, text_states=states)
            for m in self.max_length
            if m is not Modality.TEXT or states
        }
        seen = range(len(corpus)) if corpus.visible is None else sorted(corpus.visible)
        prosody = self.sizes.prosody > 0
        rows = _numbers_of(corpus, seen, names, prosody=prosody)
        arrays = [*names.values(), *([PROSODY] if prosody else [])]
        return replace(self, standardiser=self.standardiser.adapted(rows, arrays))

    def check(self, corpus: PreparedCorpus) -> None:
        """EmohopError when a corpus has other labels or features than this model was fitted on."""
        manifest = corpus.manifest
        if manifest.labels != self.labels:
            raise EmohopError(
                f"{corpus.folder} has the classes {brief(' '.join(manifest.labels))}, "
                f"the model {brief(' '.join(self.labels))}"
            )
        if not any(m in manifest.features.modalities for m in self.max_length):
            raise EmohopError(
                f"{corpus.folder} holds {_listed(manifest.features.modalities)}, the model takes "
                f"{_listed(self.max_length)}"
            )
        for modality in self.max_length:
            if modality in manifest.features.modalities:  # else every clip lacks it
                self._check_alike(corpus, modality)
        audio = manifest.features.audio is not None
        if self.sizes.prosody and audio and PROSODY not in manifest.sizes:
            raise EmohopError(f"{corpus.folder} was prepared without prosody; the model needs it")

    def _check_alike(self, corpus: PreparedCorpus, modality: Modality) -> None:
        """EmohopError when a modality's features are not those that the model was fitted on."""
        theirs = corpus.manifest.identity(modality)
        ours = FeatureIdentity.of(
            modality, self.features, {m.value: f for m, f in self.encoders.items()}
        )
        if theirs is None or ours is None:
            return
        for name in theirs.differing(ours):
            raise EmohopError(
                f"{corpus.folder} was prepared with {modality}.{name} = {theirs.value(name)}, the "
                f"model was fitted on {ours.value(name)}: prepare the corpus alike"
            )

    def batches(self, corpus: PreparedCorpus, rows: Sequence[int], size: int) -> Iterator[Batch]:
        """Batches of `size` of a corpus's rows in their order; the last may be smaller."""
        for first in range(0, len(rows), size):
            yield self.batch([corpus[int(i)] for i in rows[first : first + size]])

    def batch(self, rows: Sequence[Row], *, labelled: bool = True) -> Batch:
        """One batch; steps beyond `max_length` are cut off, classes are numbers of `labels`.

        Rows that are not `labelled` have no classes. EmohopError names a clip whose features hold
        NaN or infinity.
        """
        steps, lengths, present = {}, {}, {}
        for modality in self.max_length:
            steps[modality], lengths[modality] = self._padded(rows, modality)
            there = [row.has(modality) for row in rows]
            if not all(there):
                present[modality] = torch.tensor(there)
        prosody = None
        if self.sizes.prosody:
            prosody = torch.from_numpy(np.stack([self._prosody(row) for row in rows]))
        numbers = {label: number for number, label in enumerate(self.labels)}
        for row in rows if labelled else ():
            if row.label not in numbers:
                known = brief(", ".join(self.labels))
                raise EmohopError(
                    f"clip {brief(row.id)} is of class {brief(row.label)}, the model knows {known}"
                )
        return Batch(
            ids=tuple(row.id for row in rows),
            sequences=steps,
            lengths=lengths,
            prosody=prosody,
            classes=torch.tensor([numbers[r.label] for r in rows]) if labelled else None,
            present=present,
            votes=_votes(rows),
        )

    def _padded(self, rows: Sequence[Row], modality: Modality) -> tuple[Tensor, Tensor]:
        """Clips one below the other, 0 where they end; at least one step, for empty ones.

        They are made one at a time in their place: a batch is in memory once.
        """
        words = self.sizes.words(modality)
        name = array_of(modality, text_states=self.sizes.text_states)
        found = [row.arrays[name] if row.has(modality) else _NOTHING for row in rows]
        lengths = [min(len(array), self.max_length[modality]) for array in found]
        shape: tuple[int, ...] = (len(rows), max(1, *lengths))
        if not words:
            shape = (*shape, self.sizes.width(modality))
        padded = np.zeros(shape, np.int64 if words else np.float32)
        for place, row, array, length in zip(padded, rows, found, lengths, strict=True):
            if length and words and self.vocabulary is not None:
                place[:length] = self.vocabulary.ids(array[:length].tolist())
            elif length:
                place[:length] = self._standard(row, name, array[:length])
        return torch.from_numpy(padded), torch.tensor(lengths)

    def _prosody(self, row: Row) -> NDArray[np.float32]:
        """A clip's prosody vector; 0 where it has no audio."""
        if not row.has(Modality.AUDIO):
            return np.zeros(self.sizes.prosody, np.float32)
        return self._standard(row, PROSODY, row.prosody)

    def _standard(self, row: Row, name: str, array: NDArray[Any]) -> NDArray[np.float32]:
        standard = self.standardiser(name, array, row.speaker)
        if not np.isfinite(standard).all():
            raise EmohopError(
                f"clip {row.id}: its {name} holds NaN or infinity: prepare the corpus again"
            )
        return standard

    def to_config(self) -> PreprocessorConfig:
        """What `model.json` says of them; `from_config` gives back equal ones."""
        return PreprocessorConfig(
            labels=self.labels,
            features=self.features,
            sizes=self.sizes,
            encoders=dict(self.encoders),
            max_length=dict(self.max_length),
            normalisation=self.standardiser.to_config(),
            vocabulary=None if self.vocabulary is None else self.vocabulary.tokens,
        )

    @classmethod
    def from_config(cls, config: PreprocessorConfig) -> Preprocessor:
        """The inverse of `to_config`; EmohopError for a vocabulary that is not one."""
        tokens = config.vocabulary
        return cls(
            labels=config.labels,
            features=config.features,
            sizes=config.sizes,
            max_length=config.max_length,
            standardiser=Standardiser.from_config(config.normalisation),
            vocabulary=None if tokens is None else Vocabulary(tokens),
            encoders=config.encoders,
        )


def check_fit(corpus: PreparedCorpus, recipe: Recipe) -> None:
    """EmohopError when a recipe's model cannot be fitted on a corpus: it lacks something."""
    manifest, model = corpus.manifest, recipe.model
    check(model, manifest.features.modalities, prosody=PROSODY in manifest.sizes)
    if recipe.training.soft_labels and RATERS not in manifest.sizes:
        raise EmohopError(
            f"training.soft_labels = true: {corpus.folder} holds no raters' votes (IEMOCAP has "
            "them; prepare it with this version)"
        )
    brought, text = manifest.word_vectors, model.text
    if Modality.TEXT not in model.uses:
        return
    if STATES in manifest.sizes and text.glove is not None:
        raise EmohopError(
            f"model.text.glove = {brief(text.glove)}: {corpus.folder} holds the states of "
            f"{brief(manifest.features.text and manifest.features.text.encoder)} and no words to "
            "start; leave it out, or prepare with --text words"
        )
    if brought is None or text.glove is not None:
        return
    if brought.size != text.embedding:
        raise EmohopError(
            f"{corpus.folder} brings word vectors of {brought.size} numbers, not {text.embedding}: "
            f"set model.text.embedding={brought.size}, or model.text.glove=random to do without"
        )


def _numbers_of(
    corpus: PreparedCorpus, rows: Sequence[int], names: Mapping[Modality, str], *, prosody: bool
) -> Iterator[tuple[str, str | None, Mapping[str, NDArray[Any]]]]:
    """Clips by id and speaker with those of their arrays of numbers that they do not lack."""
    for number in rows:
        row = corpus[int(number)]
        arrays = {name: row.arrays[name] for m, name in names.items() if row.has(m)}
        if prosody and row.has(Modality.AUDIO):
            arrays[PROSODY] = row.prosody
        yield row.id, row.speaker, arrays


def _votes(rows: Sequence[Row]) -> Tensor | None:
    """The raters' votes of clips by class, where the corpus has them."""
    if not all(RATERS in row.arrays for row in rows):
        return None
    return torch.from_numpy(np.stack([row.arrays[RATERS] for row in rows]))


def _listed(modalities: Iterable[Modality]) -> str:
    return ", ".join(str(m) for m in modalities) or "nothing"


def _vocabulary(corpus: PreparedCorpus, train: Sequence[int], limit: int | None) -> Vocabulary:
    """The words that the corpus brings along, in its order; else those of training, limited."""
    if corpus.word_vectors is not None and limit is None:
        return Vocabulary(corpus.word_vectors[0])
    return Vocabulary.build((corpus[int(i)].text.tolist() for i in train), max_size=limit)
