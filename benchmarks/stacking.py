"""Frame stacking: what `model.audio.stack_frames` does to a step's time and to the scores.

    emohop demo demo
    python benchmarks/stacking.py demo/prepared

Prints the time of a training step of AMH-7 at the published sizes, one thread, with and without
stacking, taking turns; then the scores of the demo recipe's AMH-3 on the synthetic corpus, trained
with either (five session folds, `--seeds` seeds, everything else equal).
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

import torch

from emohop.evaluation.run_files import RunResults
from emohop.models import build
from emohop.recipes import make_recipe
from emohop.reports.terminal.console import show
from emohop.reports.terminal.tables import comparison_table
from emohop.training.run import train
from train_step import SIZES, Contestant, cpu_clock, draw_batch, take_turns


def step_times(stacks: list[int], rounds: int) -> None:
    """A Markdown table."""
    torch.set_num_threads(1)
    contestants = []
    for stack in stacks:
        torch.manual_seed(0)
        settings = make_recipe("default", [f"model.audio.stack_frames={stack}"]).model
        contestants.append(Contestant(f"stack {stack}", build(settings, SIZES)))
    seconds = take_turns(contestants, draw_batch(128), rounds, cpu_clock)
    print("| audio frames per step | median | fastest |\n|---|---|---|")
    for stack, contestant in zip(stacks, contestants, strict=True):
        taken = seconds[contestant.name]
        print(f"| {stack} | {statistics.median(taken):.3f} s | {min(taken):.3f} s |")


def scores(prepared: Path, stacks: list[int], seeds: int, jobs: int) -> None:
    """A table of runs that differ in stacking alone."""
    results: list[RunResults] = []
    with tempfile.TemporaryDirectory() as folder:
        for stack in stacks:
            changes = {"model.audio.stack_frames": stack, "seeds": list(range(seeds))}
            recipe = make_recipe("demo", (), changes)
            run = train(prepared, Path(folder) / str(stack), recipe, jobs=jobs)
            results.append(run.model_copy(update={"model": f"{run.model}, stack {stack}"}))
    show(comparison_table(results))


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("prepared", type=Path)
    parser.add_argument("--stacks", default="1,4,10")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    stacks = [int(number) for number in options.stacks.split(",")]
    step_times(stacks, options.rounds)
    scores(options.prepared, stacks, options.seeds, options.jobs)


if __name__ == "__main__":
    main()
