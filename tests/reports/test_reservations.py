"""Whatever has to be said of a run is said of its own row, in every format."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest
from rich.console import Console, RenderableType
from typer.testing import CliRunner

from emohop.cli import app
from emohop.evaluation.comparison import compare
from emohop.evaluation.reservations import Kind, Reservation, footnotes
from emohop.evaluation.run_files import RunResults
from emohop.evaluation.run_folder import RunFolder
from emohop.evaluation.runs import read_runs
from emohop.reports.terminal.comparison import as_csv, latex, markdown, terminal_tables
from emohop.reports.terminal.tables import (
    comparison_tables,
    metrics_table,
    results_table,
    robustness_table,
)
from emohop.robustness.results import ConditionScores, RobustnessResults
from tests.runs import edit_results, write_run

KINDS = get_args(Kind)


def reservation(kind: str) -> Reservation:
    return Reservation.model_validate({"kind": kind, "text": f"{kind} has to be said_here"})


def plain(text: str) -> str:
    """Text without what a format escapes, and without line ends."""
    return " ".join(text.replace("\\", "").split())


def shown(*parts: RenderableType) -> str:
    console = Console(width=400, markup=False, highlight=False, record=True, file=io.StringIO())
    console.print(*parts, sep="\n")
    return console.export_text()


@pytest.fixture(params=KINDS)
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Path, str]:
    """Two runs, of which the second has a reservation."""
    first = write_run(tmp_path / "first", settings=["model.hops=1"])
    second = write_run(tmp_path / "second", settings=["model.hops=2"], skill=2.0)
    said = reservation(request.param)
    edit_results(second, reservations=[said.model_dump()])
    return first, second, said.text


FORMATS: dict[str, Callable[[list[Path]], str]] = {
    "terminal": lambda runs: shown(*terminal_tables(compare(read_runs(runs)))),
    "markdown": lambda runs: markdown(compare(read_runs(runs))),
    "latex": lambda runs: latex(compare(read_runs(runs))),
    "training": lambda runs: shown(
        *comparison_tables([RunResults.read(RunFolder(run).results_file) for run in runs])
    ),
}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("turned", [False, True])
def test_in_tables_by_a_mark(pair: tuple[Path, Path, str], name: str, turned: bool) -> None:
    first, second, text = pair
    runs = [second, first] if turned else [first, second]
    said = plain(FORMATS[name](runs))
    assert f"[a] {text}" in said
    assert "amh-2 audio+text+video [a]" in said
    assert "amh-1 audio+text+video [a]" not in said


@pytest.mark.parametrize("turned", [False, True])
def test_in_csv_on_every_line_of_the_row(pair: tuple[Path, Path, str], turned: bool) -> None:
    first, second, text = pair
    runs = [second, first] if turned else [first, second]
    for line in csv.DictReader(io.StringIO(as_csv(compare(read_runs(runs))))):
        mine = "amh-2 audio+text+video" in (line["model"], line["reference"])
        assert line["reservations"] == (text if mine else "")


def test_on_the_page(pair: tuple[Path, Path, str], tmp_path: Path) -> None:
    first, second, text = pair
    clean = ConditionScores(
        name="clean", kind="clean", interval_95={"accuracy": None},
        metrics=RunResults.read(RunFolder(second).results_file).pooled,
    )  # fmt: skip
    RobustnessResults(
        fingerprint="f", clips=60, conditions=(clean,),
        reservations=(reservation(KINDS[0]),),
    ).write(RunFolder(second).robustness_file)  # fmt: skip
    page = tmp_path / "page.html"
    done = CliRunner().invoke(app, ["report", str(first), str(second), str(page)])
    assert done.exit_code == 0, done.output
    html = page.read_text("utf-8")
    assert f"[a] {text}" in html
    assert '<th scope="row">amh-2 audio+text+video [a]</th>' in html
    assert '<th scope="row">amh-1 audio+text+video</th>' in html
    assert f"[a] {reservation(KINDS[0]).text}." in html.partition('id="robustness"')[2]


@pytest.mark.parametrize("kind", KINDS)
def test_beside_the_scores_of_one_model(kind: str, tmp_path: Path) -> None:
    said = reservation(kind)
    run = write_run(tmp_path / "run")
    edit_results(run, reservations=[said.model_dump()])
    results = RunResults.read(RunFolder(run).results_file)
    assert results.reservations == (said,)
    block = results.fold_runs[0].test
    clean = ConditionScores(name="clean", kind="clean", interval_95={}, metrics=block)
    damaged = RobustnessResults(fingerprint="f", clips=1, conditions=(clean,), reservations=(said,))
    tables = (
        results_table(results),
        metrics_table({"test": block}, [said]),
        robustness_table(damaged),
    )
    for table in tables:
        assert f"Note: {said.text}." in shown(table)
    assert json.loads(json.dumps(damaged.to_json()))["reservations"] == [said.model_dump()]


def test_marks_are_shared_by_what_is_said_alike() -> None:
    one, other = reservation("context"), reservation("copies")
    marks, said = footnotes([[one], [other, one], [], [one]])
    assert marks == ["a", "b,a", "", "a"]
    assert said == [("a", one.text), ("b", other.text)]
    many = [[Reservation(kind="context", text=str(n))] for n in range(30)]
    assert footnotes(many)[0][24:] == ["y", "z", "aa", "ab", "ac", "ad"]
