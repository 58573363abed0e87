"""A comparison in each format, and the command that writes it."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from emohop.cli import FAILED, app
from emohop.evaluation.comparison import Comparison, compare
from emohop.evaluation.metrics import SCORES, TITLES
from emohop.evaluation.runs import read_runs
from emohop.reports.terminal.comparison import as_csv, grids, latex, markdown, p_value
from tests.runs import RANDOM, edit_results, write_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    write_run(folder / "a|b_50%", skill=0.5, settings=["model.name=are"], seeds=(0, 1))
    write_run(folder / "c", skill=2.0, settings=["model.name=are"], seeds=(0, 1))
    return folder


@pytest.fixture(scope="module")
def comparison(folder: Path) -> Comparison:
    return compare(read_runs([folder / "a|b_50%", folder / "c"]))


def test_csv_has_every_number(comparison: Comparison) -> None:
    lines = list(csv.DictReader(io.StringIO(as_csv(comparison))))
    first = comparison.rows[0]
    for name in SCORES:
        (line,) = (
            x for x in lines if (x["kind"], x["model"], x["score"]) == ("scores", first.title, name)
        )
        assert float(line["value"]) == first.pooled[name]
        assert float(line["std"]) == first.std[name]
        assert float(line["std_seeds"]) == first.std_seeds[name]
        assert float(line["mean"]) == first.mean[name]
        assert (float(line["low"]), float(line["high"])) == first.interval[name]
        assert (line["fold_runs"], line["clips"], line["protocol"]) == ("10", "120", "session")
    (pair,) = comparison.pairs
    assert pair.difference is not None
    assert pair.holm is not None
    (line,) = (x for x in lines if x["kind"] == "difference" and x["score"] == "f1_macro")
    assert (line["model"], line["reference"]) == (pair.b, pair.a)
    found = pair.difference["f1_macro"]
    assert [float(line[key]) for key in ("value", "low", "high", "p")] == list(found)
    assert float(line["p_holm"]) == pair.holm["f1_macro"]
    (line,) = (x for x in lines if x["kind"] == "mcnemar")
    assert float(line["value"]) == pair.mcnemar.only_b - pair.mcnemar.only_a
    assert float(line["p"]) == pair.mcnemar.p


def test_markdown_lines_have_equal_cells(comparison: Comparison) -> None:
    text = markdown(comparison)
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in text.splitlines() if line[:1] == "|"]
    assert {len(row) for row in rows[:4]} == {6}
    assert {len(row) for row in rows[4:]} == {7}
    assert r"are audio (a\|b\_50%)" in text
    assert TITLES["accuracy"] in text
    assert f"mean {comparison.rows[1].mean['accuracy']:.3f} ± " in text


def test_latex_is_escaped_and_balanced(comparison: Comparison) -> None:
    text = latex(comparison)
    assert text.count(r"\begin{") == text.count(r"\end{") == 4
    assert text.count("{") == text.count("}")
    assert r"a|b\_50\%" in text
    assert not re.search(r"(?<!\\)[_%#&](?! )", text.replace(" & ", " "))
    body = [line for line in text.splitlines() if line.endswith(r" \\")]
    assert {line.count(" & ") for line in body[:3]} == {5}
    assert {line.count(" & ") for line in body[3:]} == {6}
    assert r"$\pm$" in text


def test_titles_say_what_was_done(comparison: Comparison) -> None:
    scores, differences = grids(comparison, ("accuracy",))
    assert "mean ± std over 5 folds and 2 seeds" in scores.title
    assert differences.title.endswith("after Holm over 1 pairs")
    assert scores.header == (*("model", "accuracy (WA)", "calibration error, then by temperature"),)


@pytest.mark.parametrize(("p", "text"), [(0.0004, "< 0.001"), (0.0344, "0.034"), (1.0, "1.000")])
def test_p_values(p: float, text: str) -> None:
    assert p_value(p) == text


def test_the_command(folder: Path, tmp_path: Path) -> None:
    names = [str(folder / "a|b_50%"), str(folder / "c")]

    def run(*words: str, status: int = 0) -> str:
        result = CliRunner().invoke(app, ["compare", *names, *words])
        assert result.exit_code == status, result.output
        return result.output

    text = run()
    assert "accuracy (WA)" in text
    assert "McNemar" in text
    assert "\\begin{table}" in run("--format", "latex")
    file = tmp_path / "table.csv"
    assert run("--format", "csv", "--out", str(file)).strip() == f"wrote {file}"
    assert len(file.read_text().splitlines()) == 1 + 2 * 8 + 7
    assert "did you mean 'are audio (c)'" in run("--reference", "are (c)", status=FAILED)
    assert "one of table, markdown, latex, csv" in run("--format", "html", status=FAILED)
    assert "needs a --format for files" in run("--out", "x", status=FAILED)
    assert "there is no folder" in run("--format", "csv", "--out", "no/x.csv", status=FAILED)


def test_notes_stand_in_every_format(tmp_path: Path) -> None:
    write_run(tmp_path / "a")
    edit_results(tmp_path / "a", protocol="random", reservations=RANDOM)
    found = compare(read_runs([tmp_path / "a"]))
    for text in (markdown(found), latex(found)):
        assert "peakers and scripted sentences of test are in train too" in text
    result = CliRunner().invoke(app, ["compare", str(tmp_path / "a")])
    assert "sentences of test are in train too" in " ".join(result.output.split())
