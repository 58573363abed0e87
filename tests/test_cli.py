"""The command line: exit statuses, one line of error, the tables."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import emohop
from emohop.cli import FAILED, INCOMPLETE, app
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
    stored = json.loads((out / "fold-0/seed-0/metrics.json").read_text())
    assert blocks.pop("reservations") == []
    assert {"version": 1, **blocks} == stored
    assert "accuracy (WA)" in run("evaluate", model, prepared)
    both = run("train", prepared, out, "--fold", "all", "--jobs", 1)
    assert both.count("epoch   1/2") == 1  # only the fold that was left


def test_lists_make_an_experiment(prepared: Path, tmp_path: Path) -> None:
    out = tmp_path / "table"
    quick = ["--recipe", "demo", "--set", "training.max_epochs=1", "--jobs", "1", "--fold", "0"]
    words = ["--model", "amh,mha,tre", "--modalities", "audio+text,audio+text+video"]
    text = run("train", prepared, out, *words, *quick)
    assert "left out: mha is between two modalities" in text
    names = {"amh-3_audio+text", "amh-3_audio+text+video", "mha-3_audio+text", "tre_text"}
    assert {path.name for path in out.iterdir() if path.is_dir()} == names
    assert "4 of 4 fold runs done" in text
    assert "95 % interval over speakers" in text
    more = run("train", prepared, out, "--fold", "0,1", "--jobs", 1)
    assert more.count(" done; ") == 4
    assert "8 of 8 fold runs done" in more
    words = ["--model", "are,tre", "--jobs", "1"]
    result = CliRunner().invoke(app, ["train", str(prepared), str(out), *words])
    assert result.exit_code == FAILED
    assert "name its --recipe again to add rows" in result.stderr


def test_a_failed_unit_has_a_status_of_its_own(prepared: Path, tmp_path: Path) -> None:
    wild = ["--set", "training.gradient_clip=0", "--set", "training.learning_rate=1e30"]
    words = ["--recipe", "demo", "--model", "are", "--fold", "0,1", "--jobs", 1, *wild]
    text = run("train", prepared, tmp_path / "run", *words, status=INCOMPLETE)
    assert "2 of 2 fold runs failed, the others are kept; run/fold-0/seed-0: training div" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "NOWHERE", "OUT"], "no manifest.json in"),
        (["train", "PREPARED", "OUT", "--model", "rnn"], "model.name"),
        (["train", "PREPARED", "OUT", "--hops", "0"], "model.hops"),
        (["train", "PREPARED", "OUT", "--hops", "1,x"], "model.hops"),
        (["train", "PREPARED", "OUT", "--engine", "spark"], "no engine 'spark'"),
        (["train", "PREPARED", "OUT", "--override", "tiny"], "no recipe 'tiny'"),
        (["train", "PREPARED", "OUT", "--protocol", "script"], "have no note whether they"),
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


def test_a_reader_that_has_enough() -> None:
    command = [sys.executable, "-m", "emohop", "corpora"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1
