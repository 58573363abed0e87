"""Workers behind one bounded queue: nobody waits for ever, and a death costs one request only."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from emohop.config import ServingSettings
from emohop.errors import EmohopError
from emohop.serving.messages import Answer, PredictRequest, Served
from emohop.serving.schemas import Model
from emohop.serving.worker import Worker, WorkerDiedError

LOG = logging.getLogger("emohop.serving")
ATTEMPTS = 2
"""Workers that may die over one request before it is given up."""


class FullError(Exception):
    """As many requests wait as may."""


class ClosingError(Exception):
    """The server is about to end."""


@dataclass(eq=False)
class _Waiting:
    job: PredictRequest
    answer: asyncio.Future[Answer]
    deaths: int = 0
    """Workers that died while they had it by itself."""


@dataclass(eq=False)
class Pool:
    """The workers of a server."""

    served: Served
    settings: ServingSettings
    described: Model | None = None
    """What the model is, once it is loaded."""
    replaced: int = 0
    """Workers that died."""
    running: int = 0
    """Requests that workers have."""

    def __post_init__(self) -> None:
        self.queue: asyncio.Queue[_Waiting] = asyncio.Queue(self.settings.max_queue)
        self._tasks: list[asyncio.Task[None]] = []
        self._workers: dict[int, Worker] = {}
        self._closing = False

    async def start(self) -> None:
        """Load the model in every worker; EmohopError when it cannot be."""
        count = self.settings.workers
        started = [Worker(self.served, self.settings) for _ in range(count)]
        self._workers = dict(enumerate(started))
        try:
            found = await asyncio.gather(*(asyncio.to_thread(w.wait) for w in started))
        except EmohopError:
            for worker in started:
                await asyncio.to_thread(worker.kill)
            raise
        self.described = found[0]
        self._tasks = [asyncio.create_task(self._work(number)) for number in range(count)]

    async def stop(self) -> None:
        """Finish what runs and what waits, then end the workers."""
        self._closing = True
        await self.queue.join()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        stopping = [asyncio.to_thread(worker.stop) for worker in self._workers.values()]
        await asyncio.gather(*stopping)

    @property
    def ready(self) -> bool:
        """Whether a request would be taken, and a worker is there for it."""
        return bool(self._workers) and not self._closing and not self.queue.full()

    async def ask(self, job: PredictRequest) -> Answer:
        """A job's answer.

        Raises FullError when too many wait, ClosingError at the end, and WorkerDiedError when the
        job ended its workers, or took longer than a request may, its time in the queue included.
        """
        if self._closing:
            raise ClosingError
        waiting = _Waiting(job, asyncio.get_running_loop().create_future())
        try:
            self.queue.put_nowait(waiting)
        except asyncio.QueueFull:
            raise FullError from None
        try:
            return await asyncio.wait_for(waiting.answer, self.settings.timeout_seconds)
        except asyncio.TimeoutError:
            raise WorkerDiedError(late=True) from None

    async def _work(self, number: int) -> None:
        """Give batches to one worker, and replace it when it dies."""
        while True:
            batch = await self._batch()
            self.running += len(batch)
            try:
                await self._answer(number, batch)
            except (EmohopError, OSError) as error:  # no worker could be started
                LOG.error(json.dumps({"event": "no worker", "error": type(error).__name__}))
                for waiting in batch:
                    _fail(waiting, WorkerDiedError(late=False))
            finally:
                self.running -= len(batch)
                for _ in batch:
                    self.queue.task_done()

    async def _batch(self) -> list[_Waiting]:
        """The next request, and those that wait behind it."""
        batch = [await self.queue.get()]
        while len(batch) < self.settings.max_batch and not self.queue.empty():
            batch.append(self.queue.get_nowait())
        return batch

    async def _answer(self, number: int, batch: Sequence[_Waiting]) -> None:
        """Answer a batch; after a death each of it by itself, for one of them did it."""
        wanted = [waiting for waiting in batch if not waiting.answer.done()]  # some have left
        if not wanted:
            return
        if number not in self._workers:
            await self._start(number)
        jobs = [waiting.job for waiting in wanted]
        try:
            answers = await asyncio.to_thread(self._workers[number].ask, jobs)
        except WorkerDiedError as error:
            self.replaced += 1
            del self._workers[number]
            if len(wanted) == 1:
                wanted[0].deaths += 1  # once may be somebody else's doing
                if error.late or wanted[0].deaths >= ATTEMPTS:
                    _fail(wanted[0], error)
            for waiting in wanted:
                await self._answer(number, [waiting])
            if number not in self._workers:
                await self._start(number)
            return
        for waiting, answer in zip(wanted, answers, strict=True):
            if not waiting.answer.done():
                waiting.answer.set_result(answer)

    async def _start(self, number: int) -> None:
        """Start a worker in a dead one's place; EmohopError or OSError when that fails."""
        worker = Worker(self.served, self.settings)
        try:
            await asyncio.to_thread(worker.wait)
        except EmohopError:
            await asyncio.to_thread(worker.kill)
            raise
        self._workers[number] = worker


def _fail(waiting: _Waiting, error: WorkerDiedError) -> None:
    if not waiting.answer.done():
        waiting.answer.set_exception(error)
