"""Running the web service by Uvicorn."""

from __future__ import annotations

import logging
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from emohop.clips import Modality
from emohop.config import ServingSettings
from emohop.errors import EmohopError
from emohop.serving.api import create_app
from emohop.serving.connections import BACKLOG, counted_by
from emohop.serving.middleware import LOG
from emohop.serving.streaming import message_bytes


class Server(uvicorn.Server):
    """Uvicorn, whose application knows first that it ends."""

    def __init__(self, app: FastAPI, settings: ServingSettings, host: str, port: int) -> None:
        """Nothing is listened at before it runs."""
        super().__init__(
            uvicorn.Config(
                app, host, port, log_level="critical", access_log=False, server_header=False,
                http=counted_by(app.state.connections), backlog=BACKLOG,
                timeout_graceful_shutdown=max(1, round(settings.grace_seconds)),
                ws_max_size=message_bytes(settings),
                ws_ping_timeout=None,  # a stream ahead of its time is not read: no pong is heard
            )
        )  # fmt: skip
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End within the grace time, whatever hangs."""
        self._app.state.end()
        await super().shutdown(sockets)


def run(
    model: Path,
    settings: ServingSettings,
    asr: str | None,
    encoders: Mapping[Modality, str],
    host: str,
    port: int,
) -> None:
    """Serve until SIGINT or SIGTERM; what runs then is finished.

    Raises EmohopError when the model cannot be loaded, or the port is taken.
    """
    LOG.addHandler(logging.StreamHandler(sys.stderr))
    LOG.setLevel(logging.INFO)
    app = create_app(model, settings, asr, encoders)
    server = Server(app, settings, host, port)
    server.run()
    if app.state.failed is not None:
        raise app.state.failed
    if not server.started:
        raise EmohopError(f"{host}:{port} cannot be listened at: is another program there?")
