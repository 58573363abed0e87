"""The look of plots: names as they are, colours that can be seen, the same files each time."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from importlib import resources
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from matplotlib.figure import Figure

from emohop.reports.figures import plots
from emohop.reports.figures.theme import PAGE, PAPER, Theme, as_svg, fitted, save, styled, width
from tests.reports.test_plots import row

SCRIPTS = ("日本 😀", "العربية", "हिन्दी", "עברית", "e\u0301", "a\\b $x_$ {", "_x")
TRAPS = ("#010101 #040001", 'id="x"', "url(#p)", 'href="#p"', "font: 12px foo", "<metadata>", "-->")


def written(text: str) -> list[str]:
    """The texts of a page's plot that has one label."""

    def draw(theme: Theme) -> Figure:
        figure = Figure(figsize=(6, 1))
        figure.text(0, 0.5, text, color=theme.ink)
        return figure

    shown = ET.fromstring(as_svg(draw, "name", "label").replace("xlink:href", "href"))
    return [found.text or "" for found in shown.iter("{http://www.w3.org/2000/svg}text")]


@pytest.mark.parametrize("text", [*SCRIPTS, *TRAPS])
def test_a_name_is_never_taken_for_markup(text: str) -> None:
    assert written(text) == [text]


@examples(max_examples=30)
@given(st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S"]), min_size=1))
def test_no_name_is_changed(text: str) -> None:
    assert written(text) == [text]


@given(st.text(max_size=80), st.floats(0.1, 3), st.sampled_from([6.0, 8.0, 9.0]))
def test_a_fitted_name_is_one_line_that_fits(text: str, inches: float, points: float) -> None:
    with styled(PAPER):
        shown = fitted(text, inches, points)
        assert shown.isprintable()
        assert width(shown, points) <= inches or len(shown) <= 3
        if text.isprintable() and width(text, points) <= inches:
            assert shown == text
        elif "…" in shown and "…" not in text:
            first, _, last = shown.partition("…")
            line = "".join(sign if sign.isprintable() else " " for sign in text)
            assert line.startswith(first)
            assert line.endswith(last)


@pytest.mark.parametrize("text", ["amh-3 audio+text+video", "iiii", "WWWW", "Ses01F_impro01_F000"])
def test_the_width_is_what_matplotlib_draws(text: str) -> None:
    with styled(PAPER):
        figure = Figure(figsize=(6, 1), dpi=1200)
        drawn = figure.text(0, 0, text, fontsize=8)
        figure.draw_without_rendering()
        assert width(text) == pytest.approx(drawn.get_window_extent().width / 1200, rel=0.03)


@pytest.mark.parametrize("length", [1, 40, 300])
def test_long_names_leave_room_for_the_plot(length: int) -> None:
    name = "m" * length
    scores = {name: {"F": 0.5, name: 0.6}, "b": {"F": 0.4}}
    points: list[tuple[int, float, plots.Interval | None]] = [(1, 0.5, None), (2, 0.6, None)]
    levels = [(float(level), score, ends) for level, score, ends in points]
    for draw in (
        plots.forest([replace(row(0), title=name)], ("accuracy", "f1_macro")),
        plots.groups(scores, {name: 0.5, "b": 0.4}, "accuracy by gender"),
        plots.hop_curve({name: points, "b": points}, "accuracy"),
        plots.robustness({name: levels, "b": levels}, {name: 0.5, "b": 0.5}, "words", "accuracy"),
    ):
        with styled(PAPER):
            figure = draw(PAPER)
            figure.draw_without_rendering()
            for axes in figure.axes:
                assert axes.get_position().width * figure.get_figwidth() > 1


def test_a_name_that_begins_with_an_underscore_is_in_the_legend() -> None:
    scores = {"_a": {"F": 0.5, "M": 0.4}, "b": {"F": 0.4, "M": 0.4}}
    with styled(PAPER):
        (axes,) = plots.groups(scores, {"_a": 0.5, "b": 0.4}, "x")(PAPER).axes
        legend = axes.get_legend()
        assert legend is not None
        assert [text.get_text().strip("\u200b") for text in legend.get_texts()] == ["_a", "b"]


@pytest.mark.parametrize("kind", ["pdf", "svg", "png"])
def test_files_for_papers_are_whole_and_the_same_each_time(kind: str, tmp_path: Path) -> None:
    rows = [replace(row(n), title=name) for n, name in enumerate([*SCRIPTS, "bell \x07, tab\t"])]
    draw = plots.forest(rows, ("accuracy",))
    for name in ("one", "two"):
        save(draw, tmp_path / f"{name}.{kind}")
    one, two = ((tmp_path / f"{name}.{kind}").read_bytes() for name in ("one", "two"))
    assert one == two
    if kind == "pdf":
        assert one.startswith(b"%PDF")
        assert b"/CreationDate" not in one
        assert b"/FontFile2" in one  # TrueType, embedded
        assert b"/Type3" not in one
    elif kind == "svg":
        texts = [found.text or "" for found in ET.fromstring(one).iter() if found.text]
        assert {"日本 😀", "bell  , tab "} <= set(texts)
    else:
        from PIL import Image

        with Image.open(tmp_path / "one.png") as image:
            assert image.width > 1500
            assert image.info["dpi"][0] == pytest.approx(300, abs=1)
            corner = image.convert("RGBA").getpixel((0, 0))
        assert corner == (255, 255, 255, 255)


def test_the_user_s_own_matplotlib_settings_change_nothing() -> None:
    draw = plots.forest([row(0)], ("accuracy",))
    plain = as_svg(draw, "n", "l")
    with mpl.rc_context({"font.size": 30, "xtick.labelsize": 30, "svg.fonttype": "path"}):
        assert as_svg(draw, "n", "l") == plain
        assert mpl.rcParams["font.size"] == 30


def variables(css: str) -> list[dict[str, str]]:
    """The colours of light, dark and print."""
    blocks = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    return [dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", block)) for block in blocks]


def contrast(one: str, other: str) -> float:
    """WCAG 2.2's contrast ratio."""
    lights = []
    for colour in (one, other):
        parts = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        lights.append(float(linear @ [0.2126, 0.7152, 0.0722]) + 0.05)
    return max(lights) / min(lights)


def test_every_colour_of_the_page_can_be_seen() -> None:
    css = resources.files("emohop.reports.page").joinpath("page.css").read_text("utf-8")
    themes = variables(css)
    assert len(themes) == 3
    for theme in themes:
        assert len([name for name in theme if re.fullmatch(r"c\d", name)]) == len(PAGE.series)
        for back in (theme["paper"], theme["panel"]):
            for text in ("ink", "soft", "accent"):
                assert contrast(theme[text], back) >= 4.5, text
            for number in range(len(PAGE.series)):
                assert contrast(theme[f"c{number + 1}"], back) >= 3, number + 1
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
