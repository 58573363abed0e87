"""A long, damaged MP3: how fast and in how much memory `emohop predict` reads it.

python benchmarks/long_recording.py MODEL [--minutes 180] [--holes 200]

Synthetic speech (extra `demo`) with pauses becomes an MP3 without a Xing header, in which random
bytes take the place of up to 3000 others at each hole. MODEL is a model folder. A process of its
own predicts it, in one thread; its time and the most memory that it held are printed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emohop.synthetic.speech import NEUTRAL, VOICES, Synthesiser

RATE = 16_000
SENTENCES = ("I told you a hundred times that I never want to hear of it.", "Where is it now?")
PAUSE_SECONDS = 1.5
LARGEST_HOLE = 3000


def speech(minutes: float) -> Iterator[NDArray[np.float32]]:
    """Synthetic speech and pauses, a sentence after the other, [samples] at 16 kHz."""
    pause = np.zeros(round(PAUSE_SECONDS * RATE))
    with Synthesiser() as synthesiser:
        said = [
            np.concatenate([synthesiser.say(words, voice, NEUTRAL), pause]).astype(np.float32)
            for words in SENTENCES
            for voice in VOICES.values()
        ]
    done = k = 0
    while done < minutes * 60 * RATE:
        yield said[k % len(said)]
        done, k = done + len(said[k % len(said)]), k + 1


def write_mp3(path: Path, minutes: float) -> None:
    """The speech as MP3 whose length FFmpeg has to guess."""
    import av

    with av.open(str(path), "w", options={"write_xing": "0", "id3v2_version": "0"}) as out:
        stream: Any = out.add_stream("libmp3lame", rate=RATE)
        stream.bit_rate = 64_000
        at = 0
        for samples in speech(minutes):
            frame: Any = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
            frame.sample_rate, frame.pts, at = RATE, at, at + len(samples)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def damage(path: Path, holes: int) -> None:
    """Put random bytes in the place of others."""
    rng = np.random.default_rng(0)
    data = bytearray(path.read_bytes())
    for _ in range(holes):
        size = int(rng.integers(50, LARGEST_HOLE))
        at = int(rng.integers(0, max(1, len(data) - size)))
        data[at : at + size] = rng.integers(0, 256, size, np.uint8).tobytes()
    path.write_bytes(data)


def main() -> None:
    """Make it, predict it, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--minutes", type=float, default=180.0)
    parser.add_argument("--holes", type=int, default=200)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "long.mp3", Path(folder) / "rows.jsonl"
        write_mp3(path, given.minutes)
        damage(path, given.holes)
        begun = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "emohop", "predict", given.model, path, "--out", out],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begun
        if status:
            sys.exit(f"emohop predict ended with {os.waitstatus_to_exitcode(status)}")
        clips = len(out.read_text("utf-8").splitlines())
    speed = given.minutes * 60 / seconds
    print("| minutes | damaged places | clips | seconds | times real time | most memory, MB |")
    print("|---:|---:|---:|---:|---:|---:|")
    cells = [given.minutes, given.holes, clips, seconds, speed, used.ru_maxrss / 1024]
    print("| " + " | ".join(f"{cell:.0f}" for cell in cells) + " |")


if __name__ == "__main__":
    main()
