"""Folds and seeds: artefacts, resumption to the same bytes, and what is refused."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer

from emohop.config import Recipe
from emohop.errors import EmohopError
from emohop.evaluation.calibration import fit_temperature
from emohop.evaluation.results import read_predictions, write_predictions
from emohop.evaluation.splits import adaptation_of
from emohop.prediction import Predictor
from emohop.recipes import make_recipe
from emohop.storage import open_prepared
from emohop.training import fitting
from emohop.training.fold_run import Epoch, FoldRun
from emohop.training.run import summarise_run, train
from tests.prepared import LABELS, write_prepared

RESULT_FILES = (
    "history.csv",
    "metrics.json",
    "predictions.parquet",
    "model/weights.safetensors",
    "model/model.json",
)


def recipe(*settings: str) -> Recipe:
    quick = ["training.max_epochs=6", "training.patience=3", "model.audio.hidden=12"]
    return make_recipe("demo", [*quick, *settings])


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_prepared(tmp_path_factory.mktemp("data") / "prepared")


@pytest.fixture(scope="module")
def run(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "amh"
    train(prepared, out, recipe("seeds=[0, 1]"), jobs=2)
    return out


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in RESULT_FILES}


def test_every_file_of_a_run(run: Path) -> None:
    for fold in range(3):
        for seed in (0, 1):
            folder = run / f"fold-{fold}" / f"seed-{seed}"
            assert all((folder / name).is_file() for name in RESULT_FILES)
            names = {path.name for path in (folder / "checkpoints").iterdir()}
            assert names == {"best.ckpt", "last.ckpt"}
            assert list((folder / "tensorboard").glob("events*"))
    assert not list(run.rglob("*.tmp"))


def test_predictions_cover_each_test_clip_once(run: Path, prepared: Path) -> None:
    corpus = open_prepared(prepared)
    tested: list[str] = []
    for fold in range(3):
        predictions = read_predictions(run / f"fold-{fold}/seed-0/predictions.parquet")
        test, dev = predictions.part("test"), predictions.part("dev")
        assert set(test.id).isdisjoint(dev.id)
        assert set(test.speaker).isdisjoint(dev.speaker)
        tested += test.id
    assert sorted(tested) == sorted(corpus.metadata("id"))
    assert predictions.labels == LABELS.labels


def test_it_learns_what_can_be_learned(run: Path) -> None:
    results = json.loads((run / "results.json").read_text())
    assert results["mean"]["accuracy"] > 0.6  # chance is 0.33
    assert results["protocol"] == "session"
    assert [(u["fold"], u["seed"]) for u in results["fold_runs"]] == [
        (fold, seed) for fold in range(3) for seed in (0, 1)
    ]
    low, high = results["interval_95"]["accuracy"]
    assert low <= results["pooled"]["accuracy"] <= high


def test_result_lines(run: Path) -> None:
    lines = (run / "TEST_run_result.txt").read_text().splitlines()
    assert len(lines) == 6
    fields = lines[0].split("\t")
    assert fields[1:3] == ["prepared", "amh/fold-0/seed-0"]
    metrics = json.loads((run / "fold-0/seed-0/metrics.json").read_text())
    assert float(fields[5]) == pytest.approx(metrics["test"]["accuracy"], abs=5e-5)


def test_history_has_the_best_epoch_that_was_kept(run: Path) -> None:
    folder = run / "fold-1/seed-0"
    with (folder / "history.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [int(line["epoch"]) for line in lines] == list(range(1, len(lines) + 1))
    assert list(lines[0])[:3] == ["epoch", "train_loss", "dev_loss"]
    best = max(float(line["dev_balanced_accuracy"]) for line in lines)
    kept = json.loads((folder / "metrics.json").read_text())["dev"]["balanced_accuracy"]
    assert kept == pytest.approx(best, abs=1e-6)


def test_the_temperature_of_a_model_is_fitted_on_dev(run: Path) -> None:
    for folder in sorted(run.glob("fold-*/seed-0")):
        said = read_predictions(folder / "predictions.parquet")
        best = {
            split: fit_temperature(part.probabilities, part.true_numbers)
            for split in ("dev", "test")
            for part in [said.part(split)]
        }
        assert best["dev"] != pytest.approx(best["test"], rel=1e-3)
        kept = json.loads((folder / "model/model.json").read_text())["calibration"]
        assert kept == {"temperature": pytest.approx(best["dev"], rel=1e-6)}


def test_evaluating_the_model_gives_the_runs_numbers(run: Path, prepared: Path) -> None:
    folder = run / "fold-2/seed-1"
    again = Predictor.load(folder / "model").evaluate(open_prepared(prepared))
    before = read_predictions(folder / "predictions.parquet")
    assert again.id == before.id
    assert np.array_equal(again.probabilities, before.probabilities)


def test_same_recipe_same_bytes_whatever_the_processes(
    run: Path, prepared: Path, tmp_path: Path
) -> None:
    train(prepared, tmp_path / "amh", recipe("seeds=[1]", "folds=[2]"), jobs=1)
    ours, theirs = contents(tmp_path / "amh/fold-2/seed-1"), contents(run / "fold-2/seed-1")
    config, other = (
        json.loads(ours.pop("model/model.json")),
        json.loads(theirs.pop("model/model.json")),
    )
    assert ours == theirs
    config.pop("recipe"), other.pop("recipe")  # which also names the folds asked for
    assert config == other


def test_another_seed_gives_another_model(run: Path) -> None:
    weights = [run / f"fold-0/seed-{seed}/model/weights.safetensors" for seed in (0, 1)]
    assert weights[0].read_bytes() != weights[1].read_bytes()


class StopAt:
    """A report that breaks the run after an epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def __call__(self, fold_run: FoldRun, epoch: Epoch) -> None:
        if epoch["epoch"] == self.epoch:
            raise RuntimeError("stopped")


@pytest.mark.parametrize("epoch", [1, 3])
def test_a_broken_run_goes_on_to_the_same_bytes(prepared: Path, tmp_path: Path, epoch: int) -> None:
    wanted = recipe("folds=[0]")
    train(prepared, tmp_path / "whole", wanted)
    with pytest.raises(RuntimeError, match="stopped"):
        train(prepared, tmp_path / "broken", wanted, report=StopAt(epoch))
    assert not (tmp_path / "broken/fold-0/seed-0/metrics.json").exists()
    train(prepared, tmp_path / "broken", wanted)
    whole, broken = (contents(tmp_path / name / "fold-0/seed-0") for name in ("whole", "broken"))
    assert whole == broken


def test_broken_after_early_stopping_trains_no_further(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = recipe("folds=[0]", "training.max_epochs=30", "training.patience=2")
    train(prepared, tmp_path / "whole", wanted)
    with monkeypatch.context() as patch:
        patch.setattr(fitting, "_finish", _die)
        with pytest.raises(RuntimeError, match="before the end"):
            train(prepared, tmp_path / "broken", wanted)
    train(prepared, tmp_path / "broken", wanted)
    whole, broken = (contents(tmp_path / name / "fold-0/seed-0") for name in ("whole", "broken"))
    assert whole == broken
    assert len(whole["history.csv"].splitlines()) < 31


def _die(*_: object) -> None:
    raise RuntimeError("before the end")


def test_killed_with_signal_9_and_continued(prepared: Path, tmp_path: Path) -> None:
    wanted = ("folds=[1]", "training.max_epochs=8", "training.patience=8")
    train(prepared, tmp_path / "whole", recipe(*wanted))
    command = _train_command(prepared, tmp_path / "killed", wanted)
    # not measured: a killed process leaves a broken coverage file behind
    environment = {k: v for k, v in os.environ.items() if not k.startswith("COV")}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stderr is not None
    for line in process.stderr:  # an epoch's line comes after its checkpoint of the epoch before
        if "epoch   3/" in line:
            process.send_signal(signal.SIGKILL)
            break
    process.stderr.close()
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "killed/results.json").exists()
    subprocess.run(command, check=True, capture_output=True)
    whole, killed = (contents(tmp_path / name / "fold-1/seed-0") for name in ("whole", "killed"))
    assert whole == killed


def test_interrupted_by_the_keyboard(prepared: Path, tmp_path: Path) -> None:
    wanted = ("folds=[1]", "training.max_epochs=60", "training.patience=60")
    process = subprocess.Popen(
        _train_command(prepared, tmp_path / "run", wanted), stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "epoch   3/" in line:
            process.send_signal(signal.SIGINT)
            break
    rest = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 130
    assert "run the same command again to go on" in rest
    assert "Traceback" not in rest
    assert (tmp_path / "run/fold-1/seed-0/checkpoints/last.ckpt").exists()


def _train_command(prepared: Path, out: Path, settings: Sequence[str]) -> list[str]:
    base = ["training.max_epochs=6", "training.patience=3", "model.audio.hidden=12"]
    options = [f"--set={setting}" for setting in (*base, *settings)]
    command = [sys.executable, "-m", "emohop", "train", str(prepared), str(out)]
    return [*command, "--recipe", "demo", "--jobs", "1", *options]


def test_a_finished_run_does_nothing_again(run: Path, prepared: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*.safetensors")}
    train(prepared, run, recipe("seeds=[0, 1]"))
    assert before == {path: path.stat().st_mtime_ns for path in run.rglob("*.safetensors")}


def test_folds_and_seeds_may_be_added(prepared: Path, tmp_path: Path) -> None:
    first = train(prepared, tmp_path / "run", recipe("folds=[0]"))
    assert first.folds == (0,)
    both = train(prepared, tmp_path / "run", recipe("folds=[2]"))
    assert both.folds == (0, 2)
    assert both.fold_runs[0] == first.fold_runs[0]


def test_features_adapted_to_test_speakers_are_said() -> None:
    (said,) = adaptation_of("per_speaker")
    assert said.text.startswith("features are standardised by each test speaker's own")
    assert adaptation_of("train_speaker") == adaptation_of("global") == []


def test_a_fold_run_that_lacks_a_clip_is_not_summed_up(
    run: Path, prepared: Path, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(run, tmp_path / "run"))
    path = out / "fold-0/seed-0/predictions.parquet"
    said = read_predictions(path)
    columns = ("split", "id", "speaker", "label", "predicted", "probabilities")
    write_predictions(path, replace(said, **{name: getattr(said, name)[:-1] for name in columns}))
    with pytest.raises(EmohopError, match=f"test: clip {said.id[-1]} .*is not predicted"):
        summarise_run(out, open_prepared(prepared))


def test_another_experiment_is_kept_out(run: Path, prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(EmohopError, match=r"other settings \(model.hops was 3, now 2\)"):
        train(prepared, run, recipe("model.hops=2"))
    with pytest.raises(EmohopError, match=r"other settings \(fold_seed was 0, now 1\)"):
        train(prepared, run, recipe("fold_seed=1"))
    other = write_prepared(tmp_path / "other", seed=1)
    with pytest.raises(EmohopError, match="another prepared corpus"):
        train(other, run, recipe())
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("years of work")
    with pytest.raises(EmohopError, match="is not a run folder"):
        train(prepared, tmp_path / "mine", recipe())
    (run / "recipe.yaml").rename(run / "kept")
    (run / "recipe.yaml").write_text("- 1")
    with pytest.raises(EmohopError, match="damaged"):
        train(prepared, run, recipe())
    (run / "kept").replace(run / "recipe.yaml")


@pytest.mark.parametrize("name", ["are", "tre", "vre"])
def test_single_modalities(prepared: Path, tmp_path: Path, name: str) -> None:
    wanted = recipe(f"model.name={name}", "folds=[0]", "training.standardise=train_speaker")
    results = train(prepared, tmp_path / name, wanted)
    assert results.model.startswith(name)
    again = Predictor.load(tmp_path / name / "fold-0/seed-0/model").evaluate(
        open_prepared(prepared)
    )
    before = read_predictions(tmp_path / name / "fold-0/seed-0/predictions.parquet")
    assert np.array_equal(again.probabilities, before.probabilities)


def test_prosody_and_glove_and_deep_encoders(prepared: Path, tmp_path: Path) -> None:
    glove = tmp_path / "glove.txt"
    glove.write_text("yes 1 2 3 4\nno 4 3 2 1\n")
    settings = [
        "model.prosody=true",
        f"model.text.glove={glove}",
        "model.text.embedding=4",
        "model.video.bidirectional=true",
        "model.audio.layers=2",
        "training.standardise=none",
        "folds=[1]",
    ]
    train(prepared, tmp_path / "run", recipe(*settings))
    predictor = Predictor.load(tmp_path / "run/fold-1/seed-0/model")
    assert predictor.preprocessor.sizes.prosody == 35
    with pytest.raises(EmohopError, match="4"):
        train(prepared, tmp_path / "b", recipe(*settings[:2], "model.text.embedding=5"))


def test_glove_is_where_word_vectors_start(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    glove = tmp_path / "glove.txt"
    glove.write_text("yes 1 2 3 4\nno 4 3 2 1\n")
    seen: list[torch.Tensor] = []

    def look(_: Trainer, module: torch.nn.Module, *__: object, **___: object) -> None:
        seen.append(module.get_parameter("network.encoders.encoders.text.steps.embedding.weight"))
        raise RuntimeError("seen")

    monkeypatch.setattr(Trainer, "fit", look)
    settings = recipe(f"model.text.glove={glove}", "model.text.embedding=4", "folds=[0]")
    with pytest.raises(RuntimeError, match="seen"):
        train(prepared, tmp_path / "run", settings)
    rows = seen[0].tolist()
    assert [1.0, 2.0, 3.0, 4.0] in rows
    assert [4.0, 3.0, 2.0, 1.0] in rows
    assert rows[0] == [0.0] * 4


def test_nan_in_the_features_is_named(tmp_path: Path) -> None:
    prepared = write_prepared(tmp_path / "prepared", poison="Ses01_004")
    # in train of fold 1 (fitting finds it), in dev of fold 2 (batching does)
    for fold in (1, 2):
        with pytest.raises(EmohopError, match="clip Ses01_004: its audio holds NaN"):
            train(prepared, tmp_path / f"run{fold}", recipe(f"folds=[{fold}]"))


def test_a_loss_that_diverges_is_said(prepared: Path, tmp_path: Path) -> None:
    wild = recipe("training.learning_rate=1e30", "training.gradient_clip=0", "folds=[0]")
    with pytest.raises(EmohopError, match="lower learning_rate"):
        train(prepared, tmp_path / "run", wild)


def test_a_damaged_checkpoint_is_said(prepared: Path, tmp_path: Path) -> None:
    once = recipe("training.max_epochs=1", "folds=[0]")
    train(prepared, tmp_path / "run", once)
    folder = tmp_path / "run" / "fold-0" / "seed-0"
    (folder / "metrics.json").unlink()
    last = folder / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:1000])
    with pytest.raises(EmohopError, match=r"last\.ckpt is damaged .* delete .*checkpoints"):
        train(prepared, tmp_path / "run", once)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["folds=[3]"], r"no fold 3: protocol session has 0\.\.2"),
        (["model.modalities=[audio]"], "amh needs two modalities or more"),
    ],
)
def test_what_cannot_work_is_said_before_any_work(
    prepared: Path, tmp_path: Path, settings: list[str], message: str
) -> None:
    with pytest.raises(EmohopError, match=message):
        train(prepared, tmp_path / "run", recipe(*settings))
    assert not (tmp_path / "run").exists()


PUBLISHED = (
    *("model.audio.hidden=6", "model.text.hidden=5", "model.video.hidden=4"),
    *("model.text.embedding=7", "training.batch_size=8", "model.hops=3", "folds=[0]"),
)


@pytest.mark.parametrize("name", ["amh", "mdre", "mdrea", "are", "tre"])
def test_published_recipes_train_and_go_on_after_a_stop(
    prepared: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = make_recipe(f"published-{name}", [*PUBLISHED, "training.max_steps=8"])
    train(prepared, tmp_path / "whole", wanted)
    fit = Trainer.fit

    def stopped(self: Trainer, *args: object, **options: object) -> None:
        """A run that is killed after its second round."""
        self.fit_loop.max_epochs = 2
        fit(self, *args, **options)  # type: ignore[arg-type]
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "fit", stopped)
        with pytest.raises(RuntimeError, match="killed"):
            train(prepared, tmp_path / "parted", wanted)
    train(prepared, tmp_path / "parted", wanted)
    fold_run = "fold-0/seed-0"
    assert contents(tmp_path / "whole" / fold_run) == contents(tmp_path / "parted" / fold_run)
    with (tmp_path / "whole" / fold_run / "history.csv").open() as file:
        lines = list(csv.DictReader(file))
    clips = len(open_prepared(prepared)) // 3
    assert len(lines) == max(1, 8 // (int(0.3 * clips / 8) + 1))
    metrics = json.loads((tmp_path / "whole" / fold_run / "metrics.json").read_text())
    best = min if wanted.training.monitor == "loss" else max
    if name == "amh":
        chosen = best(float(line["dev_precision_weighted"]) for line in lines)
        assert metrics["dev"]["precision_weighted"] == pytest.approx(chosen, abs=1e-6)


def test_selection_by_loss_keeps_the_lowest(prepared: Path, tmp_path: Path) -> None:
    wanted = recipe("training.monitor=loss", "training.patience=1", "folds=[0]", "seeds=[3]")
    train(prepared, tmp_path / "run", wanted)
    folder = tmp_path / "run" / "fold-0" / "seed-3"
    with (folder / "history.csv").open() as file:
        losses = [float(line["dev_loss"]) for line in csv.DictReader(file)]
    rises = [k for k in range(1, len(losses)) if losses[k] >= min(losses[:k])]
    assert rises in ([], [len(losses) - 1])  # the first epoch without a lower loss is the last
    state = torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)
    assert state["epoch"] == int(np.argmin(losses))


def test_bfloat16_trains_and_is_scored_in_float32(prepared: Path, tmp_path: Path) -> None:
    wanted = recipe("training.precision=bfloat16", "folds=[1]")
    results = train(prepared, tmp_path / "run", wanted)
    assert results.mean["accuracy"] > 0.5
    folder = tmp_path / "run" / "fold-1" / "seed-0"
    with (folder / "history.csv").open() as file:
        best = max(float(line["dev_balanced_accuracy"]) for line in csv.DictReader(file))
    kept = json.loads((folder / "metrics.json").read_text())["dev"]["balanced_accuracy"]
    assert kept == pytest.approx(best, abs=1e-6)
