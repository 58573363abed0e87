"""`emohop serve` as a program: hostile requests over HTTP, a killed worker, the end."""

from __future__ import annotations

import io
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile

from tests.media.making import tone, write_video

pytestmark = pytest.mark.skipif(shutil.which("ps") is None, reason="workers are found by ps")
TWO_GIGABYTES = 2 << 30
REQUESTS = 12


class Server:
    """A server in a process of its own, and the folder where its uploads lie."""

    def __init__(self, model: Path, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url, self.folder = f"http://127.0.0.1:{self.port}", folder
        command = [sys.executable, "-m", "emohop", "serve", str(model), "--port", str(self.port)]
        limits = ["--set", "upload_mb=3", "--set", "clip_seconds=30"]
        self.process = subprocess.Popen(
            [*command, *limits], stderr=subprocess.PIPE, text=True,
            env={**os.environ, "TMPDIR": str(folder)},
        )  # fmt: skip
        for _ in range(600):
            assert self.process.poll() is None
            try:
                if httpx.get(f"{self.url}/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.1)
        pytest.fail("the server does not start")

    def ask(self, name: str, content: bytes) -> httpx.Response:
        return httpx.post(f"{self.url}/v1/predict", files={"file": (name, content)}, timeout=60)

    def send(self, head: str, body: bytes) -> bytes:
        """What comes back of a request as it is written here, until the server closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            connection.sendall(head.replace("\n", "\r\n").encode() + body)
            found = b""
            while part := connection.recv(65536):
                found += part
        return found

    def workers(self) -> list[int]:
        """Processes that hold the model."""
        found = subprocess.run(
            ["ps", "-ww", "-o", "pid=", "-o", "args=", "--ppid", str(self.process.pid)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        lines = [line.split(maxsplit=1) for line in found.stdout.splitlines()]
        return [int(pid) for pid, args in lines if "spawn_main" in args]

    def in_hand(self) -> float:
        """Requests that it has read and not yet answered."""
        lines = httpx.get(f"{self.url}/metrics").text.splitlines()
        counts = dict(line.split() for line in lines if re.match("emohop_(running|waiting) ", line))
        return sum(map(float, counts.values()))

    def end(self) -> str:
        """Stop it, and what it wrote to standard error."""
        self.process.send_signal(signal.SIGTERM)
        _, said = self.process.communicate(timeout=60)
        return said


@pytest.fixture(scope="module")
def server(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(model, tmp_path_factory.mktemp("uploads"))
    yield running
    if running.process.poll() is None:
        running.end()


def wave(seconds: float) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, tone(seconds), 16_000, format="WAV")
    return file.getvalue()


def long_silence(*, said: bool) -> bytes:
    """Two hours in half a megabyte, or less; its header says so or does not."""
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", 8000, 1, format="FLAC") as waveform:
        for _ in range(120):
            waveform.write(np.zeros(60 * 8000, np.float32))
    content = bytearray(file.getvalue())
    assert len(content) < 500_000
    if not said:  # the low 36 bits of bytes 18 to 25 count the samples; 0 is unknown
        content[21] &= 0xF0
        content[22:26] = bytes(4)
    return bytes(content)


@pytest.mark.parametrize("said", [True, False])
def test_hours_of_silence_in_a_small_file(server: Server, said: bool) -> None:
    answer = server.ask("long.flac", long_silence(said=said))
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("long.flac: ")
    assert list(server.folder.iterdir()) == []


def test_a_frame_too_wide(server: Server, tmp_path: Path) -> None:
    wide = np.zeros((2, 16, 8208, 3), np.uint8)
    film = write_video(tmp_path / "wide.mkv", list(wide), Fraction(1), codec="ffv1")
    answer = server.ask("wide.mkv", film.read_bytes())
    assert answer.status_code == 422
    assert "8208" in answer.json()["error"] or "frame" in answer.json()["error"]
    assert list(server.folder.iterdir()) == []


def test_two_gigabytes_declared(server: Server) -> None:
    head = (
        f"POST /v1/predict HTTP/1.1\nHost: localhost\nContent-Length: {TWO_GIGABYTES}\n"
        "Content-Type: multipart/form-data; boundary=x\n\n"
    )
    answer = server.send(head, b"--x\r\n")
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"up to 3 MB are accepted" in answer


def test_a_body_in_parts_without_an_end(server: Server) -> None:
    def parts() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        for _ in range(1000):
            yield bytes(100_000)

    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    try:
        answer = httpx.post(f"{server.url}/v1/predict", content=parts(), headers=kind)
    except httpx.WriteError:  # the server had said so, and left, before we had read it
        pass
    else:
        assert answer.status_code == 413
    assert list(server.folder.iterdir()) == []
    assert httpx.get(f"{server.url}/readyz").status_code == 200


def test_a_killed_worker_costs_no_request(server: Server) -> None:
    waveform = wave(2.0)
    before = server.workers()
    assert len(before) == 2  # one of them is a spare
    with ThreadPoolExecutor(4) as clients:
        asked = [clients.submit(server.ask, "a.wav", waveform) for _ in range(REQUESTS)]
        next(iter(asked)).result()
        for process in before:
            os.kill(process, signal.SIGKILL)
        answers = [one.result() for one in asked]
    assert [answer.status_code for answer in answers] == [200] * REQUESTS
    first = answers[0].json()
    for answer in answers[1:]:  # batches of other sizes sum in another order: float32 rounding
        assert_alike(answer.json(), first)
    for _ in range(600):
        if "emohop_workers 2.0" in (said := httpx.get(f"{server.url}/metrics").text):
            break
        time.sleep(0.1)
    assert 'emohop_worker_ends_total{reason="SIGKILL"} 2.0' in said
    assert "emohop_workers_replaced 2.0" in said
    assert not {*before} & {*server.workers()}
    assert list(server.folder.iterdir()) == []


def assert_alike(found: Any, wanted: Any) -> None:
    """Equal JSON, but for the rounding of numbers that networks compute."""
    if isinstance(wanted, dict):
        assert found.keys() == wanted.keys()
        for key, value in wanted.items():
            assert_alike(found[key], value)
    elif isinstance(wanted, list):
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            assert_alike(one, other)
    elif isinstance(wanted, float):
        assert found == pytest.approx(wanted, rel=1e-4, abs=1e-5)
    else:
        assert found == wanted


def test_the_end_waits_for_what_runs(server: Server) -> None:
    """The last test of the server: it ends."""
    waveform = wave(25.0)
    with ThreadPoolExecutor(4) as clients:
        asked = [clients.submit(server.ask, "a.wav", waveform) for _ in range(4)]
        while sum(one.done() for one in asked) + server.in_hand() < len(asked):
            assert server.process.poll() is None
        said = server.end()
        answers = [one.result() for one in asked]
    assert [answer.status_code for answer in answers] == [200] * 4
    assert server.process.returncode == -signal.SIGTERM  # Uvicorn ends by the signal it got
    assert "Traceback" not in said
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.url}/healthz")
    assert list(server.folder.iterdir()) == []
