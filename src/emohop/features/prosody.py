"""Prosody: 35 numbers that sum up the pitch, voicing and loudness of a whole clip.

Five contours with a value every 10 ms, pitch in hertz and in semitones, probability of voicing,
harmonics-to-noise ratio in dB and loudness, and seven functionals of each. openSMILE computes
them from `prosody.conf` beside this file, which gives every parameter.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emohop.errors import MissingExtraError
from emohop.features.audio import SAMPLE_RATE_HZ, waveform_16k
from emohop.media import INT16_SCALE

__all__ = ["PROSODY_NAMES", "prosody"]

CONTOURS = (
    "F0final_sma",
    "F0finalLog_sma",
    "voicingFinalUnclipped_sma",
    "HarmonicsToNoiseRatioACFLogdB_sma",
    "loudness_sma",
)
FUNCTIONALS = (
    "stddev",
    "amean",
    "linregc1",
    "centroid",
    "percentile10.0",
    "percentile90.0",
    "pctlrange0-1",
)
PROSODY_NAMES: tuple[str, ...] = tuple(f"{c}_{f}" for c in CONTOURS for f in FUNCTIONALS)
"""What the 35 values are, in their order: openSMILE's names."""

PITCH_WINDOW_SECONDS = 0.055
PITCH_WINDOW_SAMPLES = round(PITCH_WINDOW_SECONDS * SAMPLE_RATE_HZ)
_MOST = np.float32(1 - 1 / INT16_SCALE)  # openSMILE gets 16-bit samples, where 1.0 wraps to -1.0


def prosody(samples: NDArray[Any], sample_rate: int) -> NDArray[np.float32]:
    """The prosody of one clip: `[samples]` at `sample_rate` Hz to `[35]`, see `PROSODY_NAMES`.

    Audio at another rate than 16 kHz is resampled first. The functionals of pitch and
    harmonics-to-noise go over voiced frames alone and are 0 where there is none, as in silence.
    A clip shorter than one frame of pitch, 55 ms, has 35 zeros.

    Raises:
        MediaError: Samples that are not finite, or not mono floating point.
        MissingExtraError: openSMILE is not installed.
    """
    waveform = waveform_16k(samples, sample_rate)
    smile = _smile()
    if len(waveform) < PITCH_WINDOW_SAMPLES:
        return np.zeros(len(PROSODY_NAMES), dtype=np.float32)
    values = smile(np.clip(waveform, -1, _MOST), SAMPLE_RATE_HZ)
    return np.asarray(values, dtype=np.float32).reshape(len(PROSODY_NAMES))


@cache
def _smile() -> Any:
    """OpenSMILE with our configuration, once per process; it holds no state between clips."""
    try:
        import opensmile
    except ModuleNotFoundError as error:
        if error.name != "opensmile":
            raise
        note = " (openSMILE is free for research and personal use only), or pass --no-prosody"
        raise MissingExtraError("prosody", "prosody", note) from None
    configuration = Path(__file__).with_name("prosody.conf")
    return opensmile.Smile(str(configuration), "prosody")
