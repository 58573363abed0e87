"""Parallel work: the same results for any number of processes, errors and deaths reported."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

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


def die_once(flag: Path) -> int:
    """The task of a flag that is not there yet kills its process."""
    if flag.name == "deadly" and not flag.exists():
        flag.write_text("")
        os.kill(os.getpid(), signal.SIGKILL)
    return len(flag.name)


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


def test_a_task_whose_process_died_is_done_again(tmp_path: Path) -> None:
    tasks = [tmp_path / name for name in ("deadly", "a", "b", "c")]
    done = dict(run(die_once, tasks, 2))
    assert done == {0: 6, 1: 1, 2: 1, 3: 1}


def test_an_unknown_engine() -> None:
    with pytest.raises(EmohopError, match="no engine 'spark': one of local, ray"):
        list(run(square, [1], 1, "spark"))


def test_ray_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EmohopError, match=r"pip install 'emohop\[ray\]'"):
        list(run(square, [1], 1, "ray"))


ON_RAY = """
import os, sys
from pathlib import Path
from emohop.errors import EmohopError
from emohop.processes import run
from tests.test_processes import die_once, fail, threads
folder = Path(sys.argv[1])
print(sorted(run(die_once, [folder / "deadly", folder / "a", folder / "b"], 2, "ray")))
print(sorted(run(threads, [0, 1], 2, "ray")))
try:
    list(run(fail, [2], 2, "ray"))
except EmohopError as error:
    print(error)
import ray
def lost(*_, **__):
    raise ray.exceptions.LocalRayletDiedError
ray.wait = lost  # what the death of a node looks like from here
try:
    list(run(threads, [0, 1], 2, "ray"))
except EmohopError as error:
    print(error)
"""


def test_ray_does_a_killed_task_again(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    # in a process of its own: Ray leaves threads and sockets to the end of the process
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("COV", "RAY"))}
    done = subprocess.run(
        [sys.executable, "-c", ON_RAY, str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    lines = [line for line in done.stdout.splitlines() if "(raylet)" not in line]
    said = done.stdout + done.stderr
    assert lines[:3] == ["[(0, 6), (1, 1), (2, 1)]", "[(0, '1'), (1, '1')]", "two is wrong"], said
    assert len(lines) == 4, said
    assert lines[3].startswith("Ray lost a node, or its cluster is not there (LocalRaylet"), said
    assert "what is finished is kept; run the same command again" in lines[3]


def test_cores() -> None:
    assert 1 <= cores() <= (os.cpu_count() or 1)


def grow(x: int) -> int:
    """Keeps 110 MB for good."""
    GROWN.append(bytearray(b"1" * 110_000_000))
    time.sleep(0.4)
    return x


GROWN: list[bytearray] = []


def test_processes_that_grow_are_replaced_and_nothing_waits_for_ever() -> None:
    pytest.importorskip("psutil")
    assert sorted(run(grow, list(range(14)), 2)) == [(x, x) for x in range(14)]
