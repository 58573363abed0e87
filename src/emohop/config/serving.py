"""How a model is served."""

from __future__ import annotations

from pydantic import Field

from emohop.config.settings import Settings


class ServingSettings(Settings):
    """Limits of `emohop serve`, each of which keeps one client from harming others."""

    workers: int = Field(default=1, ge=1, le=64)
    """Processes that answer at one time; as many more may read slow files."""
    spares: int = Field(default=1, ge=0, le=64)
    """Processes more that hold the model, for slow files, and for when a worker dies."""
    max_queue: int = Field(default=32, ge=1)
    """Requests that wait at most, and large uploads under way; more are told to come again
    (429)."""
    max_batch: int = Field(default=8, ge=1)
    """Requests at most whose clips go through the network together."""
    timeout_seconds: float = Field(default=60.0, gt=0)
    """Time that one request may take from the end of its upload, waiting included; one of several
    files has no more (504)."""
    grace_seconds: float = Field(default=30.0, gt=0)
    """Time to finish what was taken when the server is told to end."""
    upload_mb: float = Field(default=100.0, gt=0)
    """Largest body of a request (413)."""
    upload_seconds: float = Field(default=300.0, gt=0)
    """Time that a body may take to come (408)."""
    disk_mb: float = Field(default=1000.0, gt=0)
    """Uploads on disk at one time; more are told to come again (429)."""
    clip_seconds: float = Field(default=600.0, gt=0)
    """Longest file (422)."""
    million_samples: float = Field(default=200.0, gt=0)
    """Most samples of audio of a file, those of all its channels, in millions (422)."""
    text_characters: int = Field(default=20_000, ge=1)
    """Longest transcript (422)."""
    max_files: int = Field(default=16, ge=1)
    """Files in one request of a batch at most (422)."""
    memory_gb: float = Field(default=8.0, gt=0)
    """Memory that a worker may take; one that needs more fails the request."""
    max_connections: int = Field(default=512, ge=8)
    """Connections at one time; of more, those that have been idle longest are closed."""
    max_connections_per_client: int = Field(default=256, ge=4)
    """Connections of one address, likewise."""
    header_seconds: float = Field(default=10.0, gt=0)
    """Time for the head of a request, and for which nothing may come of a body (408)."""
    max_streams: int = Field(default=8, ge=1)
    """Streams that are open at one time at most; more are told to come again (1013)."""
    max_streams_per_client: int = Field(default=4, ge=1)
    """Streams of one address, likewise."""
    stream_seconds: float = Field(default=3600.0, gt=0)
    """Time that a stream may last (1008)."""
    idle_seconds: float = Field(default=30.0, gt=0)
    """Time in which a second of sound must come on a stream (1008)."""
    message_kb: float = Field(default=256.0, gt=0)
    """Largest message on a stream (1009)."""
    token: str | None = None
    """What clients must send as `Authorization: Bearer …`; None asks nobody."""
    hosts: tuple[str, ...] | None = None
    """Names by which the service may be asked for (421); `emohop serve` adds those of the machine
    itself, and in `create_app` None is any."""
    origins: tuple[str, ...] = ()
    """Web pages of other servers that may ask (CORS) and stream; none."""
