"""Where each hop looked in a clip: over its sound, its words and its pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emohop import corpora
from emohop.clips import Clip, Modality
from emohop.config import FeatureSettings
from emohop.errors import EmohopError, MediaError
from emohop.features.audio import AUDIO_FEATURES
from emohop.prediction import Look, Predictor
from emohop.reports.theme import COLUMN_INCHES, Draw, Theme, fitted, width
from emohop.storage import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FRAME_SECONDS = 0.010
PRETRAINED_SECONDS = 0.020
"""A frame of Wav2Vec2's family and of Whisper, before frames are pooled."""
"""From one frame of the sound's features to the next."""
SHOWN_PICTURES = 12
_WAVE_POINTS = 600
_ROW_INCHES = 0.75
_AXES_INCHES = 6.2
_WORD_INCHES = 0.8
_SHOWN_WORDS = 50
_PICTURE_PIXELS = 96


@dataclass(frozen=True, eq=False)
class Seen:
    """A clip as it is drawn behind the weights.

    `sound` is [points] between -1 and 1 over `seconds`; `pictures` is uint8 [n, side, side, 3] or
    None, `rate` how many there are in a second.
    """

    sound: NDArray[np.float32] | None
    seconds: float
    words: tuple[str, ...]
    pictures: NDArray[np.uint8] | None
    rate: float
    frame: float = FRAME_SECONDS
    """Seconds of sound in one of its frames."""


def seen(row: Row, predictor: Predictor, clip: Clip | None) -> Seen:
    """What to draw of a clip: from its media where they are at hand, else from its features.

    Without media, the sound is the first feature of each frame, which is its loudness or close
    to it, and there are no pictures.
    """
    settings = predictor.inputs.features
    modalities = predictor.inputs.max_steps
    sound, seconds, pictures, frame = None, 0.0, None, FRAME_SECONDS
    if Modality.AUDIO in modalities:
        frame = _frame_seconds(row, settings)
        seconds = len(row.audio) * frame
        loud = row.audio[:, 0] if len(row.audio) else np.zeros(1, np.float32)
        sound = (loud - loud.min()) / max(1e-6, float(np.ptp(loud)))
        if clip is not None and clip.sound is not None:
            from emohop.media import read_audio

            samples, rate = read_audio(clip.sound)
            sound = samples / max(1e-6, float(np.abs(samples).max(initial=0)))
            seconds = len(samples) / rate
    if Modality.VIDEO in modalities and clip is not None and clip.picture is not None:
        from emohop.features.video import faces_of

        ((_, faces),) = faces_of([clip.picture], settings.frames_per_second)
        pictures = None if isinstance(faces, MediaError) else _small(faces)
    words = tuple(row.text.tolist()) if Modality.TEXT in modalities else ()
    return Seen(sound, seconds, words, pictures, settings.frames_per_second, frame)


def _frame_seconds(row: Row, settings: FeatureSettings) -> float:
    """How long a frame of sound is: of a pretrained model, as the clip's length tells."""
    if settings.audio in AUDIO_FEATURES:
        return FRAME_SECONDS
    if row.end is None or not len(row.audio):
        return PRETRAINED_SECONDS * settings.audio_pool
    return (row.end - row.start) / len(row.audio)


def media_of(corpus: str, source: Path, ids: Sequence[str]) -> dict[str, Clip]:
    """The clips of a corpus folder with these ids; EmohopError when one is not there."""
    found = {clip.id: clip for clip in corpora.read(corpus, source)}
    for name in ids:
        if name not in found:
            raise EmohopError(f"{source} has no clip {name}: give the folder that was prepared")
    return {name: found[name] for name in ids}


def attention(looks: Sequence[Look], shown: Seen, predictor: Predictor) -> Draw:
    """A row a hop: its weights over what it looked at, with how widely it looked."""

    def draw(theme: Theme) -> Figure:
        from matplotlib.figure import Figure

        heights = [_height(look, shown) for look in looks]
        figure = Figure(figsize=(2 * COLUMN_INCHES, sum(heights) + 0.1), layout="constrained")
        rows = figure.subplots(len(looks), 1, squeeze=False, height_ratios=heights)[:, 0]
        for number, (look, axes) in enumerate(zip(looks, rows, strict=True), 1):
            for side in axes.spines.values():
                side.set_visible(False)
            axes.set_yticks([])
            axes.set_ylabel(
                f"hop {number}\n{look.target}\n{look.entropy:.2f}",
                rotation=0, ha="right", va="center",
            )  # fmt: skip
            _ROWS[look.target](axes, look.weights, shown, predictor, theme)
        return figure

    return draw


def _height(look: Look, shown: Seen) -> float:
    """The inches of a row: pictures are nearly as high as wide, slanted words need room."""
    if look.target is Modality.TEXT:
        return _ROW_INCHES + 0.4 * _slanted(_words(look.weights, shown))
    if look.target is not Modality.VIDEO or shown.pictures is None or not len(look.weights):
        return _ROW_INCHES
    side = _AXES_INCHES / math.ceil(len(look.weights) / _every(len(look.weights)))
    return 0.2 + min(0.9, max(0.35, side)) / 0.75  # the rest is for the weights below


def _every(pictures: int) -> int:
    """How many pictures one stands for where there are too many to be seen."""
    return math.ceil(pictures / SHOWN_PICTURES)


def _small(faces: NDArray[np.uint8]) -> NDArray[np.uint8]:
    from PIL import Image

    size = (_PICTURE_PIXELS, _PICTURE_PIXELS)
    return np.stack([np.asarray(Image.fromarray(face).resize(size)) for face in faces])


def _over_sound(
    axes: Axes, weights: NDArray[np.float32], shown: Seen, predictor: Predictor, theme: Theme
) -> None:
    step = shown.frame * predictor.settings.encoder(Modality.AUDIO).stack
    end = max(shown.seconds, len(weights) * step, step)
    if shown.sound is not None:
        low, high = _envelope(shown.sound)
        times = np.linspace(0, shown.seconds, len(low))
        axes.fill_between(times, low, high, color=theme.ink, alpha=0.25, lw=0)
    if len(weights):
        edges = np.arange(len(weights) + 1) * step
        heights = weights / weights.max()
        axes.stairs(heights, edges, fill=True, color=theme.colour(1), alpha=0.65, lw=0)
    axes.set_xlim(0, end)
    axes.set_ylim(-1.05 if shown.sound is not None and shown.sound.min() < 0 else 0, 1.05)
    axes.xaxis.set_major_formatter(lambda second, _: f"{second:g} s")


def _over_words(
    axes: Axes, weights: NDArray[np.float32], shown: Seen, predictor: Predictor, theme: Theme
) -> None:
    del predictor
    words = _words(weights, shown)
    if not words:
        axes.set_xticks([])
        axes.text(0.5, 0.5, "no words", ha="center", va="center", transform=axes.transAxes)
        return
    axes.bar(range(len(words)), weights / weights.max(), width=0.8, color=theme.colour(1))
    long = _slanted(words)
    every = math.ceil(len(words) / _SHOWN_WORDS)
    axes.set_xticks(
        range(0, len(words), every), words[::every], rotation=60 if long else 0,
        ha="right" if long else "center", rotation_mode="anchor" if long else "default",
    )  # fmt: skip
    axes.set_xlim(-0.6, len(words) - 0.4)
    axes.set_ylim(0, 1.05)


def _words(weights: NDArray[np.float32], shown: Seen) -> list[str]:
    """The words that were seen, as they fit below the weights."""
    return [fitted(word, _WORD_INCHES) for word in shown.words[: len(weights)]]


def _slanted(words: Sequence[str]) -> bool:
    """Whether the widest word is wider than the room of each."""
    return bool(words) and max(map(width, words)) + 0.05 > _AXES_INCHES / len(words)


def _over_pictures(
    axes: Axes, weights: NDArray[np.float32], shown: Seen, predictor: Predictor, theme: Theme
) -> None:
    step = predictor.settings.encoder(Modality.VIDEO).stack / shown.rate
    count = max(1, len(weights))
    axes.set_xlim(0, count * step)
    axes.set_ylim(0, 1.05)
    axes.xaxis.set_major_formatter(lambda second, _: f"{second:g} s")
    if not len(weights):
        axes.text(0.5, 0.5, "no pictures", ha="center", va="center", transform=axes.transAxes)
        return
    heights = weights / weights.max()
    if shown.pictures is None:
        axes.stairs(heights, np.arange(count + 1) * step, fill=True, color=theme.colour(1), lw=0)
        return
    # pictures side by side as wide as their time, each underlined by its weight
    axes.set_ylim(0, 1.3)
    every = _every(count)
    for first in range(0, count, every):
        at = min(len(shown.pictures) - 1, round((first + every // 2) * step * shown.rate))
        right = min(count, first + every) * step
        axes.imshow(
            shown.pictures[at],
            extent=(first * step, right, 0.32, 1.3),
            aspect="auto",
            interpolation="none",
        )
    axes.stairs(0.28 * heights, np.arange(count + 1) * step, fill=True, color=theme.colour(1), lw=0)
    axes.set_xlim(0, count * step)
    axes.set_ylim(0, 1.3)


_ROWS: dict[Modality, Any] = {
    Modality.AUDIO: _over_sound,
    Modality.TEXT: _over_words,
    Modality.VIDEO: _over_pictures,
}


def _envelope(sound: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The lowest and highest value in each of at most `_WAVE_POINTS` stretches."""
    parts = np.array_split(sound, min(_WAVE_POINTS, max(1, len(sound))))
    low = np.array([part.min() for part in parts], np.float32)
    high = np.array([part.max() for part in parts], np.float32)
    return (low, high) if sound.min() < 0 else (np.zeros_like(high), high)
