"""The files of a run folder, each name said once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

RECIPE = "recipe.yaml"
INFO = "run.json"
CLIPS = "clips.csv"
RESULTS = "results.json"
RESULT_LINES = "TEST_run_result.txt"
ROBUSTNESS = "robustness.json"
EXPERIMENT = "experiment.yaml"
JOINED = "corpus"

PREDICTIONS = "predictions.parquet"
METRICS = "metrics.json"
HISTORY = "history.csv"
MODEL = "model"
CHECKPOINTS = "checkpoints"


@dataclass(frozen=True, slots=True)
class FoldRunFolder:
    """The folder of one fold and seed, `RUN/fold-F/seed-S`."""

    path: Path

    @property
    def predictions_file(self) -> Path:
        """`predictions.parquet`: the probabilities of dev and test clips."""
        return self.path / PREDICTIONS

    @property
    def metrics_file(self) -> Path:
        """`metrics.json`, written last."""
        return self.path / METRICS

    @property
    def history_file(self) -> Path:
        """`history.csv`: losses and dev score by epoch."""
        return self.path / HISTORY

    @property
    def model_folder(self) -> Path:
        """The model folder."""
        return self.path / MODEL

    @property
    def checkpoints_folder(self) -> Path:
        """The best and the last epoch's checkpoint."""
        return self.path / CHECKPOINTS

    @property
    def seed(self) -> int:
        """The seed in its name."""
        return int(self.path.name.removeprefix("seed-"))

    @property
    def complete(self) -> bool:
        """Whether everything of it is there; the metrics are written last."""
        return self.metrics_file.exists()


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of one run: a recipe on every fold and seed.

    Example:
        >>> RunFolder(Path("run")).fold_run(0, 1).path.as_posix()
        'run/fold-0/seed-1'
    """

    path: Path

    @property
    def recipe_file(self) -> Path:
        """`recipe.yaml`, which makes a folder a run folder."""
        return self.path / RECIPE

    @property
    def info_file(self) -> Path:
        """`run.json`: the prepared corpus that the run belongs to."""
        return self.path / INFO

    @property
    def clips_file(self) -> Path:
        """`clips.csv`: metadata of the corpus's clips."""
        return self.path / CLIPS

    @property
    def results_file(self) -> Path:
        """`results.json`: what the complete fold runs come to."""
        return self.path / RESULTS

    @property
    def result_lines_file(self) -> Path:
        """`TEST_run_result.txt`: a line per fold run, as the original program writes them."""
        return self.path / RESULT_LINES

    @property
    def robustness_file(self) -> Path:
        """`robustness.json`: scores on degraded clips."""
        return self.path / ROBUSTNESS

    @property
    def joined_corpus(self) -> Path:
        """The prepared corpus that the run's command joined of several."""
        return self.path / JOINED

    @property
    def begun(self) -> bool:
        """Whether it is a run folder."""
        return self.recipe_file.exists()

    def fold(self, fold: int) -> Path:
        """The folder of all seeds of a fold."""
        return self.path / f"fold-{fold}"

    def fold_run(self, fold: int, seed: int) -> FoldRunFolder:
        """The folder of one fold and seed."""
        return FoldRunFolder(self.fold(fold) / f"seed-{seed}")

    def complete_fold_runs(self, fold: int) -> list[FoldRunFolder]:
        """The complete fold runs of a fold, in the order of their names."""
        folders = (FoldRunFolder(path) for path in sorted(self.fold(fold).glob("seed-*")))
        return [folder for folder in folders if folder.complete]


def is_taken(out: Path) -> bool:
    """Whether a folder for a run holds something; a lock and a joined corpus do not count."""
    if not out.is_dir():
        return out.exists()
    return any(path.name != JOINED and not path.name.startswith(".") for path in out.iterdir())
