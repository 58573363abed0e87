"""Connections of a server: no more than it can bear, and none that does nothing for long.

Where there are too many, the one that has been idle longest makes room; one with a request under
way is never closed for another. What is in the way of HTTP itself is answered in JSON.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any, ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol

from emohop.config import ServingSettings

SWEEP_SECONDS = 1.0
BACKLOG = 64
"""Connections that are accepted in one go: until they are counted, nothing limits them."""
FILES_APART = 128
"""Of the files that a process may open, those that are no connections."""
SHED = b'{"error": "too many connections: come again later"}'


class Connections:
    """All of a server."""

    def __init__(self, settings: ServingSettings) -> None:
        """There are none yet."""
        self.settings = settings
        self.most = min(settings.max_connections, _affordable())
        self.closed: Counter[str] = Counter()
        """How many were closed, by reason: `idle`, `room` for others, `shed` at once."""
        self._open: dict[Connection, None] = {}
        self._by_client: Counter[str] = Counter()
        self._sweeping: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """Those that are open."""
        return len(self._open)

    def made(self, connection: Connection) -> bool:
        """Count a new one; False where there is no room for it."""
        if self._sweeping is None:
            self._sweeping = asyncio.get_running_loop().create_task(self._sweep())
        who, most = connection.who, self.settings.max_connections_per_client
        if self._by_client[who] >= most and not self._make_room(who):
            return False
        if len(self._open) >= self.most and not self._make_room(None):
            return False
        self._open[connection] = None
        self._by_client[who] += 1
        return True

    def lost(self, connection: Connection) -> None:
        """It is closed."""
        if connection in self._open:
            del self._open[connection]
            self._by_client[connection.who] -= 1
            if not self._by_client[connection.who]:
                del self._by_client[connection.who]

    def stop(self) -> None:
        """Watch no longer."""
        if self._sweeping is not None:
            self._sweeping.cancel()

    def _make_room(self, who: str | None) -> bool:
        """Close the longest idle of a client, or of all; False where none is idle."""
        idle = (one for one in self._open if who in (None, one.who) and not one.is_working)
        longest = min(idle, key=lambda one: one.idle_since, default=None)
        if longest is None:
            return False
        self._close(longest, "room")
        return True

    def _close(self, connection: Connection, reason: str) -> None:
        self.closed[reason] += 1
        self.lost(connection)
        connection.transport.abort()

    async def _sweep(self) -> None:
        """Close those that have not asked for anything in time."""
        clock = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            for one in list(self._open):
                if one.transport.is_closing():
                    self.lost(one)
                elif one.is_working:
                    one.idle_since = clock()
                elif clock() - one.idle_since > self.settings.header_seconds:
                    self._close(one, "idle")


class Connection(H11Protocol):
    """One of them, as Uvicorn has it."""

    all: ClassVar[Connections]

    def __init__(self, *given: Any, **named: Any) -> None:
        """One more."""
        super().__init__(*given, **named)
        self.idle_since = self.loop.time()
        self.streams = False
        """Whether it has become a WebSocket."""

    @property
    def who(self) -> str:
        """The address of its client."""
        return self.client[0] if self.client else ""

    @property
    def is_working(self) -> bool:
        """Whether a request is under way."""
        return self.streams or (self.cycle is not None and not self.cycle.response_complete)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take it, or say that there is no room."""
        super().connection_made(transport)
        if not self.all.made(self):
            self.all.closed["shed"] += 1
            transport.write(_response(503, "Service Unavailable", SHED))
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self.all.lost(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """More of it, unless there was no room."""
        if not self.transport.is_closing():
            super().data_received(data)

    def on_response_complete(self) -> None:
        """It is idle from now on."""
        self.idle_since = self.loop.time()
        super().on_response_complete()

    def handle_websocket_upgrade(self, event: Any) -> None:
        """Another protocol has it from now on; it still counts."""
        self.streams = True
        super().handle_websocket_upgrade(event)

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP, in JSON."""
        del msg
        body = json.dumps({"error": "this is no HTTP request that can be read"}).encode()
        self.transport.write(_response(400, "Bad Request", body))
        self.transport.close()


def counted_by(connections: Connections) -> type[Connection]:
    """The protocol of a server's connections."""

    class Counted(Connection):
        all = connections

    return Counted


def _response(status: int, phrase: str, body: bytes) -> bytes:
    """A whole response, after which the connection is closed."""
    head = (
        f"HTTP/1.1 {status} {phrase}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


def _affordable() -> int:
    """How many connections the limit of open files leaves room for."""
    try:
        import resource
    except ImportError:  # not on Windows
        return 1 << 30
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(8, soft - FILES_APART - BACKLOG)
