"""A process that holds a model and predicts uploads: what it dies of harms nobody else."""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

from emohop.config import ServingSettings
from emohop.errors import EmohopError
from emohop.serving.messages import PredictRequest, Rejection, Served, StreamEvent

START_SECONDS = 300.0
"""For loading the model; hubs are slow."""
_STOP = None


class WorkerDiedError(Exception):
    """The process ended in the middle of its work, or was ended because it took too long."""

    def __init__(self, *, late: bool) -> None:
        """`late` if its time was over."""
        super().__init__(late)
        self.late = late


class Worker:
    """The other end of a worker process."""

    def __init__(self, served: Served, settings: ServingSettings, *, streams: bool = False) -> None:
        """Start a process that loads the model, for uploads or for streams; see `wait`."""
        self.settings = settings
        here, there = multiprocessing.get_context("spawn").Pipe()
        self.connection: Connection = here
        self.process = multiprocessing.get_context("spawn").Process(
            target=_serve, args=(there, served, settings, streams), daemon=True
        )
        self.process.start()
        there.close()

    def wait(self) -> Any:
        """What it says of the loaded model; EmohopError when it cannot be loaded."""
        try:
            if not self.connection.poll(START_SECONDS):
                raise EmohopError("the model was not loaded in time")
            found = self.connection.recv()
        except (EOFError, OSError):
            raise EmohopError("the process that holds the model ended while it loaded it") from None
        if isinstance(found, Rejection):
            raise EmohopError(found.reason)
        return found

    def ask(self, jobs: Sequence[PredictRequest] | Sequence[StreamEvent]) -> list[Any]:
        """The answers to jobs, in their order; WorkerDiedError when there will be none."""
        try:
            self.connection.send(list(jobs))
            if self.connection.poll(self.settings.timeout_seconds):
                answers: list[Any] = self.connection.recv()
                return answers
        except (EOFError, OSError):
            self.kill()
            raise WorkerDiedError(late=False) from None
        self.kill()
        raise WorkerDiedError(late=True)

    def stop(self) -> None:
        """Let it finish what it does, then end it."""
        try:
            self.connection.send(_STOP)
            self.process.join(self.settings.timeout_seconds)
        except OSError:
            pass  # it is gone already
        self.kill()

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.join()
        self.connection.close()


def _serve(
    connection: Connection, served: Served, settings: ServingSettings, streams: bool
) -> None:
    """What the process does: load, then answer until told to stop."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server says when to stop
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    _limit_memory(settings.memory_gb)
    try:
        predicting: Any
        if streams:
            from emohop.serving.streams import Listening

            predicting = Listening(served)
        else:
            from emohop.serving.requests import Predicting

            predicting = Predicting(served, settings)
        gc.collect()
        gc.freeze()  # else collecting garbage looks through all of torch: 150 ms, now and then
        connection.send(predicting.described())
    except EmohopError as error:
        connection.send(Rejection(str(error)))
        return
    while (jobs := connection.recv()) is not _STOP:
        try:
            answers = predicting.answers(jobs)
        except Exception as error:
            line = {"event": "worker failed", "error": type(error).__name__}
            print(json.dumps(line), file=sys.stderr, flush=True)
            return
        connection.send(answers)


def _limit_memory(gigabytes: float) -> None:
    """Let allocations beyond a limit fail, where the system can."""
    try:
        import resource
    except ImportError:  # not on Windows
        return
    most = int(gigabytes * (1 << 30))
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (most if hard < 0 else min(most, hard), hard))
