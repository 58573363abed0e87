"""Batches of a prepared corpus for training, drawn anew in each epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler

from emohop.clips import Modality
from emohop.models.batch import Batch
from emohop.preprocessor import Preprocessor
from emohop.storage import PreparedCorpus

BATCHES_PER_BUCKET = 8
"""Clips of this many batches are sorted by length together: less padding, little less chance."""
SHARE_OF_A_ROUND = 0.3
"""Clips drawn with replacement between two scores of dev, as a share of the training part."""


class Clips(Dataset[Batch]):
    """Batches of chosen rows; an index is a list of positions among them."""

    def __init__(
        self, corpus: PreparedCorpus, rows: Sequence[int], preprocessor: Preprocessor
    ) -> None:
        """Batches of `rows` (numbers in `corpus`) made by `inputs`."""
        self.corpus, self.rows, self.preprocessor = corpus, [int(row) for row in rows], preprocessor

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, positions: Sequence[int]) -> Batch:
        return self.preprocessor.batch([self.corpus[self.rows[i]] for i in positions])

    def classes(self) -> NDArray[np.int64]:
        """The class number of each clip."""
        labels = self.corpus.metadata("label")
        return np.array(
            [self.preprocessor.labels.index(labels[row]) for row in self.rows], np.int64
        )

    def steps(self) -> NDArray[np.int64]:
        """Steps of each clip's longest sequence among audio and video, or of its text."""
        limits = self.preprocessor.max_length
        timed: list[Modality] = [m for m in limits if m is not Modality.TEXT] or list(limits)
        longest = [
            max(min(len(row[m.value]), limits[m]) for m in timed)
            for row in (self.corpus[i] for i in self.rows)
        ]
        return np.array(longest, dtype=np.int64)


class BucketSampler(Sampler[list[int]]):
    """Batches of positions: shuffled, sorted by length within buckets, shuffled again.

    The order is a function of the seed and the epoch alone, so that a resumed run goes on as an
    undisturbed one would. `epoch` is asked at the start of each pass.
    """

    def __init__(
        self, steps: NDArray[np.int64], batch_size: int, seed: int, epoch: Callable[[], int]
    ) -> None:
        """Sample clips of `steps` lengths."""
        self.steps, self.batch_size, self.seed, self.epoch = steps, batch_size, seed, epoch

    def __len__(self) -> int:
        return math.ceil(len(self.steps) / self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        generator = np.random.default_rng([self.seed, self.epoch()])
        order = generator.permutation(len(self.steps))
        bucket = self.batch_size * BATCHES_PER_BUCKET
        batches = []
        for first in range(0, len(order), bucket):
            part = order[first : first + bucket]
            part = part[np.argsort(self.steps[part], kind="stable")]
            batches += [part[i : i + self.batch_size] for i in range(0, len(part), self.batch_size)]
        for number in generator.permutation(len(batches)):
            yield batches[number].tolist()


class WithReplacement(Sampler[list[int]]):
    """Rounds of whole batches whose clips are drawn with replacement, as the original draws them.

    A round has int(0.3 n / batch_size) + 1 batches, after which the original scores dev. Like
    the order of `BucketSampler`, it is a function of the seed and the round.
    """

    def __init__(self, count: int, batch_size: int, seed: int, epoch: Callable[[], int]) -> None:
        """Sample from `count` positions."""
        self.count, self.batch_size, self.seed, self.epoch = count, batch_size, seed, epoch

    def __len__(self) -> int:
        return int(SHARE_OF_A_ROUND * self.count / self.batch_size) + 1

    def __iter__(self) -> Iterator[list[int]]:
        generator = np.random.default_rng([self.seed, self.epoch()])
        for batch in generator.integers(0, self.count, (len(self), self.batch_size)):
            yield batch.tolist()


class Balanced(Sampler[list[int]]):
    """Epochs of as many clips as there are, drawn so that each class is as likely as any other.

    Drawn with replacement: a rare class's clips come again, a common one's are not all seen. A
    function of the seed and the epoch.
    """

    def __init__(
        self, classes: NDArray[np.int64], batch_size: int, seed: int, epoch: Callable[[], int]
    ) -> None:
        """Sample from positions of these classes."""
        self.classes, self.batch_size, self.seed, self.epoch = classes, batch_size, seed, epoch

    def __len__(self) -> int:
        return math.ceil(len(self.classes) / self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        generator = np.random.default_rng([self.seed, self.epoch()])
        _, numbers, counts = np.unique(self.classes, return_inverse=True, return_counts=True)
        chance = 1 / counts[numbers]
        drawn = generator.choice(len(chance), len(chance), p=chance / chance.sum())
        for first in range(0, len(drawn), self.batch_size):
            yield drawn[first : first + self.batch_size].tolist()


class InOrder(Sampler[list[int]]):
    """Batches of positions in their order."""

    def __init__(self, count: int, batch_size: int) -> None:
        """Sample `count` positions."""
        self.count, self.batch_size = count, batch_size

    def __len__(self) -> int:
        return math.ceil(self.count / self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        for first in range(0, self.count, self.batch_size):
            yield list(range(first, min(first + self.batch_size, self.count)))


def loader(batches: Dataset[Any], positions: Iterable[list[int]]) -> DataLoader[Any]:
    """A loader in this process: what it reads is in memory or mapped, workers would only copy."""
    return DataLoader(batches, batch_size=None, sampler=positions)
