"""What every request passes: a token, a limit of its body, a line in the log."""

from __future__ import annotations

import hmac
import json
import logging
import time
from typing import TYPE_CHECKING

from fastapi import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from emohop.config import ServingSettings

if TYPE_CHECKING:
    from emohop.serving.metrics import Metrics

LOG = logging.getLogger("emohop.serving")
GUARDED = ("/v1/", "/metrics")
"""Paths for which a token is asked, if there is one."""


class Token:
    """Lets only those ask for what is `GUARDED` who know the token, before their body is read."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        """Ask for `token` as bearer."""
        self.app, self.token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 401."""
        guarded = scope["type"] == "http" and scope["path"].startswith(GUARDED)
        if not guarded or scope["method"] == "OPTIONS" or self._known(scope):
            await self.app(scope, receive, send)
            return
        answer = JSONResponse(
            {"error": "send the token as Authorization: Bearer TOKEN"}, 401,
            {"WWW-Authenticate": "Bearer", "Connection": "close"},
        )  # fmt: skip
        await answer(scope, receive, send)

    def _known(self, scope: Scope) -> bool:
        return bears(dict(scope["headers"]).get(b"authorization", b""), self.token)


def bears(header: bytes, token: str) -> bool:
    """Whether an Authorization header holds the token."""
    kind, _, value = header.partition(b" ")
    known = hmac.compare_digest(value.strip(), token.encode())
    return kind.lower() == b"bearer" and known


def fault_of_text(text: str | None, settings: ServingSettings) -> str | None:
    """What is wrong with a transcript that was sent, if anything is."""
    most = settings.text_characters
    if text is None or len(text) <= most:
        return None
    return f"text: {len(text)} characters; up to {most} are accepted"


class BodyLimit:
    """Refuses a body above a limit (413) as soon as it is, whatever its header says."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        """Let bodies of up to `most` bytes pass."""
        self.app, self.most = app, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, counting its body."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > self.most:
            answer = JSONResponse({"error": self._said}, 413, {"Connection": "close"})
            await answer(scope, receive, send)
            return
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self.most:
                raise HTTPException(413, self._said)
            return message

        await self.app(scope, counted, send)

    @property
    def _said(self) -> str:
        return f"the request is too large: up to {self.most / (1 << 20):g} MB are accepted"


class Log:
    """One line of JSON a request, without anything of what was sent; and the counters."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        """Count requests in `metrics`."""
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and note how it went."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status, begun = 500, time.perf_counter()

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, noted)
        finally:
            seconds = time.perf_counter() - begun
            route = scope.get("route")
            path = getattr(route, "path", "other")  # what was asked for could be anything
            self.metrics.note(path, status, seconds)
            line = {"method": scope["method"], "path": path, "status": status}
            LOG.info(json.dumps({**line, "seconds": round(seconds, 4)}))
