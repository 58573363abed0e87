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


def ran(name: str, *words: str) -> list[list[str]]:
    """The cells of the tables that a benchmark prints."""
    done = subprocess.run(
        [sys.executable, str(FOLDER / name), *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [line.split("|")[1:-1] for line in done.stdout.splitlines() if line.startswith("|")]


def test_intervals_over_speakers() -> None:
    lines = ran("intervals.py", "--runs", "2", "--speakers", "3", "--jobs", "1")
    assert [len(line) for line in lines] == [6] * 5 + [3] * 3
    assert all(0 <= float(cell) <= 1 for line in lines[2:5] for cell in line[2:])


def test_finding_learned_clips() -> None:
    (*_, line) = ran("guard.py", "--clips", "50", "--rounds", "1")
    assert line[4].strip() == "30, 10, 10"
