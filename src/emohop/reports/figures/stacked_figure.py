"""Figures that are rows below each other: as wide as a phone can show, as high as they need to be.

Rows are placed by inches, so that no row's text can move or shrink another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emohop.reports.figures.theme import Theme, fitted, width

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INCHES = 4.6
"""Of a figure's width: on a phone, eight points are then nine pixels high."""
LEFT, RIGHT = 0.16, 0.46
WITHIN = INCHES - LEFT - RIGHT
"""Inches of a row between the margins."""
POINTS = 8
TITLE_INCHES = 0.17


@dataclass(frozen=True)
class Band:
    """Axes of a height in inches; a title above them, and what stands at its right end."""

    inches: float
    draw: Callable[[Axes, Theme], None]
    title: str = ""
    right: str = ""
    gap: float = 0.07
    """Inches above it."""

    @property
    def whole(self) -> float:
        """Inches with title and gap."""
        return self.gap + self.inches + (TITLE_INCHES if self.title or self.right else 0)


def stacked(rows: Sequence[Band], theme: Theme, below: float = 0.1) -> Figure:
    """The rows in one figure, `below` inches free at its end. For use within `styled`."""
    from matplotlib.figure import Figure

    high = sum(row.whole for row in rows) + below
    figure = Figure(figsize=(INCHES, high))
    top = high
    for row in rows:
        top -= row.whole
        place = (LEFT / INCHES, top / high, WITHIN / INCHES, row.inches / high)
        axes = figure.add_axes(place)
        for side in axes.spines.values():
            side.set_visible(False)
        axes.set_yticks([])
        axes.tick_params(labelbottom=False)
        _titled(axes, row)
        row.draw(axes, theme)
    return figure


def _titled(axes: Axes, row: Band) -> None:
    """Both titles on one line; the left one is cut where they would meet."""
    room = INCHES - LEFT - 0.1
    if row.right:
        place = ((INCHES - 0.1 - LEFT) / WITHIN, 1.0)
        _said(axes, row.right, place, "right")
        room -= width(row.right, POINTS) + 0.15
    if row.title:
        _said(axes, fitted(row.title, room, POINTS), (0.0, 1.0), "left")


def _said(axes: Axes, text: str, place: tuple[float, float], align: str) -> None:
    axes.annotate(
        text, place, (0, 2), xycoords="axes fraction", textcoords="offset points",
        ha=align, va="bottom", fontsize=POINTS, annotation_clip=False,
    )  # fmt: skip


def wrapped(text: str, inches: float, points: float = POINTS, most: int = 3) -> list[str]:
    """A text as lines no wider than `inches`; the last of `most` lines is cut. Within `styled`."""
    lines: list[str] = []
    for word in text.split():
        if lines and width(f"{lines[-1]} {word}", points) <= inches:
            lines[-1] += f" {word}"
        elif len(lines) == most:
            lines[-1] += f" {word}"
            break
        else:
            lines.append(word)
    return [fitted(line, inches, points) for line in lines]
