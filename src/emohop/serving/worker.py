"""A process that holds a model and predicts uploads: what it dies of harms nobody else."""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import signal
import sys
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for
from typing import Any

from emohop.config import ServingSettings
from emohop.errors import EmohopError
from emohop.serving import memory
from emohop.serving.messages import Rejection, Served, StreamEvent, Work

START_SECONDS = 300.0
"""For loading the model; hubs are slow."""
STOP_SECONDS = 5.0
"""For ending by itself."""
_STOP, _BEGUN = None, "begun"


class WorkerDiedError(Exception):
    """The process ended in the middle of its work, or was ended because it took too long."""

    def __init__(self, *, before: bool = False) -> None:
        """`before` if it had not begun on what it was asked, which is not to blame then."""
        super().__init__(before)
        self.before = before


class Worker:
    """The other end of a worker process."""

    def __init__(self, served: Served, settings: ServingSettings, *, streams: bool = False) -> None:
        """Start a process that loads the model, for uploads or for streams; see `wait`."""
        self.given_up = False
        """Whether nobody waited any more for what it did, so that it was ended."""
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

    def ask(self, asked: Work | StreamEvent, seconds: float | None = None) -> Any:
        """The first answer, which may take so long; WorkerDiedError when there will be none."""
        try:
            self.connection.send(asked)
            self.hear(seconds)  # that it has begun
        except (WorkerDiedError, OSError):
            self.kill()
            raise WorkerDiedError(before=True) from None
        return self.hear(seconds)

    def hear(self, seconds: float | None = None) -> Any:
        """The next answer to what was asked, as of `ask`."""
        try:
            if self.connection.poll(seconds):
                return self.connection.recv()
        except Exception:  # it has ended, or what it says cannot be read
            self.process.join(STOP_SECONDS)
        self.kill()
        raise WorkerDiedError

    def wait_for_end(self) -> None:
        """Until the process is gone, whatever ended it."""
        wait_for([self.process.sentinel])

    def how_it_ended(self) -> str:
        """In a word or two; of a process that is gone."""
        self.process.join()
        code = self.process.exitcode
        if code is not None and code < 0:
            return signal.Signals(-code).name
        return f"exit {code}"

    def stop(self) -> None:
        """Let it end by itself, or end it."""
        try:
            self.connection.send(_STOP)
            self.process.join(STOP_SECONDS)
        except OSError:
            pass  # it is gone already
        self.kill()

    def kill(self) -> None:
        """End it at once; who waits for its answer is told that there is none."""
        self.process.kill()
        self.process.join()


def _serve(
    connection: Connection, served: Served, settings: ServingSettings, streams: bool
) -> None:
    """What the process does: load, then answer until told to stop."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server says when to stop
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    memory.limit(settings.memory_gb)
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
    while (asked := _received(connection)) is not _STOP:
        try:
            connection.send(_BEGUN)
            for answer in predicting.answers(asked):
                connection.send(answer)
        except Exception as error:
            line = {"event": "worker failed", "error": type(error).__name__}
            print(json.dumps(line), file=sys.stderr, flush=True)
            sys.exit(1)


def _received(connection: Connection) -> Any:
    """What the server asks next; that it is gone means to stop."""
    try:
        return connection.recv()
    except (EOFError, OSError):
        return _STOP
