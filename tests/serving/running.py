"""A real server in a thread."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from emohop.config import ServingSettings
from emohop.serving.api import create_app
from emohop.serving.server import Server


def serve(model: Path, settings: ServingSettings) -> Iterator[str]:
    """The address of one; it ends when this goes on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = Server(create_app(model, settings), settings, "127.0.0.1", port)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    for _ in range(600):
        if server.started:
            break
        time.sleep(0.1)
    yield f"http://127.0.0.1:{port}/"
    server.should_exit = True
    thread.join(60)
    assert not thread.is_alive(), "the server does not end"
