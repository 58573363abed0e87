"""The one path from media to numbers: preparing a corpus and predicting a clip both call it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from emohop.clips import Clip, Span
from emohop.config import FeatureSettings
from emohop.errors import EmohopError, MediaError
from emohop.features.audio import AUDIO_FEATURES, SAMPLE_RATE_HZ, sound_16k
from emohop.features.text import tokenize
from emohop.media import read_sounds
from emohop.media.sound import Sound

Arrays = Mapping[str, NDArray[Any]]
OnSound = Callable[[Clip, NDArray[np.float32], int], NDArray[np.float32]]
"""Samples [n] and samples a second of a clip, to samples."""
Faces = NDArray[np.uint8]
OnPictures = Callable[[Faces], Faces]
"""Pictures [n, side, side, 3] to pictures."""
Medium = TypeVar("Medium")


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
        sounds = self._sounds(clips, on_sound)
        for i, clip in enumerate(clips):
            arrays: dict[str, NDArray[Any]] = {}
            for part in (pictures.get(i, {}), sounds.get(i, {}), self._words(clip)):
                if isinstance(part, Failure):
                    yield clip, part
                    break
                arrays |= part
            else:
                yield clip, arrays

    def _words(self, clip: Clip) -> Arrays | Failure:
        if self.settings.text is None:
            return {}
        if clip.transcript is None:
            return Failure("text", "the clip has no transcript: leave it out with --text none")
        return {"text": np.array(self._text(clip.transcript), dtype=np.str_)}

    def _sounds(
        self, clips: Sequence[Clip], on_sound: OnSound | None
    ) -> dict[int, Arrays | Failure]:
        if self.settings.audio is None:
            return {}
        lacking = Failure("audio", "the clip has no sound: leave it out with --audio none")

        def compute(i: int, path: Path, sound: Sound | MediaError) -> Arrays | Failure:
            return self._sound(clips[i], path, sound, on_sound)

        return _by_file([clip.sound for clip in clips], lacking, read_sounds, compute)

    def _sound(
        self, clip: Clip, path: Path, sound: Sound | MediaError, on_sound: OnSound | None
    ) -> Arrays | Failure:
        if isinstance(sound, MediaError):
            return Failure("audio", _named(path, sound))
        try:
            samples, rate = sound
            if on_sound is not None:
                samples = on_sound(clip, samples, rate)
            samples, rate = sound_16k(samples, rate), SAMPLE_RATE_HZ  # once for all features
            arrays = {"audio": self._audio.compute(samples, rate)}
            if self.settings.prosody:
                arrays["prosody"] = self._prosody(samples, rate)
        except MediaError as error:
            return Failure("audio", _named(path, error))
        for name, array in arrays.items():
            if not np.isfinite(array).all():
                return Failure("audio", f"{path}: {name} is not finite")
        return arrays

    def _pictures(
        self, clips: Sequence[Clip], on_pictures: OnPictures | None
    ) -> dict[int, Arrays | Failure]:
        if self.settings.video is None:
            return {}
        from emohop.features.video import faces_of

        lacking = Failure("video", "the clip has no picture: leave it out with --video none")

        def read(spans: Sequence[Span]) -> Iterator[tuple[int, Faces | MediaError]]:
            return faces_of(spans, self.settings.frames_per_second)

        def compute(i: int, path: Path, faces: Faces | MediaError) -> Arrays | Failure:
            if on_pictures is not None and not isinstance(faces, MediaError):
                faces = on_pictures(faces)
            return self._encode(path, faces)

        return _by_file([clip.picture for clip in clips], lacking, read, compute)

    def _encode(self, path: Path, faces: Faces | MediaError) -> Arrays | Failure:
        if isinstance(faces, MediaError):
            return Failure("video", str(faces))
        vectors = self._encoder(faces)
        if not np.isfinite(vectors).all():
            return Failure(
                "video", f"{path}: {self.settings.video} gave numbers that are not finite"
            )
        return {"video": vectors}


def _by_file(
    spans: Sequence[Span | None],
    lacking: Failure,
    read: Callable[[Sequence[Span]], Iterator[tuple[int, Medium | MediaError]]],
    compute: Callable[[int, Path, Medium | MediaError], Arrays | Failure],
) -> dict[int, Arrays | Failure]:
    """What `compute` makes of spans by their numbers, each file read once; else their failures.

    `read` is given the spans of one file, and its numbers are theirs; a span that is not there is
    `lacking`, and an error of a file as a whole is that of each of its spans.
    """
    files: dict[Path, list[int]] = {}
    results: dict[int, Arrays | Failure] = {}
    for i, span in enumerate(spans):
        if span is None:
            results[i] = lacking
        else:
            files.setdefault(span.path, []).append(i)
    for path, members in files.items():
        try:
            for k, medium in read([span for i in members if (span := spans[i]) is not None]):
                results[members[k]] = compute(members[k], path, medium)
        except (MediaError, OSError) as error:
            for i in members:
                results.setdefault(i, Failure(lacking.stage, _named(path, error)))
    return results


def _named(path: object, error: MediaError | OSError) -> str:
    """What went wrong with a file, in one line that names it."""
    reason = str(error) if isinstance(error, MediaError) else str(error.strerror or error)
    return reason if str(path) in reason else f"{path}: {reason}"


def _known(modality: str, name: str, known: Mapping[str, Any]) -> Any:
    if name not in known:
        raise EmohopError(f"no {modality} features {name!r}: one of {', '.join(known)}, none")
    return known[name]
