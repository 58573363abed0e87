"""Films of three speakers with audio and words, and a model that was trained on them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import emohop
from emohop.config import FeatureSettings
from emohop.prediction import Predictor
from emohop.preparation import prepare
from emohop.recipes import make_recipe
from emohop.training.run import train
from tests.features.tiny import waveform
from tests.media.making import write_video

SAID = ("Excuse me, can't you see?", "No way!", "What a day.")
FILMS = 18


def film(path: Path, number: int) -> Path:
    """A video of a second or so; its brightness and its pitch tell one class from the other."""
    seconds = 0.9 + 0.05 * (number % 5)
    shade = 60 if number % 2 else 180
    rng = np.random.default_rng(number)
    noise = rng.integers(0, 30, (round(10 * seconds), 120, 160, 3))
    frames = [(shade + frame).astype(np.uint8) for frame in noise]
    tone = waveform(seconds, seed=number % 2)
    tone += 0.01 * rng.normal(size=len(tone)).astype(np.float32)  # no two are one recording
    return write_video(path, frames, Fraction(10), waveform=tone)


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The table of a corpus of videos."""
    root = tmp_path_factory.mktemp("films")
    lines = ["path,id,label,speaker,transcript"]
    for number in range(FILMS):
        film(root / f"{number}.mp4", number)
        label, speaker = ("angry", "calm")[number % 2], "abc"[number // 6]
        lines.append(f'{number}.mp4,f{number:02d},{label},{speaker},"{SAID[number % 3]}"')
    (root / "films.csv").write_text("\n".join(lines) + "\n")
    return root / "films.csv"


@pytest.fixture(scope="session")
def prepared(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("prepared") / "films"
    prepare("folder", films, out, features=FeatureSettings(video="hog", prosody=False))
    return out


@pytest.fixture(scope="session")
def model(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """amh with 4 hops over audio, text and video."""
    run = tmp_path_factory.mktemp("run") / "run"
    small = ["model.hops=4", "model.audio.hidden=6", "model.text.hidden=6", "model.video.hidden=6"]
    more = [
        "model.audio.stack_frames=4",
        "model.text.embedding=6",
        "training.max_epochs=2",
        "folds=[0]",
    ]
    train(prepared, run, make_recipe("default", [*small, *more]))
    return run / "fold-0/seed-0/model"


@pytest.fixture(scope="session")
def predictor(model: Path) -> Predictor:
    return emohop.load(model)
