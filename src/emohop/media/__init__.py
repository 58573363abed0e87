"""Audio and video out of media files, which are hostile until decoded.

Times are seconds of the file, from the start of its container, for every stream alike: audio that
starts four seconds after the video is silent until then. Nothing is allocated on the word of a
header, containers that point at other files or at the network are refused, and whatever is wrong
with a file is a `MediaError` of one line, or, where it is to be repaired, a note.
"""

from __future__ import annotations

from emohop.media.audio import INT16_SCALE, LOUDEST, Audio, Passes, read_audio, read_audio_spans
from emohop.media.container import SAMPLE_RATES_HZ, check_rate
from emohop.media.probing import Media, probe
from emohop.media.video import frames_at

__all__ = [
    "INT16_SCALE",
    "LOUDEST",
    "SAMPLE_RATES_HZ",
    "Audio",
    "Media",
    "Passes",
    "check_rate",
    "frames_at",
    "probe",
    "read_audio",
    "read_audio_spans",
]
