"""One figure of a prediction on a clip, with its attention weights."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from emohop.prediction import Prediction, Predictor, Source
from emohop.prediction.schema import ATTENTION_NOTE
from emohop.reports.figures.attention import TICKS_INCHES, attention_rows
from emohop.reports.figures.clip_media import seen
from emohop.reports.figures.stacked_figure import (
    INCHES,
    LEFT,
    POINTS,
    WITHIN,
    Band,
    stacked,
    wrapped,
)
from emohop.reports.figures.theme import Draw, Theme, fitted, width

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_CLASSES = 8
_BAR_INCHES = 0.16
_LINE_INCHES = 0.15
_NAME_INCHES = 1.1
_NUMBER_INCHES = 0.42
_LARGE_POINTS = 13
_TEXT_INCHES = INCHES - LEFT - 0.1


def clip_figure(prediction: Prediction, source: Source, predictor: Predictor) -> Draw:
    """The answer, the clip and a band for each hop of attention, below each other.

    `source` is what the prediction was asked of. MediaError where its audio cannot be read any
    more; frames that cannot be read are left out.
    """
    shown = seen(prediction, source, predictor)

    def draw(theme: Theme) -> Figure:
        rows = [*_answer(prediction), *attention_rows(prediction.attention, shown)]
        notes = _notes(prediction)
        if notes:
            gap = TICKS_INCHES + 0.1 if len(rows) > 1 else 0.1
            rows.append(_text(notes, gap, faint=True))
        return stacked(rows, theme, 0.1 if notes else TICKS_INCHES)

    return draw


def _answer(found: Prediction) -> list[Band]:
    """Label, source, probabilities, and what was used and missing."""
    sure = max(found.probabilities.values())
    label = f"{fitted(found.label, 2.8, _LARGE_POINTS)}  {100 * sure:.0f} %"
    where = fitted(_where(found), _TEXT_INCHES)
    used = f"used: {', '.join(m.value for m in found.used) or 'nothing'}"
    if found.missing:
        used += f"; missing: {', '.join(m.value for m in found.missing)}"

    def heading(axes: Axes, theme: Theme) -> None:
        axes.set_xticks([])
        axes.set_ylim(0, 1)
        axes.set_xlim(0, 1)
        axes.text(0, 1, label, fontsize=_LARGE_POINTS, fontweight="bold", va="top")
        axes.text(0, 0, where, fontsize=POINTS, va="bottom")

    ranked = sorted(found.probabilities.items(), key=lambda pair: -pair[1])
    bars = ranked[:MOST_CLASSES]
    if rest := ranked[MOST_CLASSES:]:
        bars.append((f"{len(rest)} others", sum(p for _, p in rest)))
    high = _BAR_INCHES * len(bars)
    return [
        Band(0.42, heading, gap=0.1),
        Band(high, partial(_bars, bars=bars)),
        _text([used], 0.05),
    ]


def _where(found: Prediction) -> str:
    """The source by its name, without its folder; the part of it, and who speaks."""
    said = Path(found.source).name or found.source
    if found.end is not None:
        said += f", {found.start:.1f} to {found.end:.1f} s"
    return said if found.speaker is None else f"{said}, {found.speaker}"


def _bars(axes: Axes, theme: Theme, *, bars: Sequence[tuple[str, float]]) -> None:
    """A bar a class; its name before it, and the number behind it."""
    axes.set_xticks([])
    axes.set_xlim(0, WITHIN)
    axes.set_ylim(len(bars), 0)
    names = [fitted(name, _NAME_INCHES) for name, _ in bars]
    left = max(map(width, names)) + 0.08
    room = WITHIN - left - _NUMBER_INCHES
    for place, (name, (_, p)) in enumerate(zip(names, bars, strict=True)):
        y = place + 0.5
        axes.text(left - 0.08, y, name, ha="right", va="center_baseline", fontsize=POINTS)
        most = place == 0
        axes.barh(
            y, p * room, 0.72, left=left, color=theme.ink if most else theme.rule, lw=0,
        )  # fmt: skip
        number = f"{100 * p:.0f} %"
        axes.text(left + p * room + 0.05, y, number, va="center_baseline", fontsize=POINTS)


def _notes(found: Prediction) -> list[str]:
    """What was cut off, what words are unknown, and how bands are to be read."""
    notes = list(found.notes)
    if found.unknown_words:
        notes.append(f"words that the model does not know: {', '.join(found.unknown_words[:9])}")
    if found.attention:
        notes.append(
            "Bands: the highest weight is drawn full; dotted is uniform attention, entropy 1."
        )
        notes.append(ATTENTION_NOTE)
    return notes


def _text(paragraphs: Sequence[str], gap: float, *, faint: bool = False) -> Band:
    """Lines of text as a row."""
    points = POINTS - 1 if faint else POINTS
    lines = [line for text in paragraphs for line in wrapped(text, _TEXT_INCHES, points)]

    def draw(axes: Axes, theme: Theme) -> None:
        axes.set_xticks([])
        axes.set_ylim(len(lines), 0)
        for place, line in enumerate(lines):
            axes.text(
                0, place + 0.5, line, fontsize=points, va="center_baseline",
                alpha=0.75 if faint else 1, transform=axes.get_yaxis_transform(),
            )  # fmt: skip

    return Band(_LINE_INCHES * len(lines), draw, gap=gap)
