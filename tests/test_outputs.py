"""Where a command is to write is looked at before it works, and results come before files."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from emohop.cli import app, outputs
from emohop.errors import EmohopError
from emohop.explanation.results import ExplanationResults, Uniform, UniformScore

COMMANDS = {
    "evaluate --degrade": ["evaluate", "MODEL", "PREPARED", "--degrade", "missing:audio", "--out"],
    "explain --out": ["explain", "MODEL", "PREPARED", "--out"],
    "explain --figure": ["explain", "MODEL", "PREPARED", "--figure"],
    "compare --out": ["compare", "RUN", "--format", "csv", "--out"],
    "predict --figure": ["predict", "MODEL", "FILE", "--figure"],
}
FOLDERS = {
    "report --figures": ["report", "RUN", "PAGE", "--figures", "BLOCKED"],
    "export": ["export", "MODEL", "BLOCKED"],
    "tune": ["tune", "PREPARED", "BLOCKED"],
    "finetune": ["finetune", "folder", "SOURCE", "BLOCKED", "--text", "minilm"],
    "import-arrays": ["import-arrays", "SOURCE", "BLOCKED"],
    "export-arrays": ["export-arrays", "PREPARED", "BLOCKED"],
}


def error_of(words: list[str], tmp_path: Path) -> str:
    """The only line that a command says; nothing of what it names is there to work with."""
    (tmp_path / "taken").write_text("mine")
    places = {"PAGE": tmp_path / "page.html", "BLOCKED": tmp_path / "taken/deep"}
    done = CliRunner().invoke(app, [str(places.get(word, word)) for word in words])
    assert done.exit_code == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize(
    ("place", "said"),
    [("{}/none/file.svg", "there is no folder"), ("{}/folder.svg", "is a folder: give a file")],
)
def test_a_file_that_cannot_be_written(name: str, place: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "folder.svg").mkdir()
    line = error_of([*COMMANDS[name], place.format(tmp_path)], tmp_path)
    assert said in line
    assert name.rsplit(maxsplit=1)[-1].replace("--degrade", "--out") in line


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_that_cannot_be_made(name: str, tmp_path: Path) -> None:
    line = error_of(FOLDERS[name], tmp_path)
    assert "taken is a file, not a folder" in line


def test_what_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(EmohopError, match=r"--out .*x cannot be written: choose another place"):
        outputs.check_output_file(tmp_path / "x", "--out")
    with pytest.raises(EmohopError, match=r"OUT .*x cannot be written: .* is closed to you"):
        outputs.check_output_folder(tmp_path / "x", "OUT")
    outputs.check_output_file(None, "--out")
    outputs.check_output_folder(None, "OUT")


def test_results_come_before_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fills up while the file is written takes nothing of what was found along."""
    score = UniformScore(trained=0.5, uniform=0.5, change=0, interval_95=None)
    same = Uniform(accuracy=score, balanced_accuracy=score, agreement=1, distance=0)
    found = ExplanationResults(
        model="amh", fold_runs=1, clips=1, speakers=1, draws=1, seed=0, shares=(), deletion=(),
        uniform=same, agreement=(), entropy=(),
    )  # fmt: skip
    monkeypatch.setattr("emohop.explanation.explain", lambda *_, **__: found)
    monkeypatch.setattr("emohop.storage.open_prepared", lambda _: None)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ExplanationResults, "write", full)
    words = ["explain", "MODEL", "PREPARED", "--json", "--out", str(tmp_path / "out.json")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 1
    assert '"deletion"' in done.stdout
    assert "No space left on device" in done.stderr
