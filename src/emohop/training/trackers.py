"""Experiment trackers beside TensorBoard: MLflow in a local file, Weights & Biases.

They are told what happens and decide nothing: a run has the same numbers with and without them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, MLFlowLogger, WandbLogger

from emohop.evaluation.run_files import FoldRunMetrics
from emohop.files import write_text
from emohop.storage import PreparedCorpus
from emohop.training.fold_run import FoldRun

PROJECT = "emohop"
MLFLOW_STORE = "mlflow.db"
_RUN_ID = {"mlflow": "mlflow-run.txt", "wandb": "wandb-run.txt"}
"""Holds a fold run's run in the tracker, so that a resumed fold run goes on in it."""


def make_trackers(fold_run: FoldRun, corpus: PreparedCorpus) -> list[Logger]:
    """The loggers that a fold run asks for; they are kept beside its run folder's other files."""
    loggers = [_MAKERS[name](fold_run, _tags(fold_run, corpus)) for name in fold_run.trackers]
    for logger in loggers:
        logger.log_hyperparams(_flat(fold_run.recipe.model_dump(mode="json")))
    return loggers


def finish_trackers(loggers: Sequence[Logger], found: FoldRunMetrics) -> None:
    """Add the scores of the epoch that was kept, and close."""
    scores = {
        f"{split}_{name}": float(value)
        for split, block in (("dev", found.dev), ("test", found.test))
        for name, value in block.items()
        if name != "n"
    }
    for logger in loggers:
        logger.log_metrics({f"final_{name}": value for name, value in scores.items()})
        logger.finalize("success")
        if isinstance(logger, WandbLogger):
            logger.experiment.finish()  # or the next fold run would go on in this run


def _mlflow(fold_run: FoldRun, tags: dict[str, str]) -> Logger:
    run = fold_run.folder.parents[1]
    logger = MLFlowLogger(
        experiment_name=run.name,
        run_name="/".join(fold_run.folder.parts[-2:]),
        tracking_uri=f"sqlite:///{run / MLFLOW_STORE}",
        tags=tags,
        run_id=_known_run(fold_run, "mlflow"),
        artifact_location=str(run / "mlflow-artifacts"),
    )
    write_text(fold_run.folder / _RUN_ID["mlflow"], f"{logger.run_id}\n")
    return logger


def _wandb(fold_run: FoldRun, tags: dict[str, str]) -> Logger:
    logger = WandbLogger(
        project=PROJECT,
        name=fold_run.title,
        group=fold_run.folder.parts[-3],
        save_dir=fold_run.folder.parents[1],
        id=_known_run(fold_run, "wandb"),
        resume="allow",
        tags=[f"{name}={value}"[:64] for name, value in tags.items()],
    )
    write_text(fold_run.folder / _RUN_ID["wandb"], f"{logger.experiment.id}\n")
    return logger


_MAKERS = {"mlflow": _mlflow, "wandb": _wandb}


def _known_run(fold_run: FoldRun, tracker: str) -> str | None:
    path: Path = fold_run.folder / _RUN_ID[tracker]
    return path.read_text("utf-8").strip() if path.exists() else None


def _tags(fold_run: FoldRun, corpus: PreparedCorpus) -> dict[str, str]:
    return {
        "fold": str(fold_run.fold.index),
        "tests": fold_run.fold.name,
        "seed": str(fold_run.seed),
        "protocol": str(fold_run.recipe.protocol),
        "corpus": corpus.manifest.corpus,
        "class_set": corpus.manifest.class_set,
        "fingerprint": corpus.manifest.fingerprint[:12],
    }


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings by dotted name."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found
