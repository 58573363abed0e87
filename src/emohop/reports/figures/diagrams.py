"""Plots of one run: what was taken for what, how training went, what confidence is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from emohop.evaluation.calibration import Reliability
from emohop.reports.figures.theme import COLUMN_INCHES, Draw, Theme, fitted, width

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DARKEST = 0.55  # of a cell, so that ink stays readable on it
_POINTS = 400  # of a drawn line at most
_CELL_INCHES = 0.42
_CELLS_INCHES = 1.6  # of all cells side by side at least, for the title's sake
_LABEL_INCHES = 1.2  # of a class's name at most
_TITLE_POINTS = 9


def confusion(counts: NDArray[np.int64], labels: Sequence[str], title: str) -> Draw:
    """Clips by true class (rows) and predicted class (columns): share of the row, and count."""

    def draw(theme: Theme) -> Figure:
        from matplotlib.figure import Figure
        from matplotlib.patches import Rectangle

        names = [fitted(label, _LABEL_INCHES) for label in labels]
        widest = max(map(width, names))
        cell = max(_CELL_INCHES, _CELLS_INCHES / len(labels))
        upright = widest > cell - 0.05  # or they would run into each other
        cells = cell * len(labels)
        across = 0.5 + widest + cells
        down = 0.7 + (widest if upright else 0.1) + cells
        figure = Figure(figsize=(across, down), layout="constrained")
        axes = figure.subplots()
        totals = np.maximum(1, counts.sum(axis=1, keepdims=True))
        for (row, column), share in np.ndenumerate(counts / totals):
            square = Rectangle(
                (column - 0.5, row - 0.5), 1, 1, color=theme.colour(0), alpha=_DARKEST * share, lw=0
            )
            axes.add_patch(square)
            text = f"{100 * share:.0f} %\n{counts[row, column]}"
            axes.text(column, row, text, ha="center", va="center", fontsize=6)
        axes.set_xticks(range(len(labels)), names, rotation=90 if upright else 0)
        axes.set_yticks(range(len(labels)), names)
        axes.set_xlim(-0.5, len(labels) - 0.5)
        axes.set_ylim(len(labels) - 0.5, -0.5)
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")
        axes.set_title(fitted(title, cells, _TITLE_POINTS), loc="left")
        axes.set_aspect("equal")
        return figure

    return draw


def learning_curves(
    histories: Mapping[str, Sequence[Mapping[str, float]]], monitor: str, title: str
) -> Draw:
    """Losses and the dev score by epoch, one line per fold run; a dot marks the kept epoch."""

    def draw(theme: Theme) -> Figure:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(2 * COLUMN_INCHES, 2.2), layout="constrained")
        losses, scores = figure.subplots(1, 2)
        column = f"dev_{monitor}"
        for history in histories.values():
            lines = [history[i] for i in _thinned(len(history))]
            epochs = [line["epoch"] for line in lines]
            for name, number in (("train_loss", 0), ("dev_loss", 1)):
                losses.plot(
                    epochs, [line[name] for line in lines], color=theme.colour(number), lw=0.9
                )
            scores.plot(epochs, [line[column] for line in lines], color=theme.colour(1), lw=0.9)
            values = [line[column] for line in history]
            best = int(np.argmin(values) if monitor == "loss" else np.argmax(values))
            scores.plot(best + 1, values[best], "o", color=theme.colour(1), markersize=4)
        losses.set_title(f"{fitted(title, 2.2, _TITLE_POINTS)}: loss", loc="left")
        scores.set_title(f"dev {monitor.replace('_', ' ')}", loc="left")
        for axes in (losses, scores):
            axes.set_xlabel("epoch")
            axes.grid(axis="y")
        for name, number in (("train", 0), ("dev", 1)):
            losses.plot([], [], color=theme.colour(number), label=name)
        losses.legend(loc="best")
        return figure

    return draw


def reliability_diagram(before: Reliability, after: Reliability, title: str) -> Draw:
    """Accuracy against confidence, as it came and after each fold run's temperature."""

    def draw(theme: Theme) -> Figure:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(COLUMN_INCHES, 3.3), layout="constrained")
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color=theme.rule, linewidth=1)
        for number, (name, bins) in enumerate((("as it came", before), ("by temperature", after))):
            seen = bins.count > 0
            share = bins.count[seen] / bins.count.sum()
            colour = theme.colour(number)
            axes.plot(bins.confidence[seen], bins.accuracy[seen], color=colour, lw=0.8)
            axes.scatter(
                bins.confidence[seen],
                bins.accuracy[seen],
                s=8 + 200 * share,
                color=colour,
                alpha=0.8,
                lw=0,
                clip_on=False,
                label=f"{name}: error {bins.error:.3f}",
            )
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        axes.set_aspect("equal")
        axes.set_xlabel("confidence")
        axes.set_ylabel("accuracy")
        axes.set_title(fitted(title, 2.1, _TITLE_POINTS), loc="left")
        axes.legend(loc="upper left", bbox_to_anchor=(0, -0.2), markerscale=0.6)
        return figure

    return draw


def _thinned(length: int) -> NDArray[np.int64]:
    """Numbers of at most `_POINTS` lines, the first and the last among them."""
    return np.unique(np.linspace(0, length - 1, min(length, _POINTS)).astype(np.int64))
