"""One unit of an experiment: one fold and one seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from emohop.config import Recipe
from emohop.evaluation.results import METRICS
from emohop.evaluation.splits import Fold

Epoch = dict[str, float]
"""One line of the history: epoch, train_loss, dev_loss and dev_<score>."""


@dataclass(frozen=True, slots=True)
class Unit:
    """What is needed to fit one fold with one seed, in any process."""

    prepared: Path
    folder: Path
    recipe: Recipe
    fold: Fold
    seed: int
    report: Callable[[Unit, Epoch], None] | None = None

    @property
    def title(self) -> str:
        """RUN/fold-F/seed-S."""
        return "/".join(self.folder.parts[-3:])

    @property
    def complete(self) -> bool:
        """Whether everything that this unit writes is there; the metrics are written last."""
        return (self.folder / METRICS).exists()


def fit(unit: Unit) -> None:
    """Train a unit, keep its best epoch, score dev and test, write its files; see `fitting`."""
    # imported here: Lightning takes seconds and much memory, in a process that may fit nothing
    from emohop.training.fitting import fit as run

    run(unit)
