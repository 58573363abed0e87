"""One picture of a prediction: what was heard, said and seen, and where each hop looked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emohop.clips import Modality
from emohop.errors import MediaError
from emohop.features.pitch import HIGHEST_HZ, LOWEST_HZ, pitch
from emohop.prediction.answers import Hop, Prediction
from emohop.prediction.sources import Source
from emohop.reports.theme import Draw, Theme, fitted, width

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INCHES = 5.0
"""So narrow that its letters can be read on a phone."""
TIME_INCHES = 3.7
"""Of this, the time axis."""
PICTURES = 8
PICTURE_PIXELS = 96
WAVE_POINTS = 700
CLASS_INCHES, SOUND_INCHES, WORDS_INCHES, HOP_INCHES = 0.17, 0.7, 0.22, 0.36
SLANTED_INCHES = 0.6
NOTE = (
    "Bars: the weight of each step, as a share of the hop's highest; right: entropy (1 is\n"
    "everywhere alike). Attention is not by itself an explanation."
)
_PER_SECOND = 3.0


@dataclass(frozen=True, eq=False)
class Media:
    """What of a clip is drawn: samples [n] and their rate, pictures uint8 [n, side, side, 3]."""

    sound: tuple[NDArray[np.float32], int] | None = None
    pictures: NDArray[np.uint8] | None = None

    @classmethod
    def of(cls, source: Source) -> Media:
        """The media of a source; what cannot be read is left out."""
        from emohop.features.video import cropped, faces_of
        from emohop.media import read_audio

        sound, pictures = source.sound, None
        if sound is None and source.clip.sound is not None:
            sound = read_audio(source.clip.sound)
        if source.pictures is not None:
            every = math.ceil(len(source.pictures) / PICTURES)
            pictures = cropped(source.pictures[::every]).pictures
        elif source.clip.picture is not None:
            span = source.clip.picture
            seconds = (span.end or source.clip.end or 1.0) - span.start
            rate = min(_PER_SECOND, PICTURES / max(seconds, 1e-3))
            ((_, faces),) = faces_of([span], rate)
            pictures = None if isinstance(faces, MediaError) else faces
        return cls(sound, None if pictures is None else _small(pictures))


def clip_picture(prediction: Prediction, media: Media) -> Draw:
    """The picture of a clip's prediction."""

    def draw(theme: Theme) -> Figure:
        from matplotlib.figure import Figure

        words = _placed_words(prediction)
        heights, rows = _rows(prediction, media, words)
        figure = Figure(figsize=(INCHES, sum(heights) + 0.75), dpi=200, layout="constrained")
        layout: Any = figure.get_layout_engine()
        layout.set(h_pad=0.03, hspace=0.0)
        all_axes = figure.subplots(len(rows), 1, squeeze=False, height_ratios=heights)[:, 0]
        p = max(prediction.probabilities.values())
        figure.suptitle(
            f"{fitted(prediction.label, 2.0, 12)}, {100 * p:.0f} %", fontsize=12, x=0.02, ha="left"
        )
        name = fitted(PurePath(prediction.source).name, 2.4, 7)
        figure.text(0.99, 0.995, name, fontsize=7, alpha=0.8, ha="right", va="top")
        seconds = _seconds(prediction)
        last = None
        for axes, (kind, hop) in zip(all_axes, rows, strict=True):
            for side in axes.spines.values():
                side.set_visible(False)
            axes.set_yticks([])
            if kind == "classes":
                _classes(axes, prediction, theme)
                continue
            axes.set_xticks([])
            axes.set_xlim(0, seconds)
            if kind == "sound" and media.sound is not None:
                _sound(axes, *media.sound, theme)
            elif kind == "words":
                _words(axes, words, theme)
            elif kind == "pictures" and media.pictures is not None:
                _pictures(axes, media.pictures, seconds)
            elif hop is not None:
                _hop(axes, hop, words, seconds, theme)
            last = axes
        if last is not None and prediction.end is not None:
            last.xaxis.set_major_locator(_ticks(seconds))
            last.xaxis.set_major_formatter(lambda second, _: f"{second:g} s")
        if prediction.attention:
            figure.supxlabel(NOTE, fontsize=6, color=theme.ink, alpha=0.75, x=0.02, ha="left")
        return figure

    return draw


def _rows(
    prediction: Prediction, media: Media, words: Sequence[tuple[float, float, str]]
) -> tuple[list[float], list[tuple[str, Hop | None]]]:
    """The rows of the picture from the top, and their heights in inches."""
    heights = [CLASS_INCHES * len(prediction.probabilities) + 0.1]
    rows: list[tuple[str, Hop | None]] = [("classes", None)]
    if media.sound is not None:
        rows.append(("sound", None))
        heights.append(SOUND_INCHES)
    if words:
        rows.append(("words", None))
        heights.append(SLANTED_INCHES if _crowded(words) else WORDS_INCHES)
    if media.pictures is not None:
        rows.append(("pictures", None))
        heights.append(min(0.75, TIME_INCHES / len(media.pictures)))
    for hop in prediction.attention:
        rows.append(("hop", hop))
        heights.append(HOP_INCHES)
    return heights, rows


def _seconds(prediction: Prediction) -> float:
    return 1.0 if prediction.end is None else max(0.05, prediction.end - prediction.start)


def _placed_words(prediction: Prediction) -> list[tuple[float, float, str]]:
    """Words from when to when; spread evenly where they have no times."""
    seconds = _seconds(prediction)
    if prediction.words:
        return [
            (w.start, w.end, w.text)
            for w in prediction.words
            if w.start is not None and w.end is not None
        ]
    spoken = (prediction.transcript or "").split() if Modality.TEXT in prediction.used else []
    for hop in prediction.attention:  # below which its bars shall stand
        spoken = list(hop.words or spoken)
    step = seconds / max(1, len(spoken))
    return [(k * step, (k + 1) * step, word) for k, word in enumerate(spoken)]


def _classes(axes: Axes, prediction: Prediction, theme: Theme) -> None:
    """A bar a class, the most probable first."""
    ordered = sorted(prediction.probabilities.items(), key=lambda pair: -pair[1])
    names, values = zip(*ordered, strict=True)
    places = np.arange(len(names))[::-1]
    colours = [theme.colour(0), *[theme.rule] * (len(names) - 1)]
    axes.barh(places, values, height=0.72, color=colours)
    axes.set_yticks(places, [fitted(name, 0.9) for name in names])
    for place, value in zip(places, values, strict=True):
        axes.text(value + 0.012, place, f"{100 * value:.0f} %", va="center", fontsize=7)
    axes.set_xlim(0, 1.12)
    axes.set_xticks([])
    used = ", ".join(m.value for m in prediction.used)
    missing = ", ".join(m.value for m in prediction.missing)
    said = f"used: {used}" + (f"\nmissing: {missing}" if missing else "")
    axes.text(1.12, places[-1] - 0.4, said, ha="right", va="bottom", fontsize=7, alpha=0.8)


def _sound(axes: Axes, samples: NDArray[np.float32], rate: int, theme: Theme) -> None:
    """The waveform, and the pitch where there is one."""
    loudest = max(1e-6, float(np.abs(samples).max(initial=0)))
    parts = np.array_split(samples / loudest, min(WAVE_POINTS, max(1, len(samples))))
    times = np.linspace(0, len(samples) / rate, len(parts))
    low, high = [part.min(initial=0) for part in parts], [part.max(initial=0) for part in parts]
    axes.fill_between(times, low, high, color=theme.ink, alpha=0.3, lw=0)
    axes.set_ylim(-1.05, 1.05)
    axes.set_ylabel("sound", rotation=0, ha="right", va="center")
    when, hertz = pitch(samples, rate)
    if np.isfinite(hertz).any():
        octaves = np.log2(hertz / LOWEST_HZ) / np.log2(HIGHEST_HZ / LOWEST_HZ)
        axes.plot(when, 2 * octaves - 1, ".", ms=1.6, color=theme.colour(1))
        middle = float(np.nanmedian(hertz))
        axes.text(
            1.01, 0.5, f"pitch\n{middle:.0f} Hz", transform=axes.transAxes, fontsize=7,
            va="center", color=theme.colour(1),
        )  # fmt: skip


def _crowded(words: Sequence[tuple[float, float, str]]) -> bool:
    """Whether some word is wider than its time."""
    seconds = max(end for _, end, _ in words)
    inches = TIME_INCHES / max(seconds, 1e-3)
    return any(width(text, 7) + 0.03 > (end - start) * inches for start, end, text in words)


def _words(axes: Axes, words: Sequence[tuple[float, float, str]], theme: Theme) -> None:
    """Words at their times, slanted where they would touch; some are left out where many are."""
    slanted = _crowded(words)
    every = math.ceil(len(words) / (TIME_INCHES / 0.13)) if slanted else 1
    for start, end, text in words[::every]:
        shown = fitted(text, 0.62 if slanted else TIME_INCHES, 7)
        axes.text(
            (start + end) / 2, 0.02 if slanted else 0.5, shown, fontsize=7, color=theme.ink,
            rotation=55 if slanted else 0, ha="left" if slanted else "center",
            va="bottom" if slanted else "center", rotation_mode="anchor",
        )  # fmt: skip
    axes.set_ylim(0, 1)
    axes.set_ylabel("words", rotation=0, ha="right", va="center")


def _pictures(axes: Axes, pictures: NDArray[np.uint8], seconds: float) -> None:
    """Pictures side by side over the time that they stand for."""
    step = seconds / len(pictures)
    for k, picture in enumerate(pictures):
        box = (k * step, (k + 0.96) * step, 0, 1)
        axes.imshow(picture, extent=box, aspect="auto", interpolation="antialiased")
    axes.set_xlim(0, seconds)
    axes.set_ylim(0, 1)
    axes.set_ylabel("pictures", rotation=0, ha="right", va="center")


def _hop(
    axes: Axes,
    hop: Hop,
    words: Sequence[tuple[float, float, str]],
    seconds: float,
    theme: Theme,
) -> None:
    """The weights of a hop over the time of what it looked at."""
    axes.set_ylabel(f"{hop.hop} {hop.target.value}", rotation=0, ha="right", va="center")
    axes.set_ylim(0, 1.15)
    axes.axhline(0, color=theme.rule, lw=0.6)
    if not hop.weights:
        axes.text(
            0.5, 0.4, f"no {_WHAT[hop.target]}", transform=axes.transAxes, ha="center",
            va="center", fontsize=7, alpha=0.7,
        )  # fmt: skip
        return
    axes.text(1.01, 0.5, f"{hop.entropy:.2f}", transform=axes.transAxes, va="center", fontsize=7)
    heights = np.array(hop.weights) / max(hop.weights)
    starts, ends = _times(hop, seconds)
    colour = theme.colour(list(Modality).index(hop.target))
    axes.bar(
        starts, heights, width=ends - starts, align="edge", color=colour, ec=theme.paper, lw=0.3
    )


def _times(hop: Hop, seconds: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """From when to when each step is drawn; steps without times share out the clip."""
    count = len(hop.weights)
    starts = np.array([np.nan if t is None else t for t in hop.starts], np.float64)
    ends = np.array([np.nan if t is None else t for t in hop.ends], np.float64)
    if not np.isfinite(starts).all() or not np.isfinite(ends).all():
        edges = np.linspace(0, seconds, count + 1)
        return edges[:-1], edges[1:]
    ends = np.maximum(ends, starts + 1e-3 * seconds)
    for first, last in {(a, b) for a, b in zip(starts, ends, strict=True)}:
        alike = np.flatnonzero((starts == first) & (ends == last))  # signs behind their word
        edges = np.linspace(first, last, len(alike) + 1)
        starts[alike], ends[alike] = edges[:-1], edges[1:]
    return starts, np.minimum(ends, seconds)


def _ticks(seconds: float) -> object:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(5 if seconds < 1000 else 4, steps=[1, 2, 5, 10])


def _small(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    from PIL import Image

    size = (PICTURE_PIXELS, PICTURE_PIXELS)
    return np.stack([np.asarray(Image.fromarray(picture).resize(size)) for picture in pictures])


_WHAT = {Modality.AUDIO: "sound", Modality.TEXT: "words", Modality.VIDEO: "pictures"}
