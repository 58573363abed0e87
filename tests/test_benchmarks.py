"""Benchmarks start, and the training step runs at a tiny size."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_each_starts(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(path), "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout


def test_a_training_step() -> None:
    words = ["--threads", "1", "--rounds", "1", "--clips", "2"]
    done = subprocess.run(
        [sys.executable, str(FOLDER / "train_step.py"), *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for name in ("plain", "ours, reset after", "ours, reset before", "packed (one step)"):
        assert f"| {name} |" in done.stdout
    (plain,) = (line for line in done.stdout.splitlines() if line.startswith("| plain |"))
    assert float(plain.split("|")[-2].removesuffix("s ")) > 0  # its matrix products
