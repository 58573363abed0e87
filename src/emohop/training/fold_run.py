"""One fold run of an experiment: one fold and one seed."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from emohop.config import Recipe
from emohop.errors import EmohopError, MissingExtraError
from emohop.evaluation.run_folder import FoldRunFolder
from emohop.evaluation.splits import Fold

TRACKERS = ("mlflow", "wandb")
"""Trackers that can be told of training beside TensorBoard, which always is."""

Epoch = dict[str, float]
"""One line of the history: epoch, train_loss, dev_loss and dev_<score>."""


@dataclass(frozen=True, slots=True)
class FoldRun:
    """What is needed to fit one fold with one seed, in any process."""

    prepared: Path
    folder: Path
    recipe: Recipe
    fold: Fold
    seed: int
    report: Callable[[FoldRun, Epoch], None] | None = None
    trackers: tuple[str, ...] = ()
    """Trackers beside TensorBoard that are told of it."""

    @property
    def title(self) -> str:
        """RUN/fold-F/seed-S."""
        return "/".join(self.folder.parts[-3:])

    @property
    def complete(self) -> bool:
        """Whether everything that this fold run writes is there; the metrics are written last."""
        return self.files.complete

    @property
    def files(self) -> FoldRunFolder:
        """The names of its files."""
        return FoldRunFolder(self.folder)


def check_trackers(names: Sequence[str]) -> None:
    """EmohopError unless each is a tracker that is installed."""
    for name in names:
        if name not in TRACKERS:
            raise EmohopError(f"no tracker {name!r}: one of {', '.join(TRACKERS)}")
        if importlib.util.find_spec(name) is None:
            raise MissingExtraError(f"the tracker {name}", name)
