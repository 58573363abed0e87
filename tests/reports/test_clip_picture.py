"""Pictures of predictions: what stands in them, whatever the clip lacks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from emohop.clips import Clip, Modality
from emohop.prediction.answers import Hop, Prediction, Word
from emohop.prediction.sources import Source
from emohop.reports.clip_picture import PICTURES, Media, clip_picture
from emohop.reports.theme import PAPER, save, styled
from emohop.reports.timeline import MOST_BARS, clock, timeline
from tests.features.tiny import sound

SOUND = (sound(2.0), 16_000)
NINE = range(1, 10)
SEEN = np.full((5, 96, 96, 3), 90, np.uint8)


def hop(number: int, target: Modality, steps: int, seconds: float | None, **more: Any) -> Hop:
    edges = [None] * (steps + 1) if seconds is None else np.linspace(0, seconds, steps + 1).tolist()
    drawn = np.random.default_rng(number).dirichlet(np.ones(max(1, steps)))
    weights = drawn.tolist()[:steps]
    values = {"entropy": 0.5, "starts": edges[:-1], "ends": edges[1:], **more}
    return Hop(hop=number, target=target, weights=tuple(weights), **values)


def prediction(**values: Any) -> Prediction:
    shares = {"anger": 0.7, "joy": 0.2, "a name of a class that is far too long to be shown": 0.1}
    known: dict[str, Any] = {
        "source": "clips/talk.mp4", "end": 2.0, "label": "anger", "probabilities": shares,
        "used": tuple(Modality), "missing": (), "transcript": "No way!",
        "attention": (
            hop(1, Modality.VIDEO, 5, 2.0),
            hop(2, Modality.AUDIO, 50, 2.0),
            hop(3, Modality.TEXT, 3, None, words=("no", "way", "!")),
        ),
    }  # fmt: skip
    return Prediction(**{**known, **values})


def texts(figure: Any) -> str:
    found = [t.get_text() for axes in figure.axes for t in axes.texts]
    labels = [axes.get_ylabel() for axes in figure.axes]
    return "\n".join([*found, *labels, *(t.get_text() for t in figure.texts)])


def drawn(found: Prediction, media: Media) -> Any:
    with styled(PAPER):
        figure = clip_picture(found, media)(PAPER)
        figure.draw_without_rendering()
        return figure


def test_everything_has_its_row() -> None:
    figure = drawn(prediction(), Media(SOUND, SEEN))
    labels = [axes.get_ylabel() for axes in figure.axes]
    assert labels == ["", "sound", "words", "pictures", "1 video", "2 audio", "3 text"]
    said = texts(figure)
    for part in ("70 %", "used: audio, text, video", "talk.mp4", "pitch", "0.50", "way"):
        assert part in said
    assert "not by itself an explanation" in figure.get_supxlabel()
    limits = {axes.get_xlim() for axes in figure.axes[1:]}
    assert limits == {(0.0, 2.0)}  # one time for all


def test_words_stand_over_their_bars() -> None:
    figure = drawn(prediction(end=3.0), Media())
    words, text = figure.axes[1], figure.axes[-1]
    middles = [t.get_position()[0] for t in words.texts]
    bars = [bar.get_x() + bar.get_width() / 2 for bar in text.patches]
    assert middles == pytest.approx(bars)


def test_words_with_times_stand_at_them_and_signs_share_their_word_s() -> None:
    timed = (Word(text="No", start=0.5, end=0.8), Word(text="way!", start=1.0, end=1.6))
    text = hop(1, Modality.TEXT, 3, None, words=("no", "way", "!"))
    text = text.model_copy(update={"starts": (0.5, 1.0, 1.0), "ends": (0.8, 1.6, 1.6)})
    figure = drawn(prediction(words=timed, attention=(text,)), Media())
    assert [t.get_position()[0] for t in figure.axes[1].texts] == pytest.approx([0.65, 1.3])
    bars = [(bar.get_x(), bar.get_width()) for bar in figure.axes[2].patches]
    np.testing.assert_allclose(bars, [(0.5, 0.3), (1.0, 0.3), (1.3, 0.3)])


@pytest.mark.parametrize(
    ("values", "media"),
    [
        ({"end": None, "used": (Modality.TEXT,), "missing": (Modality.AUDIO,)}, Media()),
        ({"attention": (), "transcript": None}, Media(SOUND)),
        ({"attention": (hop(1, Modality.VIDEO, 0, 2.0),)}, Media(SOUND)),
        ({"transcript": "word " * 300, "end": 30.0}, Media((np.tile(SOUND[0], 15), 16_000))),
        ({"transcript": "", "attention": ()}, Media((np.zeros(16_000, np.float32), 16_000))),
        ({"transcript": "$x_1$ \\frac", "source": "a\nb$.wav"}, Media(SOUND, SEEN[:1])),
        (
            {"attention": tuple(hop(k, Modality.AUDIO, 400, 2.0) for k in range(1, 10))},
            Media(SOUND),
        ),
        ({"end": 0.01}, Media((np.zeros(10, np.float32), 16_000))),
    ],
)
@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_whatever_is_lacking(
    values: dict[str, Any], media: Media, suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"a.{suffix}"
    save(clip_picture(prediction(**values), media), path)
    assert path.stat().st_size > 2000
    if suffix == "png":
        with Image.open(path) as image:
            assert image.width > 1000


def test_the_media_of_sources() -> None:
    pictures = np.zeros((40, 60, 80, 3), np.uint8)
    media = Media.of(Source(Clip(id="a"), None, SOUND, pictures))
    assert media.sound is SOUND
    assert media.pictures is not None
    assert len(media.pictures) <= PICTURES
    assert Media.of(Source(Clip(id="a"))).pictures is None


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
