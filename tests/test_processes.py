"""Parallel work: the same results for any number of processes, errors and deaths reported."""

from __future__ import annotations

import os
import signal

import pytest

from emohop.errors import EmohopError
from emohop.processes import cores, run


def square(x: int) -> int:
    return x * x


def threads(_: int) -> str | None:
    return os.environ.get("OMP_NUM_THREADS")


def fail(x: int) -> int:
    if x == 2:
        raise EmohopError("two is wrong")
    return x


def die(x: int) -> int:
    if x == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


@pytest.mark.parametrize("jobs", [1, 2])
def test_results_carry_their_numbers(jobs: int) -> None:
    assert sorted(run(square, [3, 1, 2], jobs)) == [(0, 9), (1, 1), (2, 4)]
    assert list(run(square, [], jobs)) == []


def test_one_thread_a_process() -> None:
    assert {value for _, value in run(threads, [0, 1, 2], 2)} == {"1"}


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_error_arrives_whole(jobs: int) -> None:
    with pytest.raises(EmohopError, match="two is wrong"):
        list(run(fail, [1, 2, 3], jobs))


def test_a_killed_worker_is_one_line() -> None:
    with pytest.raises(EmohopError, match="ended from outside"):
        list(run(die, [0, 1, 2, 3], 2))


def test_cores() -> None:
    assert 1 <= cores() <= (os.cpu_count() or 1)
