"""The board of an experiment: what it counts, what it shows of running fold runs."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from emohop.errors import EmohopError
from emohop.evaluation.splits import Fold
from emohop.recipes import make_recipe
from emohop.reports.terminal.progress import Board, watching
from emohop.training.fold_run import FoldRun
from emohop.training.scheduler import RUNNING, Outcome


@pytest.fixture
def fold_runs(tmp_path: Path) -> list[FoldRun]:
    fold = Fold(1, "Ses02", np.array([0]), np.array([1]), np.array([2]))
    recipe = make_recipe("default", ["training.monitor=loss"])
    made = []
    for seed in range(4):
        folder = tmp_path / "run" / "fold-1" / f"seed-{seed}"
        folder.mkdir(parents=True)
        made.append(FoldRun(tmp_path, folder, recipe, fold, seed))
    return made


def shown(board: Board) -> str:
    console = Console(width=150, record=True, file=None, quiet=False)
    with console.capture() as capture:
        console.print(board)
    return capture.get()


def test_counts_and_running_units(fold_runs: list[FoldRun]) -> None:
    (fold_runs[0].folder / "metrics.json").write_text("{}")
    board = Board(jobs=2)
    board.begin(fold_runs)
    assert board.summary().startswith("1 of 4 fold runs done, 0 running, 3 waiting, 0 s so far")
    (fold_runs[1].folder / RUNNING).write_text("")
    (fold_runs[2].folder / RUNNING).write_text("")
    (fold_runs[2].folder / "history.csv").write_text(
        "epoch,train_loss,dev_loss\n1,1.0,0.75\n2,0.9,0.5\n3,0.8,0.625\n"
    )
    text = shown(board)
    assert "2 running, 1 waiting" in text
    lines = {line.split()[0]: line.split()[1:] for line in text.splitlines()}
    assert lines["run/fold-1/seed-1"][:2] == ["Ses02", "starting"]
    assert lines["run/fold-1/seed-2"][:4] == ["Ses02", "3", "0.625", "0.500"]
    board.end(Outcome(fold_runs[1], None, 60.0))
    board.end(Outcome(fold_runs[2], EmohopError("training [diverged]"), 180.0))
    text = shown(board)
    assert "failed: run/fold-1/seed-2: training [diverged]" in text
    assert "2 of 4 fold runs done, 1 failed, 0 running, 1 waiting" in text
    assert "about 60 s left" in text  # one fold run of 120 s on average, over two processes


def test_marks_of_a_killed_run_do_not_count(fold_runs: list[FoldRun]) -> None:
    (fold_runs[0].folder / RUNNING).write_text("")
    board = Board(jobs=1, clock=time.time() + 60)
    board.begin(fold_runs)
    assert board.running() == []


def test_lines_where_there_is_no_terminal(
    fold_runs: list[FoldRun], capsys: pytest.CaptureFixture[str]
) -> None:
    with watching(2) as board:
        board.begin(fold_runs)
        board.end(Outcome(fold_runs[3], None, 7500.0))
        board.end(Outcome(fold_runs[0], EmohopError("no"), 1.0))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith(
        "run/fold-1/seed-3 done; 1 of 4 fold runs done, 0 running, 3 waiting"
    )
    assert lines[0].endswith("about 3.1 h left")
    assert lines[1].startswith("run/fold-1/seed-0 failed: no; 1 of 4 fold runs done, 1 failed")
