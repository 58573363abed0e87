"""The WebSocket: what it says, its limits, who may ask, and what becomes of it when others die."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from starlette.testclient import TestClient, WebSocketTestSession
from starlette.websockets import WebSocketDisconnect

import emohop
from emohop.config import ServingSettings
from emohop.prediction import Prediction
from emohop.prediction.streaming import Stream
from emohop.serving.api import create_app
from emohop.serving.messages import Rejection, Served, StreamEvent
from emohop.serving.schemas import Begin
from emohop.serving.streaming import LEAD_SECONDS, Streams
from emohop.serving.streams import Listening
from emohop.serving.worker import WorkerDiedError
from tests.features.tiny import waveform
from tests.prediction.test_streaming import same
from tests.serving.running import serve

LIMITS = ServingSettings(
    token="secret", max_streams=2, message_kb=64, text_characters=100, idle_seconds=20,
    timeout_seconds=30, origins=("https://known.example",),
)  # fmt: skip
BEGIN = {"sample_rate": 16_000, "format": "f32le"}
BEARER = {"Authorization": "Bearer secret"}
SAID = "No way!"


@pytest.fixture(scope="module")
def client(model: Path) -> Iterator[TestClient]:
    with TestClient(create_app(model, LIMITS)) as running:
        yield running


def opened(client: TestClient, **headers: str) -> Any:
    return client.websocket_connect("/v1/stream", headers={**BEARER, **headers})


def until_closed(session: WebSocketTestSession) -> tuple[list[dict[str, Any]], int]:
    """The messages that still come, and the code at the end."""
    found = []
    while True:
        try:
            found.append(session.receive_json())
        except WebSocketDisconnect as closed:
            return found, closed.code


def refused(client: TestClient, first: Any, *more: Any, **headers: str) -> tuple[str, int]:
    """What is said to one who sends this, and the code."""
    with opened(client, **headers) as session:
        for one in (first, *more):
            if isinstance(one, bytes):
                session.send_bytes(one)
            else:
                session.send_text(one if isinstance(one, str) else json.dumps(one))
        found, code = until_closed(session)
    (last,) = found[-1:]
    assert list(last) == ["error"]
    assert "\n" not in last["error"]
    return last["error"], code


@pytest.mark.parametrize("kind", ["f32le", "s16le"])
def test_what_comes_back_is_what_the_predictor_says(
    kind: str, client: TestClient, model: Path
) -> None:
    whole, predictor = waveform(1.7), emohop.load(model)
    if kind == "s16le":
        whole = np.round(whole * 32_768).clip(-32_768, 32_767).astype("<i2")
    known = whole.astype(np.float32) / (32_768 if kind == "s16le" else 1)
    with opened(client) as session:
        session.send_json({**BEGIN, "format": kind, "text": "What a day."})
        session.send_bytes(whole[:10_000].tobytes())
        first = session.receive_json()
        session.send_json({"text": SAID})
        for at in range(10_000, len(whole), 4000):
            session.send_bytes(whole[at : at + 4000].tobytes())
        session.send_json({"end": True})
        updates, code = until_closed(session)
    assert code == 1000
    assert not first["final"]
    same(Prediction.model_validate(first["prediction"]), predictor(known[:10_000], "What a day."))
    assert [update["final"] for update in updates] == [False, False, True]
    same(Prediction.model_validate(updates[-1]["prediction"]), predictor(known, SAID))
    assert updates[-1]["prediction"]["attention"] != []


def test_without_attention_and_by_turns(client: TestClient) -> None:
    pytest.importorskip("faster_whisper")
    with opened(client) as session:
        session.send_json({**BEGIN, "attention": False, "text": SAID})
        session.send_bytes(waveform(0.6).tobytes())
        assert session.receive_json()["prediction"]["attention"] == []
    with opened(client) as session:
        session.send_json({**BEGIN, "turns": True})
        session.send_bytes(np.zeros(16_000, np.float32).tobytes())
        session.send_json({"end": True})
        assert until_closed(session) == ([], 1000)


NOISE = np.zeros(4000, np.float32).tobytes()


@pytest.mark.parametrize(
    ("sent", "said", "code"),
    [
        (["{"], "Invalid JSON", 1007),
        (["[]"], "object", 1007),
        ([{}], "sample_rate: Field required", 1007),
        ([{**BEGIN, "sample_rate": 10}], "sample_rate: ", 1007),
        ([{**BEGIN, "sample_rate": "16000"}], "sample_rate: ", 1007),
        ([{**BEGIN, "format": "mp3"}], "format: ", 1007),
        ([{**BEGIN, "path": "/etc/passwd"}], "path: only sample_rate", 1007),
        ([{**BEGIN, "text": "a" * 101}], "text: 101 characters; up to 100 are accepted", 1007),
        ([NOISE], "audio came before", 1007),
        ([BEGIN, b"123"], "a message of 3 bytes: samples have 4 each", 1007),
        ([BEGIN, np.full(9, np.nan, "<f4").tobytes()], "NaN or infinity", 1007),
        ([BEGIN, np.full(9, -3e38, "<f4").tobytes()], "audio of up to 3e+38", 1007),
        ([BEGIN, NOISE, BEGIN], "sample_rate: only text, end are accepted here", 1007),
        ([BEGIN, {"text": "a" * 101}], "up to 100 are accepted", 1007),
        ([BEGIN, {"end": "yes"}], "end: ", 1007),
        ([BEGIN, NOISE[:400], {"end": True}], "at least one frame", 1007),
        ([BEGIN, b"0" * 65_540], "65540 bytes; up to 65536 are accepted", 1009),
        ([BEGIN, "a" * 65_537], "65537 bytes; up to 65536 are accepted", 1009),
    ],
)
def test_what_cannot_be(sent: list[Any], said: str, code: int, client: TestClient) -> None:
    told, closed = refused(client, *sent)
    assert said in told
    assert closed == code


def test_who_may_ask(client: TestClient) -> None:
    for headers in ({"Authorization": "Bearer x"}, {"Authorization": ""}):
        told, code = refused(client, BEGIN, **headers)
        assert code == 1008
        assert "send the token" in told
    assert refused(client, {**BEGIN, "token": "wrong"}, Authorization="")[1] == 1008
    with opened(client, Authorization="") as session:  # a browser cannot send the header
        session.send_json({**BEGIN, "token": "secret", "text": SAID})
        session.send_json({"end": True})
        found, code = until_closed(session)
    assert (len(found), code) == (1, 1000)


def test_other_pages_may_not_listen(client: TestClient) -> None:
    for origin in ("https://elsewhere.example", "null", "http://testserver.elsewhere.example"):
        with pytest.raises(WebSocketDisconnect) as error, opened(client, Origin=origin):
            pytest.fail("it was let in")
        assert error.value.code == 1008
    for origin in ("http://testserver", "https://known.example"):
        with opened(client, Origin=origin) as session:
            session.send_json({**BEGIN, "text": SAID})
            session.send_json({"end": True})
            assert until_closed(session)[1] == 1000


def test_too_many_are_told_to_come_again(client: TestClient) -> None:
    with opened(client) as one, opened(client) as other:
        for session in (one, other):
            session.send_json(BEGIN)
            session.send_bytes(waveform(0.6).tobytes())
            assert not session.receive_json()["final"]
        assert "emohop_streams 2.0" in client.get("/metrics", headers=BEARER).text
        told, code = refused(client, BEGIN)
        assert (told, code) == ("2 streams are open already: come again later", 1013)
        assert client.get("/readyz").status_code == 200
        one.send_json({"end": True})
        assert until_closed(one)[1] == 1000
    for _ in range(50):
        measured = client.get("/metrics", headers=BEARER).text
        if "emohop_streams 0.0" in measured:
            break
        time.sleep(0.1)
    assert "emohop_streams 0.0" in measured
    assert re.search(r"emohop_stream_updates_total [1-9]", measured)


def test_a_dead_process_ends_its_streams_and_is_replaced(client: TestClient) -> None:
    with opened(client) as session:
        session.send_json({**BEGIN, "text": SAID})
        session.send_bytes(waveform(0.6).tobytes())
        session.receive_json()
        worker = client.app.state.streams._worker  # type: ignore[attr-defined]
        os.kill(worker.process.pid, signal.SIGKILL)
        session.send_bytes(waveform(0.6).tobytes())
        ((told,), code) = until_closed(session)
    assert "died: begin again" in told["error"]
    assert code == 1011
    with opened(client) as session:
        session.send_json({**BEGIN, "text": SAID})
        session.send_json({"end": True})
        assert until_closed(session)[1] == 1000


def test_a_stream_may_not_last_for_ever(model: Path) -> None:
    app = create_app(model, ServingSettings(idle_seconds=0.2))  # without the workers of uploads
    assert refused(TestClient(app), BEGIN) == ("nothing came for 0.2 s", 1008)
    asyncio.run(app.state.streams.stop())
    app = create_app(model, ServingSettings(stream_seconds=0.3))
    with opened(TestClient(app)) as session:
        ((told,), code) = until_closed(session)
    assert told == {"error": "a stream may last 0.3 s: begin another one"}
    assert code == 1008


def test_a_place_is_kept_by_sound_alone(client: TestClient) -> None:
    """A sample now and then, or a text, is no reason to keep others out."""
    app = create_app(client.app.state.pool.served.model, ServingSettings(idle_seconds=0.5))  # type: ignore[attr-defined]
    with opened(TestClient(app)) as session:
        session.send_json(BEGIN)
        begun = time.monotonic()
        for _ in range(4):
            session.send_bytes(np.zeros(16, np.float32).tobytes())
            session.send_json({"text": "here"})
            time.sleep(0.1)
        found, code = until_closed(session)
        assert time.monotonic() - begun >= 0.5
    assert (found[-1]["error"], code) == ("less than 1 s of sound came in 0.5 s", 1008)
    asyncio.run(app.state.streams.stop())


def test_sound_is_taken_at_about_real_time(client: TestClient) -> None:
    with opened(client) as session:
        begun = time.monotonic()
        session.send_json({**BEGIN, "attention": False})
        for _ in range(7):
            session.send_bytes(waveform(0.5).tobytes())
        session.send_json({"end": True})
        updates, code = until_closed(session)
        took = time.monotonic() - begun
    assert code == 1000
    assert [round(one["prediction"]["end"], 1) for one in updates[:7]][-1] >= 3.0
    assert took >= 3.5 - LEAD_SECONDS - 0.01


def test_a_client_has_so_many_places(model: Path) -> None:
    streams = Streams(Served(model), ServingSettings(max_streams=3, max_streams_per_client=2))
    with streams.place("a"), streams.place("a"):
        with pytest.raises(Exception, match="2 streams of this client"), streams.place("a"):
            pytest.fail("it was let in")
        with (
            streams.place("b"),
            pytest.raises(Exception, match="3 streams are open"),
            streams.place("c"),
        ):
            pytest.fail("it was let in")
    assert streams.open == {}
    asyncio.run(streams.stop())


def test_what_fails_ends_one_stream_only(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(stream: Stream, text: str | None) -> None:
        raise RuntimeError(f"{stream} cannot {text}")

    listening = Listening(Served(model))
    begin = Begin(sample_rate=16_000, format="s16le")
    for n in (1, 2):
        assert list(listening.answers(StreamEvent(n, "begin", begin))) == [[]]
    with monkeypatch.context() as broken:
        broken.setattr(Stream, "say", fails)
        (told,) = listening.answers(StreamEvent(1, "text", "my secret"))
        assert told == Rejection("the server failed")
    assert json.loads(capsys.readouterr().err) == {
        "event": "stream failed",
        "error": "RuntimeError",
    }
    (found,) = listening.answers(StreamEvent(2, "audio", b"00" * 9000))
    assert isinstance(found, list)
    assert len(found) == 1


def test_a_model_that_is_gone(tmp_path: Path) -> None:
    async def whole() -> None:
        streams = Streams(Served(tmp_path), ServingSettings())
        with pytest.raises(emohop.EmohopError):
            await streams.ask(StreamEvent(streams.number(), "begin", {}))
        with pytest.raises(WorkerDiedError):
            await streams.ask(StreamEvent(0, "audio", b""))
        await streams.stop()

    asyncio.run(whole())


def test_the_log_says_nothing_of_what_was_said(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="emohop.serving"), opened(client) as session:
        session.send_json({**BEGIN, "text": "my secret words"})
        session.send_json({"end": True})
        until_closed(session)
    (line,) = (json.loads(record.getMessage()) for record in caplog.records)
    assert line.pop("seconds") > 0
    assert line == {"event": "stream", "code": 1000, "updates": 1}


def example() -> str:
    """The client in the documentation."""
    page = (Path(__file__).parents[2] / "docs/serving.md").read_text("utf-8")
    (code,) = re.findall(r"```python\n([^`]*connect\([^`]*)```", page)
    return str(code)


def test_the_documented_client_and_the_end_of_the_server(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("websockets")
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.client import connect

    soundfile.write(tmp_path / "clip.wav", waveform(1.7), 16_000)
    monkeypatch.chdir(tmp_path)
    running = serve(model, ServingSettings())
    address = next(running)
    exec(example().replace("http://127.0.0.1:8000/", address), {})  # our own page
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) >= 3
    assert all(line.split()[-1] in ("angry", "calm") for line in lines)
    with connect(address.replace("http", "ws") + "v1/stream") as session:
        session.send(json.dumps(BEGIN))
        session.send(waveform(0.6).tobytes())
        assert not json.loads(session.recv())["final"]
        assert next(running, None) is None  # which ends it
        with pytest.raises(ConnectionClosed) as closed:
            session.recv(timeout=20)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1012
