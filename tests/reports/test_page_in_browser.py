"""The page in a real browser: silent, reachable for everyone, fit for phone, dark and print."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from emohop.reports.page.page import write_report
from tests.reports.conftest import write_robustness

playwright = pytest.importorskip("playwright.sync_api")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = next((path for path in map(shutil.which, BROWSERS) if path), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

PHONE, DESK = {"width": 360, "height": 800}, {"width": 1200, "height": 900}


@pytest.fixture(scope="module")
def page(hopping: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of every part that there is."""
    prepared, made = hopping
    folder = tmp_path_factory.mktemp("report")
    shutil.copytree(made, folder / "table")
    write_robustness(next(run for run in sorted((folder / "table").iterdir()) if run.is_dir()))
    out = folder / "page.html"
    write_report([folder / "table"], out, prepared=prepared, command=f"emohop {'long ' * 40}")
    return out


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as running:
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        opened = running.chromium.launch(executable_path=CHROMIUM, args=options)
        yield opened
        opened.close()


def open_page(browser: Any, page: Path, **options: Any) -> Any:
    tab = browser.new_context(**{"viewport": DESK, **options}).new_page()
    tab.said = []
    tab.asked = []
    tab.on("console", lambda message: tab.said.append(message.text))
    tab.on("pageerror", lambda error: tab.said.append(str(error)))
    tab.on("request", lambda request: tab.asked.append(request.url))
    tab.goto(page.as_uri())
    return tab


def test_it_is_silent_and_asks_for_nothing(browser: Any, page: Path) -> None:
    tab = open_page(browser, page)
    assert tab.said == []
    assert [url for url in tab.asked if not url.startswith("data:")] == [page.as_uri()]
    assert tab.locator("section").count() == 9
    assert tab.locator("svg[role=img]").count() > 8
    for plot in tab.locator("svg[role=img]").all():
        assert plot.bounding_box()["height"] > 60


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESK, PHONE])
def test_it_is_accessible(browser: Any, page: Path, scheme: str, viewport: dict[str, int]) -> None:
    axe = resources.files("axe_core_python").joinpath("axe.min.js").read_text("utf-8")
    # only the test puts a script into the page, which its policy forbids
    tab = open_page(browser, page, color_scheme=scheme, viewport=viewport, bypass_csp=True)
    tab.evaluate(axe)
    found = tab.evaluate("async () => (await axe.run()).violations")
    assert [(each["id"], each["nodes"][0]["html"][:200]) for each in found] == []


@pytest.mark.parametrize("width", [360, 768])
def test_a_narrow_screen_scrolls_down_only(browser: Any, page: Path, width: int) -> None:
    tab = open_page(browser, page, viewport={"width": width, "height": 800})
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.evaluate("getComputedStyle(document.body).fontSize") == "16px"


def test_dark_and_light_differ_where_they_should(browser: Any, page: Path) -> None:
    colours = {}
    for scheme in ("light", "dark"):
        tab = open_page(browser, page, color_scheme=scheme)
        colours[scheme] = [
            tab.evaluate("getComputedStyle(document.body).backgroundColor"),
            tab.evaluate("getComputedStyle(document.querySelector('svg text')).fill"),
        ]
    assert colours["light"] == ["rgb(255, 255, 255)", "rgb(27, 27, 31)"]
    assert colours["dark"] == ["rgb(22, 22, 26)", "rgb(236, 236, 241)"]


def test_on_paper_everything_is_there_in_light_colours(
    browser: Any, page: Path, tmp_path: Path
) -> None:
    tab = open_page(browser, page, color_scheme="dark")
    tab.emulate_media(media="print", color_scheme="dark")
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert tab.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    assert not tab.locator("nav").is_visible()
    assert all(section.is_visible() for section in tab.locator("section").all())
    tab.pdf(path=str(tmp_path / "page.pdf"), format="A4")
    assert (tmp_path / "page.pdf").stat().st_size > 20_000
