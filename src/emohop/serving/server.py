"""Running the web service by Uvicorn."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from pathlib import Path

import uvicorn

from emohop.clips import Modality
from emohop.config import ServingSettings
from emohop.errors import EmohopError
from emohop.serving.api import create_app
from emohop.serving.middleware import LOG
from emohop.serving.streaming import message_bytes


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
    config = uvicorn.Config(
        app, host, port, log_level="critical", access_log=False, server_header=False,
        timeout_graceful_shutdown=round(settings.timeout_seconds),
        ws_max_size=message_bytes(settings),
    )  # fmt: skip
    server = uvicorn.Server(config)
    server.run()
    if app.state.failed is not None:
        raise app.state.failed
    if not server.started:
        raise EmohopError(f"{host}:{port} cannot be listened at: is another program there?")
