"""Audio that is still being spoken, over a WebSocket.

All streams of a server live in one process of their own, which is started when the first begins:
what they do holds up neither the server nor uploads. If it dies, its streams end, and the next one
that begins starts another.
"""

from __future__ import annotations

import asyncio
import hmac
import itertools
import json
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Literal, TypeVar

from fastapi import APIRouter, WebSocket
from pydantic import ValidationError
from starlette.websockets import WebSocketDisconnect

from emohop.config import ServingSettings
from emohop.errors import EmohopError, brief
from emohop.serving.forms import too_long
from emohop.serving.messages import Rejection, Served, StreamEvent
from emohop.serving.metrics import Metrics
from emohop.serving.middleware import LOG, bears
from emohop.serving.schemas import SAMPLE_BYTES, Begin, Later, StreamMessage
from emohop.serving.worker import STOP_SECONDS, Worker, WorkerDiedError

FIRST_SECONDS = 10.0
"""Time for the first message, which says who is there."""
LEAD_SECONDS = 2.0
"""How far a stream may be ahead of real time: what comes sooner is not read yet."""
PIECE_SECONDS = 1.0
"""Of sound that the process is given at one time, so that streams take turns."""
LEAST_SECONDS = 1.0
"""Of sound that must come within `idle_seconds`."""
DONE, GONE, UNUSABLE, NOT_ALLOWED, TOO_LARGE, DIED, FULL = (
    1000, 1006, 1007, 1008, 1009, 1011, 1013,
)  # fmt: skip
"""Codes of RFC 6455 with which streams are closed."""


class _Over(Exception):  # noqa: N818  (not an error of ours)
    """The stream is closed with a code; `said` is what the client did or what happened."""

    def __init__(self, code: int, said: str) -> None:
        super().__init__(code, said)
        self.code, self.said = code, said


class Streams:
    """The streams of a server, and the process that holds them."""

    def __init__(self, served: Served, settings: ServingSettings) -> None:
        """Nothing is started before a stream begins."""
        self.served, self.settings = served, settings
        self.open: Counter[str] = Counter()
        """Streams that have begun and are not closed, by their clients' addresses."""
        self._numbers = itertools.count()
        self._worker: Worker | None = None
        self._there: set[int] = set()  # streams that the process knows
        # the process is asked by one thread alone, so that answers cannot change places
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="streams")

    def number(self) -> int:
        """A name for a new stream."""
        return next(self._numbers)

    @contextmanager
    def place(self, client: str) -> Iterator[None]:
        """A place for a stream of a client; `_Over` where there is none."""
        here, all_, most = self.open[client], self.open.total(), self.settings.max_streams
        if all_ >= most:
            raise _Over(FULL, f"{all_} streams are open already: come again later")
        if here >= self.settings.max_streams_per_client:
            raise _Over(FULL, f"{here} streams of this client are open already: end one of them")
        self.open[client] += 1
        try:
            yield
        finally:
            self.open[client] -= 1
            self.open += Counter()  # forget clients that have none

    async def ask(self, heard: StreamEvent) -> list[str] | Rejection:
        """Updates as JSON, or why the stream is ended.

        Raises WorkerDiedError when the process died, and EmohopError when none could be started.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._ask, heard)

    def leave(self, number: int) -> None:
        """Let go of a stream, whatever became of it."""
        self._thread.submit(self._leave, number)

    async def stop(self) -> None:
        """End the process, whatever it does."""
        worker = self._worker
        stopping = asyncio.get_running_loop().run_in_executor(self._thread, self._stop)
        _, late = await asyncio.wait({stopping}, timeout=STOP_SECONDS)
        if late and worker is not None:
            await asyncio.to_thread(worker.kill)
        await stopping
        self._thread.shutdown()

    def _ask(self, heard: StreamEvent) -> list[str] | Rejection:
        if heard.event == "begin":
            if self._worker is None or not self._worker.process.is_alive():
                self._start()
            self._there.add(heard.stream)
        worker = self._worker
        if worker is None or heard.stream not in self._there:
            raise WorkerDiedError
        try:
            found: list[str] | Rejection = worker.ask(heard, self.settings.timeout_seconds)
        except WorkerDiedError:
            self._forget()
            raise
        if heard.event == "end" or isinstance(found, Rejection):
            self._there.discard(heard.stream)
        return found

    def _start(self) -> None:
        if self._worker is not None:
            self._worker.kill()
        self._forget()
        worker = Worker(self.served, self.settings, streams=True)
        try:
            worker.wait()
        except EmohopError:
            worker.kill()
            raise
        self._worker = worker

    def _leave(self, number: int) -> None:
        if self._worker is not None and number in self._there:
            self._there.discard(number)
            try:
                self._worker.ask(StreamEvent(number, "leave"), self.settings.timeout_seconds)
            except WorkerDiedError:
                self._forget()

    def _forget(self) -> None:
        """The process is gone, and its streams with it."""
        self._worker = None
        self._there.clear()

    def _stop(self) -> None:
        if self._worker is not None:
            self._worker.stop()
            self._worker = None


def streaming(streams: Streams, settings: ServingSettings, metrics: Metrics) -> APIRouter:
    """The WebSocket."""
    router = APIRouter()

    @router.websocket("/v1/stream")
    async def stream(socket: WebSocket) -> None:
        """Updates of what is said of audio while it comes."""
        await socket.accept()
        talk = _Talk(socket, streams, settings, metrics)
        begun = time.perf_counter()
        code = await talk.whole()
        line = {"event": "stream", "code": code, "updates": talk.updates}
        LOG.info(json.dumps({**line, "seconds": round(time.perf_counter() - begun, 4)}))

    return router


class _Talk:
    """One client's stream."""

    def __init__(
        self, socket: WebSocket, streams: Streams, settings: ServingSettings, metrics: Metrics
    ) -> None:
        self.socket, self.streams, self.settings, self.metrics = socket, streams, settings, metrics
        self.updates = 0
        self.number = streams.number()
        self._end = time.monotonic() + settings.stream_seconds
        self._begun = self._heard = self._quiet = 0.0
        """When it began, seconds of sound since, and from when on a second of it must come."""

    async def whole(self) -> int:
        """Hear and answer until the end; the code with which it was closed."""
        try:
            begin = self._begin(await self._receive(FIRST_SECONDS))
            client = self.socket.client
            with self.streams.place("" if client is None else client.host):
                self.metrics.streams.set(self.streams.open.total())
                try:
                    await self._hear(begin)
                finally:
                    self.streams.leave(self.number)
        except WebSocketDisconnect as gone:
            return gone.code
        except _Over as over:
            return await self._close(over.code, over.said)
        finally:
            self.metrics.streams.set(self.streams.open.total())
        return await self._close(DONE)

    async def _hear(self, begin: Begin) -> None:
        await self._ask("begin", begin.model_copy(update={"token": None}))
        self._begun = time.monotonic()
        self._quiet = self._begun + self.settings.idle_seconds
        while True:
            message = await self._receive(self._quiet - time.monotonic())
            if isinstance(message, bytes):
                await self._sound(begin, message)
                continue
            later = _read(Later, message)
            if "text" in later.model_fields_set:
                await self._ask("text", self._fitting(later.text))
            if later.end:
                await self._ask("end")
                return

    async def _sound(self, begin: Begin, message: bytes) -> None:
        """Give it on at about real time, piece by piece, so that others have their turns."""
        size = SAMPLE_BYTES[begin.format]
        piece = size * max(1, round(PIECE_SECONDS * begin.sample_rate))
        for at in range(0, len(message), piece):
            part = message[at : at + piece]
            seconds = len(part) / size / begin.sample_rate
            before = self._heard
            self._heard += seconds
            if int(self._heard / LEAST_SECONDS) > int(before / LEAST_SECONDS):
                self._quiet = time.monotonic() + self.settings.idle_seconds
            await self._ask("audio", part)
            ahead = self._heard - LEAD_SECONDS - (time.monotonic() - self._begun)
            if ahead > 0:
                await asyncio.sleep(min(ahead, max(0.0, self._end - time.monotonic())))
                self._quiet += ahead

    async def _receive(self, seconds: float) -> bytes | str:
        """The next message, which may take so long."""
        left = self._end - time.monotonic()
        try:
            message = await asyncio.wait_for(self.socket.receive(), max(0.0, min(seconds, left)))
        except asyncio.TimeoutError:
            if left <= seconds:
                most = f"{self.settings.stream_seconds:g} s"
                raise _Over(NOT_ALLOWED, f"a stream may last {most}: begin another one") from None
            if not self._heard:
                within = self.settings.idle_seconds if self._begun else seconds
                raise _Over(NOT_ALLOWED, f"nothing came for {within:g} s") from None
            raise _Over(
                NOT_ALLOWED,
                f"less than {LEAST_SECONDS:g} s of sound came in {self.settings.idle_seconds:g} s",
            ) from None
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1005))
        found: bytes | str | None = message.get("bytes")
        if found is None:
            found = str(message.get("text") or "")
        size = len(found.encode() if isinstance(found, str) else found)
        most_bytes = message_bytes(self.settings)
        if size > most_bytes:
            raise _Over(TOO_LARGE, f"a message of {size} bytes; up to {most_bytes} are accepted")
        return found

    def _begin(self, message: bytes | str) -> Begin:
        """The first message, from one who may ask."""
        token, begin = self.settings.token, None
        known = token is None
        if token is not None:
            known = bears(self.socket.headers.get("authorization", "").encode("latin-1"), token)
        if isinstance(message, str):
            begin = _read(Begin, message)
            if token is not None and begin.token is not None:
                known = known or hmac.compare_digest(begin.token.encode(), token.encode())
        if not known:
            raise _Over(NOT_ALLOWED, "send the token as Authorization: Bearer TOKEN, or as token")
        if begin is None:
            raise _Over(UNUSABLE, "audio came before the message that says what it is")
        self._fitting(begin.text)
        return begin

    def _fitting(self, text: str | None) -> str | None:
        most = self.settings.text_characters
        if text is not None and len(text) > most:
            raise _Over(UNUSABLE, too_long("text", len(text), most))
        return text

    async def _ask(
        self, event: Literal["begin", "audio", "text", "end"], value: object = None
    ) -> None:
        """Give it to the process and send what comes of it."""
        try:
            found = await self.streams.ask(StreamEvent(self.number, event, value))
        except (EmohopError, OSError) as error:  # no process could be started
            LOG.error(json.dumps({"event": "no streams", "error": type(error).__name__}))
            raise _Over(DIED, "the process that holds streams cannot be started") from None
        except WorkerDiedError:
            raise _Over(DIED, "the process that held the stream died: begin again") from None
        if isinstance(found, Rejection):
            raise _Over(UNUSABLE, found.reason)
        for update in found:
            await self._send(update)
            self.updates += 1
            self.metrics.updates.inc()

    async def _send(self, text: str) -> None:
        try:
            await asyncio.wait_for(self.socket.send_text(text), self.settings.idle_seconds)
        except asyncio.TimeoutError:
            raise WebSocketDisconnect(NOT_ALLOWED, "it does not read what is sent") from None

    async def _close(self, code: int, said: str | None = None) -> int:
        """Say why, if there is a why, and close."""
        try:
            if said is not None:
                await self._send(json.dumps({"error": said}))
            await self.socket.close(code)
        except (WebSocketDisconnect, RuntimeError):  # it has left meanwhile
            return GONE
        return code


Kind = TypeVar("Kind", bound=StreamMessage)


def _read(kind: type[Kind], message: str) -> Kind:
    """A message of JSON; `_Over` says what is wrong with another."""
    try:
        return kind.model_validate_json(message)
    except ValidationError as error:
        first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = ", ".join(kind.model_fields)
        raise _Over(UNUSABLE, f"{brief(where)}: only {known} are accepted here")
    raise _Over(UNUSABLE, f"{where}: {brief(first['msg'])}" if where else brief(first["msg"]))


def message_bytes(settings: ServingSettings) -> int:
    """The largest message on a stream."""
    return round(settings.message_kb * 1024)
