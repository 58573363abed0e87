"""Weights stand at the seconds, words and frames that they are of."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emohop import corpora
from emohop.clips import Modality
from emohop.config import FeatureSettings
from emohop.media import read_audio
from emohop.prediction.schema import Word
from emohop.reports.figures.attention import attention
from emohop.reports.figures.clip_media import Seen, seen_in_corpus
from emohop.reports.figures.theme import PAPER, styled
from tests.reports.test_clip_figure import hop, row_of, texts


def figure_of(hops: list[Any], shown: Seen) -> Any:
    """The plot as it is laid out on paper."""
    with styled(PAPER):
        figure = attention(hops, shown)(PAPER)
        figure.draw_without_rendering()
    return figure


def test_steps_are_bars_at_their_seconds() -> None:
    look = hop(1, Modality.AUDIO, 3, 0.3).model_copy(update={"weights": (0.1, 0.6, 0.3)})
    row = row_of(figure_of([look], Seen()), "hop 1: audio, most at 0.1 s")
    (steps,) = row.patches
    assert steps.get_data().edges.tolist() == pytest.approx([0, 0.1, 0.2, 0.3])
    # the highest weight is drawn full, even attention dotted
    assert steps.get_data().values.tolist() == pytest.approx([1 / 6, 1, 0.5])
    assert [line.get_ydata()[0] for line in row.lines] == pytest.approx([0, 1 / 1.8])


def test_even_weights_have_no_peak() -> None:
    even = hop(1, Modality.AUDIO, 10, 1.0).model_copy(
        update={"weights": (0.1,) * 10, "entropy": 1.0}
    )
    assert "hop 1: audio, nearly evenly" in texts(figure_of([even], Seen()))


def test_frames_have_room_and_their_times() -> None:
    frames = np.stack([np.full((2, 2, 3), 10 * n, np.uint8) for n in range(20)])
    times = tuple(n / 4 for n in range(20))
    shown = Seen(seconds=5.0, frames=frames, times=times)
    (axes,) = figure_of([], shown).axes
    places = [image.get_extent()[:2] for image in axes.images]
    assert 8 <= len(places) <= 12
    assert places[-1][1] <= 5.0
    for (left, right), (following, _) in itertools.pairwise(places):
        assert right < following + 1e-9
        assert left in times


def test_a_clip_of_one_word_and_nothing_else() -> None:
    figure = figure_of(
        [hop(1, Modality.TEXT, 1, None, words=("No",))], Seen(words=(Word(text="No"),))
    )
    assert {"No", "hop 1: text, the only one"} <= set(texts(figure))


class Preprocessor:
    """What `seen` asks of a predictor's inputs."""

    features = FeatureSettings(video="hog")

    def __init__(self, *modalities: Modality) -> None:
        self.max_length = dict.fromkeys(modalities, 10)


class Predictor:
    """A predictor that sees these modalities."""

    def __init__(self, *modalities: Modality) -> None:
        self.preprocessor = Preprocessor(*modalities)


class Row:
    """A prepared clip of three frames of audio."""

    audio = np.array([[2.0, 9], [4, 9], [3, 9]], np.float32)
    text = np.array(["oh", "no"])


def test_without_media_audio_is_the_first_feature() -> None:
    found: Any = seen_in_corpus(Row(), Predictor(Modality.AUDIO), None)  # type: ignore[arg-type]
    np.testing.assert_allclose(found.high, [0, 1, 0.5])
    assert found.seconds == pytest.approx(0.03)
    assert found.words == ()
    assert found.frames is None
    other = seen_in_corpus(Row(), Predictor(Modality.TEXT), None)  # type: ignore[arg-type]
    assert [word.text for word in other.words] == ["oh", "no"]
    assert other.low is None


def test_with_media_it_is_what_was_recorded(synthetic_corpus: Path) -> None:
    clip = next(iter(corpora.read("iemocap", synthetic_corpus)))
    assert clip.audio is not None
    both = Predictor(Modality.AUDIO, Modality.VIDEO)
    shown = seen_in_corpus(Row(), both, clip)  # type: ignore[arg-type]
    samples, rate, _ = read_audio(clip.audio)
    assert shown.low is not None
    assert shown.high is not None
    assert shown.seconds == pytest.approx(len(samples) / rate)
    loudest = np.abs(samples).max()
    assert shown.high.max() == pytest.approx(samples.max() / loudest)
    assert shown.low.min() == pytest.approx(samples.min() / loudest)
    assert shown.pitch is not None
    assert np.isfinite(shown.pitch[1]).any()
    assert shown.frames is not None
    assert shown.frames.shape[1:] == (128, 128, 3)
    assert shown.times[:2] == pytest.approx((0, 1 / 3))
