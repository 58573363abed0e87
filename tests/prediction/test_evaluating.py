"""A model from its folder alone: other corpora, and folders that are damaged."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import emohop
from emohop.errors import EmohopError
from emohop.recipes import make_recipe
from emohop.storage import open_prepared
from emohop.training.crossval import train
from tests.prepared import write_prepared


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    recipe = make_recipe("demo", ["training.max_epochs=4", "folds=[0]"])
    train(write_prepared(folder / "prepared"), folder / "run", recipe)
    return folder / "run/fold-0/seed-0/model"


def test_another_corpus_is_all_test(model: Path, tmp_path: Path) -> None:
    other = open_prepared(write_prepared(tmp_path / "other", clips=30, seed=1))
    predictions = emohop.load(model).evaluate(other)
    assert set(predictions.split) == {"test"}
    assert list(predictions.id) == other.facts("id")
    assert predictions.metrics()["accuracy"] > 0.4  # chance is 0.33


def test_the_folder_can_be_moved(model: Path, tmp_path: Path) -> None:
    other = open_prepared(write_prepared(tmp_path / "other", clips=30, seed=1))
    here = emohop.load(model).evaluate(other)
    moved = Path(shutil.copytree(model, tmp_path / "moved"))
    assert {path.name for path in moved.iterdir()} == {"weights.safetensors", "model.json"}
    assert (emohop.load(moved).evaluate(other).probabilities == here.probabilities).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": ["ang", "sad", "hap"]}, "has the classes ang sad hap, the model ang hap sad"),
        ({"audio": "mfcc39"}, "prepared with audio = mfcc39, the model was fitted on mfcc120"),
        ({"audio": None, "text": None, "video": None}, "holds nothing, the model looks at audio"),
    ],
)
def test_a_corpus_that_does_not_fit(
    model: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    folder = write_prepared(tmp_path / "other")
    manifest = json.loads((folder / "manifest.json").read_text())
    features = {k: v for k, v in change.items() if k != "labels"}
    manifest["features"].update(features)
    manifest["labels"] = change.get("labels", manifest["labels"])
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(EmohopError, match=message):
        emohop.load(model).evaluate(open_prepared(folder))


def _drop(key: str) -> Callable[[dict[str, Any]], None]:
    return lambda card: card.pop(key)


def _newer(card: dict[str, Any]) -> None:
    card["format"] = 99


def _wider(card: dict[str, Any]) -> None:
    card["model"]["audio"]["hidden"] = 49


def _unknown(card: dict[str, Any]) -> None:
    card["model"]["name"] = "os.system"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_drop("inputs"), "is damaged"),
        (_drop("model"), "is damaged"),
        (_drop("format"), "is damaged"),
        (_newer, "model format 99, this emohop reads format 3"),
        (_wider, "does not hold this model's weights"),
        (_unknown, r"setting name = 'os\.system'"),
    ],
)
def test_a_damaged_card(
    model: Path, tmp_path: Path, damage: Callable[[dict[str, Any]], None], message: str
) -> None:
    copy = Path(shutil.copytree(model, tmp_path / "copy"))
    card = json.loads((copy / "model.json").read_text())
    damage(card)
    (copy / "model.json").write_text(json.dumps(card))
    with pytest.raises(EmohopError, match=message) as caught:
        emohop.load(copy)
    assert "\n" not in str(caught.value)


def test_damaged_weights(model: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(model, tmp_path / "copy"))
    weights = copy / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(EmohopError, match="does not hold this model's weights"):
        emohop.load(copy)
    weights.unlink()
    with pytest.raises(EmohopError, match=r"has no weights\.safetensors"):
        emohop.load(copy)
    with pytest.raises(EmohopError, match="is not a model folder"):
        emohop.load(tmp_path)
