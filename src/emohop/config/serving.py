"""How a model is served."""

from __future__ import annotations

from pydantic import Field

from emohop.config.settings import Settings


class ServingSettings(Settings):
    """Limits of `emohop serve`, each of which keeps one request from harming others."""

    workers: int = Field(default=1, ge=1, le=64)
    """Processes that hold the model; each works on one batch at a time."""
    max_queue: int = Field(default=32, ge=1)
    """Requests that wait at most; more are told to come again (429)."""
    max_batch: int = Field(default=8, ge=1)
    """Waiting requests that a worker takes together at most."""
    timeout_seconds: float = Field(default=60.0, gt=0)
    """Time that one request may take from its arrival on, waiting included (504)."""
    upload_mb: float = Field(default=100.0, gt=0)
    """Largest body of a request (413)."""
    clip_seconds: float = Field(default=600.0, gt=0)
    """Longest file (422)."""
    text_characters: int = Field(default=20_000, ge=1)
    """Longest transcript (422)."""
    max_files: int = Field(default=16, ge=1)
    """Files in one request of a batch at most (422)."""
    memory_gb: float = Field(default=8.0, gt=0)
    """Memory that a worker may take; one that needs more fails the request."""
    max_streams: int = Field(default=8, ge=1)
    """Streams that are open at one time at most; more are told to come again (1013)."""
    stream_seconds: float = Field(default=3600.0, gt=0)
    """Time that a stream may last (1008)."""
    idle_seconds: float = Field(default=30.0, gt=0)
    """Time for which nothing may come on a stream (1008)."""
    message_kb: float = Field(default=256.0, gt=0)
    """Largest message on a stream (1009)."""
    token: str | None = None
    """What clients must send as `Authorization: Bearer …`; None asks nobody."""
    origins: tuple[str, ...] = ()
    """Web pages of other servers that may ask (CORS) and stream; none."""
