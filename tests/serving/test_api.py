"""The web service over one worker: answers, limits, and what becomes of hostile uploads."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from fastapi import HTTPException
from starlette.responses import Response
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

import emohop
from emohop.clips import Clip
from emohop.config import ServingSettings
from emohop.errors import EmohopError, MediaError
from emohop.prediction import Prediction
from emohop.serving import memory, requests
from emohop.serving.api import create_app
from emohop.serving.hosts import hosts_of
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
from emohop.serving.metrics import Metrics
from emohop.serving.middleware import BodyLimit, Log, Names
from emohop.serving.pool import ClosingError, FullError, LateError
from emohop.serving.requests import Predicting
from emohop.serving.worker import WorkerDiedError
from tests.prediction.test_predicting import blinded
from tests.voices import recording, silence, voice

LIMITS = ServingSettings(
    upload_mb=2,
    clip_seconds=20,
    text_characters=500,
    max_files=3,
    timeout_seconds=30,
    token="secret",
)
TOKEN = {"Authorization": "Bearer secret"}
URLENCODED = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
def client(model: Path, folder: Path) -> Iterator[TestClient]:
    del folder
    with TestClient(create_app(model, LIMITS), headers=TOKEN) as running:
        yield running


def sent(path: Path, name: str | None = None) -> dict[str, Any]:
    return {"file": (name or path.name, path.read_bytes())}


def test_a_video_with_its_words(client: TestClient, films: Path, model: Path) -> None:
    path = films.parent / "0.mp4"
    answer = client.post("/v1/predict", files=sent(path), data={"text": "No way!"})
    assert answer.status_code == 200
    (found,) = answer.json()["predictions"]
    expected = emohop.load(model)(path, "No way!")
    assert Prediction.model_validate({**found, "source": str(path)}) == expected
    assert found["source"] == "0.mp4"


def test_words_alone_and_a_recording(client: TestClient, tmp_path: Path) -> None:
    (found,) = client.post("/v1/predict", data={"text": "No way!"}).json()["predictions"]
    assert found["used"] == ["text"]
    soundfile.write(tmp_path / "talk.wav", recording(), 16_000)
    talk = sent(tmp_path / "talk.wav")
    answer = client.post("/v1/predict", files=talk, data={"segments": "speech"})
    clips = answer.json()["predictions"]
    assert len(clips) == 2
    assert clips[1]["start"] == pytest.approx(7.3, abs=0.3)


def test_several_files(client: TestClient, films: Path) -> None:
    good, bad = films.parent / "1.mp4", ("bad.wav", b"RIFF")
    files = [("files", (good.name, good.read_bytes())), ("files", bad)]
    first, second = client.post("/v1/predict/batch", files=files).json()["answers"]
    assert first["predictions"][0]["source"] == "1.mp4"
    assert second["predictions"] is None
    assert second["error"].startswith("bad.wav")
    many = client.post("/v1/predict/batch", files=[("files", bad)] * 4)
    assert many.status_code == 422
    assert many.json() == {"error": "files: up to 3 are accepted at once"}
    none = client.post("/v1/predict/batch")
    assert (none.status_code, none.json()["error"][:6]) == (422, "files:")


def test_what_is_served(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ready"}
    found = client.get("/v1/model").json()
    assert found["labels"] == ["angry", "calm"]
    assert found["modalities"] == ["audio", "text", "video"]
    text = client.get("/metrics").text
    assert 'emohop_requests_total{path="/healthz",status="200"}' in text
    assert "emohop_workers_replaced 0.0" in text


HOSTILE = {
    "empty": b"",
    "header": b"RIFF\xff\xff\xff\xffWAVEfmt ",
    "text": b"hello " * 100,
    "png": b"\x89PNG\r\n\x1a\n" + b"\x00" * 64,
    "playlist": b"#EXTM3U\n#EXT-X-TARGETDURATION:1\nfile:///etc/passwd\n",
    "concat": b"ffconcat version 1.0\nfile /etc/passwd\n",
    "html": b"<html><script>alert(1)</script>",
    "bomb": b"\x00" * 1_900_000,
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_files_are_refused_in_one_line(kind: str, client: TestClient, folder: Path) -> None:
    name = "../../etc/<b>x\n.wav"
    answer = client.post("/v1/predict", files={"file": (name, HOSTILE[kind])})
    assert answer.status_code == 422
    assert list(answer.json()) == ["error"]
    said = answer.json()["error"]
    assert "\n" not in said
    assert str(folder) not in said
    assert "Traceback" not in said
    assert list(folder.iterdir()) == []


def test_what_was_left_out_is_said_without_a_path(
    client: TestClient, films: Path, folder: Path, tmp_path: Path
) -> None:
    path = blinded(tmp_path / "blind.mkv", films.parent / "1.mp4")
    answer = client.post("/v1/predict", files=sent(path))
    assert answer.status_code == 200
    (found,) = answer.json()["predictions"]
    assert found["notes"][0].startswith("video was left out: blind.mkv: ")
    assert str(folder) not in answer.text


def test_silence_is_an_answer(client: TestClient, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(16_000, np.float32), 16_000)
    answer = client.post("/v1/predict", files=sent(tmp_path / "a.wav"))
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("asked", "status", "said"),
    [
        ({}, 422, "nothing to predict"),
        ({"data": {"text": "  "}}, 422, "nothing to predict"),
        ({"data": {"text": "a" * 501}}, 422, "501 characters; up to 500 are accepted"),
        ({"data": {"text": "a", "segments": "speech"}}, 422, "cut a file without a text"),
        ({"data": {"text": "a", "segments": "/etc/passwd"}}, 422, "segments '/etc/passwd': "),
        (
            {"data": {"text": "a", "segments": "nan"}},
            422,
            "segments 'nan': speech, none or a number",
        ),
        ({"data": {"text": ["a", "b"]}}, 422, "text: sent twice"),
        ({"data": {"txt": "a"}}, 422, "txt: only file, segments, text are accepted"),
        ({"data": {"text": "a"}, "params": {"segments": "5"}}, 422, "it stands in the address"),
        ({"data": {"file": "a"}}, 422, "file: send it as a file, with a file name"),
        ({"files": {"text": ("a.txt", b"a")}}, 422, "text: send it as a field, without a file"),
        ({"files": [("file", ("a", b"a"))] * 2}, 422, "file: sent twice"),
        (
            {"files": {"file": ("a", b"a")}, "data": {"text": "a" * 2100}},
            422,
            "text: more than 500",
        ),
        ({"files": {"file": ("a", b"a")}, "data": {"text": b"\xff"}}, 422, "text: it is no UTF-8"),
        ({"content": b"text=" + b"a" * 20_000, "headers": URLENCODED}, 422, "send it as multipart"),
        ({"content": b"text=%ff", "headers": URLENCODED}, 400, "the form cannot be read"),
        ({"files": {"file": ("a.wav", b"0" * 2_200_000)}}, 413, "up to 2 MB are accepted"),
        ({"data": {"text": "a"}, "headers": {"Authorization": "Bearer x"}}, 401, "send the token"),
        ({"data": {"text": "a"}, "headers": {"Authorization": "Basic secret"}}, 401, "the token"),
        ({"data": {"text": "a"}, "headers": {"Authorization": "é"}}, 401, "send the token"),
    ],
)
def test_limits(asked: dict[str, Any], status: int, said: str, client: TestClient) -> None:
    if "headers" in asked:
        headers = {k: v.encode("latin-1") for k, v in asked["headers"].items()}
        asked = {**asked, "headers": headers}
    answer = client.post("/v1/predict", **asked)
    assert answer.status_code == status
    assert said in answer.json()["error"]


def test_what_is_as_long_as_it_may_be_is_taken(client: TestClient) -> None:
    assert client.post("/v1/predict", data={"text": "a" * 500}).status_code == 200
    read: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        read.append(len((await receive())["body"]))
        await Response("taken")(scope, receive, send)

    asking = TestClient(BodyLimit(app, most=10))
    for size, status, seen in ((10, 200, [10]), (11, 413, [])):  # what is too long is not read
        read.clear()
        answer = asking.post("/", content=b"0" * size)
        assert (answer.status_code, read) == (status, seen)


def test_pieces_of_a_body_are_added_up() -> None:
    more = iter([True, True, False])

    async def app(_: Scope, receive: Receive, __: Send) -> None:
        while (await receive())["more_body"]:
            pass

    async def piece() -> dict[str, Any]:
        return {"type": "http.request", "body": b"0" * 6, "more_body": next(more)}

    with pytest.raises(HTTPException, match="the request is too large") as error:
        asyncio.run(BodyLimit(app, most=10)({"type": "http", "headers": []}, piece, _deaf))
    assert error.value.status_code == 413


async def _deaf(_: object) -> None:
    pass


def test_what_breaks_is_counted_as_broken() -> None:
    noted: list[tuple[str, int]] = []

    class Noting(Metrics):
        def note(self, path: str, status: int, seconds: float) -> None:
            del seconds
            noted.append((path, status))

    async def app(*_: object) -> None:
        raise InterruptedError

    async def nothing() -> dict[str, Any]:
        return {}

    with pytest.raises(InterruptedError):
        asyncio.run(Log(app, Noting(), [])({"type": "http", "method": "GET"}, nothing, _deaf))
    assert noted == [("other", 500)]


def test_a_body_without_a_length_is_counted(client: TestClient) -> None:
    def stream() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        for _ in range(40):
            yield b"0" * 100_000

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = client.post("/v1/predict", content=stream(), headers=headers)
    assert answer.status_code == 413


def test_a_token_is_asked_for_before_anything_is_read(client: TestClient) -> None:
    read: list[int] = []

    def stream() -> Iterator[bytes]:
        for n in range(40):
            read.append(n)
            yield b"0" * 10_000

    wrong = {"Authorization": "Bearer no", "Content-Type": "multipart/form-data; boundary=x"}
    answer = client.post("/v1/predict", content=stream(), headers=wrong)
    assert answer.status_code == 401
    assert len(read) < 40
    assert client.get("/metrics", headers=wrong).status_code == 401
    assert client.get("/healthz", headers=wrong).status_code == 200


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (FullError(), 429, "too many requests wait"),
        (ClosingError(), 503, "about to end"),
        (LateError(), 504, "took longer than 30 s"),
        (WorkerDiedError(), 500, "two processes that read it died"),
    ],
)
def test_what_the_pool_cannot_do(
    error: Exception,
    status: int,
    said: str,
    client: TestClient,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fails(job: PredictRequest, seconds: float) -> Answer:
        assert 0 < seconds <= 30
        assert job.path is not None
        assert job.path.exists()
        raise error

    monkeypatch.setattr(client.app.state.pool, "ask", fails)  # type: ignore[attr-defined]
    answer = client.post("/v1/predict", files={"file": ("a.wav", b"RIFF")})
    assert answer.status_code == status
    assert said in answer.json()["error"]
    assert ("retry-after" in answer.headers) == (status == 429)
    assert list(folder.iterdir()) == []
    many = client.post("/v1/predict/batch", files=[("files", ("a.wav", b"RIFF"))] * 2)
    assert [said in one["error"] for one in many.json()["answers"]] == [True, True]


def test_a_body_that_is_no_form(client: TestClient) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = client.post("/v1/predict", content=b"nonsense", headers=headers)
    assert answer.status_code in (400, 422)
    assert list(answer.json()) == ["error"]


def test_a_long_file(client: TestClient, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.ogg", np.zeros(21 * 8000, np.float32), 8000)
    answer = client.post("/v1/predict", files=sent(tmp_path / "a.ogg"))
    assert answer.status_code == 422
    assert answer.json()["error"] == "a.ogg: 21 s; up to 20 s are accepted"


def test_the_log_says_nothing_of_what_was_sent(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="emohop.serving"):
        client.post("/v1/predict", data={"text": "my secret words"})
        client.get("/my/secret/path")
    lines = [json.loads(record.getMessage()) for record in caplog.records]
    assert [line["path"] for line in lines] == ["/v1/predict", "other"]
    assert [line["status"] for line in lines] == [200, 404]
    assert "secret" not in caplog.text.replace("emohop.serving", "")


def test_the_page_loads_nothing_from_elsewhere(client: TestClient) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for name in ("page.js", "page.css", "attention.js", "timeline.js", "live.js", "microphone.js"):
        part = client.get(f"/page/{name}")
        assert part.status_code == 200
        assert "http" not in part.text.replace("http://www.w3.org/2000/svg", "")
    assert "://" not in page.text
    assert client.get("/page/..%2fapi.py").status_code == 404
    assert client.get("/page/api.py").status_code == 404


def test_the_openapi_names_every_answer(client: TestClient) -> None:
    schema = client.get("/openapi.json").json()
    asked = schema["paths"]["/v1/predict"]["post"]["responses"]
    troubles = (400, 401, 403, 408, 413, 415, 421, 422, 429, 500, 503, 504, 507)
    assert set(asked) == {"200", *(f"{n}" for n in troubles)}
    for status in set(asked) - {"200"}:
        kind = asked[status]["content"]["application/json"]["schema"]["$ref"]
        assert kind.endswith("/ErrorResponse")


def test_other_pages_may_not_ask_unless_they_are_named(model: Path, client: TestClient) -> None:
    asked = {"Origin": "https://elsewhere.example"}
    assert "access-control-allow-origin" not in client.get("/healthz", headers=asked).headers
    allowed = ServingSettings(origins=("https://elsewhere.example",))
    app = create_app(model, allowed)
    answer = TestClient(app).get("/healthz", headers=asked)  # without its workers
    assert answer.headers["access-control-allow-origin"] == "https://elsewhere.example"
    assert TestClient(app).get("/readyz").status_code == 503


def test_a_folder_that_is_no_model(tmp_path: Path) -> None:
    app = create_app(tmp_path, ServingSettings())
    with pytest.raises(EmohopError), TestClient(app):
        pytest.fail("it started")
    assert isinstance(app.state.failed, EmohopError)


def test_health_checks_may_ask_by_head(client: TestClient) -> None:
    for path in ("/", "/healthz", "/readyz", "/v1/model", "/metrics", "/page/page.js"):
        answer = client.head(path)
        assert (answer.status_code, answer.content) == (200, b"")
        if path != "/metrics":  # which changes
            whole = client.get(path).headers["content-length"]
            assert answer.headers["content-length"] == whole
    assert client.head("/v1/predict").status_code == 405


@pytest.mark.parametrize("path", ["/v1/predict", "/v1/predict/batch"])
@pytest.mark.parametrize("kind", ["application/json", "audio/wav", "text/plain; charset=utf-8"])
def test_what_is_no_form_is_told_what_to_send(path: str, kind: str, client: TestClient) -> None:
    answer = client.post(path, content=b'{"text": "Oh no!"}', headers={"Content-Type": kind})
    assert answer.status_code == 415
    assert "send a form (multipart/form-data) with a file" in answer.json()["error"]


def test_an_empty_text_says_that_nothing_is_said(client: TestClient, films: Path) -> None:
    path = films.parent / "0.mp4"
    (silent,) = client.post("/v1/predict", files=sent(path), data={"text": ""}).json()[
        "predictions"
    ]
    assert (silent["transcript"], silent["used"]) == ("", ["audio", "text", "video"])
    (unknown,) = client.post("/v1/predict", files=sent(path)).json()["predictions"]
    assert (unknown["transcript"], unknown["missing"]) == (None, ["text"])


def test_a_long_recording_is_cut_without_being_asked(client: TestClient, tmp_path: Path) -> None:
    soundfile.write(
        tmp_path / "long.wav", np.concatenate([voice(5), silence(8.5), voice(5)]), 16_000
    )
    found = client.post("/v1/predict", files=sent(tmp_path / "long.wav")).json()
    assert [round(one["start"]) for one in found["predictions"]] == [0, 13]
    assert found["errors"] == []
    (whole,) = client.post(
        "/v1/predict", files=sent(tmp_path / "long.wav"), data={"segments": "none"}
    ).json()["predictions"]
    assert whole["end"] == 18.5
    answer = client.post(
        "/v1/predict/batch", files=[("files", ("a.wav", (tmp_path / "long.wav").read_bytes()))]
    )
    assert len(answer.json()["answers"][0]["predictions"]) == 2


def test_clips_that_are_left_out_stand_beside_the_others(tmp_path: Path) -> None:
    from emohop.prediction.inputs import Source
    from emohop.serving.requests import _answer

    good = Prediction(source="x", label="ang", probabilities={"ang": 1.0}, used=(), missing=())
    job = PredictRequest(tmp_path / "upload", "call.wav", None, "speech")
    bad = MediaError(f"{tmp_path / 'upload'}: damaged"), Source(Clip("x", start=1.0, end=2.0))
    found = _answer(job, [(bad[1], good), (bad[1], bad[0])])
    assert isinstance(found, list)
    assert found[1] == LeftOut(1.0, 2.0, "call.wav: damaged")
    refused = _answer(job, [(bad[1], bad[0])])
    assert refused == Rejection("call.wav: damaged")


def test_errors_speak_of_the_request(client: TestClient, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", silence(18), 16_000)
    answer = client.post("/v1/predict", files=sent(tmp_path / "a.wav"), data={"segments": "speech"})
    assert answer.status_code == 422
    assert "--" not in answer.json()["error"]
    assert "set segments to a number of seconds" in answer.json()["error"]


def test_what_the_openapi_and_the_asyncapi_say(client: TestClient) -> None:
    schema = client.get("/openapi.json").json()
    asked = schema["paths"]["/v1/predict"]["post"]
    form = asked["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert set(form["properties"]) == {"file", "text", "segments"}
    kind = schema["components"]["securitySchemes"]["token"]
    assert (kind["type"], kind["scheme"]) == ("http", "bearer")
    assert asked["security"] == [{"token": []}]
    streams = client.get("/asyncapi.json").json()
    assert streams["channels"]["stream"]["address"] == "/v1/stream"
    begin = streams["components"]["schemas"]["Begin"]
    assert set(begin["properties"]) >= {"sample_rate", "format", "token"}
    for message in streams["components"]["messages"].values():
        reference = message["payload"].get("$ref", "#/components/schemas/Begin")
        assert reference.rpartition("/")[2] in streams["components"]["schemas"]


@pytest.mark.parametrize(
    ("host", "asked", "status"),
    [
        ("127.0.0.1", {"Host": "localhost:8000"}, 200),
        ("127.0.0.1", {"Host": "127.0.0.1"}, 200),
        ("127.0.0.1", {"Host": "[::1]:8000"}, 200),
        ("127.0.0.1", {"Host": "EMOTIONS.example."}, 200),
        ("127.0.0.1", {"Host": "rebound.example:8000"}, 421),
        ("127.0.0.1", {"Host": "10.1.2.3"}, 421),
        ("127.0.0.1", {"Host": ""}, 421),
        ("127.0.0.1", {"Host": "[::1"}, 421),
        ("0.0.0.0", {"Host": "10.1.2.3:8000"}, 200),
        ("0.0.0.0", {"Host": "rebound.example"}, 421),
        ("127.0.0.1", {"Host": "localhost", "Origin": "http://localhost"}, 200),
        ("127.0.0.1", {"Host": "localhost", "Origin": "http://elsewhere.example"}, 403),
        ("127.0.0.1", {"Host": "localhost", "Origin": "null"}, 403),
    ],
)
def test_by_which_names_and_for_which_pages(host: str, asked: dict[str, str], status: int) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await Response("in")(scope, receive, send)

    settings = ServingSettings(hosts=hosts_of(host, ["emotions.example"]))
    answer = TestClient(Names(app, settings)).post("/v1/predict", headers=asked)
    assert answer.status_code == status
    if status != 200:
        assert answer.json()["error"]


def test_what_did_not_come_so_far_is_counted_under_its_path(client: TestClient) -> None:
    client.post("/v1/predict", headers={"Authorization": "Bearer no"})
    client.post("/v1/predict", files={"file": ("a.wav", b"0" * 2_200_000)})
    text = client.get("/metrics").text
    for status in (401, 413):
        assert f'emohop_requests_total{{path="/v1/predict",status="{status}"}}' in text


def test_too_many_samples_are_not_decoded(client: TestClient, model: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "wide.flac", np.zeros((19 * 48_000, 8), np.int16), 48_000)
    predicting = Predicting(Served(model), ServingSettings(million_samples=5))
    job = PredictRequest(tmp_path / "wide.flac", "wide.flac")
    (done,) = predicting.answers(Work({1: job}))
    assert done.answers[1] == Rejection(
        "wide.flac: 19 s of 8 channels at 48000 Hz are 7 million samples; up to 5 million are "
        "accepted"
    )
    assert client.post("/v1/predict", files=sent(tmp_path / "wide.flac")).status_code == 200


def test_a_slow_file_is_read_when_it_is_known_to_be_slow(
    model: Path, films: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "SLOW_SECONDS", 0.0)
    predicting = Predicting(Served(model), ServingSettings())
    job = PredictRequest(films.parent / "0.mp4", "0.mp4", "No way!")
    assert list(predicting.answers(Work({1: job}))) == [Done({1: Slow()})]
    (done,) = predicting.answers(Work({1: job}, slow=True))
    assert isinstance(done.answers[1], list)


def test_memory_that_is_not_there_is_an_answer(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predicting = Predicting(Served(model), ServingSettings())
    one, other = (PredictRequest(None, name, name) for name in ("one", "other"))
    whole = predicting.predictor.answers_to_read

    def little(self: object, clips: Sequence[Any]) -> Any:
        if len(clips) > 1 or clips[0][0].clip.transcript == "other":
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return whole(clips)

    monkeypatch.setattr(type(predicting.predictor), "answers_to_read", little)
    first, last = predicting.answers(Work({1: one, 2: other}))
    assert first == Done()
    assert isinstance(last.answers[1], list)
    assert last.answers[2] == Rejection(requests.FULL)


def test_a_worn_process_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = iter([1 << 30, 4 << 30, 5 << 30])
    monkeypatch.setattr(memory, "taken", lambda: next(taken))
    mine = memory.Memory(8.0)
    assert [mine.is_worn(), mine.is_worn()] == [False, True]
    monkeypatch.setattr(memory, "taken", lambda: None)
    assert not memory.Memory(8.0).is_worn()
