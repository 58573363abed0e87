"""What is drawn of one run stands where its numbers say."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from emohop.evaluation.calibration import reliability
from emohop.reports.figures import diagrams
from emohop.reports.figures.theme import PAPER, Draw, styled


def figure_of(draw: Draw) -> Figure:
    """The plot as it is laid out on paper."""
    with styled(PAPER):
        figure = draw(PAPER)
        figure.draw_without_rendering()
    return figure


def test_a_cell_is_as_dark_as_its_share_of_the_true_class() -> None:
    counts = np.array([[6, 2, 0], [1, 1, 2], [0, 0, 0]])
    (axes,) = figure_of(diagrams.confusion(counts, ("ang", "hap", "sad"), "amh")).axes
    cells = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    assert len(cells) == 9
    for cell in cells:
        row, column = round(cell.get_y() + 0.5), round(cell.get_x() + 0.5)
        share = counts[row, column] / max(1, counts[row].sum())
        assert cell.get_alpha() == pytest.approx(0.55 * share)
    said = {text.get_position(): text.get_text() for text in axes.texts}
    assert said[(0, 0)] == "75 %\n6"
    assert said[(2, 1)] == "50 %\n2"  # true hap, called sad
    assert [label.get_text() for label in axes.get_yticklabels()] == ["ang", "hap", "sad"]
    assert axes.yaxis_inverted()


@pytest.mark.parametrize(
    "labels",
    [
        ("a", "b"),
        ("frustrated", "excited", "surprised", "neutral"),
        tuple(f"a class of a long name, number {n}" for n in range(11)),
        ("m" * 200, "b"),
    ],
)
def test_names_of_classes_do_not_run_into_each_other(labels: tuple[str, ...]) -> None:
    figure = figure_of(diagrams.confusion(np.eye(len(labels), dtype=int), labels, "t" * 200))
    (axes,) = figure.axes
    for axis in (axes.get_xticklabels(), axes.get_yticklabels()):
        boxes = [label.get_window_extent() for label in axis]
        assert not any(one.overlaps(other) for one, other in pairwise(boxes))
    assert axes.get_window_extent().width / figure.dpi > 1.3
    assert axes.title.get_window_extent().x1 <= figure.bbox.x1


@pytest.mark.parametrize(("monitor", "kept"), [("loss", 2), ("accuracy", 3)])
def test_the_dot_is_on_the_epoch_that_was_kept(monitor: str, kept: int) -> None:
    losses, scores = [1.0, 0.4, 0.5, 0.4], [0.1, 0.5, 0.7, 0.7]
    history = [
        {"epoch": e + 1.0, "train_loss": 1.0, "dev_loss": losses[e], "dev_accuracy": scores[e]}
        for e in range(4)
    ]
    _, right = figure_of(diagrams.learning_curves({"0/0": history}, monitor, "amh")).axes
    (dot,) = [line for line in right.lines if line.get_marker() == "o"]
    values = losses if monitor == "loss" else scores
    assert dot.get_xydata().tolist() == [[kept, values[kept - 1]]]  # type: ignore[union-attr]


def test_the_first_and_last_epoch_of_many_are_drawn() -> None:
    history = [
        {"epoch": e, "train_loss": 1 / e, "dev_loss": 2 / e, "dev_accuracy": 1 - 1 / e}
        for e in range(1, 3001)
    ]
    left, _ = figure_of(diagrams.learning_curves({"0/0": history}, "accuracy", "amh")).axes
    epochs = np.asarray(left.lines[0].get_xdata())
    assert len(epochs) == 400
    assert (epochs[0], epochs[-1]) == (1, 3000)


def test_points_of_reliability_are_the_bins_that_have_clips() -> None:
    rng = np.random.default_rng(0)
    table = rng.dirichlet([1, 1, 1], 50)
    true = rng.integers(0, 3, 50)
    bins = reliability(table, true)
    (axes,) = figure_of(diagrams.reliability_diagram(bins, bins, "amh")).axes
    sure, right = table.max(axis=1), table.argmax(axis=1) == true
    place = np.ceil(sure * len(bins.count)).astype(int)
    expected = [[sure[place == k].mean(), right[place == k].mean()] for k in np.unique(place)]
    drawn = np.asarray(axes.collections[0].get_offsets())
    np.testing.assert_allclose(drawn, expected)
