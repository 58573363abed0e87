"""Plots of runs beside each other: scores with intervals, groups, hops, robustness.

Each function takes numbers and gives a `Draw`: matplotlib is loaded when it is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from emohop.evaluation.comparison import ComparedRun
from emohop.evaluation.metrics import TITLES
from emohop.reports.figures.theme import COLUMN_INCHES, Draw, Theme, fitted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Interval = tuple[float, float]

_NAME_INCHES = 1.9
"""The widest name of a run or group beside a plot."""
_LEVELS = {
    "noise": "signal to noise, dB",
    "noise:babble": "signal to noise, dB",
    "words": "probability of an error, each word",
    "video:blur": "σ of the blur, pixels",
    "video:drop": "share of frames lost",
}
"""What the level of each kind of damage is."""


def forest(rows: Sequence[ComparedRun], scores: Sequence[str]) -> Draw:
    """The pooled score of each run and its interval, a panel a score."""

    def draw(theme: Theme) -> Figure:
        figure, panels = _panels(len(scores), 0.5 + 0.24 * len(rows))
        for panel, name in zip(panels, scores, strict=True):
            for place, row in enumerate(rows):
                value, ends = row.pooled[name], row.interval[name]
                if ends is not None:
                    panel.plot(ends, [place, place], color=theme.colour(0), solid_capstyle="butt")
                panel.plot([value], [place], "o", color=theme.colour(0), markersize=4)
            panel.set_yticks(range(len(rows)), [fitted(row.title, _NAME_INCHES) for row in rows])
            panel.set_ylim(len(rows) - 0.4, -0.6)
            panel.set_title(TITLES[name], loc="left")
            panel.grid(axis="x")
        for panel in panels[1:]:
            panel.tick_params(labelleft=False)
        return figure

    return draw


def groups(
    scores: Mapping[str, Mapping[str, float]], wholes: Mapping[str, float], title: str
) -> Draw:
    """A score of each group (fold, speaker, gender) for each run: run -> group -> score.

    `wholes` has each run's score over all groups, drawn as a line.
    """

    def draw(theme: Theme) -> Figure:
        names = list(dict.fromkeys(name for found in scores.values() for name in found))
        figure, (panel,) = _panels(1, max(0.6 + 0.26 * len(names), 0.5 + 0.2 * len(scores)))
        step = 0.6 / max(1, len(scores))
        for number, (run, found) in enumerate(scores.items()):
            places = [names.index(name) - 0.3 + (number + 0.5) * step for name in found]
            colour = theme.colour(number)
            panel.plot(
                list(found.values()), places, "o", color=colour, markersize=4, label=_named(run)
            )
            panel.axvline(wholes[run], color=colour, linewidth=0.7, alpha=0.6)
        panel.set_yticks(range(len(names)), [fitted(name, _NAME_INCHES) for name in names])
        panel.set_ylim(len(names) - 0.4, -0.6)
        panel.set_title(title, loc="left")
        panel.grid(axis="x")
        _legend(panel, len(scores))
        return figure

    return draw


def hop_curve(
    curves: Mapping[str, Sequence[tuple[int, float, Interval | None]]], score: str
) -> Draw:
    """A score against the number of hops: model -> (hops, score, interval)."""

    def draw(theme: Theme) -> Figure:
        figure, (panel,) = _panels(1, 2.4)
        for number, (model, points) in enumerate(curves.items()):
            hops = [count for count, _, _ in points]
            colour = theme.colour(number)
            values = [value for _, value, _ in points]
            panel.plot(hops, values, "o-", color=colour, label=_named(model))
            for count, _, ends in points:
                if ends is not None:
                    panel.plot([count, count], ends, color=colour, alpha=0.5)
        panel.set_xticks(sorted({count for points in curves.values() for count, _, _ in points}))
        panel.set_xlabel("hops")
        panel.set_title(TITLES[score], loc="left")
        panel.grid(axis="y")
        _legend(panel, len(curves))
        return figure

    return draw


def robustness(
    curves: Mapping[str, Sequence[tuple[float, float, Interval | None]]],
    clean: Mapping[str, float],
    kind: str,
    score: str,
) -> Draw:
    """A score against the level of one kind of damage: run -> (level, score, interval).

    `clean` has each run's score without damage, drawn as a line. Noise gets louder to the right.
    """

    def draw(theme: Theme) -> Figure:
        figure, (panel,) = _panels(1, 2.2)
        for number, (run, points) in enumerate(curves.items()):
            ordered = sorted(points, key=lambda point: point[0])
            colour = theme.colour(number)
            levels = [level for level, _, _ in ordered]
            values = [value for _, value, _ in ordered]
            panel.plot(levels, values, "o-", color=colour, label=_named(run))
            panel.axhline(clean[run], color=colour, linewidth=0.8, linestyle=(0, (4, 3)))
            for level, _, ends in ordered:
                if ends is not None:
                    panel.plot([level, level], ends, color=colour, alpha=0.5)
        if kind.startswith("noise"):
            panel.invert_xaxis()
        panel.set_xlabel(_LEVELS.get(kind, kind))
        panel.set_title(f"{kind}: {TITLES[score]}; dashed: undamaged", loc="left")
        panel.grid(axis="y")
        _legend(panel, len(curves))
        return figure

    return draw


def _named(text: str) -> str:
    """A name for a legend, which leaves out those that begin with an underscore."""
    shown = fitted(text, _NAME_INCHES)
    return f"\u200b{shown}" if shown.startswith("_") else shown


def _panels(count: int, height: float) -> tuple[Figure, Sequence[Axes]]:
    """A figure of `count` panels beside each other, laid out to its edges."""
    from matplotlib.figure import Figure as New

    figure = New(figsize=(2 * COLUMN_INCHES, height), layout="constrained")
    return figure, figure.subplots(1, count, squeeze=False)[0]


def _legend(panel: Axes, count: int) -> None:
    if count > 1:
        panel.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
