"""Attention weights of a clip, on one time axis with its audio, text and video."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from emohop.clips import Modality
from emohop.prediction.schema import Hop
from emohop.reports.figures.clip_media import Seen
from emohop.reports.figures.stacked_figure import POINTS, WITHIN, Band, stacked
from emohop.reports.figures.theme import Draw, Theme, fitted, width

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {Modality.AUDIO: 0, Modality.TEXT: 1, Modality.VIDEO: 2}
TICKS_INCHES = 0.2
"""Below the last row, for the seconds."""
_BAND_INCHES = 0.26
_NO_INCHES = 0.02
_WAVE_INCHES = 0.6
_FRAME_INCHES = (0.36, 0.56)
_LINE_INCHES = 0.15
_MOST_LINES = 5
_FEW_LINES = 3
"""Of words, where not all have room: the weightiest come first."""
_WORD_INCHES = 1.0
_MOST_WORDS = 400
_EVEN = 0.95
"""The entropy above which attention is taken for uniform."""
_HERTZ = (75, 100, 150, 200, 300, 400)

Spans = NDArray[np.float64]
"""[steps, 2]: where each step begins and ends on the axis; NaN where that is not on it."""


def attention(hops: Sequence[Hop], shown: Seen) -> Draw:
    """The clip and one band per hop: its weights over the modality that it attends to."""

    def draw(theme: Theme) -> Figure:
        return stacked(attention_rows(hops, shown), theme, TICKS_INCHES)

    return draw


def attention_rows(hops: Sequence[Hop], shown: Seen) -> list[Band]:
    """Rows of the clip's media and of each hop. For use within `styled`.

    They share one axis: seconds of the clip, or words where nothing has a time.
    """
    end = _end(hops, shown)
    timed = end > 0
    end = end or float(max(1, len(shown.words), *(len(hop.weights) for hop in hops), 1))
    rows = []
    if shown.low is not None:
        voiced = shown.pitch is not None and bool(np.isfinite(shown.pitch[1]).any())
        title = "audio, its pitch as a line" if voiced else "audio"
        right = "Hz" if voiced else ""
        rows.append(Band(_WAVE_INCHES, partial(_waveform, shown=shown), title, right))
    if shown.words:
        rows.append(_words(hops, shown, end, timed))
    if shown.frames is not None:
        rows.append(_frames(shown.frames, shown.times, end))
    for hop in hops:
        spans = _spans(hop.starts, hop.ends, end)
        title = f"hop {hop.hop}: {hop.target.value}{_most(hop, spans)}"
        right = f"entropy {hop.entropy:.2f}" if hop.weights else ""
        high = _BAND_INCHES if hop.weights else _NO_INCHES
        rows.append(Band(high, partial(_band, hop=hop, spans=spans), title, right))
    return [_on_axis(row, end, timed, last=row is rows[-1]) for row in rows]


def _on_axis(row: Band, end: float, timed: bool, *, last: bool) -> Band:
    def draw(axes: Axes, theme: Theme) -> None:
        from matplotlib.ticker import MaxNLocator

        row.draw(axes, theme)
        axes.set_xlim(0, end)
        if not timed:
            axes.set_xticks([])
            return
        axes.xaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 2.5, 5, 10]))
        axes.grid(axis="x", lw=0.5)
        axes.set_axisbelow(True)
        axes.tick_params(labelbottom=last, labelsize=POINTS, pad=2)
        axes.xaxis.set_major_formatter(lambda second, _: f"{second:g} s")

    return Band(row.inches, draw, row.title, row.right, row.gap)


def _end(hops: Sequence[Hop], shown: Seen) -> float:
    """The last second of anything that has a time; 0 where nothing has."""
    ends = [shown.seconds, *(word.end or 0.0 for word in shown.words)]
    return max(ends + [end or 0.0 for hop in hops for end in hop.ends])


def _spans(starts: Sequence[float | None], ends: Sequence[float | None], end: float) -> Spans:
    """Where steps are; evenly over the whole where none has a time."""
    if all(start is None for start in starts):
        edges = np.linspace(0, end, len(starts) + 1)
        return np.stack([edges[:-1], edges[1:]], axis=1)
    pairs = [
        [math.nan if x is None else x for x in pair] for pair in zip(starts, ends, strict=True)
    ]
    spans = np.array(pairs, np.float64).reshape(-1, 2)
    for first, last in {(first, last) for first, last in pairs}:
        alike = np.flatnonzero((spans == (first, last)).all(axis=1))  # signs share a word's time
        edges = np.linspace(first, last, len(alike) + 1)
        spans[alike] = np.stack([edges[:-1], edges[1:]], axis=1)
    return spans


def _most(hop: Hop, spans: Spans) -> str:
    """What has most weight: a word, or a moment where one stands out; what is off the axis."""
    if not hop.weights:
        return ", no steps"
    weights = np.array(hop.weights)
    off = float(weights[np.isnan(spans[:, 0])].sum())
    before = f", {100 * off:.0f} % on the turns before" if off >= 0.005 else ""
    at = int(weights.argmax())
    if len(weights) < 2:
        return ", the only one" + before
    if weights[at] < 1.5 / len(weights) and hop.entropy > _EVEN:
        return ", nearly evenly" + before
    if hop.words is not None:
        return f", most at “{fitted(hop.words[at], _WORD_INCHES)}”{before}"
    start = hop.starts[at]
    return "" if start is None else f", most at {(start + (hop.ends[at] or start)) / 2:.1f} s"


def _waveform(axes: Axes, theme: Theme, *, shown: Seen) -> None:
    if shown.low is None or shown.high is None:
        return
    edges = np.linspace(0, shown.seconds, len(shown.low) + 1)
    middles = (edges[:-1] + edges[1:]) / 2
    axes.fill_between(middles, shown.low, shown.high, color=theme.ink, alpha=0.28, lw=0)
    axes.set_ylim(min(-1.05, 0) if shown.low.min() < 0 else 0, 1.05)
    if shown.pitch is None or not np.isfinite(shown.pitch[1]).any():
        return
    from matplotlib import patheffects
    from matplotlib.ticker import NullLocator

    times, hertz = shown.pitch
    low, high = float(np.nanmin(hertz)), float(np.nanmax(hertz))
    wider = max(1.15, math.sqrt(2 * low / high))  # an octave at least: noise is not a melody
    voice = axes.twinx()
    for side in voice.spines.values():
        side.set_visible(False)
    voice.set_yscale("log")
    voice.yaxis.set_minor_locator(NullLocator())
    voice.set_ylim(low / wider, high * wider)
    inside = [hz for hz in _HERTZ if low / wider < hz < high * wider]
    chosen = inside if len(inside) < 3 else [inside[0], inside[len(inside) // 2], inside[-1]]
    voice.set_yticks(chosen, [str(hz) for hz in chosen], fontsize=POINTS)
    voice.tick_params(axis="y", pad=3)
    around = [patheffects.withStroke(linewidth=2.8, foreground=theme.paper)]
    voice.plot(times, hertz, color=theme.colour(0), lw=1.5, path_effects=around)


def _words(hops: Sequence[Hop], shown: Seen, end: float, timed: bool) -> Band:
    """The words at their times, on as many lines as they need; of too many, the weightiest."""
    words = shown.words[:_MOST_WORDS]
    spans = _spans([w.start for w in words], [w.end for w in words], end)
    middles = np.nan_to_num(spans.mean(axis=1), nan=-1.0)
    weights = np.zeros(len(words))
    for hop in hops:
        if hop.words is not None and len(hop.weights):
            there = _spans(hop.starts, hop.ends, end).mean(axis=1)
            near = np.abs(middles[:, None] - np.nan_to_num(there, nan=math.inf)).argmin(axis=0)
            np.maximum.at(weights, near, np.where(np.isnan(there), 0, hop.weights))
    order = np.argsort(-weights, kind="stable")
    order = order[middles[order] >= 0]
    texts = [fitted(word.text, _WORD_INCHES) for word in words]
    sizes = np.array([width(text, POINTS) for text in texts])
    placed = _lines(np.sort(order), middles, sizes, end, _MOST_LINES)
    if len(placed) < len(order):
        said = [n for n in order.tolist() if any(sign.isalnum() for sign in texts[n])]
        placed = _lines(np.array(said, np.int64), middles, sizes, end, _FEW_LINES)
    lines = 1 + max((line for _, _, line in placed), default=0)
    evenly = timed and all(word.start is None for word in words)
    title = "words, without times: spread evenly" if evenly else "words"
    if len(placed) < len(shown.words):
        title += f" ({len(placed)} of {len(shown.words)} have room)"

    def draw(axes: Axes, theme: Theme) -> None:
        axes.set_ylim(lines, 0)
        for number, x, line in placed:
            axes.text(
                x * end / WITHIN, line + 0.5, texts[number], ha="center", va="center",
                fontsize=POINTS, bbox={"fc": theme.paper, "ec": "none", "pad": 0.6},
            )  # fmt: skip

    return Band(lines * _LINE_INCHES, draw, title)


def _lines(
    chosen: NDArray[np.int64], middles: Spans, sizes: NDArray[np.float64], end: float, most: int
) -> list[tuple[int, float, int]]:
    """Words in this order that have room on a line: which, the inches of its middle, its line."""
    taken: list[list[tuple[float, float]]] = [[] for _ in range(most)]
    placed = []
    for number in chosen.tolist():
        half = float(sizes[number]) / 2
        x = min(max(float(middles[number]) / end * WITHIN, half), WITHIN - half)
        left, right = x - half - 0.06, x + half + 0.06
        for line, others in enumerate(taken):
            if all(right <= start or left >= stop for start, stop in others):
                others.append((x - half, x + half))
                placed.append((number, x, line))
                break
    return placed


def _frames(frames: NDArray[np.uint8], times: Sequence[float], end: float) -> Band:
    """Squares at their times, as many as have room beside each other."""
    step = (times[1] - times[0]) / end * WITHIN if len(times) > 1 else WITHIN
    least, most = _FRAME_INCHES
    inches = min(most, max(least, step))
    side = inches / WITHIN * end

    def draw(axes: Axes, theme: Theme) -> None:
        del theme
        until = -math.inf
        for frame, time in zip(frames, times, strict=True):
            left = min(time, end - side * 0.98)
            if left >= until - 0.1 * side and time <= end:
                box = (left, left + side * 0.97, 0, 1)
                axes.imshow(frame, extent=box, aspect="auto", zorder=3)
                until = left + side
        axes.set_ylim(0, 1)

    return Band(inches, draw)


def _band(axes: Axes, theme: Theme, *, hop: Hop, spans: Spans) -> None:
    """One bar per step, the highest full; dotted is uniform attention."""
    axes.set_ylim(0, 1.06)
    if not len(spans):
        return
    heights = np.array(hop.weights) / max(hop.weights)
    colour = theme.colour(COLOURS[hop.target])
    if hop.target is Modality.TEXT:
        there = np.isfinite(spans[:, 0])
        wide = spans[there, 1] - spans[there, 0]
        left = spans[there, 0] + 0.08 * wide
        axes.bar(left, heights[there], 0.84 * wide, align="edge", color=colour, lw=0, zorder=2)
    else:  # one shape: hundreds of bars are slow to draw, and their SVG is large
        edges = [*spans[:, 0], spans[-1, 1]]
        axes.stairs(heights, edges, fill=True, color=colour, lw=0, zorder=2)
    axes.axhline(0, color=theme.ink, lw=0.8, zorder=3)
    if len(heights) > 1:
        even = 1 / len(heights) / max(hop.weights)
        axes.axhline(even, color=theme.ink, lw=0.8, ls=(0, (1, 2)), zorder=3)
