"""Frames of predictions: what stands in them, whatever the clip lacks."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch
from PIL import Image

from emohop.clips import Clip, Modality
from emohop.config import FeatureSettings
from emohop.prediction.inputs import Source
from emohop.prediction.schema import Hop, Prediction, Word
from emohop.reports.figures.clip_figure import clip_figure
from emohop.reports.figures.theme import PAPER, save, styled
from tests.features.tiny import waveform

SOUND = (waveform(2.0), 16_000)
SEEN = np.full((6, 60, 80, 3), 90, np.uint8)
WAVE, WORDS = Source(Clip(id="a"), None, SOUND), Source(Clip(id="a"))


class Preprocessor:
    """What a frame asks of a predictor's inputs."""

    features = FeatureSettings(video="hog")
    max_length = dict.fromkeys(Modality, 10)


class Predictor:
    """What a frame asks of a predictor."""

    preprocessor = Preprocessor()


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


def drawn(found: Prediction, source: Source) -> Figure:
    with styled(PAPER):
        figure = clip_figure(found, source, Predictor())(PAPER)  # type: ignore[arg-type]
        figure.draw_without_rendering()
        return figure


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def row_of(figure: Figure, title: str) -> Any:
    """The axes below a title that begins so."""
    (axes,) = [a for a in figure.axes if any(t.get_text().startswith(title) for t in a.texts)]
    return axes


def heights_of(row: Any) -> list[float]:
    """Of a band's bars, or of the one shape that many are."""
    if len(row.patches) == 1 and isinstance(row.patches[0], StepPatch):
        data: Any = row.patches[0].get_data()
        return list(data.values)
    return [bar.get_height() for bar in row.patches]


def test_everything_has_its_row_on_one_time() -> None:
    figure = drawn(prediction(), Source(Clip(id="a"), None, SOUND, SEEN))
    said = texts(figure)
    for part in ("anger  70 %", "talk.mp4, 0.0 to 2.0 s", "used: audio, text, video"):
        assert part in said
    titles = [t.partition(",")[0] for t in said if t.startswith("hop ")]
    assert titles == ["hop 1: video", "hop 2: audio", "hop 3: text"]
    assert said.count("entropy 0.50") == 3
    assert "Wiegreffe" in " ".join(said)
    rows = [row_of(figure, title) for title in ("audio", "words", "hop 1", "hop 2", "hop 3")]
    assert {axes.get_xlim() for axes in rows} == {(0.0, 2.0)}
    assert [len(heights_of(row)) for row in rows[2:]] == [5, 50, 3]
    (frames,) = [axes for axes in figure.axes if axes.images]
    assert [im.get_extent()[0] for im in frames.images] == pytest.approx(np.arange(6) / 3)


def test_the_pitch_is_over_the_wave() -> None:
    figure = drawn(prediction(), WAVE)
    lines = [
        np.asarray(line.get_ydata(), np.float64) for axes in figure.axes for line in axes.lines
    ]
    (hertz,) = [line for line in lines if len(line) > 100]
    assert np.nanmedian(hertz) == pytest.approx(150, rel=0.05)
    assert "audio, its pitch as a line" in texts(figure)
    silent = Source(Clip(id="a"), None, (np.zeros(16_000, np.float32), 16_000))
    assert "audio" in texts(drawn(prediction(), silent))


def test_words_without_times_stand_over_their_bars() -> None:
    figure = drawn(prediction(end=3.0), WORDS)
    row = row_of(figure, "words, without times")
    middles = [t.get_position()[0] for t in row.texts if t.get_text() in {"no", "way", "!"}]
    bars = [bar.get_x() + bar.get_width() / 2 for bar in row_of(figure, "hop 3").patches]
    assert middles == pytest.approx(bars)


def test_words_with_times_stand_at_them_and_turns_before_are_told() -> None:
    timed = (Word(text="No", start=0.5, end=0.8), Word(text="way!", start=1.0, end=1.6))
    text = hop(1, Modality.TEXT, 3, None, words=("so", "no", "way"))
    text = text.model_copy(
        update={
            "starts": (None, 0.5, 1.0), "ends": (None, 0.8, 1.6), "weights": (0.25, 0.7, 0.05),
        }
    )  # fmt: skip
    figure = drawn(prediction(words=timed, attention=(text,)), WORDS)
    middles = [t.get_position()[0] for t in row_of(figure, "words").texts[1:]]
    assert middles == pytest.approx([0.65, 1.3])
    band = row_of(figure, "hop 1: text, most at “no”, 25 % on the turns before")
    assert [bar.get_height() for bar in band.patches] == pytest.approx([1, 0.05 / 0.7])


def test_signs_share_their_word_s_time() -> None:
    text = hop(1, Modality.TEXT, 3, None, words=("no", "way", "!"))
    text = text.model_copy(update={"starts": (0.5, 1.0, 1.0), "ends": (0.8, 1.6, 1.6)})
    bars = row_of(drawn(prediction(attention=(text,)), WORDS), "hop 1").patches
    middles = [bar.get_x() + bar.get_width() / 2 for bar in bars]
    assert middles == pytest.approx([0.65, 1.15, 1.45])


@pytest.mark.parametrize("count", [3, 20, 60, 300])
def test_words_never_overlap(count: int) -> None:
    rng = np.random.default_rng(0)
    words = tuple("a" * int(n) for n in rng.integers(1, 40, count))
    text = hop(1, Modality.TEXT, count, None, words=words)
    row = row_of(drawn(prediction(attention=(text,)), WORDS), "words")
    shown = [t for t in row.texts if t.get_text()[0] == "a"]
    assert min(count, 9) <= len(shown) <= count
    assert (f"of {count} have room" in row.texts[0].get_text()) == (len(shown) < count)
    for one, other in itertools.combinations([t.get_window_extent() for t in shown], 2):
        apart = one.x1 <= other.x0 or other.x1 <= one.x0
        assert apart or abs(one.y0 + one.y1 - other.y0 - other.y1) > one.height


def test_a_hop_that_found_nothing_is_a_line() -> None:
    figure = drawn(prediction(attention=(hop(1, Modality.VIDEO, 0, 2.0),)), WAVE)
    row = row_of(figure, "hop 1: video, no steps")
    assert not row.patches
    assert row.get_position().height * figure.get_figheight() < 0.1


NINE = tuple(hop(k, tuple(Modality)[k % 3], 40, 30.0) for k in range(1, 10))
MANY = {f"class number {k} of a long name": 0.05 for k in range(20)}


@pytest.mark.parametrize(
    ("values", "source"),
    [
        ({"end": None, "used": (Modality.TEXT,), "missing": (Modality.AUDIO,)}, WORDS),
        ({"attention": (), "transcript": None}, WAVE),
        ({"attention": (), "transcript": "x " * 100_000 + "y" * 1_000_000}, WAVE),
        ({"attention": NINE, "end": 30.0}, Source(Clip(id="a"), None, (waveform(30), 16_000))),
        ({"transcript": "", "attention": ()}, Source(Clip(id="a"), None, (waveform(0.01), 16_000))),
        ({"attention": (hop(1, Modality.VIDEO, 1, 0.3),), "end": 0.3},
         Source(Clip(id="a"), None, None, SEEN[:1])),
        ({"transcript": "$x_1$ \\frac", "source": "a\nb$.wav", "attention": ()}, WAVE),
        ({"probabilities": MANY, "label": "z" * 400, "unknown_words": ("y" * 900,) * 50,
          "notes": ("cut " * 400,), "speaker": "s" * 300, "attention": ()}, WAVE),
    ],
)  # fmt: skip
def test_whatever_is_lacking_or_too_much(
    values: dict[str, Any], source: Source, tmp_path: Path
) -> None:
    draw = clip_figure(prediction(**values), source, Predictor())  # type: ignore[arg-type]
    for suffix in ("png", "svg", "pdf"):
        save(draw, tmp_path / f"a.{suffix}")
        assert (tmp_path / f"a.{suffix}").stat().st_size > 2000
    with Image.open(tmp_path / "a.png") as image:
        assert 1000 < image.width < 1600  # nothing stands out of the page


def test_many_classes_are_summed_up() -> None:
    figure = drawn(prediction(probabilities=MANY), WORDS)
    assert "12 others" in texts(figure)
    assert "60 %" in texts(figure)
