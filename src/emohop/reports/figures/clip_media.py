"""A clip as it is drawn behind what a model says of it: its audio, text and video."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emohop.clips import Clip, Modality, Span
from emohop.config import AudioFeatures, FeatureSettings, VideoFeatures
from emohop.errors import MediaError
from emohop.features.audio import AUDIO_FEATURES
from emohop.features.pitch import pitch
from emohop.prediction import Prediction, Predictor, Source, Word
from emohop.storage import Row

FRAME_SECONDS = 0.010
"""From one frame of the audio's own features to the next."""
PRETRAINED_SECONDS = 0.020
"""A frame of Wav2Vec2's family and of Whisper, before frames are pooled."""
MOST_FRAMES = 24
_WAVE_POINTS = 600
_FRAME_PIXELS = 128

Line = tuple[NDArray[np.float64], ...]


@dataclass(frozen=True, eq=False)
class Seen:
    """A clip as it is drawn: `low` and `high` are its audio [points], -1 to 1 over `seconds`.

    `frames` are uint8 [n, side, side, 3] at `times`, seconds [n].
    """

    seconds: float = 0.0
    low: NDArray[np.float32] | None = None
    high: NDArray[np.float32] | None = None
    pitch: Line | None = None
    """Seconds and Hz, both [points]; NaN where no voice is heard."""
    words: tuple[Word, ...] = ()
    frames: NDArray[np.uint8] | None = None
    times: tuple[float, ...] = ()


def seen(prediction: Prediction, source: Source, predictor: Predictor) -> Seen:
    """The inputs of a model in a clip; MediaError where its media cannot be read any more."""
    clip, modalities = source.clip, predictor.preprocessor.max_length
    found: dict[str, Any] = {"words": _words(prediction)}
    if prediction.end is not None:
        found["seconds"] = prediction.end - prediction.start
    if Modality.AUDIO in modalities:
        heard = source.waveform
        if heard is None and clip.audio is not None:
            heard = _read(clip.audio)
        if heard is not None and len(heard[0]):
            found |= _of_audio(*heard)
    if Modality.VIDEO in modalities:
        settings = predictor.preprocessor.features
        if source.frames is not None and len(source.frames):
            found |= _of_frames(source.frames, _video(settings).frames_per_second)
        elif clip.video is not None:
            found |= _of_video(clip.video, found.get("seconds", 0.0), settings)
    return Seen(**found)


def seen_in_corpus(row: Row, predictor: Predictor, clip: Clip | None) -> Seen:
    """What to draw of a prepared clip: from its media where they are at hand, else its features.

    Without media, the audio is the first feature of each frame, which is its loudness or close
    to it, and there are no frames.
    """
    settings, modalities = predictor.preprocessor.features, predictor.preprocessor.max_length
    found: dict[str, Any] = {}
    if Modality.AUDIO in modalities and len(row.audio):
        if clip is not None and clip.audio is not None:
            found |= _of_audio(*_read(clip.audio))
        else:
            loud = row.audio[:, 0]
            high = (loud - loud.min()) / max(1e-6, float(np.ptp(loud)))
            found |= {"low": np.zeros_like(high), "high": high}
            found["seconds"] = len(row.audio) * _frame_seconds(row, settings)
    if Modality.VIDEO in modalities and clip is not None and clip.video is not None:
        found |= _of_video(clip.video, found.get("seconds", 0.0), settings)
    if Modality.TEXT in modalities:
        found["words"] = tuple(Word(text=word) for word in row.text.tolist())
    return Seen(**found)


def _words(prediction: Prediction) -> tuple[Word, ...]:
    """Words where they have times, else those that a hop attends to, else the transcript's."""
    if prediction.words and prediction.words[0].start is not None:
        return prediction.words
    for hop in prediction.attention:
        if hop.words is not None:
            return tuple(Word(text=word) for word in hop.words)
    if Modality.TEXT not in prediction.used:
        return ()
    return tuple(Word(text=word) for word in (prediction.transcript or "").split())


def _read(span: Span) -> tuple[NDArray[np.float32], int]:
    from emohop.media import read_audio

    samples, rate, _ = read_audio(span, repair=True)
    return samples, rate


def _of_audio(samples: NDArray[np.float32], rate: int) -> dict[str, Any]:
    """The lowest and highest value in each of at most `_WAVE_POINTS` stretches, and the pitch."""
    parts = np.array_split(samples, min(_WAVE_POINTS, len(samples)))
    loudest = max(1e-6, float(np.abs(samples).max()))
    return {
        "low": np.array([part.min() for part in parts], np.float32) / loudest,
        "high": np.array([part.max() for part in parts], np.float32) / loudest,
        "seconds": len(samples) / rate,
        "pitch": pitch(samples, rate),
    }


def _of_frames(frames: NDArray[np.uint8], rate: float) -> dict[str, Any]:
    every = -(-len(frames) // MOST_FRAMES)
    chosen = range(0, len(frames), every)
    return {"frames": _small(frames[chosen]), "times": tuple(k / rate for k in chosen)}


def _of_video(span: Span, seconds: float, settings: FeatureSettings) -> dict[str, Any]:
    """Frames of a video as the model sees them, fewer in long clips; nothing if unreadable."""
    from emohop.features.video import crops_of

    length = seconds if span.end is None else span.end - span.start
    rate = min(_video(settings).frames_per_second, MOST_FRAMES / max(length, 1e-3))
    ((_, found),) = crops_of([span], rate, face=_video(settings).crop == "face", repair=True)
    if isinstance(found, MediaError):
        return {}
    times = tuple(k / rate for k in range(len(found.frames)))
    return {"frames": _small(found.frames), "times": times}


def _video(settings: FeatureSettings) -> VideoFeatures:
    return settings.video or VideoFeatures()


def _small(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The centres of frames as small squares."""
    from PIL import Image, ImageOps

    size = (_FRAME_PIXELS, _FRAME_PIXELS)
    return np.stack([np.asarray(ImageOps.fit(Image.fromarray(one), size)) for one in frames])


def _frame_seconds(row: Row, settings: FeatureSettings) -> float:
    """How long a frame of audio is: of a pretrained model, as the clip's length tells."""
    audio = settings.audio or AudioFeatures()
    if audio.encoder in AUDIO_FEATURES:
        return FRAME_SECONDS
    if row.end is None or not len(row.audio):
        return PRETRAINED_SECONDS * audio.pool
    return (row.end - row.start) / len(row.audio)
