"""The web service under load, and under what would take it away from everybody.

    python benchmarks/serve.py MODEL CLIP.wav [--requests N] [--against PYTHON]
    python benchmarks/serve.py MODEL CLIP.wav --kills [--requests N] [--every SECONDS]
    python benchmarks/serve.py MODEL CLIP.wav --slow [--requests N] [--crowd SHARE]

Each starts servers of its own on loopback. Plain: requests a second at 1, 8 and 32 clients; with
--against, in turns with the emohop of another interpreter. --kills: 16 clients, 5 in 100 uploads
hostile (damaged, mislabelled, empty, far too large, hours of silence or 192 kHz in 8 channels in a
small file, declared to be 2 GB), and a worker killed every so many seconds, beside a calm run.
--slow: 8 clients beside 1,000 idle connections, 200 that send half a head and 50 that stop in the
middle of a body, beside a calm run; --crowd is the share of these.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import psutil
import soundfile

CLIENTS = (1, 8, 32)
ROUNDS = 5
HOSTILE_SHARE = 0.05
FINE = {200, 413, 422, 429}
IDLE, HEADERS, BODIES = 1000, 200, 50
WORDS = {"text": "Excuse me, do you have it?"}


def main() -> None:
    """Start servers and ask them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--requests", type=int, default=300, help="of each kind of run")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--against", metavar="PYTHON", help="an interpreter with another emohop")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of each number of clients")
    parser.add_argument("--kills", action="store_true", help="hostile uploads and killed workers")
    parser.add_argument("--every", type=float, default=6.0, help="seconds from kill to kill")
    parser.add_argument("--slow", action="store_true", help="beside clients that do nothing")
    parser.add_argument("--crowd", type=float, default=1.0, help="share of the slow clients")
    options = parser.parse_args()
    good = options.clip.read_bytes()
    pythons = {"this": sys.executable}
    if options.against:
        pythons["other"] = options.against
    with contextlib.ExitStack() as stack:
        servers = {
            name: stack.enter_context(Server.running(options.model, python, options.workers))
            for name, python in pythons.items()
        }
        if options.kills:
            kills(servers["this"], good, options.requests, options.every)
        elif options.slow:
            slow(servers["this"], good, options.requests, options.crowd)
        else:
            for clients in CLIENTS:
                load(servers, good, clients, options.requests, options.rounds)


@dataclass
class Server:
    """A server in a process of its own."""

    process: psutil.Popen
    port: int
    folder: Path
    """Where its temporary files are."""

    @classmethod
    @contextlib.contextmanager
    def running(cls, model: Path, python: str, workers: int) -> Iterator[Server]:
        """One that has loaded the model; it is ended afterwards."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [python, "-m", "emohop", "serve", str(model), "--port", str(port)]
        command += ["--workers", str(workers), "--set", "upload_mb=20"]
        with tempfile.TemporaryDirectory() as folder:
            environment = {**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": folder}
            process = psutil.Popen(command, env=environment, stderr=subprocess.DEVNULL)
            server = cls(process, port, Path(folder))
            try:
                server.wait()
                yield server
            finally:
                process.terminate()
                process.wait(90)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def wait(self) -> None:
        """Until all its processes have loaded the model."""
        for _ in range(600):
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/readyz").status_code == 200:
                    said = httpx.get(f"{self.url}/metrics").text
                    if "emohop_workers 1.0" not in said:  # a spare is still to come
                        return
            time.sleep(0.2)
        sys.exit("the server does not start")

    def workers(self) -> list[psutil.Process]:
        """Processes that hold the model, or are about to."""
        return [p for p in self.process.children() if "spawn_main" in " ".join(_words(p))]

    def held(self) -> dict[str, float]:
        """What it holds: memory in MB, open files, temporary files and processes."""
        everyone = [self.process, *self.process.children()]
        return {
            "MB": sum(one.memory_info().rss for one in everyone) / (1 << 20),
            "open files": self.process.num_fds(),
            "temporary files": sum(1 for _ in self.folder.rglob("*")),
            "processes": len(everyone),
        }


def _words(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:  # it has ended
        return []


@dataclass
class Answers:
    """Of many requests: seconds of the good ones, and all statuses."""

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    took: float = 0.0

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.statuses.total() / self.took

    def late(self, share: float = 0.99) -> float:
        """Milliseconds within which so many good requests were answered."""
        ordered = sorted(self.seconds)
        return 1000 * ordered[int(share * (len(ordered) - 1))]


def load(servers: dict[str, Server], good: bytes, clients: int, requests: int, rounds: int) -> None:
    """So many clients, each of which asks again as soon as it is answered; servers in turns."""
    found: dict[str, list[Answers]] = {name: [] for name in servers}
    for server in servers.values():
        send(server, [good] * (2 * clients), clients)  # warm
    for number in range(rounds):
        order = list(servers.items())
        for name, server in order if number % 2 else reversed(order):
            found[name].append(send(server, [good] * requests, clients))
    for name, runs in found.items():
        middle = statistics.median(run.rate for run in runs)
        seconds = [second for run in runs for second in run.seconds]
        whole = Answers(seconds)
        statuses = dict(sum((run.statuses for run in runs), Counter()))
        print(
            f"{clients:3d} clients, {name}: {middle:6.1f} requests/s, "
            f"p50 {whole.late(0.5):6.0f} ms, p99 {whole.late():6.0f} ms, {statuses}"
        )
    if "other" in found:
        ratios = [a.rate / b.rate for a, b in zip(found["this"], found["other"], strict=True)]
        print(f"{clients:3d} clients: this / other {statistics.median(ratios):.3f} (median)")


def kills(server: Server, good: bytes, requests: int, every: float) -> None:
    """Good uploads among hostile ones, while workers die."""
    chance = random.Random(0)
    bad = hostile(good, chance)
    plan = [
        chance.choice(bad) if chance.random() < HOSTILE_SHARE else good for _ in range(requests)
    ]
    send(server, [good] * 50, 16)
    send(server, bad, 1)
    calm = send(server, [good] * max(100, requests // 10), 16)
    before = server.held()
    over = threading.Event()
    killed = Counter[str]()

    def kill() -> None:
        while not over.wait(every):
            if workers := server.workers():
                chance.choice(workers).send_signal(signal.SIGKILL)
                killed["workers"] += 1

    killing = threading.Thread(target=kill)
    killing.start()
    found = send(server, plan, 16, good=good)
    over.set()
    killing.join()
    server.wait()
    time.sleep(1)
    after = server.held()
    strange = set(found.statuses) - FINE - {500}
    failed = found.statuses[500] / requests
    print(
        f"{requests} requests in {found.took:.0f} s, {killed['workers']} workers killed: "
        f"{dict(found.statuses)}, strange: {strange or 'none'}; 500: {failed:.2%}"
    )
    print(
        f"p99 of good ones {calm.late():.0f} ms calm, {found.late():.0f} ms "
        f"({found.late() / calm.late():.2f} times)"
    )
    for name, number in before.items():
        print(f"{name}: {number:.0f} before, {after[name]:.0f} after ({after[name] - number:+.0f})")


def slow(server: Server, good: bytes, requests: int, share: float) -> None:
    """Good clients beside many that hold connections and do nothing with them."""
    send(server, [good] * 50, 8)
    calm = send(server, [good] * requests, 8)
    held: list[socket.socket] = []
    try:
        for data, count in ((b"", IDLE), (HEAD, HEADERS), (HEAD + BODY, BODIES)):
            for _ in range(round(share * count)):
                connection = socket.create_connection(("127.0.0.1", server.port))
                held.append(connection)
                connection.sendall(data)
        found = send(server, [good] * requests, 8)
    finally:
        for connection in held:
            connection.close()
    print(
        f"beside {len(held)} slow clients: {dict(found.statuses)}, p99 {calm.late():.0f} ms calm, "
        f"{found.late():.0f} ms ({found.late() / calm.late():.2f} times)"
    )


HEAD = b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\n"
BODY = (
    b"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 900000\r\n\r\n--x\r\n"
    b'Content-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + bytes(100_000)
)


def hostile(good: bytes, chance: random.Random) -> list[bytes | None]:
    """Uploads that ask for trouble; None is one that says it has 2 GB."""
    return [
        b"",
        good[: len(good) // 3],
        b"RIFF\xff\xff\xff\x7fWAVEfmt \x10\x00\x00\x00",
        b"\x89PNG\r\n\x1a\n" + bytes(4096),
        b"#EXTM3U\nfile:///etc/passwd\n",
        bytes(19 << 20),
        bytes(24 << 20),
        chance.randbytes(100_000),
        silence(600, 8000, 1, said=True),
        silence(600, 8000, 1, said=False),
        silence(10, 192_000, 8, said=True),
        None,
    ]


def silence(minutes: int, rate: int, channels: int, *, said: bool) -> bytes:
    """A small FLAC; its header says how many samples there are, or does not."""
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", rate, channels, format="FLAC") as waveform:
        for _ in range(60 * minutes):
            waveform.write(np.zeros((rate, channels), np.float32))
    content = bytearray(file.getvalue())
    if not said:
        content[21] &= 0xF0
        content[22:26] = bytes(4)
    return bytes(content)


def declared(port: int) -> int:
    """The status of a request that says it has 2 GB."""
    head = HEAD + f"Content-Length: {2 << 30}\r\n".encode()
    kind = b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=120) as connection:
        connection.sendall(head + kind)
        return int(connection.recv(65536).split()[1])


def send(
    server: Server, uploads: Sequence[bytes | None], clients: int, good: bytes | None = None
) -> Answers:
    """The answers to uploads; the seconds are of those that are `good`, or of all."""
    waiting, lock, found = iter(list(uploads)), threading.Lock(), Answers()

    def client() -> None:
        with httpx.Client(timeout=120) as http:
            while True:
                with lock:
                    try:
                        content = next(waiting)
                    except StopIteration:
                        return
                begun = time.perf_counter()
                status = ask(server, http, content)
                with lock:
                    found.statuses[status] += 1
                    if good is None or content is good:
                        found.seconds.append(time.perf_counter() - begun)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found.took = time.perf_counter() - begun
    return found


def ask(server: Server, http: httpx.Client, content: bytes | None) -> int:
    """The status of an upload; 0 if there was no answer."""
    if content is None:
        return declared(server.port)
    upload = {"file": ("clip.wav", content)}
    try:
        return http.post(f"{server.url}/v1/predict", files=upload, data=WORDS).status_code
    except httpx.TransportError:
        return 0


if __name__ == "__main__":
    main()
