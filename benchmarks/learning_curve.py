"""Does `published-amh` learn as the original does? Its first 24 steps beside the original's.

    python make_release_arrays.py --out ARRAYS          # 1,000 / 128 / 128 clips, seed 20191200
    python benchmarks/learning_curve.py ARRAYS          # or what import-arrays made of it

The original's numbers are five unseeded runs of its release on that folder
(tests/golden/learning_curve.json): the loss of each training batch with dropout, and dev's
weighted precision, macro precision and summed loss after every third step. Ours are the mean over
five seeds. Exit status 1 when ours is outside the original's lowest and highest at step 24.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from emohop.recipes import make_recipe
from emohop.release_arrays import import_arrays
from emohop.storage.manifest import MANIFEST
from emohop.training.run import train

ORIGINAL = Path(__file__).parents[1] / "tests" / "golden" / "learning_curve.json"
STEPS, ROUND, DEV_CLIPS = 24, 3, 128
COLUMNS = ("train_loss", "dev_precision_weighted", "dev_precision_macro", "dev_loss")


def original() -> NDArray[np.float64]:
    """Runs of the original, [runs, rounds, columns]; losses are means."""
    curve = json.loads(ORIGINAL.read_text("utf-8"))
    losses = np.array(curve["train_loss"]).reshape(len(curve["runs"]), -1, ROUND).mean(2)
    dev = np.array([curve["dev"][str(step)] for step in range(ROUND, STEPS + 1, ROUND)])
    dev = dev.transpose(1, 0, 2) / (1, 1, DEV_CLIPS)
    return np.concatenate([losses[..., None], dev], axis=2)


def ours(arrays: Path, seeds: list[int], jobs: int, settings: list[str]) -> NDArray[np.float64]:
    """Runs of ours in the same form."""
    changes = {"training.max_steps": STEPS, "seeds": seeds}
    recipe = make_recipe("published-amh", settings, changes)
    with tempfile.TemporaryDirectory() as folder:
        prepared, out = arrays, Path(folder) / "run"
        if not (arrays / MANIFEST).exists():
            prepared = Path(folder) / "prepared"
            import_arrays(arrays, prepared)
        train(prepared, out, recipe, jobs=jobs)
        runs = []
        for seed in seeds:
            with (out / "fold-0" / f"seed-{seed}" / "history.csv").open(encoding="utf-8") as file:
                lines = list(csv.DictReader(file))
            runs.append([[float(line[name]) for name in COLUMNS] for line in lines])
    return np.array(runs)


def main() -> int:
    """Print both curves."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("arrays", type=Path, help="the folder that make_release_arrays.py wrote")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--set", action="append", default=[], help="a setting, as key=value")
    options = parser.parse_args()
    torch.set_num_threads(1)
    theirs = original()
    mean = ours(options.arrays, list(range(options.seeds)), options.jobs, options.set).mean(0)
    low, high = theirs.min(0), theirs.max(0)
    print("| step | " + " | ".join(f"{name}: ours | original" for name in COLUMNS) + " |")
    print("|---|" + "---|---|" * len(COLUMNS))
    for number, line in enumerate(mean):
        cells = [
            f"{value:.3f} | {low[number, k]:.3f} to {high[number, k]:.3f}"
            for k, value in enumerate(line)
        ]
        print(f"| {(number + 1) * ROUND} | {' | '.join(cells)} |")
    inside = (low[-1] <= mean[-1]) & (mean[-1] <= high[-1])
    outside = [name for name, good in zip(COLUMNS, inside, strict=True) if not good]
    print(f"outside at step {STEPS}: {', '.join(outside) or 'none'}")
    return int(bool(outside))


if __name__ == "__main__":
    raise SystemExit(main())
