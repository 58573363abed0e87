"""Trackers are told of every fold run and change no number."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from emohop.errors import EmohopError
from emohop.evaluation.runs import read_runs
from emohop.recipes import make_recipe
from emohop.training.fold_run import check_trackers
from emohop.training.run import train
from tests.prepared import write_prepared

QUICK = ("training.max_epochs=3", "model.name=are", "model.audio.hidden=8", "folds=[0,1]")
FILES = ("model/weights.safetensors", "predictions.parquet", "history.csv", "metrics.json")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_prepared(tmp_path_factory.mktemp("data") / "prepared")


@pytest.fixture(scope="module")
def plain(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("plain") / "run"
    train(prepared, out, make_recipe("demo", QUICK))
    return out


def run(prepared: Path, out: Path, tracker: str, *words: str, **variables: str) -> str:
    """Train in a process of its own: trackers leave threads and warnings behind."""
    settings = [f"--set={setting}" for setting in QUICK]
    command = [sys.executable, "-m", "emohop", "train", str(prepared), str(out)]
    done = subprocess.run(
        [*command, "--recipe", "demo", "--jobs", "1", "--log", tracker, *settings, *words],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def same(out: Path, plain: Path) -> None:
    for fold in (0, 1):
        for name in FILES:
            file = f"fold-{fold}/seed-0/{name}"
            assert (out / file).read_bytes() == (plain / file).read_bytes()


@pytest.mark.filterwarnings("ignore:.*loader strategy is deprecated")  # MLflow's own query
def test_mlflow_in_a_local_file(prepared: Path, plain: Path, tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    out = tmp_path / "tracked"
    run(prepared, out, "mlflow", "--fold", "0")
    run(prepared, out, "mlflow", "--fold", "0,1")  # on in the same experiment
    same(out, plain)
    client = mlflow.tracking.MlflowClient(f"sqlite:///{out / 'mlflow.db'}")
    (experiment,) = [e for e in client.search_experiments() if e.name == "tracked"]
    found = {
        r.data.tags["mlflow.runName"]: r for r in client.search_runs([experiment.experiment_id])
    }
    assert set(found) == {"fold-0/seed-0", "fold-1/seed-0"}
    (read,) = read_runs([out])
    for fold_run in read.fold_runs:
        logged = found[f"fold-{fold_run.fold}/seed-0"]
        assert logged.info.run_id == (fold_run.files.path / "mlflow-run.txt").read_text().strip()
        assert logged.info.status == "FINISHED"
        assert logged.data.params["model.audio.hidden"] == "8"
        assert logged.data.tags["tests"] == fold_run.name
        epochs = client.get_metric_history(logged.info.run_id, "dev_loss")
        assert [m.value for m in epochs] == pytest.approx([e["dev_loss"] for e in fold_run.history])
        metrics = json.loads((fold_run.files.path / "metrics.json").read_text())
        assert logged.data.metrics["final_test_accuracy"] == metrics["test"]["accuracy"]


def test_wandb_without_a_network(prepared: Path, plain: Path, tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    out = tmp_path / "tracked"
    run(prepared, out, "wandb", WANDB_MODE="offline", WANDB_SILENT="true")
    same(out, plain)
    folders = sorted(path.name for path in (out / "wandb").glob("offline-run-*"))
    assert len(folders) == 2
    ids = {(out / f"fold-{k}/seed-0/wandb-run.txt").read_text().strip() for k in (0, 1)}
    assert {name.rpartition("-")[2] for name in folders} == ids


def test_trackers_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EmohopError, match="no tracker 'comet': one of mlflow, wandb"):
        check_trackers(["comet"])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EmohopError, match=r"pip install 'emohop\[wandb\]'"):
        check_trackers(["wandb"])
