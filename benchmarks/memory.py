"""Memory of a training run on the release's arrays, and the time from its start to its first step.

    python make_release_arrays.py --out ARRAYS --n-train 4000 --n-dev 128 --n-test 512
    emohop import-arrays ARRAYS PREPARED
    python benchmarks/memory.py PREPARED

Trains one round of a recipe in a process of one thread, `--repeat` times, and prints the peak of
its resident memory (mapped pages counted) and the seconds until its first step was done, the start
of Python included.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STARTED = "EMOHOP_BENCHMARK_STARTED"


def child(prepared: Path, recipe: str, settings: list[str]) -> None:
    """Train one round and print what was seen."""
    from emohop.recipes import make_recipe
    from emohop.training.lightning_module import Learner
    from emohop.training.run import train

    started, first_step = float(os.environ[STARTED]), 0.0
    begin = Learner.on_train_batch_start

    def watch(self: Learner, batch: object, batch_idx: int) -> None:
        nonlocal first_step
        if batch_idx == 1:
            first_step = time.time() - started
        begin(self, batch, batch_idx)

    Learner.on_train_batch_start = watch  # type: ignore[method-assign]
    overrides = {"training.max_epochs": 1, "seeds": [0], "folds": [0]}
    with tempfile.TemporaryDirectory() as folder:
        train(prepared, Path(folder) / "run", make_recipe(recipe, settings, overrides))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(peak, first_step)


def main() -> None:
    """Run children one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("prepared", type=Path)
    parser.add_argument("--recipe", default="published-amh")
    parser.add_argument("--set", action="append", default=[], help="a setting, as key=value")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.prepared, options.recipe, options.set)
        return
    peaks, starts = [], []
    for _ in range(options.repeat):
        environment = {**os.environ, "OMP_NUM_THREADS": "1", STARTED: str(time.time())}
        command = [sys.executable, __file__, *sys.argv[1:], "--child"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        peak, start = map(float, done.stdout.split())
        peaks.append(peak)
        starts.append(start)
    print(f"{options.recipe}, {options.repeat} runs")
    print(f"peak of resident memory: {max(peaks):.0f} MiB at most")
    print(
        f"start to first step: median {statistics.median(starts):.1f} s, {min(starts):.1f} fastest"
    )


if __name__ == "__main__":
    main()
