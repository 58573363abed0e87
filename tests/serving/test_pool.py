"""Workers that die, hang or are too few: nobody else's request is lost."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from emohop.config import ServingSettings
from emohop.errors import EmohopError
from emohop.prediction import Prediction
from emohop.serving import pool as pools
from emohop.serving.messages import Answer, LeftOut, PredictRequest, Rejection, Served
from emohop.serving.pool import ClosingError, FullError, Pool
from emohop.serving.schemas import Model
from emohop.serving.worker import Worker, WorkerDiedError


def told(name: str) -> list[Prediction | LeftOut]:
    """What a made worker says of a clip."""
    return [Prediction(source=name, label="ang", probabilities={"ang": 1.0}, used=(), missing=())]


class Made:
    """A worker without a process: it does what a job's name says."""

    alive = 0
    batches: ClassVar[list[int]] = []

    def __init__(self, served: Served, settings: ServingSettings) -> None:
        self.settings, self.model = settings, served.model
        self.seen: list[int] = []
        Made.alive += 1

    def wait(self) -> Model:
        if self.model.name == "bad":
            raise EmohopError("no model")
        return Model(model="made", labels=["ang"], modalities=["audio"])

    def ask(self, jobs: Sequence[PredictRequest]) -> list[Answer]:
        self.seen.append(len(jobs))
        Made.batches.append(len(jobs))
        for job in jobs:
            time.sleep(0.02)
            if job.name in ("die", "hang"):
                Made.alive -= 1
                raise WorkerDiedError(late=job.name == "hang")
        return [Rejection(job.name) if job.name == "bad" else told(job.name) for job in jobs]

    def stop(self) -> None:
        Made.alive -= 1

    kill = stop


def run(
    body: Callable[[Pool], Coroutine[Any, Any, None]],
    monkeypatch: pytest.MonkeyPatch,
    **settings: Any,
) -> Pool:
    monkeypatch.setattr(pools, "Worker", Made)
    Made.alive, Made.batches = 0, []

    async def whole() -> Pool:
        pool = Pool(Served(Path("good")), ServingSettings(**settings))
        await pool.start()
        await body(pool)
        await pool.stop()
        return pool

    pool = asyncio.run(whole())
    assert Made.alive == 0
    return pool


def job(name: str) -> PredictRequest:
    return PredictRequest(None, name, "x")


def test_waiting_requests_go_together(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(pool: Pool) -> None:
        names = [f"{n}" for n in range(9)]
        found = await asyncio.gather(*(pool.ask(job(name)) for name in names))
        assert found == [told(name) for name in names]

    run(body, monkeypatch, max_batch=4)
    assert Made.batches == [4, 4, 1]


def test_too_many_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(pool: Pool) -> None:
        asked = [asyncio.create_task(pool.ask(job(f"{n}"))) for n in range(20)]
        found = await asyncio.gather(*asked, return_exceptions=True)
        refused = [one for one in found if isinstance(one, FullError)]
        assert 0 < len(refused) <= 18
        assert pool.ready
        assert await pool.ask(job("later")) == told("later")

    run(body, monkeypatch, max_queue=2, max_batch=1)


def test_as_many_wait_as_may_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(pool: Pool) -> None:
        await asyncio.sleep(0)  # the worker waits for work
        asked = [asyncio.create_task(pool.ask(job(f"{n}"))) for n in range(5)]
        await asyncio.sleep(0)  # all have asked, and the worker has taken none yet
        assert not pool.ready
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert [isinstance(one, FullError) for one in found] == [False, False, True, True, True]
        assert pool.ready

    assert not run(body, monkeypatch, max_queue=2).ready  # it is closed


def test_what_workers_have_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(pool: Pool) -> None:
        asked = [asyncio.create_task(pool.ask(job(f"{n}"))) for n in range(3)]
        for _ in range(9):
            await asyncio.sleep(0)
        assert pool.running == 3
        await asyncio.gather(*asked)
        assert pool.running == 0

    run(body, monkeypatch)


def test_every_worker_has_work(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(pool: Pool) -> None:
        await asyncio.sleep(0)
        await asyncio.gather(*(pool.ask(job(f"{n}")) for n in range(2)))
        assert [worker.seen for worker in pool._workers.values()] == [[1], [1]]  # type: ignore[attr-defined]

    run(body, monkeypatch, workers=2, max_batch=1)


def test_a_dead_worker_is_replaced_before_the_next_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def body(pool: Pool) -> None:
        with pytest.raises(WorkerDiedError):
            await pool.ask(job("die"))
        for _ in range(200):
            await asyncio.sleep(0 if pool.ready else 0.01)
        assert pool.ready

    run(body, monkeypatch)


@pytest.mark.parametrize("how", ["die", "hang"])
def test_one_that_kills_its_worker_harms_no_other(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(pool: Pool) -> None:
        names = ["a", "b", how, "c", "bad"]
        asked = (pool.ask(job(name)) for name in names)
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert found[:2] == [told("a"), told("b")]
        assert isinstance(found[2], WorkerDiedError)
        assert found[2].late == (how == "hang")
        assert found[3:] == [told("c"), Rejection("bad")]

    pool = run(body, monkeypatch)
    # together, then by itself; a death may be somebody else's doing, so that is tried twice
    assert pool.replaced == (2 if how == "hang" else 3)


def test_what_runs_is_finished_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[asyncio.Task[Answer]] = []

    async def body(pool: Pool) -> None:
        asked.extend(asyncio.create_task(pool.ask(job(f"{n}"))) for n in range(5))
        await asyncio.sleep(0)

    run(body, monkeypatch, max_batch=1)
    assert [task.result() for task in asked] == [told(f"{n}") for n in range(5)]


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
    (answer,) = worker.ask([PredictRequest(None, "text", "No way!")])
    assert isinstance(answer, list)
    os.kill(worker.process.pid or 0, signal.SIGKILL)
    with pytest.raises(WorkerDiedError) as error:
        worker.ask([PredictRequest(None, "text", "No way!")])
    assert not error.value.late
    assert not worker.process.is_alive()


def test_a_real_worker_that_takes_too_long(model: Path, films: Path) -> None:
    worker = Worker(Served(model), ServingSettings(timeout_seconds=0.001))
    worker.wait()
    with pytest.raises(WorkerDiedError) as error:
        worker.ask([PredictRequest(films.parent / "0.mp4", "a", "No way!")] * 20)
    assert error.value.late
    assert not worker.process.is_alive()


def test_no_request_waits_longer_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(pool: Pool) -> None:
        asked = (pool.ask(job(f"{n}")) for n in range(8))
        found = await asyncio.gather(*asked, return_exceptions=True)
        late = [one for one in found if isinstance(one, WorkerDiedError) and one.late]
        assert 0 < len(late) < 8
        assert len(late) + sum(isinstance(one, list) for one in found) == 8

    pool = run(body, monkeypatch, max_batch=1, timeout_seconds=0.07)
    assert pool.replaced == 0


def test_a_worker_that_cannot_be_replaced_fails_requests_and_hangs_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def body(pool: Pool) -> None:
        pool.served = Served(Path("bad"))
        with pytest.raises(WorkerDiedError):
            await pool.ask(job("die"))
        assert not pool.ready
        with pytest.raises(WorkerDiedError):
            await pool.ask(job("next"))
        pool.served = Served(Path("good"))
        assert await pool.ask(job("later")) == told("later")
        assert pool.ready

    run(body, monkeypatch)


def test_an_idle_worker_s_death_costs_nobody_anything(model: Path) -> None:
    async def whole() -> None:
        pool = Pool(Served(model), ServingSettings(timeout_seconds=60))
        await pool.start()
        os.kill(pool._workers[0].process.pid or 0, signal.SIGKILL)
        answer = await pool.ask(PredictRequest(None, "text", "No way!"))
        assert isinstance(answer, list)
        assert pool.replaced == 1
        await pool.stop()
        with pytest.raises(ClosingError):
            await pool.ask(PredictRequest(None, "text", "No way!"))

    asyncio.run(whole())
