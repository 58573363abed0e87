"""Counters of a server, as Prometheus reads them."""

from __future__ import annotations

from fastapi import Response
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

from emohop.serving.pool import Pool

BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """Requests by path and status, their times, and how the workers are."""

    def __init__(self) -> None:
        """Begin at 0, apart from any other server in this process."""
        self._all = CollectorRegistry()
        names = ("path", "status")
        self._requests = Counter("emohop_requests", "Requests answered", names, registry=self._all)
        self._seconds = Histogram(
            "emohop_request_seconds", "Time to answer", ("path",), buckets=BUCKETS,
            registry=self._all,
        )  # fmt: skip
        self._waiting = Gauge("emohop_waiting", "Requests that wait", registry=self._all)
        self._running = Gauge("emohop_running", "Requests that workers have", registry=self._all)
        self._replaced = Gauge(
            "emohop_workers_replaced", "Workers that died since the start", registry=self._all
        )

        self.streams = Gauge("emohop_streams", "Streams that are open", registry=self._all)
        self.updates = Counter(
            "emohop_stream_updates", "Predictions sent on streams", registry=self._all
        )

    def note(self, path: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def response(self, pool: Pool) -> Response:
        """Everything, in Prometheus's text format."""
        self._waiting.set(pool.queue.qsize())
        self._running.set(pool.running)
        self._replaced.set(pool.replaced)
        return Response(generate_latest(self._all), media_type=CONTENT_TYPE_LATEST)
