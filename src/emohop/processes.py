"""Work in parallel processes, one thread each: many small steps gain little from threads."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from emohop.errors import EmohopError

Task = TypeVar("Task")
Result = TypeVar("Result")
Progress = Callable[[int, int], None]
"""Called with what is done and the total, each time that something is done."""


def cores() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(
    function: Callable[[Task], Result], tasks: Sequence[Task], jobs: int
) -> Iterator[tuple[int, Result]]:
    """Results with the numbers of their tasks, as they finish.

    `jobs` processes at most (here, without a process, when it is 1). The first error ends it.
    """
    from joblib import Parallel, delayed, parallel_config
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    jobs = min(jobs, len(tasks))
    if jobs <= 1:
        yield from (_numbered(function, number, task) for number, task in enumerate(tasks))
        return
    with parallel_config(backend="loky", inner_max_num_threads=1):
        parallel = Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)
        calls = (delayed(_numbered)(function, number, task) for number, task in enumerate(tasks))
        try:
            yield from parallel(calls)
        except TerminatedWorkerError:
            raise EmohopError(
                "a worker process was ended from outside, perhaps for want of memory: what is "
                "finished is kept; run the same command again, with fewer --jobs if need be"
            ) from None


def _numbered(function: Callable[[Task], Result], number: int, task: Task) -> tuple[int, Result]:
    one_thread()
    return number, function(task)


def one_thread() -> None:
    """Keep torch, if it is loaded, to one thread in this process."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)
