"""Experiment trackers beside TensorBoard: MLflow in a local file, Weights & Biases.

They are told what happens and decide nothing: a run has the same numbers with and without them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, MLFlowLogger, WandbLogger

from emohop.files import write_text
from emohop.storage import PreparedCorpus
from emohop.training.unit import Unit

PROJECT = "emohop"
MLFLOW_STORE = "mlflow.db"
_RUN_ID = {"mlflow": "mlflow-run.txt", "wandb": "wandb-run.txt"}
"""Holds a unit's run in the tracker, so that a resumed unit goes on in it."""


def make_trackers(unit: Unit, corpus: PreparedCorpus) -> list[Logger]:
    """The loggers that a unit asks for; they are kept beside its run folder's other files."""
    loggers = [_MAKERS[name](unit, _tags(unit, corpus)) for name in unit.trackers]
    for logger in loggers:
        logger.log_hyperparams(_flat(unit.recipe.model_dump(mode="json")))
    return loggers


def finish_trackers(loggers: Sequence[Logger], blocks: Mapping[str, Mapping[str, Any]]) -> None:
    """Add the scores of the epoch that was kept, and close."""
    scores = {
        f"{split}_{name}": float(value)
        for split, block in blocks.items()
        for name, value in block.items()
        if name != "n"
    }
    for logger in loggers:
        logger.log_metrics({f"final_{name}": value for name, value in scores.items()})
        logger.finalize("success")
        if isinstance(logger, WandbLogger):
            logger.experiment.finish()  # or the next unit would go on in this run


def _mlflow(unit: Unit, tags: dict[str, str]) -> Logger:
    run = unit.folder.parents[1]
    logger = MLFlowLogger(
        experiment_name=run.name,
        run_name="/".join(unit.folder.parts[-2:]),
        tracking_uri=f"sqlite:///{run / MLFLOW_STORE}",
        tags=tags,
        run_id=_known_run(unit, "mlflow"),
        artifact_location=str(run / "mlflow-artifacts"),
    )
    write_text(unit.folder / _RUN_ID["mlflow"], f"{logger.run_id}\n")
    return logger


def _wandb(unit: Unit, tags: dict[str, str]) -> Logger:
    logger = WandbLogger(
        project=PROJECT,
        name=unit.title,
        group=unit.folder.parts[-3],
        save_dir=unit.folder.parents[1],
        id=_known_run(unit, "wandb"),
        resume="allow",
        tags=[f"{name}={value}"[:64] for name, value in tags.items()],
    )
    write_text(unit.folder / _RUN_ID["wandb"], f"{logger.experiment.id}\n")
    return logger


_MAKERS = {"mlflow": _mlflow, "wandb": _wandb}


def _known_run(unit: Unit, tracker: str) -> str | None:
    path: Path = unit.folder / _RUN_ID[tracker]
    return path.read_text("utf-8").strip() if path.exists() else None


def _tags(unit: Unit, corpus: PreparedCorpus) -> dict[str, str]:
    return {
        "fold": str(unit.fold.index),
        "tests": unit.fold.name,
        "seed": str(unit.seed),
        "protocol": str(unit.recipe.protocol),
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
