"""The web service under load: requests a second and their times, and hostile uploads.

    python benchmarks/serve.py MODEL CLIP.wav [--requests N] [--hostile]

Starts a server of its own on loopback. With --hostile, 5 in 100 uploads are damaged, mislabelled,
empty, far too large, hours of silence in a small file, or declared to be 2 GB, and the memory of
all its processes is compared before and after.
"""

from __future__ import annotations

import argparse
import io
import os
import random
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import soundfile

PORT = 8765
URL = f"http://127.0.0.1:{PORT}"
CLIENTS = (1, 8, 32)
HOSTILE_SHARE = 0.05
FINE = {200, 413, 422, 429}


def main() -> None:
    """Start a server and ask it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--requests", type=int, default=300, help="for each number of clients")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--hostile", action="store_true")
    options = parser.parse_args()
    command = [sys.executable, "-m", "emohop", "serve", str(options.model), "--port", str(PORT)]
    command += ["--workers", str(options.workers), "--set", "upload_mb=20"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    server = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        wait()
        good = options.clip.read_bytes()
        if options.hostile:
            hostile(server.pid, good, options.requests)
        else:
            for clients in CLIENTS:
                load(good, clients, options.requests)
    finally:
        server.terminate()
        server.wait(90)


def wait() -> None:
    """Until the model is loaded."""
    for _ in range(600):
        try:
            if httpx.get(f"{URL}/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    sys.exit("the server does not start")


def load(good: bytes, clients: int, requests: int) -> None:
    """So many clients, each of which asks again as soon as it is answered."""
    send(lambda _: good, clients, 2 * clients)  # warm
    seconds, statuses, took = send(lambda _: good, clients, requests)
    ordered = sorted(seconds)
    middle, late = statistics.median(ordered), ordered[int(0.99 * (len(ordered) - 1))]
    print(
        f"{clients:3d} clients: {requests / took:6.1f} requests/s, p50 {1000 * middle:6.0f} ms, "
        f"p99 {1000 * late:6.0f} ms, {dict(statuses)}"
    )


def hostile(server: int, good: bytes, requests: int) -> None:
    """Good uploads among bad ones."""
    chance = random.Random(0)
    bad = [
        b"",
        good[: len(good) // 3],
        b"RIFF\xff\xff\xff\x7fWAVEfmt \x10\x00\x00\x00",
        b"\x89PNG\r\n\x1a\n" + bytes(4096),
        b"#EXTM3U\nfile:///etc/passwd\n",
        bytes(19 << 20),
        bytes(24 << 20),
        chance.randbytes(100_000),
        silence(said=True),
        silence(said=False),
        None,
    ]
    kinds = [
        chance.choice(bad) if chance.random() < HOSTILE_SHARE else good for _ in range(requests)
    ]
    send(lambda _: good, 8, 200)
    send(lambda k: bad[k % len(bad)], 1, 2 * len(bad))
    before = memory(server)
    _, statuses, took = send(lambda k: kinds[k], 8, requests)
    time.sleep(1)
    after = memory(server)
    strange = set(statuses) - FINE
    print(f"{requests} requests in {took:.0f} s: {dict(statuses)}, strange: {strange or 'none'}")
    print(f"memory {before:.0f} MB before, {after:.0f} MB after ({after / before - 1:+.1%})")
    text = httpx.get(f"{URL}/metrics").text
    print(next(line for line in text.splitlines() if line.startswith("emohop_workers_replaced")))


def silence(*, said: bool) -> bytes:
    """Ten hours in 2 MB of FLAC; its header says how many there are, or does not."""
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", 8000, 1, format="FLAC") as waveform:
        for _ in range(600):
            waveform.write(np.zeros(60 * 8000, np.float32))
    content = bytearray(file.getvalue())
    if not said:
        content[21] &= 0xF0
        content[22:26] = bytes(4)
    return bytes(content)


def declared() -> int:
    """The status of a request that says it has 2 GB."""
    head = f"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: {2 << 30}\r\n"
    kind = "Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n"
    with socket.create_connection(("127.0.0.1", PORT), timeout=120) as connection:
        connection.sendall((head + kind).encode())
        return int(connection.recv(65536).split()[1])


def send(
    body: Callable[[int], bytes | None], clients: int, requests: int
) -> tuple[list[float], Counter[int], float]:
    """Times and statuses of requests, `body(k)` being the k-th upload; None declares 2 GB."""
    numbers, lock = iter(range(requests)), threading.Lock()
    seconds: list[float] = []
    statuses: Counter[int] = Counter()

    def client() -> None:
        with httpx.Client(timeout=120) as http:
            while True:
                with lock:
                    k = next(numbers, None)
                if k is None:
                    return
                content, begun = body(k), time.perf_counter()
                if content is None:
                    status = declared()
                else:
                    upload = {"file": ("clip.wav", content)}
                    words = {"text": "Excuse me, do you have it?"}
                    answer = http.post(f"{URL}/v1/predict", files=upload, data=words)
                    status = answer.status_code
                with lock:
                    seconds.append(time.perf_counter() - begun)
                    statuses[status] += 1

    threads = [threading.Thread(target=client) for _ in range(clients)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seconds, statuses, time.perf_counter() - begun


def memory(server: int) -> float:
    """Resident memory of a process and its children, in MB."""
    found = subprocess.run(
        ["ps", "-o", "rss=", "--pid", str(server), "--ppid", str(server)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return sum(map(int, found.stdout.split())) / 1024


if __name__ == "__main__":
    main()
