"""benchmarks/serve.py at a tiny size."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from tests.features.tiny import waveform

SCRIPT = Path(__file__).parents[2] / "benchmarks/serve.py"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--rounds", "1", "--requests", "4", "--against", sys.executable], "this / other"),
        (["--kills", "--requests", "60", "--every", "1"], "strange: none; 500: 0.00%"),
        (["--slow", "--requests", "20", "--crowd", "0.02"], "beside 25 slow clients: {200: 20}"),
    ],
)
def test_it_measures(words: list[str], said: str, model: Path, tmp_path: Path) -> None:
    pytest.importorskip("psutil")
    soundfile.write(tmp_path / "clip.wav", waveform(0.7), 16_000)
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(model), str(tmp_path / "clip.wav"), *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert said in done.stdout
