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
from emohop.training.run import train
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
    assert list(predictions.id) == other.metadata("id")
    assert predictions.metrics()["accuracy"] > 0.4  # chance is 0.33


def test_the_folder_can_be_moved(model: Path, tmp_path: Path) -> None:
    other = open_prepared(write_prepared(tmp_path / "other", clips=30, seed=1))
    here = emohop.load(model).evaluate(other)
    moved = Path(shutil.copytree(model, tmp_path / "moved"))
    files = {"learned.safetensors", "weights.safetensors", "model.json"}
    assert {path.name for path in moved.iterdir()} == files
    assert (emohop.load(moved).evaluate(other).probabilities == here.probabilities).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": ["ang", "sad", "hap"]}, "has the classes ang sad hap, the model ang hap sad"),
        (
            {"audio": "mfcc39"},
            "prepared with audio.encoder = mfcc39, the model was fitted on mfcc120",
        ),
        (
            {"audio": {"encoder": "mfcc120", "pool": 2}},
            "prepared with audio.pool = 2, the model was fitted on 1",
        ),
        (
            {"video": {"encoder": "hog", "frames_per_second": 25}},
            "prepared with video.frames_per_second = 25.0, the model was fitted on 3.0",
        ),
        ({"audio": None, "text": None, "video": None}, "holds nothing, the model takes audio"),
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
    return lambda config: config.pop(key)


def _put(key: str, value: object) -> Callable[[dict[str, Any]], None]:
    def change(config: dict[str, Any]) -> None:
        *path, last = key.split(".")
        for part in path:
            config = config[part]
        config[last] = value

    return change


def _twice(config: dict[str, Any]) -> None:
    config["preprocessor"]["vocabulary"][2] = config["preprocessor"]["vocabulary"][3]


def _newer(config: dict[str, Any]) -> None:
    config["version"] = 99


def _wider(config: dict[str, Any]) -> None:
    config["model"]["audio"]["hidden"] = 49


def _unknown(config: dict[str, Any]) -> None:
    config["model"]["name"] = "os.system"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_drop("preprocessor"), r"is damaged \(preprocessor: field required\)"),
        (_drop("model"), r"is damaged \(model: field required\)"),
        (_drop("version"), r"is damaged \(it has no version\)"),
        (_newer, "version 99, this emohop reads version 4"),
        (_wider, "does not hold this model's weights"),
        (_unknown, r"model\.json: model\.name: unknown model 'os\.system'"),
        (
            _put("preprocessor.sizes.classes", 4),
            r"preprocessor: .*labels are 3 names, sizes\.classes is 4",
        ),
        (_put("preprocessor.sizes.classes", "3"), r"preprocessor\.sizes\.classes: "),
        (_put("preprocessor.sizes.classes", 2**31), r"preprocessor\.sizes\.classes: "),
        (_put("preprocessor.sizes.clases", 3), r"preprocessor\.sizes\.clases: "),
        (_put("preprocessor.sizes.layers", {"audio": 1}), r"preprocessor\.sizes\.layers\.audio: "),
        (_put("preprocessor.labels", ["ang", "hap", "ang"]), "labels names a class twice"),
        (_put("preprocessor.labels", ["ang", "hap", 3]), r"preprocessor\.labels\.2: "),
        (
            _put("preprocessor.max_length", {"audio": 9}),
            "max_length and sizes.steps are not of the same",
        ),
        (_put("preprocessor.max_length.audio", 0), r"preprocessor\.max_length\.audio: "),
        (
            _put("preprocessor.vocabulary", ["_PAD_", "_UNK_"]),
            r"vocabulary has 2 words, sizes\.steps",
        ),
        (_twice, r"preprocessor\.vocabulary: the vocabulary holds '\w+' twice"),
        (
            _put("preprocessor.features.audio.layer", "5th"),
            "preprocessor.features: .*audio.layer = '5th'",
        ),
        (_put("preprocessor.normalisation.kind", "mine"), r"preprocessor\.normalisation\.kind: "),
        (
            _put("preprocessor.normalisation.overall.audio.std", [1.0] * 5),
            "normalisation of audio is",
        ),
        (_put("preprocessor.normalisation.overall.audio.std", [0.0]), r"overall\.audio\.std\.0: "),
        (
            _put("preprocessor.normalisation.overall.audio.std", [1e-60]),
            r"overall\.audio\.std\.0: ",
        ),
        (
            _put("preprocessor.normalisation.overall.audio.mean", [1e300]),
            r"overall\.audio\.mean\.0: ",
        ),
        (_put("preprocessor.normalisation.overall", {}), "normalisation has no audio"),
        (
            _put("model.modalities", ["audio", "text"]),
            "model does not read the modalities of pre",
        ),
        (_put("calibration.temperature", 0), r"calibration\.temperature: "),
        (_put("recipe.protocl", "session"), "recipe: .*unknown setting 'protocl'"),
        (_put("recipe.per_fold", {"0": {"seeds": [1]}}), "recipe: .*per_fold 0: seeds is not of"),
        (_put("fold", -1), r"\(fold: "),
        (_put("mood", 1), r"\(mood: extra inputs"),
    ],
)
def test_a_damaged_config(
    model: Path, tmp_path: Path, damage: Callable[[dict[str, Any]], None], message: str
) -> None:
    copy = Path(shutil.copytree(model, tmp_path / "copy"))
    config = json.loads((copy / "model.json").read_text())
    damage(config)
    (copy / "model.json").write_text(json.dumps(config))
    with pytest.raises(EmohopError, match=message) as caught:
        emohop.load(copy)
    assert "\n" not in str(caught.value)
    assert str(copy) in str(caught.value)


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
