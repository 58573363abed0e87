"""Weights stand at the seconds, words and pictures that they are of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch

from emohop import corpora
from emohop.clips import Modality
from emohop.config import FeatureSettings
from emohop.errors import EmohopError
from emohop.media import read_audio
from emohop.prediction import Look
from emohop.reports.attention import Seen, attention, media_of, seen
from emohop.reports.theme import PAPER, styled
from tests.reports.test_plots import Predicting, weights


def figure_of(looks: list[Look], shown: Seen) -> Figure:
    """The plot as it is laid out on paper."""
    with styled(PAPER):
        figure = attention(looks, shown, Predicting())(PAPER)  # type: ignore[arg-type]
        figure.draw_without_rendering()
    return figure


def shown_of(**changes: Any) -> Seen:
    nothing: dict[str, Any] = {"sound": None, "seconds": 0.0, "words": (), "pictures": None}
    return Seen(**{**nothing, "rate": 4.0, **changes})


def test_sound_is_weighted_by_the_second() -> None:
    look = Look(Modality.AUDIO, np.array([0.1, 0.6, 0.3], np.float32))
    wave = np.sin(np.arange(4000)).astype(np.float32)
    (axes,) = figure_of([look], shown_of(sound=wave, seconds=0.28)).axes
    (steps,) = [patch for patch in axes.patches if isinstance(patch, StepPatch)]
    data: Any = steps.get_data()
    # ten frames of 10 ms a step, the highest weight drawn full
    assert data.edges.tolist() == pytest.approx([0, 0.1, 0.2, 0.3])
    assert data.values.tolist() == pytest.approx([1 / 6, 1, 0.5])
    assert axes.get_xlim()[1] == pytest.approx(0.3)


def test_words_are_weighted_one_by_one() -> None:
    look = Look(Modality.TEXT, np.array([0.2, 0.8], np.float32))
    (axes,) = figure_of([look], shown_of(words=("oh", "no", "not seen"))).axes
    heights = [bar.get_height() for bar in axes.patches]  # type: ignore[attr-defined]
    assert heights == pytest.approx([0.25, 1])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["oh", "no"]


@pytest.mark.parametrize("words", [("a" * 90,) * 2, ("never",) * 128, ("$x^2$", "日本", "\x07")])
def test_many_and_long_words_can_be_read(words: tuple[str, ...]) -> None:
    figure = figure_of([Look(Modality.TEXT, weights(len(words)))], shown_of(words=words))
    (axes,) = figure.axes
    labels = axes.get_xticklabels()
    assert len(axes.patches) == len(words)
    assert 0 < len(labels) <= 50
    assert axes.get_position().height * figure.get_figheight() > 0.2
    for label in labels:
        box = label.get_window_extent()
        assert box.y0 >= 0
        assert box.height < figure.bbox.height


def test_pictures_are_those_of_their_step() -> None:
    pictures = np.stack([np.full((2, 2, 3), 10 * n, np.uint8) for n in range(5)])
    look = Look(Modality.VIDEO, np.array([0.05, 0.1, 0.15, 0.2, 0.5], np.float32))
    (axes,) = figure_of([look], shown_of(pictures=pictures)).axes
    places = []
    for image in axes.images:
        left, right, _, _ = image.get_extent()
        array = image.get_array()
        assert array is not None
        places.append((left, right, int(array[0, 0, 0])))
    assert places == [(0.25 * n, 0.25 * (n + 1), 10 * n) for n in range(5)]
    (steps,) = [patch for patch in axes.patches if isinstance(patch, StepPatch)]
    data: Any = steps.get_data()
    assert data.edges.tolist() == pytest.approx([n / 4 for n in range(6)])
    assert data.values.tolist() == pytest.approx([0.028 * n for n in (1, 2, 3, 4, 10)])


def test_too_many_pictures_are_thinned() -> None:
    pictures = np.zeros((100, 2, 2, 3), np.uint8)
    (axes,) = figure_of([Look(Modality.VIDEO, weights(100))], shown_of(pictures=pictures)).axes
    assert 10 <= len(axes.images) <= 12
    assert axes.images[-1].get_extent()[1] == pytest.approx(25)


class Inputs:
    """What `seen` asks of a predictor's inputs."""

    features = FeatureSettings(video="hog")

    def __init__(self, *modalities: Modality) -> None:
        self.max_steps = dict.fromkeys(modalities, 10)


class Predictor:
    """A predictor that sees these modalities."""

    def __init__(self, *modalities: Modality) -> None:
        self.inputs = Inputs(*modalities)


class Row:
    """A prepared clip of three frames of sound."""

    audio = np.array([[2.0, 9], [4, 9], [3, 9]], np.float32)
    text = np.array(["oh", "no"])


def test_without_media_sound_is_the_first_feature() -> None:
    found: Any = seen(Row(), Predictor(Modality.AUDIO), None)  # type: ignore[arg-type]
    np.testing.assert_allclose(found.sound, [0, 1, 0.5])
    assert found.seconds == pytest.approx(0.03)
    assert found.words == ()
    assert found.pictures is None
    other = seen(Row(), Predictor(Modality.TEXT), None)  # type: ignore[arg-type]
    assert other.words == ("oh", "no")
    assert other.sound is None


def test_with_media_it_is_what_was_recorded(made_corpus: Path) -> None:
    clip = next(iter(corpora.read("iemocap", made_corpus)))
    assert clip.sound is not None
    found = media_of("iemocap", made_corpus, [clip.id])
    assert found == {clip.id: clip}
    shown = seen(Row(), Predictor(Modality.AUDIO, Modality.VIDEO), clip)  # type: ignore[arg-type]
    samples, rate = read_audio(clip.sound)
    assert shown.sound is not None
    assert shown.seconds == pytest.approx(len(samples) / rate)
    assert float(np.abs(shown.sound).max()) == pytest.approx(1)
    np.testing.assert_allclose(shown.sound, samples / np.abs(samples).max(), rtol=1e-5)
    assert shown.pictures is not None
    assert shown.pictures.shape[1:] == (96, 96, 3)
    with pytest.raises(EmohopError, match="has no clip Ses09X: give the folder that was prepared"):
        media_of("iemocap", made_corpus, ["Ses09X"])
