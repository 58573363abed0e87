"""Audio and video out of media files, which are hostile until decoded.

Times are seconds from the start of the stream that is read: the first sample, the first frame.
Nothing is allocated on the word of a header, containers that point at other files or at the
network are refused, and whatever is wrong with a file is a `MediaError` of one line.
"""

from __future__ import annotations

from emohop.media.audio import INT16_SCALE, LOUDEST, read_audio, read_audio_spans
from emohop.media.container import SAMPLE_RATES_HZ, Media, check_rate, probe
from emohop.media.video import frames_at

__all__ = [
    "INT16_SCALE",
    "LOUDEST",
    "SAMPLE_RATES_HZ",
    "Media",
    "check_rate",
    "frames_at",
    "probe",
    "read_audio",
    "read_audio_spans",
]
