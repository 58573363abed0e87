"""Every plot in both themes, with few and many runs and with what can be missing."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pytest

from emohop.clips import Modality
from emohop.evaluation.calibration import Reliability
from emohop.evaluation.comparison import ComparedRun
from emohop.evaluation.metrics import SCORES
from emohop.prediction import AttentionMap
from emohop.prediction.schema import Word
from emohop.reports.figures import diagrams, plots
from emohop.reports.figures.attention import attention
from emohop.reports.figures.clip_media import Seen
from emohop.reports.figures.theme import PAGE, PAPER, Draw, as_svg, styled
from tests.reports.test_clip_figure import hop


def texts(svg: str) -> list[str]:
    return re.findall(r">([^<>]+)</text>", svg)


def drawn(draw: Draw) -> str:
    """The plot on a page, after it was drawn for paper too."""
    with styled(PAPER):
        draw(PAPER)
    svg = as_svg(draw, "plot", "what it shows")
    styles = " ".join(re.findall(r'(?:style|fill|stroke)="([^"]*)"', svg))
    assert re.findall(r"#[0-9a-f]{6}\b", styles) == []  # colours are the page's variables
    return svg


def row(number: int, *, known: bool = True) -> ComparedRun:
    scores = dict.fromkeys(SCORES, 0.4 + number / 100)
    return ComparedRun(
        title=f"model {number}",
        fold_runs=5,
        clips=100,
        mean=scores,
        std=dict.fromkeys(SCORES, 0.02),
        std_seeds=dict.fromkeys(SCORES),
        pooled=scores,
        interval={name: (x - 0.05, x + 0.05) if known else None for name, x in scores.items()},
        ece=0.1,
        ece_calibrated=0.05,
    )


@pytest.mark.parametrize("count", [1, 9])
@pytest.mark.parametrize("known", [True, False])
def test_forest(count: int, known: bool) -> None:
    svg = drawn(plots.forest([row(n, known=known) for n in range(count)], ("accuracy", "f1_macro")))
    shown = texts(svg)
    assert {"accuracy (WA)", "F1 macro", *(f"model {n}" for n in range(count))} <= set(shown)
    assert shown.count("model 0") == 1  # the second panel shares the names


@pytest.mark.parametrize("count", [1, 9])
def test_groups(count: int) -> None:
    scores = {f"model {n}": {"F": 0.5, "M": 0.6} for n in range(count)}
    svg = drawn(plots.groups(scores, dict.fromkeys(scores, 0.55), "accuracy by gender"))
    assert {"F", "M", "accuracy by gender"} <= set(texts(svg))
    assert ("model 0" in texts(svg)) == (count > 1)  # one run needs no legend


def test_hops_and_robustness() -> None:
    points: list[tuple[int, float, plots.Interval | None]]
    points = [(1, 0.4, (0.3, 0.5)), (3, 0.5, None), (9, 0.45, (0.4, 0.5))]
    svg = drawn(plots.hop_curve({"amh a+t": points, "mha a+t": points[:2]}, "accuracy"))
    assert {"1", "3", "9", "hops", "mha a+t"} <= set(texts(svg))
    levels = [(float(level), score, ends) for level, score, ends in points]
    for kind, label in (("noise:babble", "signal to noise, dB"), ("sleep", "sleep")):
        svg = drawn(plots.robustness({"amh": levels}, {"amh": 0.6}, kind, "accuracy"))
        assert label in texts(svg)


def test_confusion_shows_shares_and_counts() -> None:
    counts = np.array([[6, 2], [0, 0]])
    svg = drawn(diagrams.confusion(counts, ("ang", "<sad> $x$"), "a & b"))
    shown = texts(svg)
    for text in ("75 %", "25 %", "6", "2", "&lt;sad&gt; $x$", "a &amp; b"):
        assert text in shown


@pytest.mark.parametrize("epochs", [1, 2, 3000])
def test_learning_curves_stay_small(epochs: int) -> None:
    history = [
        {"epoch": e + 1, "train_loss": 1.0, "dev_loss": 1.0 - e / 1e4, "dev_accuracy": e / 1e4}
        for e in range(epochs)
    ]
    for monitor in ("accuracy", "loss"):
        svg = drawn(diagrams.learning_curves({"0/0": history}, monitor, "amh"))
        assert len(svg) < 60_000
        assert f"dev {monitor}" in texts(svg)


def test_reliability_with_empty_bins() -> None:
    nothing = np.array([0, 5, 0, 5])
    means = np.array([np.nan, 0.4, np.nan, 0.9])
    bins = Reliability(nothing, means, means - 0.1, error=0.1)
    svg = drawn(diagrams.reliability_diagram(bins, bins, "amh"))
    assert "as it came: error 0.100" in texts(svg)


def weights(count: int) -> np.ndarray:
    values = np.arange(1, count + 1, dtype=np.float32)
    return values / values.sum() if count else values


@pytest.mark.parametrize("steps", [(12, 5, 4), (1, 1, 1), (0, 0, 0), (80, 60, 40)])
@pytest.mark.parametrize("media", [True, False])
def test_attention_over_all_three(steps: Sequence[int], media: bool) -> None:
    waveform, words, frames = steps
    hops = [
        hop(1, Modality.VIDEO, frames, 8.0),
        hop(2, Modality.AUDIO, waveform, 8.0),
        hop(3, Modality.TEXT, words, None, words=tuple(f"w{n}" for n in range(words))),
    ]
    rng = np.random.default_rng(0)
    wave = rng.uniform(0, 1, max(1, 160 * waveform)).astype(np.float32)
    faces = rng.integers(0, 255, (frames, 8, 8, 3), np.uint8)
    shown = Seen(
        seconds=8.0,
        low=-wave if media else 0 * wave,
        high=wave,
        words=tuple(Word(text=f"w{n}") for n in range(words)),
        frames=faces if media and frames else None,
        times=tuple(n / 5 for n in range(frames)),
    )
    svg = drawn(attention(hops, shown))
    assert [text[:5] for text in texts(svg) if text.startswith("hop ")] == [
        "hop 1",
        "hop 2",
        "hop 3",
    ]
    assert any(text in texts(svg) for text in ("w0", "w1")) == (words > 0)
    assert ("hop 3: text, no steps" in texts(svg)) == (words == 0)
    assert ("data:image/png" in svg) == (media and frames > 0)


def test_entropy_of_a_look() -> None:
    assert AttentionMap(Modality.TEXT, np.full(8, 1 / 8, np.float32)).entropy == pytest.approx(1)
    assert AttentionMap(Modality.TEXT, np.array([0, 1, 0], np.float32)).entropy == 0
    half = AttentionMap(Modality.TEXT, np.array([0.5, 0.5, 0, 0], np.float32))
    assert half.entropy == pytest.approx(0.5)
    assert (
        AttentionMap(Modality.TEXT, weights(1)).entropy
        == AttentionMap(Modality.TEXT, weights(0)).entropy
        == 0
    )


def test_what_the_page_s_colours_stand_for() -> None:
    assert len({PAGE.ink, PAGE.rule, PAGE.paper, *PAGE.series}) == 3 + len(PAGE.series)
    assert len(PAGE.series) == len(PAPER.series)
    svg = as_svg(plots.forest([row(0)], ("accuracy",)), "name", 'says "<this>" & that')
    assert 'aria-label="says &quot;&lt;this&gt;&quot; &amp; that"' in svg
    assert "var(--c1)" in svg
    assert re.findall(r'\bid="(?!name-)', svg) == []
