"""Workers behind one bounded queue: nobody waits for ever, and a death costs one request only."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emohop.config import ServingSettings
from emohop.errors import EmohopError
from emohop.serving.worker import Answer, Job, Worker, WorkerDiedError


class FullError(Exception):
    """As many requests wait as may."""


@dataclass(eq=False)
class _Waiting:
    job: Job
    answer: asyncio.Future[Answer]


@dataclass(eq=False)
class Pool:
    """The workers of a server."""

    model: Path
    asr: str | None
    settings: ServingSettings
    described: dict[str, Any] = field(default_factory=dict)
    """What the model is, once it is loaded."""
    replaced: int = 0
    """Workers that died."""
    running: int = 0
    """Requests that workers have."""

    def __post_init__(self) -> None:
        self.queue: asyncio.Queue[_Waiting] = asyncio.Queue(self.settings.queue)
        self._tasks: list[asyncio.Task[None]] = []
        self._workers: dict[int, Worker] = {}
        self._closing = False

    async def start(self) -> None:
        """Load the model in every worker; EmohopError when it cannot be."""
        count = self.settings.workers
        started = [Worker(self.model, self.asr, self.settings) for _ in range(count)]
        self._workers = dict(enumerate(started))
        try:
            found = await asyncio.gather(*(asyncio.to_thread(w.wait) for w in started))
        except EmohopError:
            for worker in started:
                await asyncio.to_thread(worker.kill)
            raise
        self.described = found[0]
        self._tasks = [asyncio.create_task(self._work(number)) for number in self._workers]

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
        """Whether a request would be taken."""
        return bool(self._tasks) and not self._closing and not self.queue.full()

    async def ask(self, job: Job) -> Answer:
        """A job's answer.

        Raises FullError when too many wait, and WorkerDiedError when the job ended its worker.
        """
        if self._closing:
            raise FullError
        waiting = _Waiting(job, asyncio.get_running_loop().create_future())
        try:
            self.queue.put_nowait(waiting)
        except asyncio.QueueFull:
            raise FullError from None
        return await waiting.answer

    async def _work(self, number: int) -> None:
        """Give batches to one worker, and replace it when it dies."""
        while True:
            batch = await self._batch()
            self.running += len(batch)
            try:
                await self._answer(number, batch)
            finally:
                self.running -= len(batch)
                for _ in batch:
                    self.queue.task_done()

    async def _batch(self) -> list[_Waiting]:
        """The next request, and those that wait behind it."""
        batch = [await self.queue.get()]
        while len(batch) < self.settings.batch and not self.queue.empty():
            batch.append(self.queue.get_nowait())
        return batch

    async def _answer(self, number: int, batch: Sequence[_Waiting]) -> None:
        wanted = [waiting for waiting in batch if not waiting.answer.done()]  # some have left
        if not wanted:
            return
        jobs = [waiting.job for waiting in wanted]
        try:
            answers = await asyncio.to_thread(self._workers[number].ask, jobs)
        except WorkerDiedError as error:
            await self._replace(number)
            if len(wanted) > 1:  # one of them did it: each by itself
                for waiting in wanted:
                    await self._answer(number, [waiting])
            else:
                _fail(wanted[0], error)
            return
        for waiting, answer in zip(wanted, answers, strict=True):
            if not waiting.answer.done():
                waiting.answer.set_result(answer)

    async def _replace(self, number: int) -> None:
        """Start a worker in a dead one's place, as often as it takes."""
        self.replaced += 1
        while True:
            worker = Worker(self.model, self.asr, self.settings)
            self._workers[number] = worker
            with contextlib.suppress(EmohopError):
                await asyncio.to_thread(worker.wait)
                return
            await asyncio.sleep(1.0)


def _fail(waiting: _Waiting, error: WorkerDiedError) -> None:
    if not waiting.answer.done():
        waiting.answer.set_exception(error)
