"""The emotions of a long recording over time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from emohop.prediction.schema import Prediction
from emohop.reports.figures.stacked_figure import INCHES
from emohop.reports.figures.theme import Draw, Theme, fitted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CLASS_INCHES, SPEAKER_INCHES = 0.36, 0.2
MOST_SPEAKERS = 12
MOST_BARS = 300
"""More clips than this are shown by their means over as many stretches of time."""
TICKS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 28_800, 86_400)
MOST_TICKS = 6


def timeline(predictions: Sequence[Prediction]) -> Draw:
    """A row a class: its probability in each clip of a recording, over the clips' time.

    Coloured where the class is the most probable one, grey elsewhere; nothing where nothing was
    predicted. Below, who spoke, where that is known. There must be a clip.
    """

    def draw(theme: Theme) -> Figure:
        from matplotlib.figure import Figure
        from matplotlib.ticker import MultipleLocator

        labels = list(predictions[0].probabilities)
        speakers = sorted({p.speaker for p in predictions if p.speaker})[:MOST_SPEAKERS]
        heights = [CLASS_INCHES] * len(labels)
        if speakers:
            heights.append(SPEAKER_INCHES * len(speakers) + 0.1)
        figure = Figure(figsize=(INCHES, sum(heights) + 0.6), dpi=200, layout="constrained")
        rows = figure.subplots(
            len(heights), 1, squeeze=False, sharex=True, height_ratios=heights
        )[:, 0]  # fmt: skip
        starts, ends, shares = _bars(predictions)
        most = shares.argmax(axis=1)
        for k, (axes, label) in enumerate(zip(rows, labels, strict=False)):
            colours = [theme.colour(0) if top == k else theme.rule for top in most]
            axes.bar(starts, shares[:, k], ends - starts, align="edge", color=colours, lw=0)
            axes.set_ylim(0, 1.05)
            axes.set_yticks([])
            axes.axhline(0, color=theme.rule, lw=0.6)
            axes.set_ylabel(fitted(label, 0.9), rotation=0, ha="right", va="center")
        if speakers:
            _speakers(rows[-1], predictions, speakers, theme)
        seconds = float(ends.max())
        for axes in rows:
            axes.set_xlim(0, seconds)
            for side in axes.spines.values():
                side.set_visible(False)
        step = next((t for t in TICKS if seconds / t <= MOST_TICKS), TICKS[-1])
        rows[-1].xaxis.set_major_locator(MultipleLocator(step))
        rows[-1].xaxis.set_major_formatter(lambda second, _: clock(second))
        name = fitted(PurePath(predictions[0].source).name, 2.6, 9)
        figure.suptitle(f"{name}: probability of each class", fontsize=9, x=0.02, ha="left")
        return figure

    return draw


def _bars(
    predictions: Sequence[Prediction],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Starts and ends of bars, and probabilities [bars, classes]: of clips, or of many their means.

    A mean counts each clip by its time in the stretch; a stretch without clips has no bar.
    """
    starts = np.array([p.start for p in predictions], np.float64)
    ends = np.array([p.start if p.end is None else p.end for p in predictions], np.float64)
    ends = np.maximum(ends, starts + 1e-3)
    shares = np.array([list(p.probabilities.values()) for p in predictions], np.float64)
    if len(predictions) <= MOST_BARS:
        return starts, ends, shares
    edges = np.linspace(0, ends.max(), MOST_BARS + 1)
    inside = np.minimum(ends[:, None], edges[1:]) - np.maximum(starts[:, None], edges[:-1])
    inside = np.maximum(inside, 0)  # [clips, stretches] seconds
    total = inside.sum(axis=0)
    some = total > 0
    means = (inside.T @ shares)[some] / total[some, None]
    return edges[:-1][some], edges[1:][some], means


def _speakers(
    axes: Axes, predictions: Sequence[Prediction], speakers: Sequence[str], theme: Theme
) -> None:
    """A line for each speaker, drawn where they speak."""
    for place, name in enumerate(speakers):
        spans = [(p.start, (p.end or p.start) - p.start) for p in predictions if p.speaker == name]
        axes.broken_barh(spans, (place + 0.2, 0.6), color=theme.ink, alpha=0.55, lw=0)
    axes.set_yticks(np.arange(len(speakers)) + 0.5, [fitted(name, 0.9) for name in speakers])
    axes.set_ylim(len(speakers), 0)


def clock(seconds: float) -> str:
    """Seconds as m:ss, or h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
