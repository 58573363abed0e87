"""How much leaks are worth: folds by chance, and an epoch chosen on test.

    emohop demo demo
    python benchmarks/leaks.py demo/prepared

Trains the demo recipe's AMH-3 by each protocol with `--seeds` seeds, and prints the test scores at
the epoch with the best dev score beside those at the epoch with the best test score. The second is
what a program that chooses on test would print; only this file can do it, by scoring test after
every epoch, which emohop's own training never does.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from emohop import processes
from emohop.evaluation.metrics import TITLES
from emohop.preprocessor import Preprocessor
from emohop.recipes import make_recipe
from emohop.scoring import score
from emohop.storage import PreparedCorpus, open_prepared
from emohop.training import fitting, loop
from emohop.training.fold_run import FoldRun
from emohop.training.run import begin

SCORES = ("accuracy", "balanced_accuracy", "f1_weighted")


class Peek(Callback):
    """Scores test after every epoch."""

    def __init__(
        self, corpus: PreparedCorpus, rows: Sequence[int], preprocessor: Preprocessor, monitor: str
    ) -> None:
        self.corpus, self.rows, self.preprocessor, self.monitor = (
            corpus,
            rows,
            preprocessor,
            monitor,
        )
        self.dev: list[float] = []
        self.test: list[dict[str, float]] = []

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note both scores of the epoch that ends."""
        network = pl_module.get_submodule("network")
        said = score(self.corpus, self.rows, "test", network, self.preprocessor)
        monitor = f"dev_{self.monitor}"
        self.dev.append(float(trainer.callback_metrics[monitor]))
        self.test.append(said.metrics())


@dataclass(frozen=True)
class Curves:
    """A fold run's dev score and test scores by epoch."""

    dev: list[float]
    test: list[dict[str, float]]

    def at(self, chosen: str, name: str) -> float:
        """The test score at the best epoch by `dev` or by the test score itself."""
        by = self.dev if chosen == "dev" else [scores[name] for scores in self.test]
        return self.test[by.index(max(by))][name]


def curves(fold_run: FoldRun) -> Curves:
    """Train a fold run with test looked at after every epoch."""
    torch.set_num_threads(1)
    peeks: list[Peek] = []
    make_trainer = Trainer
    corpus = open_prepared(fold_run.prepared)
    preprocessor = Preprocessor.fit(corpus, fold_run.fold.train.tolist(), fold_run.recipe)

    def peeking(**options: Any) -> Trainer:
        trainer = make_trainer(**options)
        peeks.append(
            Peek(
                corpus, fold_run.fold.test.tolist(), preprocessor, fold_run.recipe.training.monitor
            )
        )
        trainer.callbacks.append(peeks[-1])  # type: ignore[attr-defined]
        return trainer

    setattr(loop, "Trainer", peeking)  # noqa: B010
    try:
        fitting.fit(fold_run)
    finally:
        setattr(loop, "Trainer", make_trainer)  # noqa: B010
    return Curves(peeks[0].dev, peeks[0].test)


def rows(prepared: Path, protocols: Sequence[str], seeds: int, jobs: int) -> None:
    """A Markdown table: test scores, mean over folds and seeds."""
    print(f"| protocol | epoch chosen on | {' | '.join(TITLES[name] for name in SCORES)} |")
    print("|---|---|" + "---|" * len(SCORES))
    with tempfile.TemporaryDirectory() as folder:
        for protocol in protocols:
            changes = {"seeds": list(range(seeds)), "protocol": protocol}
            recipe = make_recipe("demo", (), changes)
            fold_runs = begin(open_prepared(prepared), Path(folder) / protocol, recipe)
            found = [curve for _, curve in processes.run(curves, fold_runs, jobs)]
            for chosen in ("dev", "test"):
                cells = []
                for name in SCORES:
                    values = [curve.at(chosen, name) for curve in found]
                    mean, spread = statistics.mean(values), statistics.stdev(values)
                    cells.append(f"{mean:.3f} ± {spread:.3f}")
                print(f"| {protocol} | {chosen} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("prepared", type=Path)
    parser.add_argument("--protocols", default="session,speaker,script,random")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    rows(options.prepared, options.protocols.split(","), options.seeds, options.jobs)


if __name__ == "__main__":
    main()
