"""Fold runs run in parallel processes; one that fails is reported and does not end the others."""

from __future__ import annotations

import errno
import os
import pickle
import socket
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from emohop import processes
from emohop.errors import EmohopError
from emohop.files import write_text
from emohop.training.fold_run import FoldRun

FAILURE = "failure.txt"
"""What went wrong with a fold run, in its folder until it is begun again."""
RUNNING = "running"
"""Stands in a fold run's folder while a process is at it, and names it: host and number."""


@dataclass(frozen=True)
class Outcome:
    """How a fold run ended: the error that ended it, or None, and its seconds."""

    fold_run: FoldRun
    error: Exception | None
    seconds: float


class FoldRunsFailedError(EmohopError):
    """Fold runs of an experiment failed; everything else of it is done and kept."""


def train_fold_runs(
    fold_runs: Sequence[FoldRun],
    jobs: int,
    engine: str = "local",
    ended: Callable[[Outcome], None] | None = None,
) -> list[Outcome]:
    """Fit the fold runs that are not complete yet; `ended` is told of each as it ends.

    A full disk ends all: OSError. Any other error is an outcome.
    """
    left = [fold_run for fold_run in fold_runs if not fold_run.complete]
    outcomes = []
    for number, (error, seconds) in processes.run(_attempt, left, jobs, engine):
        outcome = Outcome(left[number], error, seconds)
        outcomes.append(outcome)
        if ended is not None:
            ended(outcome)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise error
    return outcomes


def fit(fold_run: FoldRun) -> None:
    """Train a fold run, keep its best epoch, score dev and test, write its files; see `fitting`."""
    # imported here: Lightning takes seconds and much memory, in a process that may fit nothing
    from emohop.training.fitting import fit as run

    run(fold_run)


def raise_failures(outcomes: Sequence[Outcome]) -> None:
    """An error that names the first fold run that failed, if any; a bug is raised as it came."""
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    if not failed:
        return
    for outcome in failed:
        if outcome.error is not None and not isinstance(outcome.error, EmohopError):
            raise outcome.error
    first = failed[0]
    raise FoldRunsFailedError(
        f"{len(failed)} of {len(outcomes)} fold runs failed, the others are kept; "
        f"{first.fold_run.title}: {first.error}"
    )


def _attempt(fold_run: FoldRun) -> tuple[Exception | None, float]:
    """Fit a fold run; what goes wrong with it is written beside its files and handed back."""
    begun, mark = time.perf_counter(), fold_run.folder / RUNNING
    try:
        fold_run.folder.mkdir(parents=True, exist_ok=True)
        (fold_run.folder / FAILURE).unlink(missing_ok=True)
        mark.write_text(f"{socket.gethostname()} {os.getpid()}\n")
        fit(fold_run)
    except Exception as error:
        with suppress(OSError):  # of a full disk: the error that is handed back says it
            write_text(fold_run.folder / FAILURE, traceback.format_exc())
        return _portable(error), time.perf_counter() - begun
    finally:
        mark.unlink(missing_ok=True)
    return None, time.perf_counter() - begun


def _portable(error: Exception) -> Exception:
    """The error, or what it says where it cannot go from one process to another."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301  made in the line itself
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
