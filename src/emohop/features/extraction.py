"""The one path from media to numbers: preparing a corpus and predicting a clip both call it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emohop.clips import Clip, Span
from emohop.config import FeatureSettings
from emohop.errors import EmohopError, MediaError
from emohop.features.audio import AUDIO_FEATURES, SAMPLE_RATE_HZ, sound_16k
from emohop.features.text import tokenize
from emohop.media import read_audio

Arrays = Mapping[str, NDArray[Any]]
OnSound = Callable[[Clip, NDArray[np.float32], int], NDArray[np.float32]]
"""Samples [n] and samples a second of a clip, to samples."""
OnPictures = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
"""Pictures [n, side, side, 3] to pictures."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a clip has no features: the stage (audio, text, video) and one line."""

    stage: str
    reason: str


class Extractor:
    """Computes the arrays of clips: audio, prosody, text and video, as the settings say."""

    def __init__(self, settings: FeatureSettings) -> None:
        """Check the settings and load what they need, the image model included."""
        self.settings = settings
        self.sizes: dict[str, int] = {}
        if settings.audio is not None:
            self._audio = _known("audio", settings.audio, AUDIO_FEATURES)
            self.sizes["audio"] = self._audio.size
            if settings.prosody:
                from emohop.features.prosody import PROSODY_NAMES, prosody

                prosody(np.zeros(16_000, np.float32), 16_000)  # a missing extra is said here
                self._prosody = prosody
                self.sizes["prosody"] = len(PROSODY_NAMES)
        if settings.text is not None:
            self._text = _known("text", settings.text, {"words": tokenize})
        if settings.video is not None:
            from emohop.features.encoders import load_image_encoder

            self._encoder = load_image_encoder(settings.video)
            self.sizes["video"] = self._encoder.dim

    def __call__(self, clip: Clip) -> Arrays:
        """The arrays of one clip; raises MediaError when one cannot be made."""
        ((_, result),) = self.extract([clip])
        if isinstance(result, Failure):
            raise MediaError(result.reason)
        return result

    def extract(
        self,
        clips: Sequence[Clip],
        on_sound: OnSound | None = None,
        on_pictures: OnPictures | None = None,
    ) -> Iterator[tuple[Clip, Arrays | Failure]]:
        """The arrays of clips that share a video file, which is decoded once, in their order.

        `on_sound` and `on_pictures` are given the decoded media, and what they return is what
        features are computed of.
        """
        pictures = self._pictures(clips, on_pictures)
        for i, clip in enumerate(clips):
            picture = pictures.get(i)
            if isinstance(picture, Failure):
                yield clip, picture
                continue
            try:
                arrays = self._sound_and_words(clip, on_sound)
            except _StageError as error:
                yield clip, Failure(error.stage, str(error))
                continue
            yield clip, (arrays if picture is None else {**arrays, "video": picture})

    def _sound_and_words(self, clip: Clip, on_sound: OnSound | None) -> dict[str, NDArray[Any]]:
        settings, arrays = self.settings, {}
        if settings.audio is not None:
            if clip.sound is None:
                raise _StageError("audio", "the clip has no sound: leave it out with --audio none")
            try:
                samples, rate = read_audio(clip.sound)
                if on_sound is not None:
                    samples = on_sound(clip, samples, rate)
                samples, rate = sound_16k(samples, rate), SAMPLE_RATE_HZ  # once for all features
                arrays["audio"] = self._audio.compute(samples, rate)
                if settings.prosody:
                    arrays["prosody"] = self._prosody(samples, rate)
            except (MediaError, OSError) as error:
                raise _StageError("audio", _named(clip.sound.path, error)) from None
            for name, array in arrays.items():
                if not np.isfinite(array).all():
                    raise _StageError("audio", f"{clip.sound.path}: {name} is not finite")
        if settings.text is not None:
            if clip.transcript is None:
                raise _StageError("text", "the clip has no transcript: leave it out, --text none")
            arrays["text"] = np.array(self._text(clip.transcript), dtype=np.str_)
        return arrays

    def _pictures(
        self, clips: Sequence[Clip], on_pictures: OnPictures | None
    ) -> dict[int, NDArray[np.float32] | Failure]:
        if self.settings.video is None:
            return {}
        from emohop.features.video import faces_of

        results: dict[int, NDArray[np.float32] | Failure] = {}
        by_file: dict[Any, list[tuple[int, Span]]] = {}
        for i, clip in enumerate(clips):
            if clip.picture is None:
                reason = "the clip has no picture: leave it out with --video none"
                results[i] = Failure("video", reason)
            else:
                by_file.setdefault(clip.picture.path, []).append((i, clip.picture))
        for path, members in by_file.items():
            spans = [span for _, span in members]
            try:
                for k, faces in faces_of(spans, self.settings.frames_per_second):
                    if on_pictures is not None and not isinstance(faces, MediaError):
                        faces = on_pictures(faces)  # noqa: PLW2901
                    results[members[k][0]] = self._encode(path, faces)
            except (MediaError, OSError) as error:  # the whole file
                for i, _ in members:
                    results.setdefault(i, Failure("video", _named(path, error)))
        return results

    def _encode(
        self, path: object, faces: NDArray[np.uint8] | MediaError
    ) -> NDArray[np.float32] | Failure:
        if isinstance(faces, MediaError):
            return Failure("video", str(faces))
        vectors = self._encoder(faces)
        if not np.isfinite(vectors).all():
            return Failure(
                "video", f"{path}: {self.settings.video} gave numbers that are not finite"
            )
        return vectors


class _StageError(Exception):
    def __init__(self, stage: str, reason: str) -> None:
        super().__init__(reason)
        self.stage = stage


def _named(path: object, error: MediaError | OSError) -> str:
    """What went wrong with a file, in one line that names it."""
    reason = str(error) if isinstance(error, MediaError) else str(error.strerror or error)
    return reason if str(path) in reason else f"{path}: {reason}"


def _known(modality: str, name: str, known: Mapping[str, Any]) -> Any:
    if name not in known:
        raise EmohopError(f"no {modality} features {name!r}: one of {', '.join(known)}, none")
    return known[name]
