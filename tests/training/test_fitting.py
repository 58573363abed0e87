"""That a fold run is fitted as its settings say: loss, clipping, precision, patience, steps."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from emohop.evaluation.splits import Fold, make_folds
from emohop.prediction import Predictor
from emohop.recipes import make_recipe
from emohop.reports.terminal.console import print_epoch
from emohop.storage import PreparedCorpus, open_prepared
from emohop.training import fitting, lightning_module
from emohop.training.fold_run import FoldRun
from emohop.training.lightning_module import Training
from emohop.training.loss import Objective
from tests.prepared import write_prepared

WHOLE = [f"model.{m}.dropout=0" for m in ("audio", "text", "video")]
STILL = "training.learning_rate=1e-12"
"""Too little to change a weight, so that every epoch is of the first weights."""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_prepared(tmp_path_factory.mktemp("data") / "prepared")


def fold_run(prepared: Path, folder: Path, *settings: str) -> FoldRun:
    recipe = make_recipe("demo", ["training.max_epochs=2", *settings])
    return FoldRun(prepared, folder, recipe, fold(prepared), seed=0)


def fold(prepared: Path) -> Fold:
    return make_folds("session", open_prepared(prepared).metadata)[0]


def history(folder: Path) -> list[dict[str, float]]:
    with (folder / "history.csv").open(encoding="utf-8") as file:
        return [{k: float(v) for k, v in line.items()} for line in csv.DictReader(file)]


def logits(predictor: Predictor, prepared: Path, rows: list[int]) -> tuple[Any, Any]:
    """Logits [clips, classes] and one-hot labels of the same shape."""
    corpus = open_prepared(prepared)
    with torch.no_grad():
        parts = [
            predictor.network.eval()(batch).logits
            for batch in predictor.preprocessor.batches(corpus, rows, 64)
        ]
    labels = corpus.metadata("label")
    one_hot = [[labels[i] == name for name in predictor.preprocessor.labels] for i in rows]
    return torch.cat(parts).double().numpy(), np.array(one_hot)


@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_the_loss_is_the_one_that_was_asked_for(prepared: Path, tmp_path: Path, kind: str) -> None:
    one = fold_run(prepared, tmp_path, f"training.loss={kind}", *WHOLE, STILL)
    fitting.fit(one)
    predictor = Predictor.load(tmp_path / "model")
    for part, rows in (("train", one.fold.train), ("dev", one.fold.dev)):
        x, one_hot = logits(predictor, prepared, rows.tolist())
        if kind == "softmax":
            expected = -np.log((np.exp(x) / np.exp(x).sum(1, keepdims=True))[one_hot]).mean()
        else:
            p = 1 / (1 + np.exp(-x))
            expected = -np.log(np.where(one_hot, p, 1 - p)).mean()
        for line in history(tmp_path):
            assert line[f"{part}_loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("kind", ["global", "variable", "value"])
def test_gradients_are_clipped(prepared: Path, tmp_path: Path, kind: str) -> None:
    def moved(limit: str) -> float:
        """How far dev's loss goes in an epoch; Adam hardly moves where |g| is far below 1e-8."""
        folder = tmp_path / limit
        clip = (f"training.gradient_clip_mode={kind}", f"training.gradient_clip={limit}")
        fitting.fit(fold_run(prepared, folder, "training.weight_decay=0", *clip))
        first, second = (line["dev_loss"] for line in history(folder))
        return abs(second - first)

    assert moved("1e-15") < 1e-5
    assert moved("1") > 1e-3


def test_bfloat16_is_of_training_alone(prepared: Path, tmp_path: Path) -> None:
    lines = {}
    for precision in ("float32", "bfloat16"):
        folder = tmp_path / precision
        fitting.fit(fold_run(prepared, folder, f"training.precision={precision}", *WHOLE, STILL))
        lines[precision] = history(folder)[0]
    single, half = lines["float32"], lines["bfloat16"]
    assert single["train_loss"] != half["train_loss"]
    assert half.pop("train_loss") == pytest.approx(single.pop("train_loss"), rel=1e-2)
    assert half == pytest.approx(single, rel=1e-6)


@pytest.mark.parametrize("patience", [1, 3])
def test_patience_counts_the_scores_that_are_not_strictly_better(
    prepared: Path, tmp_path: Path, patience: int
) -> None:
    wanted = (STILL, "training.max_epochs=9", f"training.patience={patience}")
    fitting.fit(fold_run(prepared, tmp_path, *wanted))
    assert len(history(tmp_path)) == 1 + patience
    best = torch.load(tmp_path / "checkpoints/best.ckpt", weights_only=True)
    assert best["epoch"] == 0


@pytest.mark.parametrize(("steps", "rounds"), [(1, 1), (5, 1), (6, 2), (8, 2)])
def test_steps_are_done_in_whole_rounds(
    prepared: Path, tmp_path: Path, steps: int, rounds: int
) -> None:
    wanted = ("training.sampling=replacement", "training.batch_size=3")
    assert int(0.3 * len(fold(prepared).train) / 3) + 1 == 3
    limits = ("training.max_epochs=null", f"training.max_steps={steps}")
    fitting.fit(fold_run(prepared, tmp_path, STILL, *wanted, *limits))
    assert len(history(tmp_path)) == rounds


@pytest.mark.parametrize(("limit", "shown"), [("7", "epoch   2/7 "), ("null", "epoch   2 ")])
def test_the_line_of_an_epoch_has_a_total_where_there_is_one(
    prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], limit: str, shown: str
) -> None:
    line = {"epoch": 2, "train_loss": 1.0, "dev_loss": 1.0, "dev_f1_weighted": 0.5}
    print_epoch(fold_run(prepared, tmp_path, f"training.max_epochs={limit}"), line)
    assert shown in capsys.readouterr().err


def test_nothing_watches_the_network_that_is_kept(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[nn.Module] = []

    def finish(_: FoldRun, __: PreparedCorpus, network: nn.Module, *___: object) -> None:
        kept.append(network)

    monkeypatch.setattr(fitting, "_finish", finish)
    fitting.fit(fold_run(prepared, tmp_path, "training.gradient_clip_mode=variable"))
    words = [m for m in kept[0].modules() if isinstance(m, nn.Embedding)]
    assert words
    assert not any(m._forward_hooks for m in words)


def test_dropout_is_seeded_by_seed_and_epoch() -> None:
    """At the first batch of each epoch, so that a resumed epoch draws as an undisturbed one."""
    drawn = {}
    for seed in (0, 1):
        for epoch in (0, 1):
            settings = make_recipe("demo").training
            objective = Objective(settings, torch.ones(3))
            module = Training(torch.nn.Linear(2, 3), settings, objective, seed, partial(int, epoch))
            module.on_train_batch_start(None, 0)
            first = torch.rand(4).tolist()
            module.on_train_batch_start(None, 1)
            assert torch.rand(4).tolist() != first  # it goes on within the epoch
            module.on_train_batch_start(None, 0)
            assert torch.rand(4).tolist() == first
            drawn[seed, epoch] = str(first)
    assert len(set(drawn.values())) == 4


@pytest.mark.parametrize("kind", ["epochs", "balanced", "replacement"])
def test_batches_are_drawn_by_the_seed_of_a_fold_run(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    drawn: list[list[list[int]]] = []

    def draw(_: object, sampler: Iterable[list[int]]) -> None:
        drawn.append(list(sampler))
        raise InterruptedError

    monkeypatch.setattr(fitting, "loader", draw)
    one = fold_run(prepared, tmp_path, f"training.sampling={kind}", "training.batch_size=4")
    parts = one.fold.train.tolist(), one.fold.dev.tolist()
    for seed in (0, 1, 1):
        with pytest.raises(InterruptedError):
            fitting.fit_network(open_prepared(prepared), one.recipe, *parts, seed, one.folder)
    assert drawn[0] != drawn[1] == drawn[2]


def test_the_network_is_that_of_its_first_best_epoch(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def weights(*scores: float) -> torch.Tensor:
        left = iter(scores)
        monkeypatch.setattr(lightning_module, "metrics", lambda *_: {"f1_weighted": next(left)})
        one = fold_run(prepared, tmp_path / f"{scores}", f"training.max_epochs={len(scores)}")
        parts = one.fold.train.tolist(), one.fold.dev.tolist()
        network, _ = fitting.fit_network(open_prepared(prepared), one.recipe, *parts, 0, one.folder)
        return torch.cat([one.flatten() for one in network.parameters()])

    assert torch.equal(weights(0.5, 0.5, 0.1), weights(0.5))
    assert torch.equal(weights(0.1, 0.5, 0.5), weights(0.1, 0.5))
    assert not torch.equal(weights(0.2), weights(0.2, 0.3))


def test_each_epoch_of_a_fold_run_has_dropout_of_its_own(prepared: Path, tmp_path: Path) -> None:
    one = fold_run(prepared, tmp_path)
    parts = one.fold.train.tolist(), one.fold.dev.tolist()
    seeds: list[int] = []

    def told(_: object) -> None:
        seeds.append(torch.initial_seed())

    fitting.fit_network(open_prepared(prepared), one.recipe, *parts, 7, one.folder, told)
    assert seeds == [int(np.random.SeedSequence([7, n]).generate_state(1)[0]) for n in (0, 1)]


def test_classes_are_weighed_by_the_training_part(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def weigh(_: object, counts: torch.Tensor) -> None:
        assert counts.tolist() == [3, 1, 0]
        raise InterruptedError

    monkeypatch.setattr(fitting, "Objective", weigh)
    recipe = fold_run(prepared, tmp_path).recipe
    with pytest.raises(InterruptedError):  # rows 0, 3 and 6 are of the first class
        fitting.fit_network(open_prepared(prepared), recipe, [0, 1, 3, 6], [2, 4], 0, tmp_path)
