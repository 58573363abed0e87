"""Training on imported arrays: the corpus's own parts, its own word vectors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from typer.testing import CliRunner

import emohop
from emohop.cli import app
from emohop.config import Recipe
from emohop.errors import EmohopError
from emohop.evaluation.results import read_predictions
from emohop.models import build
from emohop.preprocessor import Preprocessor
from emohop.recipes import make_recipe
from emohop.storage import PreparedCorpus, open_prepared
from emohop.training.fitting import _start_from_glove
from emohop.training.run import train
from tests.release_arrays.folder import CLIPS, VECTOR, WORDS, write_folder


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> PreparedCorpus:
    folder = tmp_path_factory.mktemp("way")
    write_folder(folder / "arrays")
    result = CliRunner().invoke(
        app, ["import-arrays", str(folder / "arrays"), str(folder / "imported")]
    )
    assert result.exit_code == 0, result.output
    assert "81 clips of iemocap-7 (ang 12" in result.output
    assert f"text of {WORDS} words, vectors of {VECTOR} numbers" in result.output
    return open_prepared(folder / "imported")


def recipe(*settings: str) -> Recipe:
    own = [f"model.text.embedding={VECTOR}", "training.max_epochs=1", "model.audio.hidden=8"]
    return make_recipe("demo", [*own, *settings])


def test_a_run_on_the_corpus_s_own_parts(imported: PreparedCorpus, tmp_path: Path) -> None:
    out = tmp_path / "run"
    results = train(imported.folder, out, recipe())
    assert (results.protocol, results.folds) == ("official", (0,))
    assert results.fold_runs[0].test["n"] == CLIPS["test"]
    assert results.interval_95["accuracy"] is None  # nobody knows who speaks
    assert yaml.safe_load((out / "recipe.yaml").read_text())["protocol"] == "official"
    model = out / "fold-0/seed-0/model"
    assert json.loads((model / "model.json").read_text())["recipe"]["protocol"] == "official"
    predictions = read_predictions(model.parent / "predictions.parquet")
    for split in ("dev", "test"):
        ids = [f"{split}-{i:05d}" for i in range(CLIPS[split])]
        assert list(predictions.part(split).id) == ids
    again = emohop.load(model).evaluate(imported)
    assert np.array_equal(again.probabilities, predictions.probabilities)
    train(imported.folder, out, recipe("protocol=official"))  # the same experiment
    with pytest.raises(EmohopError, match="protocol session: 81 of 81 clips have no session"):
        train(imported.folder, tmp_path / "other", recipe("protocol=session"))
    assert not (tmp_path / "other").exists()


def start(corpus: PreparedCorpus, settings: Recipe) -> tuple[Preprocessor, torch.Tensor]:
    """The word vectors that training would start from."""
    inputs = Preprocessor.fit(corpus, range(CLIPS["train"]), settings)
    torch.manual_seed(0)
    network = build(settings.model, inputs.sizes)
    _start_from_glove(network, inputs, settings, corpus)
    return inputs, network.get_parameter("encoders.encoders.text.steps.embedding.weight").detach()


def test_word_vectors_start_as_the_corpus_has_them(imported: PreparedCorpus) -> None:
    assert imported.word_vectors is not None
    _, weight = start(imported, recipe())
    assert np.array_equal(weight.numpy(), imported.word_vectors[1])
    assert not weight[0].any()


def test_a_limited_vocabulary_keeps_its_words_vectors(imported: PreparedCorpus) -> None:
    assert imported.word_vectors is not None
    words, matrix = imported.word_vectors
    inputs, weight = start(imported, recipe("training.vocabulary=3"))
    assert inputs.vocabulary is not None
    for row, word in zip(weight.numpy(), inputs.vocabulary.tokens, strict=True):
        assert np.array_equal(row, matrix[words.index(word)])


def test_random_word_vectors(imported: PreparedCorpus) -> None:
    """The ablation: what the network itself drew."""
    settings = recipe("model.text.glove=random")
    inputs, weight = start(imported, settings)
    torch.manual_seed(0)
    fresh = build(settings.model, inputs.sizes)
    assert torch.equal(weight, fresh.get_parameter("encoders.encoders.text.steps.embedding.weight"))


def test_a_file_goes_before_the_corpus_s_own(imported: PreparedCorpus, tmp_path: Path) -> None:
    (tmp_path / "glove.txt").write_text("w5 1 2 3 4\nother 5 6 7 8\n")
    inputs, weight = start(imported, recipe(f"model.text.glove={tmp_path / 'glove.txt'}"))
    assert inputs.vocabulary is not None
    assert weight[inputs.vocabulary.tokens.index("w5")].tolist() == [1, 2, 3, 4]


def test_the_commands(imported: PreparedCorpus, tmp_path: Path) -> None:
    out = tmp_path / "exported"
    result = CliRunner().invoke(app, ["export-arrays", str(imported.folder), str(out)])
    assert result.exit_code == 0, result.output
    assert "train 70, dev 5, test 6 clips; fold 0 tests test" in result.output
    assert "labels: 0 ang, 1 exc, 2 hap, 3 sad, 4 fru, 5 sur, 6 neu" in result.output
    result = CliRunner().invoke(app, ["export-arrays", str(imported.folder), str(out)])
    assert result.exit_code == 1
    assert "is not empty: choose a new folder" in result.output
    again = ["import-arrays", str(imported.folder.parent / "arrays"), str(imported.folder)]
    assert "nothing to do" in CliRunner().invoke(app, again).output
    result = CliRunner().invoke(app, [*again, "--labels", "a, b"])
    assert result.exit_code == 1
    assert "--labels names 2 classes, 0..1" in result.output
