"""Attention maps of a clip: the weights of each hop, with their times or words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from emohop.clips import Modality
from emohop.features.text import TURN
from emohop.prediction.schema import Hop
from emohop.prediction.transcripts import Transcript, times_of
from emohop.storage import Row

Times = Sequence[tuple[float, float] | tuple[None, None]]
_DIGITS = 6


@dataclass(frozen=True, eq=False)
class AttentionMap:
    """One hop's attention weights in one clip: float [steps] of the target's encoder, summing to 1.

    A clip without a step of the target has no weights.
    """

    target: Modality
    weights: NDArray[np.float32]

    @property
    def entropy(self) -> float:
        """Normalised entropy of the weights: 1 is uniform, 0 one step only (or none there)."""
        if len(self.weights) < 2:
            return 0.0
        seen = self.weights[self.weights > 0].astype(np.float64)
        return max(0.0, float(-(seen * np.log(seen)).sum() / np.log(len(self.weights))))


def hops_of(
    maps: Sequence[AttentionMap],
    row: Row,
    stacks: dict[Modality, int],
    transcript: Transcript | None,
    times: Mapping[Modality, Times] = MappingProxyType({}),
) -> tuple[Hop, ...]:
    """The attention weights of each hop of a clip; steps of `stacks` frames stand together.

    `times` are those of its frames of audio and video, in seconds from the start of the clip, of
    which they take equal shares if it is not known.
    """
    found = []
    for number, each_map in enumerate(maps, 1):
        words = row.text.tolist() if each_map.target is Modality.TEXT else []
        length = None if row.end is None else row.end - row.start
        if words:
            each = _times_of_words(words, transcript)
        else:
            frames = len(row[each_map.target.value])
            each = times.get(each_map.target) or shared_out(frames, 0.0, length)
        stack = stacks[each_map.target]
        spans = [each[at : at + stack] for at in range(0, len(each_map.weights) * stack, stack)]
        found.append(
            Hop(
                hop=number,
                target=each_map.target,
                entropy=round(each_map.entropy, _DIGITS),
                weights=tuple(round(float(weight), _DIGITS) for weight in each_map.weights),
                starts=tuple(_rounded(span[0][0]) for span in spans),
                ends=tuple(_rounded(span[-1][1]) for span in spans),
                words=tuple(
                    " ".join(words[at : at + stack])
                    for at in range(0, len(each_map.weights) * stack, stack)
                )
                if each_map.target is Modality.TEXT
                else None,
            )
        )
    return tuple(found)


def shared_out(frames: int, start: float, end: float | None) -> Times:
    """Frames that share out a stretch of time in seconds: each is as long as any other."""
    if end is None:
        return [(None, None)] * frames
    return evenly(frames, start, (end - start) / max(1, frames))


def evenly(frames: int, start: float, seconds: float, last: float | None = None) -> Times:
    """Frames of so many seconds each, from a start on; none goes beyond the last second."""
    most = math.inf if last is None else last
    edges = [min(start + k * seconds, most) for k in range(frames + 1)]
    return list(pairwise(edges))


def _times_of_words(words: Sequence[str], transcript: Transcript | None) -> Times:
    """Times of the clip's own words; those of the turns before it have none."""
    own = len(words) - words[::-1].index(TURN) if TURN in words else 0
    before: Times = [(None, None)] * own
    spoken = () if transcript is None else transcript.words
    return [*before, *times_of(words[own:], spoken)]


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
