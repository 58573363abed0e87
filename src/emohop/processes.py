"""Work in parallel processes, one thread each: many small steps gain little from threads."""

from __future__ import annotations

import functools
import importlib.util
import logging
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from emohop.errors import EmohopError, MissingExtraError

Task = TypeVar("Task")
Result = TypeVar("Result")
Progress = Callable[[int, int], None]
"""Called with what is done and the total, each time that something is done."""

ENGINES = ("local", "ray")
ORPHAN_SECONDS = 1.0
"""How often a worker looks whether the process is there that it works for."""
RETRIES = 3
"""How often a task is done again whose process died."""


def cores() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    jobs: int,
    engine: str = "local",
    retries: int = RETRIES,
) -> Iterator[tuple[int, Result]]:
    """Results with the numbers of their tasks, as they finish. The first error ends it.

    `local` takes `jobs` processes at most of this machine (none, when it is 1). `ray` takes the
    cluster that RAY_ADDRESS names, or begins one here of `jobs` processes. Tasks whose process
    dies are done again, up to `retries` deaths in a row, so they must bear that; here those that
    may have killed it are done again one at a time, so that the next death is theirs alone.
    """
    check_engine(engine)
    if engine == "ray" and tasks:
        yield from _on_ray(function, tasks, jobs, retries)
    elif jobs <= 1 or len(tasks) <= 1:
        yield from (_numbered(function, number, task) for number, task in enumerate(tasks))
    else:
        yield from _in_processes(function, tasks, jobs, retries)


def check_engine(engine: str) -> None:
    """EmohopError unless work can be given to this engine."""
    if engine not in ENGINES:
        raise EmohopError(f"no engine {engine!r}: one of {', '.join(ENGINES)}")
    if engine == "ray" and importlib.util.find_spec("ray") is None:
        raise MissingExtraError("the engine ray", "ray")


def _in_processes(
    function: Callable[[Task], Result], tasks: Sequence[Task], jobs: int, retries: int
) -> Iterator[tuple[int, Result]]:
    from joblib import Parallel, delayed, parallel_config
    from joblib.externals.loky import reusable_executor
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    # where psutil is installed, joblib replaces a process that has grown by 300 MB; ours map whole
    # corpora, and where warnings are errors, this one would end joblib's thread and hang the run
    warnings.filterwarnings("ignore", "A worker stopped while some jobs")
    left, deaths, suspects = dict(enumerate(tasks)), 0, 0
    while left:
        # two at least: with one, joblib would take this process, which must not die
        with parallel_config(backend="loky", inner_max_num_threads=1):
            parallel = Parallel(
                n_jobs=max(2, min(jobs, len(left))),
                return_as="generator_unordered",
                batch_size=1,
                pre_dispatch=1 if suspects else "2 * n_jobs",
            )
            items = list(left.items())[: suspects or None]
            calls = (delayed(_in_worker)(os.getpid(), function, *item) for item in items)
            try:
                for number, result in parallel(calls):
                    del left[number]
                    deaths, suspects = 0, max(0, suspects - 1)
                    yield number, result
            except (KeyboardInterrupt, GeneratorExit):  # Ctrl-C is not each worker's, nor SIGTERM
                executor = reusable_executor._executor  # asking for it might begin another
                if executor is not None:
                    executor.shutdown(wait=False, kill_workers=True)
                raise
            except TerminatedWorkerError:
                deaths += 1
                suspects = suspects or jobs  # those that ran: the first that are not done
                if deaths > retries:
                    raise EmohopError(
                        "a worker process was ended from outside, perhaps for want of memory: "
                        "what is finished is kept; run the same command again, with fewer --jobs "
                        "if need be"
                    ) from None


def _on_ray(
    function: Callable[[Task], Result], tasks: Sequence[Task], jobs: int, retries: int
) -> Iterator[tuple[int, Result]]:
    import ray

    begun = not ray.is_initialized()
    try:
        if begun:
            count = None if os.environ.get("RAY_ADDRESS") else jobs
            ray.init(num_cpus=count, include_dashboard=False, logging_level=logging.ERROR)
        remote: Any = ray.remote(num_cpus=1, max_retries=retries)(_numbered)
        waiting = [remote.remote(function, number, task) for number, task in enumerate(tasks)]
        while waiting:
            finished, waiting = ray.wait(waiting)
            yield ray.get(finished[0])
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.WorkerCrashedError:
        raise EmohopError(
            f"a worker process of Ray died {retries + 1} times over one task, perhaps for want of "
            "memory: what is finished is kept; run the same command again"
        ) from None
    except (ray.exceptions.RayError, ConnectionError) as error:
        raise EmohopError(
            f"Ray lost a node, or its cluster is not there ({type(error).__name__}): what is "
            "finished is kept; run the same command again when the cluster is whole, or with "
            "--engine local"
        ) from None
    finally:
        if begun:
            ray.shutdown()


def _in_worker(
    parent: int, function: Callable[[Task], Result], number: int, task: Task
) -> tuple[int, Result]:
    _end_with(parent)
    return _numbered(function, number, task)


@functools.cache
def _end_with(parent: int) -> None:
    """Let this process end, within seconds, when the one that it works for has died.

    Linux could kill it by itself (PR_SET_PDEATHSIG), but when the thread ends that began it.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(ORPHAN_SECONDS)
        os._exit(1)

    if hasattr(os, "fork"):  # elsewhere a process keeps the number of a dead parent
        threading.Thread(target=watch, name="parent", daemon=True).start()


def _numbered(function: Callable[[Task], Result], number: int, task: Task) -> tuple[int, Result]:
    one_thread()
    return number, function(task)


def one_thread() -> None:
    """Keep torch, if it is loaded, to one thread in this process."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)
