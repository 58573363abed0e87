"""The parts of a report say what the files say, counted another way."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import recall_score

from emohop.evaluation.comparison import compare
from emohop.evaluation.run_folder import CLIPS
from emohop.evaluation.runs import Run, read_runs
from emohop.reports.figures.theme import PAPER, styled
from emohop.reports.page.sections import (
    SHOWN_RUNS,
    confusion_section,
    groups_section,
    hops_section,
    learning_section,
    recipes_section,
    robustness_section,
)
from tests.reports.conftest import write_robustness
from tests.runs import write_run


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """One run more than a plot shows, of one, two, three, … hops."""
    folder = tmp_path_factory.mktemp("runs")
    for hops in range(1, SHOWN_RUNS + 2):
        settings = [f"model.hops={hops}"]
        write_run(folder / f"r{hops}", folds=[0, 1], clips=40, settings=settings, skill=hops / 5)
        write_robustness(folder / f"r{hops}")
    return read_runs(sorted(folder.iterdir()))


def hits_by_gender(run: Run) -> dict[str, list[bool]]:
    """Right or wrong of each test clip, read from the files without the report."""
    with (run.folder / CLIPS).open() as file:
        gender = {line["id"]: line["gender"] for line in csv.DictReader(file)}
    hits = defaultdict(list)
    for fold_run in run.fold_runs:
        test = fold_run.predictions.part("test")
        for name, label, said in zip(test.id, test.label, test.predicted, strict=True):
            hits[gender[name]].append(label == said)
    return hits


def test_accuracy_by_gender_is_counted_right(runs: list[Run]) -> None:
    section = groups_section(runs[:1])
    assert section is not None
    (plot,) = (plot for plot in section.plots if plot.name == "by-gender")
    with styled(PAPER):
        (axes,) = plot.draw(PAPER).axes
    (dots, whole) = axes.lines
    hits = hits_by_gender(runs[0])
    expected = [sum(hits[name]) / len(hits[name]) for name in ("F", "M")]
    assert np.asarray(dots.get_xdata()).tolist() == pytest.approx(expected)
    every = [hit for found in hits.values() for hit in found]
    assert whole.get_xdata()[0] == pytest.approx(sum(every) / len(every))  # type: ignore[index]
    assert f"from {min(expected):.3f} to {max(expected):.3f}" in plot.label


def test_recall_is_scikit_learn_s(runs: list[Run]) -> None:
    run = runs[2]
    true: list[str] = []
    said: list[str] = []
    for fold_run in run.fold_runs:
        test = fold_run.predictions.part("test")
        true += test.label
        said += test.predicted
    recall = recall_score(true, said, labels=list(run.labels), average=None)
    plot = confusion_section(runs).plots[2]
    for name, share in zip(run.labels, recall, strict=True):
        assert f"{name} {100 * share:.0f} %" in plot.label


def test_more_runs_than_can_be_told_apart(runs: list[Run]) -> None:
    said = "The plots show the first 8 of 9 runs."
    for make in (groups_section, robustness_section):
        section, whole = make(runs), make(runs[:SHOWN_RUNS])
        assert section is not None
        assert whole is not None
        assert section.text == said
        assert whole.text == ""
        for plot in section.plots:
            with styled(PAPER):
                (axes,) = plot.draw(PAPER).axes
            legend = axes.get_legend()
            assert legend is not None
            assert len(legend.get_texts()) == SHOWN_RUNS
    assert len(confusion_section(runs).plots) == len(runs)
    assert len(learning_section(runs).plots) == len(runs)


def test_a_curve_of_hops_needs_runs_that_differ_in_nothing_else(
    runs: list[Run], tmp_path: Path
) -> None:
    section = hops_section(compare(runs[:3]), runs[:3])
    assert section is not None
    for plot, score in zip(section.plots, ("accuracy", "balanced_accuracy"), strict=True):
        with styled(PAPER):
            (axes,) = plot.draw(PAPER).axes
        assert np.asarray(axes.lines[0].get_xdata()).tolist() == [1, 2, 3]
        expected = [run.results.pooled[score] for run in runs[:3]]
        assert np.asarray(axes.lines[0].get_ydata()).tolist() == pytest.approx(expected)
    other = ["model.hops=5", "training.learning_rate=0.5"]
    write_run(tmp_path / "other", folds=[0, 1], clips=40, settings=other)
    pair = [runs[0], *read_runs([tmp_path / "other"])]
    assert hops_section(compare(pair), pair) is None


def test_robustness_shows_every_condition(runs: list[Run]) -> None:
    section = robustness_section(runs[:1])
    assert section is not None
    (grid,) = section.grids
    assert [line[1] for line in grid.lines] == ["clean", "noise:10", "noise:0", "missing:audio"]
    assert grid.lines[1][2:] == ("0.500 [0.450, 0.550]", "0.400")
    (plot,) = section.plots  # one level, or none, makes no curve
    with styled(PAPER):
        (axes,) = plot.draw(PAPER).axes
    assert np.asarray(axes.lines[0].get_xdata()).tolist() == [0, 10]
    assert np.asarray(axes.lines[0].get_ydata()).tolist() == pytest.approx([0.4, 0.5])
    assert axes.xaxis_inverted()  # louder to the right


def test_recipes_are_whole(runs: list[Run]) -> None:
    section = recipes_section(runs[:1], "emohop report x")
    assert section.text == "This page was made by: emohop report x"
    (recipe, origin) = section.details
    assert "learning_rate:" in recipe[1]
    assert f"fingerprint: {'f' * 64}" in origin[1]
