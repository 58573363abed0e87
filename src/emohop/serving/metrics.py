"""Counters of a server, as Prometheus reads them."""

from __future__ import annotations

from collections.abc import Iterator

from fastapi import Response
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from emohop.serving.connections import Connections
from emohop.serving.pool import Pool
from emohop.serving.uploads import Uploads

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
        self.streams = Gauge("emohop_streams", "Streams that are open", registry=self._all)
        self.updates = Counter(
            "emohop_stream_updates", "Predictions sent on streams", registry=self._all
        )

    def note(self, path: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def response(self, pool: Pool, uploads: Uploads, connections: Connections) -> Response:
        """Everything, in Prometheus's text format."""
        now = _Now(pool, uploads, connections)
        said = generate_latest(self._all) + generate_latest(now)
        return Response(said, media_type=CONTENT_TYPE_LATEST)


class _Now(Collector):
    """What others count, as it is now."""

    def __init__(self, pool: Pool, uploads: Uploads, connections: Connections) -> None:
        self.pool, self.uploads, self.connections = pool, uploads, connections

    def collect(self) -> Iterator[Metric]:
        pool, ends = self.pool, sum(self.pool.ends.values())
        for name, said, number in (
            ("waiting", "Requests that wait", pool.waiting),
            ("uploading", "Requests whose bodies are still coming", pool.reserved),
            ("running", "Requests that workers have", pool.running),
            ("workers", "Processes that have loaded the model", len(pool.loaded)),
            ("workers_replaced", "Workers that ended since the start", ends),
            ("connections", "Connections that are open", len(self.connections)),
            ("upload_bytes", "Of uploads on disk, or promised", self.uploads.bytes),
        ):
            yield GaugeMetricFamily(f"emohop_{name}", said, number)
        yield CounterMetricFamily(
            "emohop_worker_starts_failed", "Workers that did not start", pool.not_started
        )
        yield CounterMetricFamily(
            "emohop_dropped", "Requests whose clients left or whose time was over", pool.dropped
        )
        ended = CounterMetricFamily(
            "emohop_worker_ends", "Workers that ended, by reason", labels=["reason"]
        )
        for reason, number in pool.ends.items():
            ended.add_metric([reason], number)
        closed = CounterMetricFamily(
            "emohop_connections_closed", "Connections that were closed, by reason",
            labels=["reason"],
        )  # fmt: skip
        for reason, number in self.connections.closed.items():
            closed.add_metric([reason], number)
        yield from (ended, closed)
