"""A trained model as an exported folder: every command answers as before."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import emohop
from emohop.cli import FAILED, app
from emohop.corpora import read
from emohop.errors import EmohopError
from emohop.exporting import export, export_model
from emohop.files import csv_text
from emohop.learned import LEARNED
from emohop.model_config import MODEL_CONFIG
from emohop.models.folder import GRAPH, WEIGHTS
from emohop.robustness import RobustnessResults
from emohop.robustness.asr import file_of
from emohop.storage import open_prepared
from tests.features.tiny import waveform
from tests.prediction.conftest import SAID, films, model, prepared  # noqa: F401  (fixtures)

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def exported(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    out = tmp_path_factory.mktemp("exported") / "new" / "model"
    done = export(model, out)
    assert done.clips >= 50
    assert (done.others, done.size) == (0, (out / GRAPH).stat().st_size)
    assert done.difference < 1e-5
    return out


def test_a_folder_holds_the_graph_and_the_config(exported: Path, model: Path) -> None:  # noqa: F811
    assert sorted(path.name for path in exported.iterdir()) == [LEARNED, MODEL_CONFIG, GRAPH]
    before, after = (
        json.loads((folder / MODEL_CONFIG).read_text()) for folder in (model, exported)
    )
    assert after.pop("exported")["int8"] is False
    assert before.pop("exported") is None
    assert after == before
    told = onnxruntime.InferenceSession(exported / GRAPH).get_modelmeta().custom_metadata_map
    assert told["labels"].split() == before["preprocessor"]["labels"]
    assert float(told["temperature"]) == before["calibration"]["temperature"]


def test_it_answers_as_the_model_does(
    exported: Path,
    model: Path,  # noqa: F811
    films: Path,  # noqa: F811
    prepared: Path,  # noqa: F811
) -> None:
    ours, theirs = emohop.load(model), emohop.load(exported)
    corpus = open_prepared(prepared)
    expected, found = ours.evaluate(corpus), theirs.evaluate(corpus)
    assert (found.id, found.split) == (expected.id, expected.split)
    np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-5)
    for source, text in ((films.parent / "1.mp4", SAID[1]), (None, SAID[0])):
        one, other = ours(source, text), theirs(source, text)
        assert list(one.probabilities.values()) == pytest.approx(
            list(other.probabilities.values()), abs=1e-5
        )
        for here, there in zip(one.attention, other.attention, strict=True):
            assert (here.target, here.words) == (there.target, there.words)
            assert here.weights == pytest.approx(there.weights, abs=1e-5)


def test_it_follows_a_stream(exported: Path) -> None:
    predictor, heard = emohop.load(exported), waveform(1.2, seed=1)
    stream = predictor.stream("No way!")
    first, last = stream.add(heard)[-1], stream.finish()[-1]
    assert (first.final, last.final) == (False, True)
    whole = predictor(heard, "No way!")
    assert last.prediction.probabilities == pytest.approx(whole.probabilities, abs=1e-5)


def test_the_example_without_emohop(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (DOCS / "exporting.md").read_text("utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.S)
    monkeypatch.chdir(exported)
    names: dict[str, object] = {}
    exec(code, names)
    chances = names["chances"]
    assert isinstance(chances, dict)
    assert chances.keys() == {"angry", "calm"}
    assert sum(chances.values()) == pytest.approx(1)


def test_the_command(model: Path, prepared: Path, tmp_path: Path) -> None:  # noqa: F811
    out = tmp_path / "small"
    done = CliRunner().invoke(app, ["export", str(model), str(out), "--int8"])
    assert done.exit_code == 0, done.output
    assert re.search(r"small: model\.onnx, \d\.\d MB\n", done.output)
    assert re.search(
        r"no probability differs from PyTorch's by more than \S+, \d+ labels differ", done.output
    )
    assert f"emohop evaluate {out} PREPARED" in done.output
    assert json.loads((out / MODEL_CONFIG).read_text())["exported"]["int8"] is True
    again = CliRunner().invoke(app, ["export", str(model), str(out)])
    assert again.exit_code == 0, again.output
    assert json.loads((out / MODEL_CONFIG).read_text())["exported"]["int8"] is False
    judged = CliRunner().invoke(app, ["evaluate", str(out), str(prepared)])
    assert judged.exit_code == 0, judged.output


def test_it_is_judged_without_a_modality_as_the_model_is(
    exported: Path,
    model: Path,  # noqa: F811
    prepared: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    found: list[dict[str, Any]] = []
    for folder in (model, exported):
        kept = tmp_path / f"{len(found)}.json"
        words = ["evaluate", str(folder), str(prepared), "--degrade", "missing:video"]
        done = CliRunner().invoke(app, [*words, "--out", str(kept)])
        assert done.exit_code == 0, done.output
        conditions = RobustnessResults.read(kept).conditions
        found.append({entry.name: entry.metrics for entry in conditions})
    ours, theirs = found
    assert "missing:video" in ours
    assert theirs == {name: pytest.approx(scores, abs=1e-4) for name, scores in ours.items()}


def test_every_command_takes_an_exported_model(
    exported: Path,
    model: Path,  # noqa: F811
    films: Path,  # noqa: F811
    prepared: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    film = str(films.parent / "1.mp4")
    heard = tmp_path / "heard.csv"
    said = [(clip.id, "mine", file_of(clip), clip.transcript) for clip in read("folder", films)]
    heard.write_text(csv_text(("id", "recogniser", "file", "heard"), said))
    damage = ["--degrade", "missing:audio,words:0.5,noise:10", "--source", str(films)]
    asr = ["--asr", "mine", "--source", str(films), "--out", str(heard)]
    calls: dict[str, list[list[str]]] = {
        "predict": [[film, "--text", SAID[1], "--figure", str(tmp_path / "clip.svg")]],
        "evaluate": [[str(prepared), *more, "--jobs", "1"] for more in ([], damage, asr)],
        "serve": [["--port", "0"]],
    }
    refused = {"explain": [str(prepared)], "export": [str(tmp_path / "again")]}
    with_model = {
        command.callback.__name__
        for command in app.registered_commands
        if command.callback is not None
        and "model folder" in str(command.callback.__annotations__.get("model"))
    }
    assert with_model == calls.keys() | refused.keys()
    pytest.importorskip("fastapi")
    answers = []

    def ask_once(server: Any) -> None:
        from starlette.testclient import TestClient

        server.started = True
        with TestClient(server.config.app, "http://localhost") as client:
            answers.append(client.post("/v1/predict", data={"text": SAID[0]}).json())

    monkeypatch.setattr("uvicorn.Server.run", ask_once)
    for name, variants in calls.items():
        for words in variants:
            for folder in (exported, model):
                done = CliRunner().invoke(app, [name, str(folder), *words])
                assert done.exit_code == 0, (name, words, done.output)
    theirs, ours = [answer["predictions"][0]["probabilities"] for answer in answers]
    assert theirs == pytest.approx(ours, abs=1e-5)
    for name, words in refused.items():
        done = CliRunner().invoke(app, [name, str(exported), *words])
        assert done.exit_code == FAILED
        assert "that it was made from" in done.output


def test_attention_is_not_checked_by_gradients_that_are_not_there(
    exported: Path,
    prepared: Path,  # noqa: F811
) -> None:
    done = CliRunner().invoke(app, ["explain", str(exported), str(prepared)])
    assert done.exit_code == 1
    assert "no gradients" in done.output


def test_where_it_does_not_go(model: Path, exported: Path, tmp_path: Path) -> None:  # noqa: F811
    before = (model / WEIGHTS).read_bytes()
    with pytest.raises(EmohopError, match=rf"holds {WEIGHTS}: give a new or empty folder"):
        export(model, model)
    with pytest.raises(EmohopError, match="exported already"):
        export(exported, tmp_path / "out")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(EmohopError, match="is a file"):
        export(model, tmp_path / "file")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]
    assert (model / WEIGHTS).read_bytes() == before


def test_a_graph_that_answers_otherwise_is_not_written(
    model: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(export_model, "TOLERANCE", 0.0)
    with pytest.raises(EmohopError, match="nothing was written"):
        export(model, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_damaged_graph_is_one_line(exported: Path, tmp_path: Path) -> None:
    broken = tmp_path / "model"
    shutil.copytree(exported, broken)
    (broken / GRAPH).write_bytes((exported / GRAPH).read_bytes()[:1000])
    done = CliRunner().invoke(app, ["predict", str(broken), "--text", "Well."])
    assert done.exit_code == 1
    (line,) = done.output.splitlines()
    assert line.startswith("error: ")
    assert f"{GRAPH} does not hold this model" in line
