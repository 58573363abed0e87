"""The page in a real browser: a clip, an edited transcript, errors, a phone, a keyboard."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import soundfile

from emohop.config import ServingSettings
from tests.serving.running import serve
from tests.voices import recording as talk

playwright = pytest.importorskip("playwright.sync_api")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = next((path for path in map(shutil.which, BROWSERS) if path), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
BUSY_MS = 180_000  # how long an event may take where others use the cores
PHONE, DESK = {"width": 360, "height": 800}, {"width": 1000, "height": 900}


@pytest.fixture(scope="module")
def address(model: Path) -> Iterator[str]:
    yield from serve(model, ServingSettings(upload_mb=1))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as running:
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        opened = running.chromium.launch(executable_path=CHROMIUM, args=options)
        yield opened
        opened.close()


@pytest.fixture
def tab(browser: Any, address: str) -> Iterator[Any]:
    made = browser.new_context(viewport=DESK).new_page()
    made.set_default_timeout(BUSY_MS)
    made.said, made.asked = [], []
    made.on("console", lambda message: made.said.append(message.text))
    made.on("pageerror", lambda error: made.said.append(str(error)))
    made.on("request", lambda request: made.asked.append(request.url))
    made.goto(address)
    yield made
    made.context.close()


def test_a_video_its_words_and_other_words(tab: Any, films: Path, address: str) -> None:
    tab.set_input_files("#file", str(films.parent / "0.mp4"))
    tab.fill("#text", "No way!")
    tab.click("#go")
    tab.wait_for_selector("#result:not([hidden])")
    assert tab.locator("#shares .share").count() == 2
    assert "Used: audio, text, video." in tab.inner_text("#facts")
    assert tab.locator("#attention rect").count() > 10
    assert tab.locator("#attention svg").get_by_text("4 video").count() == 1
    assert tab.inner_text("#label").endswith(" %")
    assert tab.inner_text("#of") == "What the service says of 0.mp4"
    apart = tab.locator("#attention rect.apart")  # words without times are not on the seconds
    assert apart.count() >= 1
    tab.fill("#text", "splendid, excuse me")
    tab.click("#go")
    tab.locator("#facts", has_text="splendid").wait_for()
    with tab.expect_download() as coming:
        tab.click("#download")
    found = json.loads(Path(coming.value.path()).read_text())
    assert found["predictions"][0]["transcript"] == "splendid, excuse me"
    assert tab.said == []
    assert all(url.startswith((address, "blob:", "data:")) for url in tab.asked)


def test_errors_are_said(tab: Any, tmp_path: Path) -> None:
    tab.click("#go")
    assert "Choose a file" in tab.inner_text("#error")
    tab.fill("#text", "No way!")
    tab.click("#go")
    tab.wait_for_selector("#result:not([hidden])")
    tab.fill("#text", "")
    (tmp_path / "bad.wav").write_text("no audio")
    tab.set_input_files("#file", str(tmp_path / "bad.wav"))
    tab.click("#go")
    tab.locator("#error", has_text="bad.wav").wait_for()
    assert tab.locator("#result").is_hidden()
    (tmp_path / "large.wav").write_bytes(b"0" * 1_200_000)
    tab.set_input_files("#file", str(tmp_path / "large.wav"))
    tab.click("#go")
    tab.locator("#error", has_text="1 MB").wait_for()


def test_by_keyboard_alone(tab: Any) -> None:
    for _ in range(12):
        tab.keyboard.press("Tab")
        if tab.evaluate("document.activeElement.id") == "text":
            break
    tab.keyboard.type("No way!")
    tab.keyboard.press("Tab")
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.id") == "go"
    tab.keyboard.press("Enter")
    tab.wait_for_selector("#result:not([hidden])")
    assert "Missing: audio, video." in tab.inner_text("#facts")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_in_light_and_dark(scheme: str, browser: Any, address: str, films: Path) -> None:
    axe_module = pytest.importorskip("axe_core_python.sync_playwright")
    tab = browser.new_context(viewport=PHONE, color_scheme=scheme).new_page()
    tab.set_default_timeout(BUSY_MS)
    tab.goto(address)
    tab.set_input_files("#file", str(films.parent / "1.mp4"))
    tab.fill("#text", "No way!")
    tab.click("#go")
    tab.wait_for_selector("#attention svg")
    assert tab.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    for selector in ("#go", "#record-audio", "#download"):
        assert tab.locator(selector).bounding_box()["height"] >= 40
    found = axe_module.Axe().run(tab)["violations"]
    assert [(one["id"], one["impact"]) for one in found] == []


def test_a_recording_over_time(browser: Any, address: str, tmp_path: Path) -> None:
    axe_module = pytest.importorskip("axe_core_python.sync_playwright")
    pytest.importorskip("faster_whisper")
    soundfile.write(tmp_path / "talk.wav", talk(), 16_000)
    tab = browser.new_context(viewport=PHONE).new_page()
    tab.set_default_timeout(BUSY_MS)
    said: list[str] = []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.goto(address)
    tab.set_input_files("#file", str(tmp_path / "talk.wav"))
    tab.select_option("#segments", "speech")
    tab.click("#go")
    tab.wait_for_selector("#line svg")
    assert tab.inner_text("#label") == "2 clips"
    assert "talk.wav" in tab.inner_text("#of")
    assert tab.locator("#line rect.most").count() == 2
    assert tab.locator("#line rect.less").count() == 2
    first = tab.inner_text("#chosen")
    assert first.startswith("0:")
    assert "%" in first
    tab.locator("#clips button").nth(1).focus()
    tab.keyboard.press("Enter")
    second = tab.inner_text("#chosen")
    assert second != first
    assert tab.locator("tr.chosen, .clip.chosen").count() == 2
    tab.locator("#line rect.clip").nth(0).click()
    assert tab.inner_text("#chosen") == first
    assert tab.locator("#shares .share").count() == 2
    assert tab.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert [(one["id"], one["impact"]) for one in axe_module.Axe().run(tab)["violations"]] == []
    tab.fill("#text", "No way!")  # which is one clip's
    assert "empty the text" in tab.inner_text("#cutting")
    tab.select_option("#segments", "none")
    assert tab.locator("#cutting").is_hidden()
    tab.click("#go")
    tab.locator("#label", has_text="%").wait_for()
    tab.locator("#line").wait_for(state="hidden")
    assert tab.locator("#chosen").is_hidden()
    above = tab.locator("#notes").bounding_box()["y"] < tab.locator("#label").bounding_box()["y"]
    assert above
    assert "was cut off" in tab.inner_text("#notes")
    assert said == []


def test_a_dropped_file_is_seen_and_taken_away(tab: Any) -> None:
    drop = """
        const data = new DataTransfer();
        data.items.add(new File(["no audio"], "dropped.wav"));
        document.getElementById("drop").dispatchEvent(
          new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
    """
    tab.evaluate(drop)
    assert tab.evaluate("document.getElementById('file').files[0].name") == "dropped.wav"
    tab.click("#go")
    tab.locator("#error", has_text="dropped.wav").wait_for()
    tab.click("#remove")
    assert tab.locator("#remove").is_hidden()
    assert tab.evaluate("document.getElementById('file').files.length") == 0
    tab.click("#go")
    assert "Choose a file" in tab.inner_text("#error")


def test_an_upload_can_be_cancelled(browser: Any, model: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", talk(), 16_000)
    for address in serve(model, ServingSettings(spares=0)):
        tab = browser.new_context(viewport=DESK).new_page()
        tab.set_default_timeout(BUSY_MS)
        tab.goto(address)
        tab.route("**/v1/predict", lambda route: None)  # it is never answered
        tab.set_input_files("#file", str(tmp_path / "a.wav"))
        tab.click("#go")
        tab.locator("#cancel").wait_for()
        assert tab.locator("#go").is_disabled()
        tab.click("#cancel")
        tab.locator("#status", has_text="Cancelled.").wait_for()
        tab.locator("#cancel").wait_for(state="hidden")
        assert tab.locator("#go").is_enabled()


def test_a_token_is_asked_for(browser: Any, model: Path) -> None:
    for address in serve(model, ServingSettings(token="secret")):
        tab = browser.new_context(viewport=DESK).new_page()
        tab.set_default_timeout(BUSY_MS)
        tab.goto(address)
        tab.wait_for_selector("#secret:not([hidden])")
        tab.fill("#text", "No way!")
        tab.click("#go")
        tab.locator("#error", has_text="token").wait_for()
        tab.fill("#token", "secret")
        tab.click("#go")
        tab.wait_for_selector("#result:not([hidden])")
