"""Workers that die, hang, do not start or are too few: nobody else's request is lost."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from emohop.config import ServingSettings
from emohop.errors import EmohopError
from emohop.prediction import Prediction
from emohop.serving import pool as pools
from emohop.serving.messages import (
    Answer,
    Done,
    LeftOut,
    PredictRequest,
    Rejection,
    Served,
    Slow,
    Work,
)
from emohop.serving.pool import ClosingError, FullError, LateError, Place, Pool
from emohop.serving.schemas import Model
from emohop.serving.worker import Worker, WorkerDiedError

SECONDS = 30.0
"""Time for any answer here."""


def told(name: str) -> list[Prediction | LeftOut]:
    """What a made worker says of a clip."""
    return [Prediction(source=name, label="ang", probabilities={"ang": 1.0}, used=(), missing=())]


class Made:
    """A worker without a process: it does what a job's name says."""

    alive = 0
    batches: ClassVar[list[list[str]]] = []
    failing = 0
    """Workers that do not start."""

    def __init__(self, served: Served, settings: ServingSettings) -> None:
        self.settings, self.model, self.given_up = settings, served.model, False
        self.replies: Iterator[Done] = iter(())
        self.ended = threading.Event()
        Made.alive += 1

    def wait(self) -> Model:
        if self.model.name == "bad" or Made.failing:
            Made.failing = max(0, Made.failing - 1)
            raise EmohopError("no model")
        return Model(model="made", labels=["ang"], modalities=["audio"])

    def ask(self, work: Work) -> Done:
        self.replies = self._replies(work)
        return self.hear()

    def hear(self) -> Done:
        return next(self.replies)

    def _replies(self, work: Work) -> Iterator[Done]:
        held: dict[int, str] = {}
        for number, job in work.jobs.items():
            answer = self._read(job.name, slow=work.slow)
            answers: dict[int, Answer | Slow] = {} if answer is None else {number: answer}
            if answer is None:
                held[number] = job.name
            if number == max(work.jobs):
                Made.batches.append(list(held.values()))
                if "die together" in held.values():
                    self._die()
                answers |= {number: told(name) for number, name in held.items()}
            yield Done(answers, worn=job.name == "leaks")

    def _read(self, name: str, *, slow: bool) -> Answer | Slow | None:
        time.sleep(0.02)
        if name == "die":
            self._die()
        if name == "hang" or (name.startswith("stubborn") and not slow):
            self.ended.wait(20)
            raise WorkerDiedError
        if name.startswith("slow") and not slow:
            return Slow()
        if name == "bad":
            return Rejection(name)
        time.sleep(0.3 if name.startswith(("slow", "liar")) else 0)
        return None

    def _die(self) -> None:
        self.kill()
        raise WorkerDiedError

    def wait_for_end(self) -> None:
        self.ended.wait()

    def how_it_ended(self) -> str:
        return "made"

    def kill(self) -> None:
        if not self.ended.is_set():
            self.ended.set()
            Made.alive -= 1

    stop = kill


def run(
    body: Callable[[Pool], Coroutine[Any, Any, None]],
    monkeypatch: pytest.MonkeyPatch,
    **settings: Any,
) -> Pool:
    monkeypatch.setattr(pools, "Worker", Made)
    monkeypatch.setattr(pools, "SLOW_SECONDS", 0.2)
    monkeypatch.setattr(pools, "PAUSES_SECONDS", (0.01, 0.02))
    Made.alive, Made.batches, Made.failing = 0, [], 0

    async def whole() -> Pool:
        pool = Pool(Served(Path("good")), ServingSettings(**{"spares": 0, **settings}))
        await pool.start()
        try:
            await body(pool)
        finally:
            await pool.stop()
        return pool

    pool = asyncio.run(whole())
    assert Made.alive == 0
    return pool


def job(name: str) -> PredictRequest:
    return PredictRequest(None, name, "x")


async def ask(pool: Pool, name: str, seconds: float = SECONDS) -> Answer:
    """As the service asks."""
    place = Place(pool)
    place.take()
    return await place.ask(job(name), seconds)


async def until(true: Callable[[], bool]) -> None:
    for _ in range(1000):
        if true():
            return
        await asyncio.sleep(0.01)
    pytest.fail("it does not come")


def test_waiting_requests_go_through_the_network_together(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(pool: Pool) -> None:
        names = [f"{n}" for n in range(9)]
        found = await asyncio.gather(*(ask(pool, name) for name in names))
        assert found == [told(name) for name in names]

    run(body, monkeypatch, max_batch=4)
    assert [len(batch) for batch in Made.batches] == [4, 4, 1]


def test_as_many_wait_as_may_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(pool: Pool) -> None:
        asked = [asyncio.create_task(ask(pool, f"{n}")) for n in range(5)]
        await asyncio.sleep(0)  # all have asked, and the worker has taken none yet
        states = [pool.state]
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert [isinstance(one, FullError) for one in found] == [False, False, True, True, True]
        states.append(pool.state)
        assert states == ["full", "ready"]

    assert run(body, monkeypatch, max_queue=2).state == "ending"


def test_large_uploads_keep_places_from_each_other_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(pool: Pool) -> None:
        first, second, third = (Place(pool) for _ in range(3))
        first.take()
        first.take()  # which it has
        second.take()
        with pytest.raises(FullError):
            third.take()
        pool.check()  # what is here already may wait
        assert await second.ask(job("a"), SECONDS) == told("a")
        third.take()
        for place in (first, third):
            place.give()
        assert pool.reserved == 0

    run(body, monkeypatch, max_queue=2)


def test_what_workers_have_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(pool: Pool) -> None:
        asked = [asyncio.create_task(ask(pool, f"liar {n}")) for n in range(3)]
        await until(lambda: pool.running > 0)
        assert pool.running + pool.waiting == 3
        await asyncio.gather(*asked)
        await until(lambda: pool.running + pool.waiting == 0)

    run(body, monkeypatch)


def test_every_worker_has_work(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(pool: Pool) -> None:
        asked = [asyncio.create_task(ask(pool, f"liar {n}")) for n in range(4)]
        await until(lambda: pool.running == 2)
        assert pool.waiting == 2
        await asyncio.gather(*asked)
        assert sorted(Made.batches) == [[f"liar {n}"] for n in range(4)]

    run(body, monkeypatch, workers=2, max_batch=1)


def test_a_slow_file_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(pool: Pool) -> None:
        await until(lambda: len(pool.loaded) == 2)
        slow = [asyncio.create_task(ask(pool, f"slow {n}")) for n in range(3)]
        await asyncio.sleep(0.05)
        quick = [asyncio.create_task(ask(pool, f"{n}")) for n in range(3)]
        assert await asyncio.gather(*quick) == [told(f"{n}") for n in range(3)]
        assert not any(one.done() for one in slow)
        assert await asyncio.gather(*slow) == [told(f"slow {n}") for n in range(3)]

    run(body, monkeypatch, spares=1)


def test_with_one_process_they_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(pool: Pool) -> None:
        names = ["slow 1", "a", "slow 2", "b"]
        assert await asyncio.gather(*(ask(pool, name) for name in names)) == list(map(told, names))

    run(body, monkeypatch)


def test_slow_files_leave_places_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(pool: Pool) -> None:
        slow = [asyncio.create_task(ask(pool, f"slow {n}")) for n in range(4)]
        found = await asyncio.gather(*slow, return_exceptions=True)
        assert [isinstance(one, FullError) for one in found] == [False, False, True, True]

    run(body, monkeypatch, max_queue=4)  # half of them may be slow


def test_one_that_seemed_quick_moves_over_and_frees_those_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def body(pool: Pool) -> None:
        await until(lambda: len(pool.loaded) == 2)
        names = ["a", "liar", "b"]
        asked = [asyncio.create_task(ask(pool, name)) for name in names]
        await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait([asked[0], asked[2]])
        assert not asked[1].done()
        assert [await one for one in asked] == [told(name) for name in names]

    run(body, monkeypatch, spares=1)


def test_two_that_seemed_quick_do_not_hold_up_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(pool: Pool) -> None:
        await until(lambda: len(pool.loaded) == 2)
        asked = [asyncio.create_task(ask(pool, f"stubborn {n}", 3 + 20 * n)) for n in range(2)]
        await asyncio.sleep(0.3)  # the first has moved over, and the second cannot
        assert await ask(pool, "a") == told("a")
        assert not asked[1].done()
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(one) for one in found] == [LateError, list]

    pool = run(body, monkeypatch, spares=1, max_batch=1, timeout_seconds=2)
    assert pool.ends == {"given up": 2}


def test_a_dead_worker_is_replaced_before_the_next_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def body(pool: Pool) -> None:
        with pytest.raises(WorkerDiedError):
            await ask(pool, "die")
        await until(lambda: pool.state == "ready")

    pool = run(body, monkeypatch)
    assert pool.ends == {"made": 2}


def test_workers_that_do_not_start_are_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(pool: Pool) -> None:
        Made.failing = 3
        next(iter(pool.loaded)).kill()  # while it was idle
        await until(lambda: not pool.loaded)
        states = [pool.state]
        assert await ask(pool, "waits for it") == told("waits for it")
        states.append(pool.state)
        assert states == ["starting", "ready"]

    pool = run(body, monkeypatch)
    assert (pool.not_started, pool.ends) == (3, {"made": 1})


def test_one_that_kills_its_worker_harms_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(pool: Pool) -> None:
        names = ["a", "b", "die", "c", "bad"]
        found = await asyncio.gather(*(ask(pool, n) for n in names), return_exceptions=True)
        assert found[:2] == [told("a"), told("b")]
        assert isinstance(found[2], WorkerDiedError)
        assert found[3:] == [told("c"), Rejection("bad")]

    pool = run(body, monkeypatch)
    assert pool.ends == {"made": 2}  # a death may be somebody else's doing: it was tried twice


def test_one_that_kills_it_among_others_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(pool: Pool) -> None:
        names = ["a", "die together", "b"]
        found = await asyncio.gather(*(ask(pool, n) for n in names), return_exceptions=True)
        assert [found[0], found[2]] == [told("a"), told("b")]
        assert isinstance(found[1], WorkerDiedError)

    pool = run(body, monkeypatch)
    assert pool.ends == {"made": 3}  # together, then twice by itself


def test_one_that_hangs_is_late_and_makes_no_other_late(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(pool: Pool) -> None:
        asked = (ask(pool, n, 0.6 if n == "hang" else SECONDS) for n in ["a", "hang", "b"])
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert [found[0], found[2]] == [told("a"), told("b")]
        assert isinstance(found[1], LateError)

    pool = run(body, monkeypatch)
    assert (pool.ends, pool.dropped) == ({"given up": 1}, 1)


def test_a_job_whose_client_left_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(pool: Pool) -> None:
        running, waiting = (asyncio.create_task(ask(pool, n)) for n in ("hang", "never read"))
        await asyncio.sleep(0.05)
        for task in (waiting, running):
            task.cancel()
        await until(lambda: pool.waiting == 0)
        assert await ask(pool, "next") == told("next")

    pool = run(body, monkeypatch)
    assert (pool.ends, pool.dropped) == ({"given up": 1}, 2)
    assert "never read" not in str(Made.batches)


def test_a_worker_that_leaks_is_replaced_without_a_lost_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def body(pool: Pool) -> None:
        for _ in range(5):
            assert await ask(pool, "leaks") == told("leaks")
            assert await ask(pool, "a") == told("a")

    for spares in (0, 1):
        pool = run(body, monkeypatch, spares=spares)
        assert set(pool.ends) == {"worn"}
        assert pool.ends["worn"] >= 2


def test_what_runs_is_finished_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[asyncio.Task[Answer]] = []

    async def body(pool: Pool) -> None:
        asked.extend(asyncio.create_task(ask(pool, f"{n}")) for n in range(5))
        await asyncio.sleep(0)

    run(body, monkeypatch, max_batch=1)
    assert [task.result() for task in asked] == [told(f"{n}") for n in range(5)]


def test_the_end_comes_within_the_grace_time(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[asyncio.Task[Answer]] = []

    async def body(pool: Pool) -> None:
        asked.append(asyncio.create_task(ask(pool, "hang", 20)))
        await asyncio.sleep(0.05)
        pool.close()
        with pytest.raises(ClosingError):
            await ask(pool, "later")
        with pytest.raises(ClosingError):  # which an answer that is not there in time says too
            await asked[0]

    run(body, monkeypatch, grace_seconds=0.3)


def test_a_model_that_cannot_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "Worker", Made)
    Made.alive = 0

    async def whole() -> None:
        with pytest.raises(EmohopError, match="no model"):
            await Pool(Served(Path("bad")), ServingSettings(workers=3)).start()

    asyncio.run(whole())
    assert Made.alive == 0


def test_a_real_worker_is_killed_and_told_so(model: Path) -> None:
    worker = Worker(Served(model), ServingSettings(timeout_seconds=30))
    assert worker.wait().labels == ["angry", "calm"]
    said = {1: "No way!", 2: "Excuse me?"}
    first = Work({number: PredictRequest(None, "text", text) for number, text in said.items()})
    assert worker.ask(first) == Done()
    found = worker.hear()
    assert {number: len(answer) for number, answer in found.answers.items()} == {1: 1, 2: 1}
    assert found.answers[1][0].transcript == "No way!"
    os.kill(worker.process.pid or 0, signal.SIGKILL)
    with pytest.raises(WorkerDiedError):
        worker.ask(first)
    worker.wait_for_end()
    assert worker.how_it_ended() == "SIGKILL"


def test_a_death_before_a_job_is_begun_is_not_its_fault(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = Worker(Served(model), ServingSettings())
    worker.wait()
    os.kill(worker.process.pid or 0, signal.SIGKILL)
    with pytest.raises(WorkerDiedError) as died:
        worker.ask(Work({1: PredictRequest(None, "text", "No way!")}))
    assert died.value.before
    deaths = iter(range(3))

    def dies(self: Made, work: Work) -> Done:
        if next(deaths, None) is None:
            return usual(self, work)
        self.kill()
        raise WorkerDiedError(before=True)

    usual = Made.ask
    monkeypatch.setattr(Made, "ask", dies)

    async def body(pool: Pool) -> None:
        assert await ask(pool, "a") == told("a")

    assert run(body, monkeypatch).ends == {"made": 3}


def test_a_real_worker_that_takes_too_long(model: Path, films: Path) -> None:
    worker = Worker(Served(model), ServingSettings())
    worker.wait()
    with pytest.raises(WorkerDiedError):
        worker.ask(Work({1: PredictRequest(films.parent / "0.mp4", "a", "No way!")}), 0.0001)
    assert not worker.process.is_alive()


def test_an_idle_worker_s_death_costs_nobody_anything(model: Path) -> None:
    async def whole() -> None:
        pool = Pool(Served(model), ServingSettings(timeout_seconds=60))
        await pool.start()
        (worker,) = pool.loaded
        os.kill(worker.process.pid or 0, signal.SIGKILL)
        answer = await pool.ask(PredictRequest(None, "text", "No way!"), 60)
        assert isinstance(answer, list)
        await until(lambda: pool.ends == {"SIGKILL": 1})
        await until(lambda: len(pool.loaded) == 2)  # its place is taken without being asked
        await pool.stop()
        with pytest.raises(ClosingError):
            await pool.ask(PredictRequest(None, "text", "No way!"), 60)

    asyncio.run(whole())
