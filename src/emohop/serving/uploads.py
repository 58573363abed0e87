"""Bodies as they come: how much of them, for how long, and where their files lie meanwhile."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fastapi import HTTPException
from starlette.requests import Request

from emohop.config import ServingSettings
from emohop.serving.pool import ClosingError, FullError, Place, Pool

LOG = logging.getLogger("emohop.serving")
PREFIX = "emohop-uploads-"
FREE_BYTES = 256 * 1024
"""A body of no more than this needs no place in the queue before it is here."""
SLOWEST_BYTES, YOUNG_SECONDS, STALLED_SECONDS = 16 * 1024, 5.0, 2.0
"""Where others need its place, an upload ends that brings fewer bytes a second, once it is not new
any more, or of which nothing came for a while."""
DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
LEFT = 499
"""The status in the log of a request whose client left."""


class Uploads:
    """All requests of a server whose bodies or files are there."""

    def __init__(self, pool: Pool, settings: ServingSettings) -> None:
        """None are, and what a server that was killed has left is swept away."""
        self.pool, self.settings = pool, settings
        self.bytes = 0
        """That lie on disk, or are promised to."""
        self._current: set[Upload] = set()
        self._folder: _Folder | None = None
        sweep()

    @contextmanager
    def open(self, request: Request) -> Iterator[Upload]:
        """A request whose body is read here; its files are gone afterwards, whatever happens.

        FullError, ClosingError where it would not be taken.
        """
        self.pool.check()
        upload = Upload(self, request)
        self._current.add(upload)
        try:
            yield upload
        finally:
            self._current.discard(upload)
            upload.place.give()
            self.bytes -= upload.promised
            for path in upload.paths:
                path.unlink(missing_ok=True)
            if self._folder is not None and not any(one.paths for one in self._current):
                self._folder.remove()
                self._folder = None

    def end_all(self) -> None:
        """The server ends: those whose bodies are not here are told so."""
        for upload in list(self._current):
            upload.end(ClosingError())

    def make_room(self) -> None:
        """Where all places are taken, end the slowest body that holds one, if it is too slow."""
        if not self.pool.crowded:
            return
        slow = [one for one in self._current if one.place.taken and one.is_slow]
        if slow:
            slowest = min(slow, key=lambda one: one.rate)
            slowest.end(HTTPException(408, "the request came too slowly while others waited"))
            slowest.place.give()

    def promise(self, more: int) -> None:
        """Room on disk for so many bytes; FullError where there is none."""
        most = max(self.settings.disk_mb, self.settings.upload_mb) * (1 << 20)
        if self.bytes + more > most:
            raise FullError
        self.bytes += more

    def path(self) -> Path:
        """Where one more file may lie; OSError where none can."""
        if self._folder is None:
            self._folder = _Folder()
        return self._folder.next()


class Upload:
    """One request's body, and the files that were in it."""

    def __init__(self, uploads: Uploads, request: Request) -> None:
        """Nothing has come yet."""
        self.uploads, self.request = uploads, request
        self.place = Place(uploads.pool)
        self.paths: list[Path] = []
        self.promised = self.received = 0
        self._begun = self._taken = self._touched = asyncio.get_running_loop().time()
        self._received_then = 0  # when the place was taken
        self._ended: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        length = request.headers.get("content-length", "")
        self._length = int(length) if length.isascii() and length.isdigit() else 0

    @property
    def rate(self) -> float:
        """Bytes a second since it has a place."""
        age = asyncio.get_running_loop().time() - self._taken
        return (self.received - self._received_then) / max(1e-3, age)

    @property
    def is_slow(self) -> bool:
        """Whether it may be ended where others need its place."""
        now = asyncio.get_running_loop().time()
        stalled = now - self._touched > STALLED_SECONDS
        crawls = now - self._taken > YOUNG_SECONDS and self.rate < SLOWEST_BYTES
        return not self._ended.done() and (stalled or crawls)

    def end(self, why: Exception) -> None:
        """Read no more of it."""
        if not self._ended.done():
            self._ended.set_result(why)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body, piece by piece.

        HTTPException when it takes too long and when its client leaves (LEFT); FullError when it is
        more than a little and there is no place for it; and with what it is ended.
        """
        settings, clock = self.uploads.settings, asyncio.get_running_loop().time
        until = self._begun + settings.upload_seconds
        if self._length > FREE_BYTES:
            self.take()
        more = True
        while more:
            coming = asyncio.ensure_future(self.request.receive())
            either: set[asyncio.Future[Any]] = {coming, self._ended}
            left = max(0.0, min(settings.header_seconds, until - clock()))
            try:
                await asyncio.wait(either, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            finally:
                in_time = coming.done() and not self._ended.done()
                if not in_time:
                    coming.cancel()
            if not in_time:
                raise (
                    self._ended.result()
                    if self._ended.done()
                    else HTTPException(408, f"nothing more of the request came for {left:.0f} s")
                )
            message = coming.result()
            if message["type"] == "http.disconnect":
                raise HTTPException(LEFT, "the client left")
            body, more = message.get("body", b""), message.get("more_body", False)
            self.received, self._touched = self.received + len(body), clock()
            if self.received > FREE_BYTES:
                self.take()
            yield body
        self._promise()
        if not self.place.taken:
            self.uploads.pool.check()
        if not self._ended.done():
            self._ended.cancel()

    def take(self) -> None:
        """Have a place, and room on disk; FullError where there is none."""
        if not self.place.taken:
            self.uploads.make_room()
            self.place.take()
            self._taken, self._received_then = asyncio.get_running_loop().time(), self.received
        self._promise()

    def _promise(self) -> None:
        lacking = max(self.received, self._length) - self.promised
        if lacking > 0:
            self.uploads.promise(lacking)
            self.promised += lacking

    async def write(self, path: Path, content: bytes | bytearray) -> None:
        """Add to a file, which is made if need be; HTTPException where the disk will not."""
        try:
            await asyncio.to_thread(_append, path, content)
        except OSError as error:
            raise no_room(error) from None

    def new_file(self) -> Path:
        """Where one more file of this request may lie; HTTPException where none can."""
        try:
            path = self.uploads.path()
        except OSError as error:
            raise no_room(error) from None
        self.paths.append(path)
        return path


def no_room(error: OSError) -> HTTPException:
    """What is said where a file cannot be kept; the log says why."""
    full = error.errno in DISK_FULL
    reason = errno.errorcode.get(error.errno or 0, "?")
    LOG.error(json.dumps({"event": "an upload cannot be kept", "error": reason}))
    said = "is full" if full else "cannot be written to"
    return HTTPException(507 if full else 503, f"the server's disk {said}: come again later")


def _append(path: Path, content: bytes | bytearray) -> None:
    with path.open("ab") as out:
        out.write(content)


class _Folder:
    """Where uploads lie, for this server alone; who holds its lock is alive."""

    def __init__(self) -> None:
        """Make it; OSError where that cannot be."""
        while True:
            self.path = Path(tempfile.mkdtemp(prefix=PREFIX))  # 0700
            self._lock = _locked(self.path)
            if self.path.is_dir():
                break  # else a server that started meanwhile took it for an old one
        self._count = 0

    def next(self) -> Path:
        """Where one more file may lie."""
        self._count += 1
        return self.path / str(self._count)

    def remove(self) -> None:
        """Away with it and what may be in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)


def sweep() -> None:
    """Delete the folders of servers of this user that are not there any more."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):
            if hasattr(os, "getuid") and path.stat().st_uid != os.getuid():
                continue
            lock = _locked(path)
            if lock is not None:
                shutil.rmtree(path)
                os.close(lock)


def _locked(folder: Path) -> int | None:
    """The lock of a folder, which ends with its process; None where another has it.

    Without locks, as on Windows, no folder is known to be an old one.
    """
    try:
        import fcntl
    except ImportError:
        return None
    file = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        return None
    return file
