"""docs/extending.md is a package: installed, it trains, exports and serves."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

PAGE = (Path(__file__).parents[1] / "docs/extending.md").read_text("utf-8")
SERVE = """
import sys
from starlette.testclient import TestClient
from emohop.config import ServingSettings
from emohop.serving.api import create_app

if __name__ == "__main__":
    with TestClient(create_app(sys.argv[1], ServingSettings())) as client:
        with open(sys.argv[2], "rb") as file:
            print(client.post("/v1/predict", files={"file": ("a.wav", file)}).text)
"""


def blocks() -> dict[str, str]:
    """The files of the page, by name."""
    found = re.findall(r"```python\n# (emohop_example/\w+\.py)\n(.*?)```", PAGE, re.S)
    return dict(found)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip has installed the page's package."""
    folder = tmp_path_factory.mktemp("extending")
    points = re.findall(r'\[project\.entry-points\."(.+?)"\]\n(.*?)\n(?:\n|```)', PAGE, re.S)
    lines = "\n\n".join(f"[{group}]\n{body.replace(chr(34), '')}" for group, body in points)
    wheel, info = folder / "emohop_example-1-py3-none-any.whl", "emohop_example-1.dist-info"
    files = {
        **blocks(),
        "emohop_example/__init__.py": "",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: emohop-example\nVersion: 1\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"{lines}\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index"]
    target = ["--target", str(folder / "site"), str(wheel)]
    subprocess.run([*pip, *target], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def takes(installed: Path) -> Path:
    """A corpus of the page's own kind: loud takes are angry."""
    folder, rng = installed / "takes", np.random.default_rng(0)
    folder.mkdir()
    for speaker in "abcd":
        for number in range(8):
            label = ("angry", "happy")[number % 2]
            waveform = rng.normal(size=8000) * (0.3 if label == "angry" else 0.03)
            path = folder / f"{speaker}_{label}_{number}.wav"
            soundfile.write(path, waveform.clip(-1, 1), 16_000)
    return folder


def emohop(*words: str | Path, site: Path | None) -> subprocess.CompletedProcess[str]:
    """The command, with or without the package."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    if site is not None:
        environment["PYTHONPATH"] = str(site)
    call = [sys.executable, "-m", "emohop", *map(str, words)]
    return subprocess.run(call, capture_output=True, text=True, check=False, env=environment)


@pytest.fixture(scope="module")
def run(installed: Path, takes: Path) -> Path:
    """A run of the page's model on the page's features of the page's corpus."""
    site, prepared = installed / "site", installed / "prepared"
    words = ["--audio", "loudness", "--text", "none", "--video", "none", "--no-prosody"]
    done = emohop("prepare", "takes", takes, prepared, *words, "--jobs", "1", site=site)
    assert done.returncode == 0, done.stderr
    options = ["--model", "conv", "--modalities", "audio", "--set", "model.extra.kernel=5"]
    quick = ["--fold", "0", "--set", "training.max_epochs=8", "--set", "model.width=8"]
    quick += ["--set", "training.learning_rate=0.02", "--jobs", "1"]
    done = emohop("train", prepared, installed / "run", *options, *quick, site=site)
    assert done.returncode == 0, done.stderr
    return installed / "run"


def test_it_is_listed_and_trained(installed: Path, run: Path) -> None:
    site = installed / "site"
    for words, name in (
        (["models"], "conv"),
        (["features"], "loudness"),
        (["corpora"], "takes"),
        (["train", "--help"], "conv"),
    ):
        shown = emohop(*words, site=site)
        assert name in shown.stdout, shown.stderr
        assert name not in emohop(*words, site=None).stdout
    results = json.loads((run / "results.json").read_text())
    assert results["model"] == "conv audio"
    assert results["pooled"]["accuracy"] == 1.0  # loudness tells these takes apart
    config = json.loads((run / "fold-0/seed-0/model/model.json").read_text())
    assert config["model"]["extra"] == {"kernel": 5}
    said = emohop(
        "train", installed / "prepared", installed / "other", "--model", "conv", "--modalities",
        "audio", "--set", "model.extra.kernle=5", site=site,
    )  # fmt: skip
    assert said.returncode == 1
    assert "unknown setting model.extra.kernle: conv has model.extra.kernel" in said.stderr


def test_it_is_evaluated_exported_and_predicts(installed: Path, run: Path, takes: Path) -> None:
    pytest.importorskip("onnxruntime")
    site, model, exported = installed / "site", run / "fold-0/seed-0/model", installed / "exported"
    clip = takes / "a_angry_0.wav"
    done = emohop("export", model, exported, site=site)
    assert done.returncode == 0, done.stderr
    scores = []
    for one in (model, exported):
        done = emohop("evaluate", one, installed / "prepared", "--json", site=site)
        assert done.returncode == 0, done.stderr
        scores.append(json.loads(done.stdout))
        said = emohop("predict", one, clip, "--json", site=site)
        assert said.returncode == 0, said.stderr
        assert json.loads(said.stdout)["label"] == "angry"
    trained, graph = (one["test"] for one in scores)
    assert graph["n"] == trained["n"] == 8
    assert graph == pytest.approx(trained, abs=1e-4)


def test_it_is_served(installed: Path, run: Path, takes: Path) -> None:
    pytest.importorskip("fastapi")
    script = installed / "serve.py"
    script.write_text(SERVE)
    words = [str(script), str(run / "fold-0/seed-0/model"), str(takes / "b_angry_2.wav")]
    done = subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(installed / "site")},
    )
    assert json.loads(done.stdout)["predictions"][0]["label"] == "angry"


def test_without_it_one_line_says_what_is_missing(installed: Path, run: Path, takes: Path) -> None:
    model = run / "fold-0/seed-0/model"
    calls: list[list[str | Path]] = [
        ["evaluate", model, installed / "prepared"],
        ["predict", model, takes / "a_angry_0.wav"],
        ["report", run, installed / "page.html"],
    ]
    for words in calls:
        done = emohop(*words, site=None)
        assert done.returncode == 1
        assert len(done.stderr.strip().splitlines()) == 1
        assert "unknown model 'conv'" in done.stderr
        assert "--plugin MODULE" in done.stderr


def test_a_file_of_ones_own(tmp_path: Path, installed: Path, run: Path, takes: Path) -> None:
    """`--plugin FILE.py`, and the same for the processes of a run."""
    del run
    for name, kind in (("model", "MODELS"), ("features", "FEATURES")):
        text = blocks()[f"emohop_example/{name}.py"]
        (tmp_path / f"my_{name}.py").write_text(f"{text}\nemohop.{kind}.add(SPEC)\n")
    plugins = [
        part for n in ("model", "features") for part in ("--plugin", tmp_path / f"my_{n}.py")
    ]
    options = ["--model", "conv", "--modalities", "audio", "--set", "training.max_epochs=1"]
    done = emohop(
        "train", installed / "prepared", tmp_path / "run", *options, *plugins, "--jobs", "2",
        site=None,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    model = tmp_path / "run/fold-0/seed-0/model"
    said = emohop("predict", model, takes / "a_angry_0.wav", *plugins, site=None)
    assert said.returncode == 0, said.stderr
    (tmp_path / "broken.py").write_text("1 / 0\n")
    done = emohop("models", "--plugin", tmp_path / "broken.py", site=None)
    assert done.returncode == 1
    assert "cannot be imported: ZeroDivisionError" in done.stderr
