"""A paper's table with one process and with two, and what the start of a fold run costs.

    emohop demo demo
    python benchmarks/grid.py demo/prepared

First 5 fold runs of one epoch in one process: the first brings the imports along, the others find
them there. Then `table-2020` under `small` (8 rows, 5 session folds, 1 seed: 40 fold runs) as a
whole program, with one process and with two in turns. Last, `emohop report` of those fold runs.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FOLD_RUNS = """
import sys
from emohop.recipes import make_recipe
from emohop.training.run import train
settings = ["training.max_epochs=1", "model.name=amh"]
train(sys.argv[1], sys.argv[2], make_recipe("small", settings),
      ended=lambda outcome: print(f"{outcome.seconds:.2f}"))
"""


def timed(*command: str) -> float:
    """The seconds of a program that ends well."""
    begun = time.perf_counter()
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, capture_output=True, env=environment)
    return time.perf_counter() - begun


def tables(prepared: Path, folder: Path, rounds: int) -> None:
    """A Markdown table of wall times by processes."""
    emohop = [sys.executable, "-m", "emohop"]
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for number in range(rounds):
        for jobs in (2, 1):
            out = str(folder / f"table-{number}-{jobs}")
            options = ["--recipe", "table-2020", "--override", "small", "--jobs", str(jobs)]
            seconds[jobs].append(timed(*emohop, "train", str(prepared), out, *options))
    print("| processes | median | all |\n|---|---|---|")
    for jobs, taken in seconds.items():
        each = ", ".join(f"{value:.0f}" for value in taken)
        print(f"| {jobs} | {statistics.median(taken):.0f} s | {each} |")
    ratios = [one / two for one, two in zip(seconds[1], seconds[2], strict=True)]
    print(f"\ntwo processes: {statistics.median(ratios):.2f} times as fast")
    page = str(folder / "page.html")
    report = timed(*emohop, "report", out, page, "--prepared", str(prepared))
    print(f"report of 40 fold runs: {report:.1f} s")


def starts(prepared: Path, folder: Path) -> None:
    """What a fold run of one epoch takes, the first and the others."""
    done = subprocess.run(
        [sys.executable, "-c", FOLD_RUNS, str(prepared), str(folder / "starts")],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    first, *others = map(float, done.stdout.split())
    print(
        f"first fold run, imports included: {first:.1f} s; "
        f"others: {statistics.median(others):.1f} s"
    )


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("prepared", type=Path)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        starts(options.prepared, Path(folder))
        tables(options.prepared, Path(folder), options.rounds)


if __name__ == "__main__":
    main()
