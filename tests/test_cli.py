"""The command line: exit statuses, one line of error, the tables."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import emohop
from emohop.cli import FAILED, app
from tests.prepared import write_prepared

COMMANDS = ("demo", "synthesize", "check", "prepare", "train", "evaluate")


def run(*words: object, status: int = 0) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == status, result.output
    return result.output


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_prepared(tmp_path_factory.mktemp("data") / "prepared")


def test_version_and_help() -> None:
    assert run("--version").strip() == emohop.__version__
    text = run("--help")
    assert all(command in text for command in COMMANDS)
    for command in COMMANDS:
        assert "Usage" in run(command, "--help")


def test_train_and_evaluate(prepared: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    quick = ["--recipe", "demo", "--set", "training.max_epochs=2", "--jobs", 1]
    words = ["train", prepared, out, "--model", "amh", "--hops", 2]
    text = run(*words, "--modalities", "audio,text", "--fold", "0,2", "--seeds", "0", *quick)
    assert "amh-2 audio+text" in text
    assert "balanced accuracy (UA)" in text
    assert "epoch   2/2" in text
    again = run("train", prepared, out, "--jobs", 1)  # the run's own recipe is taken up
    assert "epoch" not in again
    model = out / "fold-0/seed-0/model"
    blocks = json.loads(run("evaluate", model, prepared, "--json"))
    assert blocks == json.loads((out / "fold-0/seed-0/metrics.json").read_text())
    assert "accuracy (WA)" in run("evaluate", model, prepared)
    both = run("train", prepared, out, "--fold", "all", "--jobs", 1)
    assert both.count("epoch   1/2") == 1  # only the fold that was left


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "NOWHERE", "OUT"], "no manifest.json in"),
        (["train", "PREPARED", "OUT", "--model", "rnn"], "model.name"),
        (["train", "PREPARED", "OUT", "--hops", "0"], "model.hops"),
        (["train", "PREPARED", "OUT", "--modalities", "audio"], "amh needs two modalities or more"),
        (["train", "PREPARED", "OUT", "--seeds", "a"], "--seeds 'a': write numbers"),
        (["train", "PREPARED", "OUT", "--fold", "9"], "no fold 9"),
        (["train", "PREPARED", "OUT", "--recipe", "none"], "no recipe 'none'"),
        (["train", "PREPARED", "OUT", "--set", "modl.hops=1"], "did you mean"),
        (["train", "PREPARED", "OUT", "--protocol", "guess"], "protocol"),
        (["evaluate", "NOWHERE", "PREPARED"], "is not a model folder"),
        (["check", "iemocap", "NOWHERE"], "NOWHERE"),
        (["check", "iemocup", "NOWHERE"], "did you mean iemocap"),
        (["prepare", "iemocap", "NOWHERE", "OUT"], "NOWHERE"),
    ],
)
def test_bad_input_is_one_line(
    prepared: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    names = {"PREPARED": prepared, "OUT": tmp_path / "out", "NOWHERE": tmp_path / "NOWHERE"}
    result = CliRunner().invoke(app, [str(names.get(word, word)) for word in words])
    assert result.exit_code == FAILED
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert message in lines[0]
    assert not (tmp_path / "out").exists()


def test_a_read_only_folder_is_one_line(prepared: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    result = CliRunner().invoke(app, ["train", str(prepared), str(file / "run")])
    assert result.exit_code == FAILED
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.strip().splitlines()) == 1
