"""What the level of a waveform gives away: silence, clipping, integers taken for audio."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

SILENT = 1e-4
"""Full scale is 1; a peak below this, -80 dB, is silence."""
LOUD = 16.0
"""A louder peak comes from samples of another scale; float files go beyond 1, but not so far."""
CLIPPED_RUN = 3
"""So many neighbouring samples at the peak are a wave that was cut off,"""
CLIPPED_SHARE = 0.001
"""if such are this share of all of them."""
FULL = 0.97
"""Of full scale: where a wave is cut off; a quieter one has a flat top for another reason."""


def level_notes(samples: NDArray[np.float32]) -> Iterator[str]:
    """What is to be said of finite samples [n] of one channel.

    Example:
        >>> list(level_notes(np.zeros(100, np.float32)))
        ['silence: no sample is louder than -80 dB']
    """
    peak = float(np.abs(samples).max(initial=0.0))
    if peak < SILENT:
        yield "silence: no sample is louder than -80 dB"
    elif peak > LOUD:
        yield (
            f"its samples reach {peak:.4g} where full scale is 1: integers that were written as "
            "floating-point numbers? Divide them by 32768 (16 bits)"
        )
    elif peak >= FULL:
        top = np.abs(samples) >= peak * (1 - 1e-3)
        runs = np.convolve(top, np.ones(CLIPPED_RUN, np.int8), "valid") == CLIPPED_RUN
        share = np.convolve(runs, np.ones(CLIPPED_RUN, np.int8)).astype(bool).mean()
        if share >= CLIPPED_SHARE:
            yield f"clipped: {share:.1%} of its samples are at the limit"
