"""What every request passes: its names, a token, a limit of its body, a line in the log."""

from __future__ import annotations

import hmac
import json
import logging
import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from fastapi import HTTPException
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from emohop.config import ServingSettings
from emohop.errors import brief
from emohop.serving.hosts import is_named, is_of_our_page

if TYPE_CHECKING:
    from emohop.serving.metrics import Metrics

LOG = logging.getLogger("emohop.serving")
GUARDED = ("/v1/", "/metrics")
"""Paths for which a token is asked, if there is one."""
SAFE = ("GET", "HEAD", "OPTIONS")
OTHER = "other"
"""In the log and the metrics, the path of what is no path of ours."""


class Names:
    """Lets only those ask who use a name of ours, and no page of elsewhere send anything."""

    def __init__(self, app: ASGIApp, settings: ServingSettings) -> None:
        """Know the names, and the pages that may."""
        self.app, self.settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 421 or 403."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if not is_named(headers, self.settings.hosts):
            name = brief(headers.get("host", ""))
            await _refuse(scope, receive, send, 421, f"{name!r} is no name of this service: "
                "start it with --allow-host NAME if it should be")  # fmt: skip
        elif scope["type"] == "websocket" and not is_of_our_page(headers, self.settings.origins):
            await _refuse(scope, receive, send, 403, "")
        elif (
            scope["type"] == "http"
            and scope["method"] not in SAFE
            and not is_of_our_page(headers, self.settings.origins)
        ):
            origin = brief(headers.get("origin", ""))
            await _refuse(scope, receive, send, 403, f"pages of {origin} may not ask")
        else:
            await self.app(scope, receive, send)


async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, said: str) -> None:
    if scope["type"] == "websocket":  # closed before it is accepted: 403
        await receive()
        await send({"type": "websocket.close", "code": 1008})
        return
    await JSONResponse({"error": said}, status)(scope, receive, send)


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
            {"WWW-Authenticate": "Bearer"},
        )  # fmt: skip
        await answer(scope, receive, send)

    def _known(self, scope: Scope) -> bool:
        return bears(dict(scope["headers"]).get(b"authorization", b""), self.token)


def bears(header: bytes, token: str) -> bool:
    """Whether an Authorization header holds the token."""
    kind, _, value = header.partition(b" ")
    known = hmac.compare_digest(value.strip(), token.encode())
    return kind.lower() == b"bearer" and known


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
            await JSONResponse({"error": self._said}, 413)(scope, receive, send)
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
    """One line of JSON a request, without anything of what was sent; and the counters.

    While the server ends, answers say that their connection does.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        paths: Collection[str],
        ending: Callable[[], bool] = lambda: False,
    ) -> None:
        """Count requests in `metrics`, by these paths."""
        self.app, self.metrics, self.paths, self.ending = app, metrics, paths, ending

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
                if self.ending():
                    MutableHeaders(scope=message)["connection"] = "close"
            await send(message)

        try:
            await self.app(scope, receive, noted)
        finally:
            seconds = time.perf_counter() - begun
            path = getattr(scope.get("route"), "path", None)
            if path is None:  # it did not come so far; what was asked for could be anything
                path = scope["path"] if scope.get("path") in self.paths else OTHER
            self.metrics.note(path, status, seconds)
            line = {"method": scope["method"], "path": path, "status": status}
            LOG.info(json.dumps({**line, "seconds": round(seconds, 4)}))


class Head:
    """Answers HEAD as GET without its body."""

    def __init__(self, app: ASGIApp) -> None:
        """Of this application."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return

        async def bare(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        scope["method"] = "GET"
        try:
            await self.app(scope, receive, bare)
        finally:
            scope["method"] = "HEAD"
