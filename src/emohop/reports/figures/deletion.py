"""Deletion curves: the probability of the first answer as steps are removed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from emohop.explanation.results import ExplanationResults
from emohop.reports.figures.theme import Draw, Theme

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ORDERS: dict[str, tuple[str, Any]] = {
    "attention": ("most attention first", "-"),
    "gradient": ("gradient × input", (0, (5, 1.5))),
    "random": ("random", (0, (1, 1.2))),
}
"""The orders of removal: what a legend calls each, and its line."""
_PANEL_INCHES = (1.9, 2.3)


def deletion_curves(result: ExplanationResults) -> Draw:
    """A panel for each target: the first answer's probability as steps go, one line per order."""

    def draw(theme: Theme) -> Figure:
        from matplotlib.figure import Figure

        entries = result.deletion
        width, height = _PANEL_INCHES
        figure = Figure(figsize=(0.4 + width * len(entries), height), layout="constrained")
        panels = figure.subplots(1, len(entries), squeeze=False, sharey=True)[0]
        shares = [100 * share for share in result.shares]
        for panel, entry in zip(panels, entries, strict=True):
            for number, (order, (name, line)) in enumerate(ORDERS.items()):
                values = entry.curves[order].probability
                panel.plot(shares, values, linestyle=line, color=theme.colour(number), label=name)
            panel.set_title(entry.target, loc="left")
            panel.set_xlim(0, 100)
            panel.set_xticks([0, 50, 100])
            panel.set_ylim(0, 1)
            panel.grid(axis="y")
        panels[0].set_ylabel("probability of the first answer")
        figure.supxlabel("steps removed, %", fontsize=8)
        handles, names = panels[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper left", ncols=len(names))
        return figure

    return draw
