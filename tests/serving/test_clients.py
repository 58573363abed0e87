"""The clients in docs/serving.md, as they stand there."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile

from emohop.config import ServingSettings
from tests.features.tiny import waveform
from tests.serving.running import serve

PAGE = Path(__file__).parents[2] / "docs/serving.md"
ADDRESS = "http://127.0.0.1:8000/"
NODE = shutil.which("node")


@pytest.fixture(scope="module")
def address(model: Path) -> Iterator[str]:
    yield from serve(model, ServingSettings(max_queue=4))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    soundfile.write(tmp_path / "clip.wav", waveform(1.7), 16_000)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def documented(language: str, word: str) -> str:
    """The client that is written in a language and holds a word."""
    found = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    (code,) = (one for one in found if word in one)
    assert ADDRESS in code
    return str(code)


def check(said: str) -> None:
    """It printed the emotion and the probabilities of one clip."""
    (line,) = said.splitlines()
    label, _, probabilities = line.partition(" ")
    assert label in ("angry", "calm")
    assert {"angry", "calm"} <= set(re.findall(r"[a-z]+", probabilities))


@pytest.mark.usefixtures("folder")
def test_in_python(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(documented("python", "httpx").replace(ADDRESS, address), {})  # our own page
    check(capsys.readouterr().out)


@pytest.mark.skipif(NODE is None, reason="no Node on this machine")
def test_in_javascript(address: str, folder: Path) -> None:
    assert NODE is not None
    version = subprocess.run([NODE, "--version"], capture_output=True, text=True, check=True)
    if int(version.stdout.lstrip("v").partition(".")[0]) < 20:
        pytest.skip("Node is older than 20")
    code = documented("javascript", "fetch").replace(ADDRESS, address)
    (folder / "client.mjs").write_text(code)
    done = subprocess.run(
        [NODE, "client.mjs"], cwd=folder, capture_output=True, text=True, timeout=60, check=True
    )
    check(" ".join(done.stdout.split()))
    (folder / "clip.wav").write_text("no audio")
    done = subprocess.run(
        [NODE, "client.mjs"], cwd=folder, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.startswith("clip.wav: ")
