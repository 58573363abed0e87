"""What an experiment is doing: a live table in a terminal, lines elsewhere.

Fold runs tell their epochs by the histories that they write, in whichever process or on whichever
machine they run.
"""

from __future__ import annotations

import csv
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from emohop.training.scheduler import RUNNING

if TYPE_CHECKING:
    from emohop.training.fold_run import FoldRun
    from emohop.training.scheduler import Outcome

SHOWN_RUNNING = 16
SHOWN_FAILED = 5


class Board:
    """The state of the fold runs of an experiment, as rich draws it."""

    def __init__(self, jobs: int, clock: float | None = None) -> None:
        """A board of no fold runs, for `jobs` processes; `clock` is the beginning, time.time()."""
        self.jobs = jobs
        self.begun = time.time() if clock is None else clock
        self.fold_runs: list[FoldRun] = []
        self.before = 0
        self.outcomes: list[Outcome] = []

    def begin(self, fold_runs: Sequence[FoldRun]) -> None:
        """Take note of all fold runs; those that are complete were so before."""
        self.fold_runs = list(fold_runs)
        self.before = sum(fold_run.complete for fold_run in fold_runs)

    def end(self, outcome: Outcome) -> None:
        """Take note of a fold run's end."""
        self.outcomes.append(outcome)

    @property
    def failed(self) -> list[Outcome]:
        """The fold runs that failed."""
        return [outcome for outcome in self.outcomes if outcome.error is not None]

    def summary(self) -> str:
        """Fold runs done, failed, running and left, and the time that the rest may take."""
        running, done = len(self.running()), self.before + len(self.outcomes) - len(self.failed)
        left = len(self.fold_runs) - self.before - len(self.outcomes)
        parts = [f"{done} of {len(self.fold_runs)} fold runs done"]
        if self.failed:
            parts.append(f"{len(self.failed)} failed")
        parts.append(f"{running} running, {left - running} waiting")
        parts.append(f"{_span(time.time() - self.begun)} so far")
        if self.outcomes and left:
            mean = sum(outcome.seconds for outcome in self.outcomes) / len(self.outcomes)
            parts.append(f"about {_span(mean * left / self.jobs)} left")
        return ", ".join(parts)

    def running(self) -> list[tuple[FoldRun, float]]:
        """Fold runs that a process is at, with the time.time() of their beginning."""
        ended = {outcome.fold_run.folder for outcome in self.outcomes}
        found = []
        for fold_run in self.fold_runs:
            mark = fold_run.folder / RUNNING
            try:
                since = mark.stat().st_mtime
            except OSError:
                continue
            if fold_run.folder not in ended and since >= self.begun - 1:  # older: a killed run's
                found.append((fold_run, since))
        return found

    def __rich__(self) -> RenderableType:
        table = Table(box=None, pad_edge=False)
        table.add_column("running")
        table.add_column("tests")
        for name in ("epoch", "dev score", "best", "time"):
            table.add_column(name, justify="right")
        for fold_run, since in self.running()[:SHOWN_RUNNING]:
            cells = ["starting", "", ""]
            if scores := _dev_scores(fold_run):
                cells = [str(len(scores)), f"{scores[-1]:.3f}", f"{_best(fold_run, scores):.3f}"]
            names = (Text(fold_run.title), Text(fold_run.fold.name))
            table.add_row(*names, *cells, _span(time.time() - since))
        failures = [
            Text(f"failed: {outcome.fold_run.title}: {outcome.error}", style="red")
            for outcome in self.failed[-SHOWN_FAILED:]
        ]
        return Group(table, *failures, Text(self.summary(), style="bold"))


@contextmanager
def watching(jobs: int) -> Iterator[Board]:
    """A board on standard error: live in a terminal, else a line for each fold run that ends."""
    console = Console(stderr=True)
    if console.is_terminal:
        board = Board(jobs)
        with Live(board, console=console, refresh_per_second=2):
            yield board
    else:
        yield _Lines(jobs)


class _Lines(Board):
    """A board that says each end in a line."""

    def end(self, outcome: Outcome) -> None:
        super().end(outcome)
        how = "done" if outcome.error is None else f"failed: {outcome.error}"
        sys.stderr.write(f"{outcome.fold_run.title} {how}; {self.summary()}\n")
        sys.stderr.flush()


def _dev_scores(fold_run: FoldRun) -> list[float]:
    """The dev score of each epoch so far."""
    column = f"dev_{fold_run.recipe.training.monitor}"
    try:
        with fold_run.files.history_file.open(encoding="utf-8", newline="") as file:
            return [float(line[column]) for line in csv.DictReader(file)]
    except FileNotFoundError:
        return []


def _best(fold_run: FoldRun, scores: Sequence[float]) -> float:
    return min(scores) if fold_run.recipe.training.monitor == "loss" else max(scores)


def _span(seconds: float) -> str:
    """85 s, 12 min, 3.5 h."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
