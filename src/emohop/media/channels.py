"""One channel of several: the one that was asked for, or their mix."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emohop.errors import MediaError

CENTRE = "FC"
WEIGHTS = {
    CENTRE: 1.0,
    **dict.fromkeys(("FL", "FR", "FLC", "FRC"), 0.5**0.5),
    **dict.fromkeys(("BL", "BR", "BC", "SL", "SR"), 0.5),
}
"""Of each channel in a mix to one, by FFmpeg's names (ITU-R BS.775); others, as LFE, have none."""
CANCELLED = 0.01
"""A mix of less than this share of the louder channel's energy has lost it: opposite phases."""
SIDES = ("left", "right")


def chosen(
    samples: NDArray[np.float32], names: Sequence[str], channel: int | None, path: Path
) -> NDArray[np.float32]:
    """What is kept of a block [channels, samples]: one channel, or two that are mixed later.

    `channel` counts from 0; None is the mix, for which more than two become one at once. With a
    centre, where video has its dialogue, they have the weights of `WEIGHTS`; else their mean is
    taken. MediaError for a channel that is not there.
    """
    count = len(samples)
    if channel is not None:
        if channel >= count:
            there = "one channel" if count == 1 else f"{count} channels"
            raise MediaError(f"{path}: has {there}: there is no channel {channel + 1}")
        return samples[channel : channel + 1]
    if count <= len(SIDES):
        return samples
    weights = np.ones(count)
    if CENTRE in names:
        weights = np.array([WEIGHTS.get(name, 0.0) for name in names])
    with np.errstate(invalid="ignore", over="ignore"):  # NaN is refused later
        mono = (weights / weights.sum()) @ samples.astype(np.float64)
    return np.asarray(mono[None], np.float32)


def mixed(samples: NDArray[np.float32]) -> tuple[NDArray[np.float32], str | None]:
    """The mean of one or two channels [channels, samples], and what is to be said of it.

    Where two cancel each other out, it is the louder one.
    """
    if len(samples) == 1:
        return samples[0], None
    with np.errstate(invalid="ignore", over="ignore"):
        mono = np.asarray(samples.mean(axis=0, dtype=np.float64), np.float32)
        energies = [float(np.square(one, dtype=np.float64).sum()) for one in (mono, *samples)]
    mix, *each = energies
    loudest = int(np.argmax(each))
    if not mix < CANCELLED * each[loudest]:
        return mono, None
    return samples[loudest], (
        f"its channels cancel each other out (opposite phases): the {SIDES[loudest]} one was taken"
    )
