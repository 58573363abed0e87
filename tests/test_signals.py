"""What ends a command ends its processes: SIGTERM, SIGHUP, Ctrl-C and the death of the parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import soundfile

from emohop.config import FeatureSettings
from emohop.preparation import prepare
from tests.features.tiny import waveform
from tests.prepared import write_prepared

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")

SLOW = """
import os, pathlib, time
import emohop, numpy as np

def load(settings, device):
    def encode(clips):
        pathlib.Path(os.environ["PIDS"], str(os.getpid())).touch()
        time.sleep(float(os.environ["SECONDS"]))
        return [{"audio": abs(c[: len(c) // 160 * 160]).reshape(-1, 160)} for c in clips]
    return emohop.FeatureEncoder(encode, width=160, steps_per_second=100, version="1")

emohop.FEATURES.add(
    emohop.FeatureSpec("slow", emohop.Modality.AUDIO, load, "Takes its time.")
)
"""
ENDED = {signal.SIGTERM: 143, signal.SIGHUP: 129, signal.SIGINT: 130}


@pytest.fixture(autouse=True)
def hangups() -> Iterator[None]:
    """Commands get SIGHUP even where the tests themselves run under nohup, which ignores it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for n in range(80):
        path = tmp_path / "source" / ("angry", "calm")[n % 2] / f"{n}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, waveform(0.2 + n / 1000, seed=n), 16_000)
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "pids").mkdir()
    return tmp_path / "source"


def environment(tmp_path: Path, seconds: float) -> dict[str, str]:
    """Without coverage, which processes that are killed do not live to write."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("COV")}
    return {**kept, "PIDS": str(tmp_path / "pids"), "SECONDS": str(seconds)}


def preparing(source: Path, out: Path) -> list[str]:
    words = ["prepare", "folder", source, out, "--plugin", source.parent / "slow.py"]
    options = ["--audio", "slow", "--text", "none", "--video", "none", "--no-prosody"]
    return [sys.executable, "-m", "emohop", *map(str, words), *options, "--jobs", "2"]


@contextmanager
def begun(
    command: list[str], variables: dict[str, str], out: Path
) -> Iterator[subprocess.Popen[str]]:
    with out.open("w") as file:
        process = subprocess.Popen(command, env=variables, stdout=file, stderr=file, text=True)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def wait_for(what: str, true: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"{what} took longer than {seconds} s"
        time.sleep(0.05)


def alive(number: int) -> bool:
    try:
        os.kill(number, 0)
        return "Z" not in Path(f"/proc/{number}/stat").read_text().rpartition(")")[2][:3]
    except (ProcessLookupError, FileNotFoundError):
        return False


def workers(tmp_path: Path) -> list[int]:
    return [int(path.name) for path in (tmp_path / "pids").iterdir()]


@pytest.mark.parametrize("number", [*ENDED, signal.SIGKILL], ids=lambda n: signal.Signals(n).name)
def test_workers_end_with_their_command(source: Path, tmp_path: Path, number: int) -> None:
    log, out = tmp_path / "log", tmp_path / "out"
    with begun(preparing(source, out), environment(tmp_path, 60), log) as process:
        wait_for("starting", lambda: len(workers(tmp_path)) == 2)
        process.send_signal(number)
        status = process.wait(timeout=60)
    assert status == ENDED.get(signal.Signals(number), -number)
    wait_for("ending", lambda: not any(map(alive, workers(tmp_path))), 10)
    if number != signal.SIGKILL:
        name = "interrupted" if number == signal.SIGINT else "stopped by"
        assert name in log.read_text()
        assert "run the same command again to go on" in log.read_text()
    done = subprocess.run(
        preparing(source, out), env=environment(tmp_path, 0), capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr  # nothing holds the folder any more
    assert (out / "manifest.json").exists()


@pytest.mark.parametrize("jobs", [1, 2])
def test_training_is_stopped_too_and_goes_on(tmp_path: Path, jobs: int) -> None:
    write_prepared(tmp_path / "prepared")
    out, log = tmp_path / "run", tmp_path / "log"
    quick = ["--recipe", "demo", "--model", "are", "--set", "training.max_epochs=2000"]
    more = ["--set", "training.patience=2000", "--fold", "0,1", "--jobs", str(jobs)]
    command = [sys.executable, "-m", "emohop", "train", str(tmp_path / "prepared"), str(out)]
    with begun([*command, *quick, *more], environment(tmp_path, 0), log) as process:
        wait_for("an epoch", lambda: list(out.glob("fold-*/seed-0/history.csv")), 120)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 143
    assert "stopped by SIGTERM: run the same command again to go on" in log.read_text()
    assert (out / "recipe.yaml").exists()


def test_a_command_under_nohup_is_not_stopped_by_a_hangup(source: Path, tmp_path: Path) -> None:
    log, out = tmp_path / "log", tmp_path / "out"
    command = ["nohup", *preparing(source, out)]
    with begun(command, environment(tmp_path, 2), log) as process:
        wait_for("starting", lambda: len(workers(tmp_path)) == 2)
        process.send_signal(signal.SIGHUP)
        assert process.wait(timeout=60) == 0


def test_signals_are_as_before_in_python(source: Path, tmp_path: Path) -> None:
    """The library leaves them alone, and the command line puts back what it found."""
    from typer.testing import CliRunner

    from emohop.cli import app

    before = signal.getsignal(signal.SIGTERM)
    assert CliRunner().invoke(app, ["corpora"]).exit_code == 0
    assert signal.getsignal(signal.SIGTERM) is before
    prepare("folder", source, tmp_path / "out", features=_no_features())
    assert signal.getsignal(signal.SIGTERM) is before


def _no_features() -> FeatureSettings:
    return FeatureSettings(video=None, prosody=False, text=None)
