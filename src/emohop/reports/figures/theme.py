"""One look for every plot: on a page that follows the reader's light or dark, and on paper.

A plot is drawn once, in the colours of a theme. The page's theme has made-up colours that stand for
CSS variables and are replaced by them in the SVG.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emohop.files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FONT = "DejaVu Sans"
"""The font of every plot, which comes with matplotlib."""
COLUMN_INCHES = 3.5
"""The width of a column of a two-column paper; figures are one or two wide."""
_MOST_SIGNS = 400


@dataclass(frozen=True)
class Theme:
    """Colours as matplotlib takes them: text, faint lines, what lies behind, and series."""

    ink: str
    rule: str
    paper: str
    series: tuple[str, ...]

    def colour(self, number: int) -> str:
        """The colour of the series with this number; they repeat."""
        return self.series[number % len(self.series)]


# Okabe and Ito's colours, which people with any colour vision tell apart, yellow left out.
PAPER = Theme(
    "#1a1a1a",
    "#c9c9c9",
    "#ffffff",
    ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5195", "#4d4d4d"),
)
PAGE = Theme("#010101", "#020202", "#030303", tuple(f"#0400{n:02x}" for n in range(1, 9)))
_VARIABLES = {
    PAGE.ink: "var(--ink)",
    PAGE.rule: "var(--rule)",
    PAGE.paper: "var(--paper)",
    **{colour: f"var(--c{n + 1})" for n, colour in enumerate(PAGE.series)},
}

Draw = Callable[[Theme], "Figure"]
"""A plot, drawn in the colours of a theme."""


@contextmanager
def styled(theme: Theme) -> Iterator[None]:
    """Matplotlib's settings for plots in a theme; none of the user's own."""
    import matplotlib as mpl
    from matplotlib import style

    settings: Any = {
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "savefig.facecolor": "none",
        "text.color": theme.ink,
        "axes.labelcolor": theme.ink,
        "axes.titlecolor": theme.ink,
        "xtick.color": theme.ink,
        "ytick.color": theme.ink,
        "axes.edgecolor": theme.rule,
        "grid.color": theme.rule,
        "grid.linewidth": 0.6,
        "xtick.major.size": 0,
        "ytick.major.size": 0,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "font.family": "sans-serif",
        "font.sans-serif": [FONT],
        "font.size": 8,
        "text.parse_math": False,  # a $ in a name is a $
        "axes.titlesize": 9,
        "legend.frameon": False,
        "lines.linewidth": 1.4,
        "svg.fonttype": "none",
        "svg.hashsalt": "emohop",
        "pdf.fonttype": 42,
    }
    with style.context("default"), mpl.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # the reader's font has it
        yield


def fitted(text: str, inches: float, points: float = 8) -> str:
    """A name on one line, its middle left out where it is wider. For use within `styled`.

    Long names would leave no room for the plot; the page has them whole in captions and tables.
    What cannot be printed becomes a space.
    """
    if len(text) > _MOST_SIGNS:  # no plot is as wide, and measuring takes its time
        text = text[: _MOST_SIGNS // 2] + text[-_MOST_SIGNS // 2 :]
    line = "".join(sign if sign.isprintable() else " " for sign in text)
    shown, kept = line, len(line)
    while kept > 2 and width(shown, points) > inches:
        kept -= max(1, kept // 20)
        shown = f"{line[: (kept + 1) // 2]}…{line[len(line) - kept // 2 :]}"
    return shown


def width(text: str, points: float = 8) -> float:
    """How many inches a line is wide in the plots' font. For use within `styled`."""
    from matplotlib.font_manager import findfont, get_font

    font = get_font(findfont(FONT))
    dots = 1200  # an inch; few would round each letter to whole ones
    font.set_size(points, dots)
    font.set_text(text)
    return float(font.get_width_height()[0]) / 64 / dots


def as_svg(draw: Draw, name: str, label: str) -> str:
    """A plot for the page: SVG that scales, follows the page's colours and says what it shows.

    `name` parts its ids from those of other plots.
    """
    with styled(PAGE):
        figure = draw(PAGE)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # tags alone: what stands between them are names, which may look like anything
    text = re.sub(r"<[^>]*>", lambda tag: _for_page(tag.group(), name), text)
    _, _, rest = text.partition(">")
    box = re.search(r'viewBox="[^"]+"', text)
    shape = box.group() if box else ""
    return (
        f'<svg {shape} role="img" aria-label="{_attribute(label)}" '
        f'style="width:{figure.get_figwidth() * 96:.0f}px" xmlns="http://www.w3.org/2000/svg">{rest}'
    )


def save(draw: Draw, path: Path) -> None:
    """A plot as a file for a paper: PDF with embedded fonts, SVG, or PNG of 300 dots an inch."""
    with styled(PAPER):
        figure = draw(PAPER)
        dates = {"CreationDate": None} if path.suffix == ".pdf" else {}
        if path.suffix == ".svg":
            dates = {"Date": None}
        with replacing(path) as file:
            figure.savefig(
                file,
                format=path.suffix[1:],
                dpi=300,
                metadata=dates,
                facecolor="white",
                bbox_inches="tight",
            )


def _for_page(tag: str, name: str) -> str:
    """A tag with the page's colours, and with ids of the plot of this name."""
    for colour, variable in _VARIABLES.items():
        tag = tag.replace(colour, variable)
    tag = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', tag)
    tag = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", tag)
    tag = re.sub(r'xlink:href="#([^"]+)"', rf'href="#{name}-\1"', tag)
    return re.sub(r"font: [^;\"]*?(\d+(?:\.\d+)?)px [^;\"]*", r"font-size: \1px", tag)


def _attribute(text: str) -> str:
    for sign, name in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        text = text.replace(sign, name)
    return text
