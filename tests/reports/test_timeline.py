"""A recording's timeline: one row per class, speakers, means of many clips."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emohop.prediction.schema import Prediction
from emohop.reports.figures.theme import PAPER, save, styled
from emohop.reports.figures.timeline import MOST_BARS, clock, timeline
from tests.reports.test_clip_figure import prediction


def clips(
    count: int, speakers: tuple[str | None, ...] = (None,), gap: float = 0
) -> list[Prediction]:
    rng = np.random.default_rng(count)
    found, at = [], 0.0
    for k in range(count):
        shares = rng.dirichlet((1, 1))
        found.append(
            prediction(
                start=at, end=at + 2, speaker=speakers[k % len(speakers)],
                label=("a", "b")[int(shares.argmax())], attention=(),
                probabilities={"a": shares[0], "b": shares[1]},
            )
        )  # fmt: skip
        at += 2 + gap
    return found


def timeline_of(found: list[Prediction]) -> Any:
    with styled(PAPER):
        figure = timeline(found)(PAPER)
        figure.draw_without_rendering()
        return figure


def test_a_row_a_class_and_one_for_speakers() -> None:
    found = clips(5, ("Ann", "Bo"), gap=1)
    figure = timeline_of(found)
    assert [axes.get_ylabel() for axes in figure.axes] == ["a", "b", ""]
    bars = figure.axes[0].patches
    assert [bar.get_height() for bar in bars] == pytest.approx(
        [p.probabilities["a"] for p in found]
    )
    assert [bar.get_x() for bar in bars] == pytest.approx([p.start for p in found])
    names = [label.get_text() for label in figure.axes[2].get_yticklabels()]
    assert names == ["Ann", "Bo"]
    assert len(timeline_of(clips(5)).axes) == 2


def test_many_clips_are_shown_by_their_means(tmp_path: Path) -> None:
    found = clips(2000, gap=1)
    figure = timeline_of(found)
    bars = figure.axes[0].patches
    assert len(bars) <= MOST_BARS
    mean = sum(bar.get_height() * bar.get_width() for bar in bars) / sum(
        bar.get_width() for bar in bars
    )
    assert mean == pytest.approx(np.mean([p.probabilities["a"] for p in found]), abs=0.01)
    save(timeline(found), tmp_path / "a.png")


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0:00"), (59.6, "1:00"), (3599, "59:59"), (7325, "2:02:05")]
)
def test_the_clock(seconds: float, said: str) -> None:
    assert clock(seconds) == said
