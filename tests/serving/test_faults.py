"""A server whose clients do nothing, leave, send too much, or come when the disk is full."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import os
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
import soundfile

from emohop.config import ServingSettings
from emohop.prediction.predictor import Predictor
from emohop.serving import memory, uploads
from emohop.serving.memory import taken
from emohop.serving.messages import PredictRequest, Served
from emohop.serving.pool import Pool
from emohop.serving.worker import Worker
from tests.serving.running import serve

FORM = "Content-Type: multipart/form-data; boundary=x\r\n"
PART = '--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
LIMITS = ServingSettings(
    upload_mb=4, disk_mb=4, max_connections=24, max_connections_per_client=20, max_queue=4,
    header_seconds=1.5, grace_seconds=5, hosts=("127.0.0.1", "localhost"), timeout_seconds=60,
)  # fmt: skip


@pytest.fixture(scope="module")
def address(model: Path, folder: Path) -> Iterator[str]:
    del folder
    yield from serve(model, LIMITS)


def connected(address: str, data: str = "") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", urlsplit(address).port or 0), timeout=60)
    connection.sendall(data.encode())
    return connection


def asking(length: int, sent: str = "") -> str:
    """The head of an upload of so many bytes, and what is sent of its body."""
    head = f"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n{FORM}\r\n"
    return head + sent


def answered(connection: socket.socket) -> tuple[int, dict[str, Any]]:
    """The status and the JSON of what comes back."""
    with connection, connection.makefile("rb") as said:
        status = int(said.readline().split()[1])
        headers = dict(line.lower().split(b": ") for line in iter(said.readline, b"\r\n"))
        return status, json.loads(said.read(int(headers[b"content-length"])))


def wave(seconds: float, rate: int = 16_000) -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(0).normal(0, 0.1, round(seconds * rate)).astype(np.float32)
    soundfile.write(file, noise, rate, format="WAV")
    return file.getvalue()


def measured(address: str, name: str) -> float:
    lines = httpx.get(f"{address}metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(f"emohop_{name}"))


def test_idle_connections_make_room(address: str) -> None:
    idle = [connected(address, "GET /he" if k % 2 else "") for k in range(60)]
    try:
        with ThreadPoolExecutor(4) as clients:
            health = list(
                clients.map(lambda _: httpx.get(f"{address}healthz").status_code, range(20))
            )
        assert health == [200] * 20
        found = httpx.post(f"{address}v1/predict", data={"text": "No way!"}, timeout=60)
        assert found.status_code == 200
        assert measured(address, 'connections_closed_total{reason="room"}') >= 40
        for _ in range(100):
            if measured(address, "connections ") <= 1:
                break
            time.sleep(0.1)
        assert measured(address, "connections ") <= 1  # the others were idle for too long
        assert measured(address, 'connections_closed_total{reason="idle"}') >= 1
    finally:
        for connection in idle:
            connection.close()


def test_where_all_have_work_a_new_one_is_told(address: str) -> None:
    working = [connected(address, asking(100_000, PART)) for _ in range(20)]
    time.sleep(0.3)
    try:
        status, said = answered(connected(address))
        assert (status, "too many connections" in said["error"]) == (503, True)
    finally:
        for connection in working:
            connection.close()
    for _ in range(100):
        if httpx.get(f"{address}healthz").status_code == 200:
            return
        time.sleep(0.1)
    pytest.fail("nobody is let in")


def test_a_body_that_stops_coming(address: str, folder: Path) -> None:
    status, said = answered(connected(address, asking(2_000_000, PART + "0" * 400_000)))
    assert status == 408
    assert "nothing more of the request came" in said["error"]
    assert list(folder.iterdir()) == []


def test_places_are_asked_for_before_bodies_are_read(address: str) -> None:
    stopped = [connected(address, asking(900_000, PART)) for _ in range(4)]
    time.sleep(0.3)
    try:
        status, said = answered(connected(address, asking(900_000, PART)))
        assert (status, said) == (429, {"error": "too many requests wait"})
        small = httpx.post(f"{address}v1/predict", data={"text": "No way!"}, timeout=60)
        assert small.status_code == 200  # what is here already may wait
    finally:
        for connection in stopped:
            connection.close()


def test_uploads_have_so_much_room_on_disk(address: str, folder: Path) -> None:
    with connected(address, asking(3_000_000, PART + "0" * 100_000)):
        time.sleep(0.3)
        assert measured(address, "upload_bytes") == 3_000_000
        assert answered(connected(address, asking(2_000_000)))[0] == 429
    for _ in range(100):
        if measured(address, "upload_bytes") == 0:
            break
        time.sleep(0.1)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("code", "status", "said"),
    [(errno.ENOSPC, 507, "disk is full"), (errno.EACCES, 503, "cannot be written to")],
)
def test_a_disk_that_takes_nothing(
    code: int,
    status: int,
    said: str,
    address: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def full(*_: object) -> None:
        raise OSError(code, "no")

    file = {"file": ("a.wav", wave(1.0))}
    with monkeypatch.context() as broken:
        broken.setattr(uploads, "_append", full)
        answer = httpx.post(f"{address}v1/predict", files=file, timeout=60)
    assert answer.status_code == status
    assert said in answer.json()["error"]
    assert errno.errorcode[code] in caplog.text
    assert list(folder.iterdir()) == []
    assert httpx.post(f"{address}v1/predict", files=file, timeout=60).status_code == 200


def test_a_client_that_leaves_is_forgotten(address: str, folder: Path) -> None:
    before = measured(address, "dropped_total")
    body = PART.encode() + wave(60.0, 4000) + b"\r\n--x--\r\n"
    with connected(address, asking(len(body))) as leaving:
        leaving.sendall(body)
        for _ in range(1000):
            if measured(address, "running") or measured(address, "waiting"):
                break
    for _ in range(100):
        if measured(address, "dropped_total") == before + 1:
            break
        time.sleep(0.1)
    assert measured(address, "dropped_total") == before + 1
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    "nonsense",
    ["hello\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Length: x\r\n\r\n"],
)
def test_what_is_no_http_is_told_so_in_json(nonsense: str, address: str) -> None:
    status, said = answered(connected(address, nonsense))
    assert (status, list(said)) == (400, ["error"])


def test_a_form_that_ends_in_the_middle(address: str) -> None:
    status, said = answered(connected(address, asking(len(PART) + 4, PART + "RIFF")))
    assert (status, said["error"]) == (400, "the form cannot be read: it ends in the middle")


def test_clocks_may_jump(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time
    with monkeypatch.context() as jumping:
        for hours in (-10, 10):
            jumping.setattr(time, "time", lambda hours=hours: real() + 3600 * hours)
            answer = httpx.post(f"{address}v1/predict", data={"text": "No way!"}, timeout=60)
            assert answer.status_code == 200


def test_the_end_comes_whatever_hangs(model: Path) -> None:
    running = serve(model, LIMITS)
    address = next(running)
    held = [
        connected(address),
        connected(address, "GET /"),
        connected(address, asking(900_000, PART)),
    ]
    stalled = connected(address, asking(100_000, PART))
    time.sleep(0.5)
    assert next(running, None) is None
    assert answered(stalled) == (503, {"error": "the server is about to end"})
    for connection in held:
        connection.close()


def test_what_a_killed_server_left_is_swept_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("fcntl")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    old = Path(tempfile.mkdtemp(prefix=uploads.PREFIX))
    (old / "1").write_text("of a server that was killed")
    other = tmp_path / "somebody-elses"
    other.mkdir()
    alive = uploads._Folder()
    assert alive.path.stat().st_mode & 0o777 == 0o700
    (alive.next()).write_text("of one that is there")
    uploads.sweep()
    assert sorted(tmp_path.iterdir()) == sorted([other, alive.path])
    alive.remove()
    uploads.sweep()
    assert list(tmp_path.iterdir()) == [other]


class Leaking(Served):
    """A model whose every request leaves 50 MB."""

    def load(self) -> Predictor:
        kept: list[np.ndarray[Any, Any]] = []
        predictor = super().load()
        read = predictor.read

        def leaky(*given: Any) -> Any:
            kept.append(np.ones(50 << 17))
            return read(*given)

        object.__setattr__(predictor, "read", leaky)
        return predictor


@pytest.mark.skipif(taken() is None, reason="this system does not say what a process takes")
def test_a_worker_that_leaks_is_replaced_before_its_limit(model: Path) -> None:
    plain = Worker(Served(model), ServingSettings())
    plain.wait()
    pages = Path(f"/proc/{plain.process.pid}/statm").read_text("ascii").split()[memory._DATA]
    begun = int(pages) * os.sysconf("SC_PAGE_SIZE") / (1 << 30)
    plain.stop()
    settings = ServingSettings(memory_gb=begun + 1.2)

    async def whole() -> Pool:
        pool = Pool(Leaking(model), settings)
        await pool.start()
        try:
            for _ in range(30):  # 1.5 GB in all
                asked = PredictRequest(None, "text", "No way!")
                assert isinstance(await pool.ask(asked, 60), list)
        finally:
            await pool.stop()
        return pool

    pool = asyncio.run(whole())
    assert set(pool.ends) == {"worn"}
    assert pool.ends["worn"] >= 2


def test_a_worker_ends_with_its_server(model: Path) -> None:
    """One whose server was killed notices that there is nobody any more."""
    worker = Worker(Served(model), ServingSettings())
    worker.wait()
    worker.connection.close()
    ended = threading.Thread(target=worker.wait_for_end)
    ended.start()
    ended.join(30)
    assert not ended.is_alive()
    assert worker.how_it_ended() == "exit 0"
