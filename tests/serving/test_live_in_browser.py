"""The page's live button in a real browser, whose microphone is made of beeps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from emohop.config import ServingSettings
from tests.serving.running import serve
from tests.serving.test_page_in_browser import BUSY_MS, CHROMIUM, DESK, PHONE

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
FAKE = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]


@pytest.fixture(scope="module")
def tab(model: Path) -> Iterator[Any]:
    with playwright.sync_playwright() as running:
        args = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", *FAKE]
        browser = running.chromium.launch(executable_path=CHROMIUM, args=args)
        made = browser.new_context(viewport=DESK).new_page()
        made.set_default_timeout(BUSY_MS)
        made.said = []
        made.on("console", lambda message: made.said.append(message.text))
        made.on("pageerror", lambda error: made.said.append(str(error)))
        for address in serve(model, ServingSettings(token="secret")):
            made.goto(address)
            yield made
            made.context.close()
        browser.close()


def test_a_microphone_is_streamed(tab: Any) -> None:
    tab.click("#live")
    tab.locator("#error", has_text="send the token").wait_for()
    tab.fill("#token", "secret")
    tab.fill("#text", "No way!")
    tab.click("#live")
    tab.locator("#timeline svg").wait_for()
    first = tab.locator("#timeline rect").count()
    assert tab.inner_text("#live") == "Stop"
    assert tab.inner_text("#now").split(",")[0] in ("angry", "calm")
    assert tab.locator("#live-shares .share").count() == 2
    tab.locator("#timeline rect").nth(first).wait_for(state="attached")  # it grows
    tab.click("#live")
    tab.locator("#status", has_text="Done: ").wait_for()
    assert tab.inner_text("#live") == "Live"
    tab.set_viewport_size(PHONE)
    assert tab.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    axe = pytest.importorskip("axe_core_python.sync_playwright").Axe()
    assert [(one["id"], one["impact"]) for one in axe.run(tab)["violations"]] == []
    assert [line for line in tab.said if "401" not in line] == []
