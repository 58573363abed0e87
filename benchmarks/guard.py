"""What it costs to know which clips of a corpus a model has learned from.

    python benchmarks/guard.py

Writes a prepared corpus of `--clips` clips (one number of audio each, so that nothing but names and
hashes weighs), and a model's file of their hashes by a fold of 60, 20 and 20 parts. Then, in a
process of its own that has read the clips' labels, the time and the memory of finding out: the
corpus's hashes, the model's file, which clip is what.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from emohop.clips import Clip, LabelSet
from emohop.config import FeatureSettings
from emohop.learned import LEARNED, LearnedClips, LearnedFile
from emohop.storage import open_prepared
from emohop.storage.manifest import Manifest, Shard, fingerprint, write_manifest
from emohop.storage.shards import write_shard

LABELS = LabelSet("two", ("angry", "calm"))
FEATURES = FeatureSettings(text=None, video=None, prosody=False)
SHARD = 256
TOLD = "learned.json"


def make(folder: Path, clips: int) -> None:
    """Write the corpus and the model's file beside it."""
    (folder / "shards").mkdir(parents=True)
    shards = []
    for first in range(0, clips, SHARD):
        rows = []
        for n in range(first, min(first + SHARD, clips)):
            clip = Clip(f"Ses01F_impro{n:08d}", LABELS.labels[n % 2], f"speaker {n // 300}")
            rows.append((clip, {"audio": np.array([[n + 1, 0.0]], np.float32)}))
        path = folder / "shards" / f"{first // SHARD:05d}.arrow"
        note = write_shard(path, rows, LABELS, FEATURES, {"audio": 2})
        shards.append(Shard(file=path.name, clips=len(rows), sha256=note.sha256))
    write_manifest(
        folder,
        Manifest(
            corpus="made",
            class_set=LABELS.name,
            labels=LABELS.labels,
            features=FEATURES,
            sizes={"audio": 2},
            label_counts={},
            dropped={},
            problems=0,
            shards=tuple(shards),
            fingerprint=fingerprint({}, shards),
        ),
    )
    rows = np.random.default_rng(0).permutation(clips).tolist()
    parts = [rows[: clips * 3 // 5], rows[clips * 3 // 5 : clips * 4 // 5], rows[clips * 4 // 5 :]]
    learned = LearnedClips.of(open_prepared(folder).hashes(), parts)
    data = learned.to_bytes()
    (folder / LEARNED).write_bytes(data)
    (folder / TOLD).write_text(learned.described(data).model_dump_json())


def peak() -> float:
    """The most megabytes that this program has held; `getrusage` counts its parent's, too."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def find(folder: Path) -> None:
    """Print seconds and megabytes of memory that it took, and what was found."""
    corpus = open_prepared(folder)
    corpus.metadata("label")  # which opens every shard, as any scoring does
    held = peak()
    begun = time.perf_counter()
    told = LearnedFile.model_validate_json((folder / TOLD).read_text())
    learned = LearnedClips.from_bytes((folder / LEARNED).read_bytes(), told)
    found = learned.find(corpus.hashes())
    seconds = time.perf_counter() - begun
    print(seconds, peak() - held, *np.bincount(found, minlength=4).tolist())


def main() -> None:
    """Print the medians of several processes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--find", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.find is not None:
        find(asked.find)
        return
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder) / "corpus", asked.clips)
        command = [sys.executable, __file__, "--find", str(Path(folder) / "corpus")]
        lines = []
        for _ in range(asked.rounds):
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            lines.append([float(word) for word in done.stdout.split()])
        size = (Path(folder) / "corpus" / LEARNED).stat().st_size
    seconds, megabytes = (statistics.median(line[k] for line in lines) for k in (0, 1))
    print(
        "| clips | seconds | MB of memory | MB of file | train, dev, test |\n|---|---|---|---|---|"
    )
    parts = ", ".join(f"{number:.0f}" for number in lines[0][3:6])
    print(f"| {asked.clips} | {seconds:.2f} | {megabytes:.0f} | {size / 1e6:.1f} | {parts} |")


if __name__ == "__main__":
    main()
