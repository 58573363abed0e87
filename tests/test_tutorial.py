"""The commands of docs/experiments.md run one after another, on less and for one epoch."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from emohop.cli import app

TUTORIAL = Path(__file__).parents[1] / "docs" / "experiments.md"
LESS = {
    "synthesize": ["--clips", "100"],
    "prepare": [],
    "train": ["--set", "training.max_epochs=1", "--fold", "0,3"],
    "compare": [],
    "evaluate": [],
    "report": [],
}


def commands(block: int) -> list[list[str]]:
    """The lines of a console block of the page, in words."""
    text = TUTORIAL.read_text("utf-8").split("```console\n")[block].split("```")[0]
    return [shlex.split(line) for line in text.splitlines()]


def test_six_commands_lead_to_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = commands(1)
    assert [line[1] for line in lines] == list(LESS)
    for program, command, *words in lines:
        assert program == "emohop"
        few = ["noise:10,video:blur:4,missing:audio" if w == "standard" else w for w in words]
        jobs = ["--jobs", "1"] if command in ("synthesize", "prepare", "train", "evaluate") else []
        result = CliRunner().invoke(app, [command, *few, *LESS[command], *jobs])
        assert result.exit_code == 0, result.output
    page = (tmp_path / "page.html").read_text("utf-8")
    for title in ("Scores", "Robustness", "Where each hop looks", "AMH A+T+V"):
        assert title in page
    assert len([path for path in (tmp_path / "table").iterdir() if path.is_dir()]) == 8


def test_the_grid_of_the_tutorial_is_one(tmp_path: Path) -> None:
    from emohop.cli.options import asked_for
    from emohop.training.experiment import Experiment

    ((_, _, _, _, *words),) = commands(2)
    options = dict(zip(words[::2], words[1::2], strict=True))
    lists = {f"model.{key}": options[f"--{key}"] for key in ("hops", "modalities")}
    lists["model.name"] = options["--model"]
    made = asked_for(tmp_path, None, None, (), lists, None, None, options["--seeds"])
    assert isinstance(made, Experiment)
    assert len(made.rows) == 2 * 2 + 2 + 2  # amh, mdre without hops, mha on one pair
    assert all(row.recipe.seeds == (0, 1, 2) for row in made.rows)
