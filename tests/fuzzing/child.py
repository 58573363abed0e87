"""A child process that reads files under limits, and what became of it."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import resource
import shutil
import signal
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from emohop.errors import EmohopError
from tests.fuzzing.readers import READERS, UnclearError, clear

MEMORY_BYTES = 4 * 2**30  # address space of the child beyond what it has when it starts
FLAGGED_MB = 1024.0
SECONDS = 10.0  # for one file


@dataclass(frozen=True)
class Answer:
    """How reading one file ended: `ok`, `refused`, `BUG`, `HANG` or `CRASH`."""

    status: str
    text: str = ""
    """The refusal's line, a traceback, or what the child wrote last."""
    peak_mb: float = 0.0
    """Memory that reading took beyond what the child had before it."""

    @property
    def finding(self) -> bool:
        """Whether somebody has to look at it."""
        return self.status not in ("ok", "refused")


def _memory(key: str) -> int:
    """A line of this process's status in bytes, such as VmRSS."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise KeyError(key)


def _attempt(read: Callable[[Path], None], path: Path) -> tuple[str, str]:
    try:
        read(path)
    except EmohopError as error:
        try:
            return "refused", str(clear(error))
        except UnclearError:
            return "BUG", traceback.format_exc()
    except Exception:  # whatever it is, it is a finding, kept with its traceback
        return "BUG", traceback.format_exc()
    return "ok", ""


def work(kind: str, log: Path, good: Sequence[Path], pipe: Connection) -> None:
    """The child: read what comes by the pipe, under a limit of memory."""
    with log.open("ab") as file:  # what libraries print is kept for a crash
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("error")
    read = READERS[kind]
    for path in good:  # what is imported late is imported now
        read(path)
    limit = _memory("VmSize") + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    pipe.send(None)
    while (path := pipe.recv()) is not None:
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        before = _memory("VmRSS")
        status, text = _attempt(read, path)
        peak = max(0, _memory("VmHWM") - before) / 2**20
        if peak > FLAGGED_MB and status in ("ok", "refused"):
            status, text = "BUG", f"took {peak:.0f} MB ({status}: {text})"
        pipe.send(Answer(status, text, peak))


class Reader:
    """A child that reads files of one format; it is started again when it had to die."""

    def __init__(self, kind: str, good: Sequence[Path] = (), seconds: float = SECONDS) -> None:
        """`good` are valid files, read before the limits are set."""
        self.kind, self.good, self.seconds = kind, list(good), seconds
        self._folder = Path(tempfile.mkdtemp(prefix="fuzzing-"))
        self._process: Any = None
        try:
            self._start()
        except RuntimeError:
            self.close()
            raise

    def read(self, path: Path) -> Answer:
        """Let the child read a file."""
        if self._process is None:
            self._start()
        self._pipe.send(path)
        if not self._pipe.poll(self.seconds):
            os.kill(self._process.pid, signal.SIGUSR1)  # it writes where it is
            time.sleep(0.5)
            self._end()
            return Answer("HANG", self._said())
        try:
            answer: Answer = self._pipe.recv()
        except (EOFError, ConnectionError):
            self._end()
            return Answer("CRASH", f"exit status {self._status}: {self._said()}")
        return answer

    def close(self) -> None:
        """End the child."""
        if self._process is not None:
            self._end()
        shutil.rmtree(self._folder)

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._log = self._folder / "log"
        self._log.write_bytes(b"")
        self._pipe, theirs = context.Pipe()
        arguments = (self.kind, self._log, self.good, theirs)
        self._process = context.Process(target=work, args=arguments, daemon=True)
        self._process.start()
        theirs.close()
        try:
            self._pipe.recv()
        except EOFError:
            self._end()
            raise RuntimeError(f"{self.kind}: valid files are not read: {self._said()}") from None

    def _end(self) -> None:
        self._process.kill()
        self._process.join()
        self._status = self._process.exitcode
        self._process = None
        self._pipe.close()

    def _said(self) -> str:
        return self._log.read_text("utf-8", "replace")[-6000:]


@contextmanager
def reading(kind: str, good: Sequence[Path] = (), seconds: float = SECONDS) -> Iterator[Reader]:
    """A Reader that is closed at the end."""
    reader = Reader(kind, good, seconds)
    try:
        yield reader
    finally:
        reader.close()
