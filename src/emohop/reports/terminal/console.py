"""What the command line shows while it works: tables, a bar, one line per epoch."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from emohop import processes

if TYPE_CHECKING:
    from emohop.training.fold_run import Epoch, FoldRun
    from emohop.training.tuning import Trial

PIPED_COLUMNS = 120
"""Width of tables that go to a file or to another program."""


def show(*parts: RenderableType) -> None:
    """Print tables and lines below each other; nothing in them is taken for markup."""
    width = None if sys.stdout.isatty() else PIPED_COLUMNS
    Console(width=width, markup=False, emoji=False, highlight=False).print(*parts, sep="\n")


@contextmanager
def progress_bar(what: str) -> Iterator[processes.Progress]:
    """A bar on standard error: done and total, `what` a second, time left."""
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(f"{what}, {{task.fields[rate]:.1f}} {what}/s, left"),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=Console(stderr=True))
    task = bar.add_task(what, total=None, rate=0.0)

    def advance(done: int, total: int) -> None:
        bar.start()  # not before there is something to show: errors come alone
        elapsed = bar.tasks[0].elapsed or 0.0
        bar.update(task, completed=done, total=total, rate=done / elapsed if elapsed else 0.0)

    try:
        yield advance
    finally:
        if bar.live.is_started:  # else it would print an empty line
            bar.stop()


def print_epoch(fold_run: FoldRun, epoch: Epoch) -> None:
    """One line an epoch on standard error, from whichever process trains."""
    settings = fold_run.recipe.training
    score = f"dev_{settings.monitor}"
    limit = "" if settings.max_epochs is None else f"/{settings.max_epochs}"
    line = (
        f"fold {fold_run.fold.index} ({fold_run.fold.name}) seed {fold_run.seed}"
        f"  epoch {epoch['epoch']:>3}{limit}"
        f"  train loss {epoch['train_loss']:.4f}  dev loss {epoch['dev_loss']:.4f}"
        f"  {score.replace('_', ' ')} {epoch[score]:.4f}\n"
    )
    sys.stderr.write(line)  # in one call, so that lines of several processes do not mix
    sys.stderr.flush()


def print_trial(trial: Trial) -> None:
    """One line a trial of a search on standard error."""
    score = "" if trial.score is None else f"  {trial.score:.4f}"
    settings = ", ".join(
        f"{key.removeprefix('training.').removeprefix('model.')} "
        + (f"{value:.3g}" if isinstance(value, float) else str(value))
        for key, value in trial.settings.items()
    )
    line = f"fold {trial.fold} trial {trial.number:>3} {trial.state}{score}  {settings}\n"
    sys.stderr.write(line)
    sys.stderr.flush()
