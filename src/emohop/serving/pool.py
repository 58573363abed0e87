"""Worker processes that are kept alive, and the requests that wait for them.

Requests wait in two lanes, so that files that take long to read hold up no others: as many
processes work on each lane at one time as there are workers. One of them takes a few requests of
its lane, reads them one by one, and runs the network over all of them. A process that dies is
replaced, and what it had is asked again of another: only a request over which two died fails.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from emohop.config import ServingSettings
from emohop.serving.messages import Answer, Done, PredictRequest, Served, Slow, Work
from emohop.serving.requests import SLOW_SECONDS
from emohop.serving.schemas import Model
from emohop.serving.worker import Worker, WorkerDiedError

LOG = logging.getLogger("emohop.serving")
PATIENCE = 0.25
"""The share of a request's time for which others wait behind one that seemed quick."""
LAST_SHARE = 0.1
"""Of the grace time, for telling those whose requests are not finished by then."""
ATTEMPTS = 2
"""Workers that may die over one request before it is given up."""
PAUSES_SECONDS = 0.5, 30.0
"""Before a worker is started again that did not start; twice as long each time, up to the last."""
State = Literal["ready", "starting", "full", "ending"]
Found = TypeVar("Found")


class FullError(Exception):
    """As many requests wait as may."""


class ClosingError(Exception):
    """The server is about to end."""


class LateError(Exception):
    """The request took longer than it may."""


@dataclass(eq=False)
class _Waiting:
    number: int
    job: PredictRequest
    answer: asyncio.Future[Answer]
    slow: bool = False
    """It is known to take long."""
    alone: bool = False
    """It was among others when a process died, one of which did it."""
    deaths: int = 0
    """Processes that died while they had it by itself."""


@dataclass(eq=False)
class _Lane:
    slow: bool
    waiting: deque[_Waiting] = field(default_factory=deque)
    busy: int = 0
    """Processes that work on it."""


@dataclass(eq=False)
class _Turn:
    """A process at work: requests of one lane, up to an answer."""

    worker: Worker
    lane: _Lane
    held: list[_Waiting]
    """What it has been given and has not answered."""


@dataclass(eq=False)
class Pool:
    """The workers of a server."""

    served: Served
    settings: ServingSettings
    described: Model | None = None
    """What the model is, once it is loaded."""
    reserved: int = 0
    """Places of requests whose files are still coming."""
    ends: Counter[str] = field(default_factory=Counter)
    """How many processes have ended, by reason."""
    not_started: int = 0
    """How often a process did not start."""
    dropped: int = 0
    """Requests whose clients left, or whose time was over."""
    closing: bool = False
    """Whether nothing more is taken."""

    def __post_init__(self) -> None:
        self.quick, self.slow = _Lane(slow=False), _Lane(slow=True)
        self.loaded: set[Worker] = set()
        self._turns: set[_Turn] = set()
        self._numbers = itertools.count()
        self._processes: set[Worker] = set()
        self._slots: list[asyncio.Task[None]] = []
        self._news: asyncio.Future[None] | None = None
        count = self.settings.workers + self.settings.spares
        self._threads = ThreadPoolExecutor(3 * count, thread_name_prefix="pool")

    # what is asked of it

    async def start(self) -> None:
        """Load the model in every worker; EmohopError when it cannot be. Spares follow."""
        count = self.settings.workers
        try:
            workers = await asyncio.gather(*(self._started() for _ in range(count)))
        except BaseException:
            await self._end()
            raise
        self.loaded.update(workers)
        everyone = [*workers, *[None] * self.settings.spares]
        self._slots = [asyncio.create_task(self._keep(worker)) for worker in everyone]

    def close(self) -> None:
        """Take nothing more, and finish what was taken within the grace time."""
        if not self.closing:
            self.closing = True
            seconds = (1 - LAST_SHARE) * self.settings.grace_seconds
            asyncio.get_running_loop().call_later(seconds, self._give_up)

    def _give_up(self) -> None:
        """The grace time is over: ClosingError for all that is not finished."""
        held = [one for turn in self._turns for one in turn.held]
        for waiting in [*self.quick.waiting, *self.slow.waiting, *held]:
            if not waiting.answer.done():
                waiting.answer.set_exception(ClosingError())

    async def stop(self) -> None:
        """Finish what runs and what waits within the grace time, then end the workers."""
        self.close()
        clock = asyncio.get_running_loop().time
        until = clock() + self.settings.grace_seconds
        while (self.waiting or self._turns) and clock() < until:
            await self._until_news(until - clock())
        await self._end()

    def check(self) -> None:
        """ClosingError at the end, FullError where as many wait as may."""
        if self.closing:
            raise ClosingError
        if self.full:
            raise FullError

    async def ask(self, job: PredictRequest, seconds: float) -> Answer:
        """A job's answer, within so many seconds; a `Place` was taken for it before.

        Raises ClosingError at the end, FullError for a slow file when too many of them wait,
        LateError, and WorkerDiedError when the job ended its workers. When the task that waits is
        cancelled, so is the job.
        """
        if self.closing:
            raise ClosingError
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        waiting = _Waiting(next(self._numbers), job, future)
        self.quick.waiting.append(waiting)
        self._tell()
        try:
            return await asyncio.wait_for(waiting.answer, seconds)
        except asyncio.TimeoutError:
            self.dropped += 1
            raise LateError from None
        except asyncio.CancelledError:
            self.dropped += 1
            raise
        finally:
            self._forget(waiting)

    @property
    def waiting(self) -> int:
        """Requests that wait."""
        return len(self.quick.waiting) + len(self.slow.waiting)

    @property
    def running(self) -> int:
        """Requests that workers have."""
        return sum(len(turn.held) for turn in self._turns)

    @property
    def full(self) -> bool:
        """Whether as many requests wait as may."""
        return self.waiting >= self.settings.max_queue

    @property
    def crowded(self) -> bool:
        """Whether there is no place for one more request whose body is long in coming."""
        return self.waiting + self.reserved >= self.settings.max_queue

    @property
    def state(self) -> State:
        """Whether a request would be taken, and a worker is there for it."""
        if self.closing:
            return "ending"
        if not self.loaded:
            return "starting"
        return "full" if self.full else "ready"

    # a process and its turns

    async def _keep(self, worker: Worker | None) -> None:
        """One process after the other: when one ends, the next is started."""
        pause, longest = PAUSES_SECONDS
        while True:
            if worker is None:
                try:
                    worker = await self._started()
                except Exception as error:  # whatever it is, it is tried again
                    self.not_started += 1
                    said = " ".join(str(error).split())
                    _log("worker did not start", reason=said, again_in=pause)
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, longest)
                    continue
            pause, _ = PAUSES_SECONDS
            self.loaded.add(worker)
            self._tell()
            try:
                reason = await self._life(worker)
            except Exception as error:  # a fault of ours costs a process and not the service
                reason = type(error).__name__
            finally:
                self.loaded.discard(worker)
            await self._run(worker.kill)
            self._processes.discard(worker)
            self.ends[reason] += 1
            _log("worker ended", reason=reason)
            worker = None

    async def _started(self) -> Worker:
        """A process that has loaded the model; EmohopError or OSError when it cannot be."""
        worker = await self._run(Worker, self.served, self.settings)
        self._processes.add(worker)
        try:
            self.described = await self._run(worker.wait)
        except Exception:  # it is passed on, and no process stays behind
            await self._run(worker.kill)
            self._processes.discard(worker)
            raise
        return worker

    async def _life(self, worker: Worker) -> str:
        """Give a process its turns until it ends; why it did."""
        ended = asyncio.ensure_future(self._run(worker.wait_for_end))
        while not ended.done():
            lane = self._lane()
            if lane is None:
                await self._until_news(None, ended)
                continue
            turn = _Turn(worker, lane, self._taken(lane))
            lane.busy += 1
            self._turns.add(turn)
            try:
                if await self._turn(turn):
                    return "worn"
            except WorkerDiedError:
                break
            finally:
                turn.lane.busy -= 1
                self._turns.discard(turn)
                self._tell()
        self.loaded.discard(worker)
        return "given up" if worker.given_up else await self._run(worker.how_it_ended)

    def _lane(self) -> _Lane | None:
        """Where there is work for one more process: the lane that waits longest."""
        able = [
            lane
            for lane in (self.quick, self.slow)
            if lane.waiting and lane.busy < self.settings.workers
        ]
        return min(able, key=lambda lane: lane.waiting[0].number, default=None)

    async def _turn(self, turn: _Turn) -> bool:
        """Requests of one lane, read one by one and answered together; whether it is worn."""
        reading = list(turn.held)
        work = Work({one.number: one.job for one in reading}, slow=turn.lane.slow)
        worn = False
        for number, one in enumerate(reading):
            try:
                done = await self._done(turn, one, work if number == 0 else None)
            except WorkerDiedError as error:
                if not (turn.worker.given_up or error.before):
                    self._blame(turn.held if one is reading[-1] else [one])
                self._put_back(turn.held)
                raise
            worn = done.worn
            for waiting in list(turn.held):
                if (answer := done.answers.get(waiting.number)) is not None:
                    turn.held.remove(waiting)
                    self._settle(waiting, answer)
        return worn

    def _taken(self, lane: _Lane) -> list[_Waiting]:
        """The next of a lane that are answered together."""
        taken = [lane.waiting.popleft()]
        while (
            lane.waiting
            and not lane.slow
            and len(taken) < self.settings.max_batch
            and not taken[0].alone
            and not lane.waiting[0].alone
        ):
            taken.append(lane.waiting.popleft())
        return taken

    async def _done(self, turn: _Turn, reading: _Waiting, work: Work | None) -> Done:
        """What the process says next, asked by `work` first.

        It is ended when it reads a slow one for which nobody waits any more, or behind which others
        have waited long enough.
        """
        ask = (turn.worker.ask, work) if work is not None else (turn.worker.hear,)
        asked = asyncio.ensure_future(self._run(*ask))
        await asyncio.wait({asked}, timeout=SLOW_SECONDS)
        seconds = SLOW_SECONDS
        while not (asked.done() or reading.answer.done()):
            self._is_slow(turn, reading)
            if self._holds_up_others(turn, seconds):
                reading.slow = True
                break
            either: set[asyncio.Future[Any]] = {asked, reading.answer}
            await asyncio.wait(either, timeout=SLOW_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            seconds += SLOW_SECONDS
        if not asked.done():
            turn.worker.given_up = True
            await self._run(turn.worker.kill)
        done: Done = await asked
        return done

    def _holds_up_others(self, turn: _Turn, seconds: float) -> bool:
        """Whether a file for which the other lane had no room has taken too long for this one."""
        patience = self.settings.timeout_seconds * PATIENCE
        return not turn.lane.slow and bool(self.quick.waiting) and seconds > patience

    def _is_slow(self, turn: _Turn, reading: _Waiting) -> None:
        """A file that takes longer than it seemed moves to the other lane, if that has room."""
        if turn.lane.slow or self.slow.busy >= self.settings.workers:
            return
        turn.lane.busy -= 1
        self.slow.busy += 1
        turn.lane = self.slow
        self._put_back([one for one in turn.held if one is not reading])  # they need not wait
        self._tell()

    # what becomes of a request

    def _settle(self, waiting: _Waiting, answer: Answer | Slow) -> None:
        if waiting.answer.done():
            return
        if not isinstance(answer, Slow):
            waiting.answer.set_result(answer)
        elif len(self.slow.waiting) >= max(1, self.settings.max_queue // 2):
            waiting.answer.set_exception(FullError())
        else:
            waiting.slow = True
            self.slow.waiting.append(waiting)
            self._tell()

    def _blame(self, suspects: Sequence[_Waiting]) -> None:
        """One of these ended a process: if it is clear which, that counts; else each goes alone."""
        if len(suspects) > 1:
            for one in suspects:
                one.alone = True
            return
        for one in suspects:
            one.deaths += 1  # once may be somebody else's doing
            if one.deaths >= ATTEMPTS and not one.answer.done():
                one.answer.set_exception(WorkerDiedError())

    def _put_back(self, held: Sequence[_Waiting]) -> None:
        """They are the next again."""
        for waiting in reversed(held):
            lane = self.slow if waiting.slow else self.quick
            if not waiting.answer.done() and waiting not in lane.waiting:
                lane.waiting.appendleft(waiting)

    def _forget(self, waiting: _Waiting) -> None:
        for lane in (self.quick, self.slow):
            if waiting in lane.waiting:
                lane.waiting.remove(waiting)
        self._tell()

    # telling and waiting

    def _tell(self) -> None:
        """Something is new: whoever waits looks again."""
        news, self._news = self._news, None
        if news is not None and not news.done():
            news.set_result(None)

    async def _until_news(self, seconds: float | None, *others: asyncio.Future[None]) -> None:
        if self._news is None:
            self._news = asyncio.get_running_loop().create_future()
        await asyncio.wait(
            {self._news, *others}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
        )

    async def _run(self, what: Callable[..., Found], *given: Any) -> Found:
        """Something that blocks, in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, what, *given)

    async def _end(self) -> None:
        """End every process, idle ones by themselves."""
        for slot in self._slots:
            slot.cancel()
        await asyncio.gather(*self._slots, return_exceptions=True)
        idle = self.loaded - {turn.worker for turn in self._turns}
        await asyncio.gather(
            *(
                asyncio.to_thread(worker.stop if worker in idle else worker.kill)
                for worker in self._processes
            )
        )
        self._processes.clear()
        self.loaded.clear()
        self._threads.shutdown(wait=False)


@dataclass(eq=False)
class Place:
    """Of one request in the queue, kept for it while its body is still coming."""

    pool: Pool
    taken: bool = False

    async def ask(self, job: PredictRequest, seconds: float) -> Answer:
        """A job's answer, as of `Pool.ask`: it waits where this place was."""
        self.give()
        return await self.pool.ask(job, seconds)

    def take(self) -> None:
        """Have it, if it is not had already; FullError where all are taken."""
        if not self.taken:
            self.pool.check()
            if self.pool.crowded:
                raise FullError
            self.pool.reserved += 1
            self.taken = True

    def give(self) -> None:
        """Let go of it, if it is had: the request waits itself now, or has gone."""
        if self.taken:
            self.pool.reserved -= 1
            self.taken = False


def _log(event: str, **facts: object) -> None:
    LOG.warning(json.dumps({"event": event, **facts}))
