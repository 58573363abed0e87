"""How fast a corpus is prepared, where the time goes, and what the result costs to keep and read.

    emohop synthesize synthetic --clips 240
    python benchmarks/prepare.py synthetic [--image-model FOLDER] [--parts rates,whole,…]

`rates` times the stages of one process on the corpus's own clips, in turns, beside librosa and
python_speech_features where these are installed. `whole` runs `emohop prepare` as a program, with
one process and with two in turns, and reads the memory of its processes. `memory` prepares 1, 4
and 16 times as many clips. `storage` writes 100,000 clips of 4 s (18 GB, of random numbers) below
--folder and reads them back.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from emohop import corpora
from emohop.clips import Clip, LabelSet
from emohop.config import FeatureSettings
from emohop.errors import MediaError
from emohop.features.audio import mfcc120, resample
from emohop.features.images import load_image_encoder
from emohop.features.prosody import prosody
from emohop.features.video import crops_of
from emohop.media import probe, read_audio
from emohop.storage import open_prepared
from emohop.storage.manifest import Manifest, Shard, fingerprint, write_manifest
from emohop.storage.shards import write_shard

ROUNDS = 5
PARTS = ("rates", "whole", "memory", "storage")
LARGE = 100_000


def median_seconds(jobs: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The median time of each job, all of them in turns."""
    taken: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds + 1):
        for name, job in jobs.items():
            begun = time.perf_counter()
            job()
            taken[name].append(time.perf_counter() - begun)
    return {name: statistics.median(seconds[1:]) for name, seconds in taken.items()}


def rates(corpus: str, source: Path, image_model: str | None) -> None:
    """Seconds of media per second, by stage, in this process."""
    clips = [clip for clip in corpora.read(corpus, source) if clip.audio is not None][:200]
    waveforms = [read_audio(clip.audio)[:2] for clip in clips if clip.audio is not None]
    at_48 = [(resample(samples, rate, 48_000), 48_000) for samples, rate in waveforms]
    seconds = sum(len(samples) / rate for samples, rate in waveforms)
    jobs: dict[str, Callable[[], object]] = {
        "read audio": lambda: [read_audio(clip.audio) for clip in clips if clip.audio],
        "resample 48 kHz to 16 kHz": lambda: [resample(s, r, 16_000) for s, r in at_48],
        "mfcc120": lambda: [mfcc120(*waveform) for waveform in waveforms],
        "prosody (openSMILE)": lambda: [prosody(*waveform) for waveform in waveforms],
    }
    if importlib.util.find_spec("python_speech_features"):
        from python_speech_features import delta, mfcc

        def psf(samples: Any, rate: int) -> Any:
            base = mfcc(samples, rate, numcep=40, nfilt=40, nfft=512)
            first = delta(base, 2)
            return delta(first, 2)

        jobs["python_speech_features, 40 + deltas"] = lambda: [psf(*s) for s in waveforms]
    if importlib.util.find_spec("librosa"):
        import librosa

        def peer(samples: Any, rate: int) -> Any:
            base = librosa.feature.mfcc(
                y=samples, sr=rate, n_mfcc=40, n_mels=40, n_fft=512, win_length=400, hop_length=160
            )
            librosa.feature.delta(base, width=5, mode="nearest")
            return librosa.feature.delta(base, width=5, order=2, mode="nearest")

        jobs["librosa, 40 + deltas"] = lambda: [peer(*waveform) for waveform in waveforms]
    print(f"\n{len(waveforms)} clips, {seconds:.0f} s of audio\n")
    print("| stage, one process | seconds of audio per second |\n|---|---|")
    for name, taken in median_seconds(jobs, ROUNDS).items():
        print(f"| {name} | {seconds / taken:,.0f} |")

    videos: dict[Path, list[Any]] = {}
    for clip in clips:
        if clip.video is not None:
            videos.setdefault(clip.video.path, []).append(clip.video)
    spans = list(videos.values())[:4]
    if not spans:
        return
    found = [one for video in spans for _, one in crops_of(video, 3.0)]
    crops = [one.frames for one in found if not isinstance(one, MediaError)]
    frames = sum(map(len, crops))
    spoken = sum(span.end - span.start for video in spans for span in video)
    encoders = {"hog": "hog", **({Path(image_model).name: image_model} if image_model else {})}
    jobs = {"decode, crop at 3 fps": lambda: [list(crops_of(video, 3.0)) for video in spans]}
    for name, where in encoders.items():
        model = load_image_encoder(where)
        jobs[name] = lambda model=model: [model(crop) for crop in crops[:20]]  # type: ignore[misc]
    few = sum(map(len, crops[:20]))
    print(
        "\n| stage, one process | frames per second | seconds of video per second |\n|---|---|---|"
    )
    for name, taken in median_seconds(jobs, 3).items():
        count, lasting = (frames, spoken) if name.startswith("decode") else (few, few / 3)
        print(f"| {name} | {count / taken:,.0f} | {lasting / taken:,.0f} |")


class Watch(threading.Thread):
    """The largest resident memory of any process below a program, in MB."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.largest, self.over = pid, 0.0, False

    def run(self) -> None:
        """Look twenty times a second."""
        while not self.over:
            for process in self._family():
                try:
                    lines = (Path("/proc") / str(process) / "status").read_text().splitlines()
                except OSError:
                    continue
                for line in lines:
                    if line.startswith("VmHWM"):
                        self.largest = max(self.largest, int(line.split()[1]) / 1024)
            time.sleep(0.05)

    def _family(self) -> list[int]:
        found, waiting = [self.pid], [self.pid]
        while waiting:
            path = Path("/proc") / str(waiting.pop()) / "task"
            for task in path.glob("*/children"):
                try:
                    children = [int(child) for child in task.read_text().split()]
                except OSError:
                    continue
                found += children
                waiting += children
        return found


def prepared(
    corpus: str, source: Path, out: Path, jobs: int, options: Sequence[str]
) -> tuple[float, float]:
    """Seconds and the largest process's MB of `emohop prepare` as a whole program."""
    words = [sys.executable, "-m", "emohop", "prepare", corpus, str(source), str(out)]
    begun = time.perf_counter()
    process = subprocess.Popen(
        [*words, "--jobs", str(jobs), *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    watch = Watch(process.pid)
    watch.start()
    _, errors = process.communicate()
    watch.over = True
    if process.returncode not in (0, 3):
        sys.exit(errors.decode())
    return time.perf_counter() - begun, watch.largest


def whole(corpus: str, source: Path, image_model: str | None, folder: Path, rounds: int) -> None:
    """Hours of media an hour of `emohop prepare`, by features and processes."""
    clips = corpora.read(corpus, source)
    sets = {
        "audio": ["--text", "none", "--video", "none", "--no-prosody"],
        "audio + prosody + text": ["--video", "none"],
    }
    if all(clip.video is not None for clip in clips):
        sets["audio + prosody + text + hog"] = ["--video", "hog"]
        if image_model:
            name = Path(image_model).name
            sets[f"audio + prosody + text + {name}"] = ["--video", image_model]
    seconds = sum(probe(clip.audio.path).duration for clip in clips if clip.audio is not None)
    print(f"\n{seconds:.0f} s of speech, whole programs, start of Python included\n")
    print("| features | 1 process | 2 processes | times as fast | MB a process, at most |")
    print("|---|---|---|---|---|")
    for name, options in sets.items():
        taken: dict[int, list[float]] = {1: [], 2: []}
        largest = 0.0
        for number in range(rounds):
            for jobs in (1, 2):
                out = folder / f"{len(name)}-{number}-{jobs}"
                wall, memory = prepared(corpus, source, out, jobs, options)
                taken[jobs].append(wall)
                largest = max(largest, memory)
        one, two = (statistics.median(taken[jobs]) for jobs in (1, 2))
        print(
            f"| {name} | {seconds / one:,.0f} h an hour | {seconds / two:,.0f} | {one / two:.2f} "
            f"| {largest:.0f} |"
        )


def memory(corpus: str, source: Path, folder: Path) -> None:
    """The largest process for 1, 4 and 16 times as many clips of the same files."""
    clips = [c for c in corpora.read(corpus, source) if c.audio is not None and c.label][:400]
    print("\n| clips | MB, one process | MB, two processes | seconds |\n|---|---|---|---|")
    options = ["--text", "none", "--video", "none", "--no-prosody", "--allow-outside"]
    for times in (1, 4, 16):
        table = folder / f"times-{times}.csv"
        lines = ["id,path,label"]
        for copy in range(times):
            lines += [
                f"{copy}-{c.id},{c.audio.path.absolute()},{c.label}" for c in clips if c.audio
            ]
        table.write_text("\n".join(lines) + "\n")
        measured = [
            prepared("folder", table, folder / f"times-{times}-{jobs}", jobs, options)
            for jobs in (1, 2)
        ]
        print(
            f"| {times * len(clips):,} | {measured[0][1]:.0f} | {measured[1][1]:.0f} "
            f"| {measured[0][0]:.0f} and {measured[1][0]:.0f} |"
        )


READ = """
import json, resource, sys, time
begun = time.perf_counter()
from emohop.storage import open_prepared
imported = time.perf_counter()
def resident():
    lines = open("/proc/self/smaps_rollup").read()
    return int(lines.split("Rss:")[1].split()[0]) / 1024
before = resident()
corpus = open_prepared(sys.argv[1])
first = corpus[0]
opened, held = time.perf_counter() - imported, resident() - before
import numpy as np
near = min(len(corpus), int(sys.argv[2]))
rows = [int(i) for i in np.random.default_rng(0).integers(0, near, 20_000)]
def rate(touch):
    begun = time.perf_counter()
    for i in rows:
        audio = corpus[i].audio
        if touch:
            audio[::8].max()  # every page
    return len(rows) / (time.perf_counter() - begun)
for row in range(near):
    corpus[row].audio.max()  # into the system's cache
views, touched = [], []
for _ in range(5):
    views.append(rate(False))
    touched.append(rate(True))
begun, size = time.perf_counter(), 0
for row in corpus:
    row.audio[::8].max()
    size += row.audio.nbytes
swept = size / (time.perf_counter() - begun) / 1e9
print(json.dumps([opened, held, sorted(views)[2], sorted(touched)[2], swept, resident() - before]))
"""


def storage(folder: Path) -> None:
    """100,000 clips of 4 s: opening, reading at random and one by one, bytes beside the release."""
    labels = LabelSet("made", ("a", "b"))
    audio = np.random.default_rng(0).normal(size=(398, 120)).astype(np.float32)
    padded = 750 * 120 * 4 + 8  # a clip of the release: its frames padded, its length
    print("\n| numbers | bytes a clip | of the release's | open, first row | MB | rows a second: "
          "views | every page read | in order | MB after |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|")
    for precision in ("float32", "float16"):
        features = FeatureSettings.model_validate(
            {"prosody": False, "text": None, "video": None, "precision": precision}
        )
        out = folder / precision
        (out / "shards").mkdir(parents=True)
        shards, per = [], LARGE // 512
        for number, first in enumerate(range(0, LARGE, per)):
            rows = [
                (Clip(f"clip-{i:06d}", label="ab"[i % 2], speaker=f"s{i % 500}", end=4.0),
                 {"audio": audio})
                for i in range(first, min(LARGE, first + per))
            ]  # fmt: skip
            path = out / "shards" / f"{number:05d}.arrow"
            note = write_shard(path, rows, labels, features, {"audio": 120})
            shards.append(Shard(file=path.name, clips=len(rows), sha256=note.sha256))
        counts = {"a": LARGE // 2, "b": LARGE // 2}
        write_manifest(
            out,
            Manifest(
                corpus="made",
                class_set="made",
                labels=labels.labels,
                features=features,
                sizes={"audio": 120},
                label_counts=counts,
                dropped={},
                problems=0,
                shards=tuple(shards),
                fingerprint=fingerprint({}, shards),
            ),
        )
        size = sum(path.stat().st_size for path in out.rglob("*.*")) / LARGE
        line = subprocess.run(
            [sys.executable, "-c", READ, str(out), "10000"],
            check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
        opened, held, views, touched, swept, after = json.loads(line)
        assert len(open_prepared(out)) == LARGE
        print(f"| {precision} | {size:,.0f} | {size / padded:.0%} | {opened:.2f} s | {held:.0f} "
              f"| {views:,.0f} | {touched:,.0f} | {swept:.2f} GB/s | {after:.0f} |")  # fmt: skip
        for path in out.rglob("*.arrow"):
            path.unlink()


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("--corpus", default="iemocap")
    parser.add_argument("--image-model")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--folder", type=Path, help="Where to write; a temporary folder else.")
    asked = parser.parse_args()
    parts = asked.parts.split(",")
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        folder = Path(name)
        if "rates" in parts:
            rates(asked.corpus, asked.source, asked.image_model)
        if "whole" in parts:
            whole(asked.corpus, asked.source, asked.image_model, folder, asked.rounds)
        if "memory" in parts:
            memory(asked.corpus, asked.source, folder)
        if "storage" in parts:
            storage(folder)


if __name__ == "__main__":
    main()
