"""The one path from media to numbers: preparing a corpus and predicting a clip both call it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from emohop.clips import Clip, Modality, Span
from emohop.config import FeatureSettings
from emohop.errors import MediaError
from emohop.features.audio import SAMPLE_RATE_HZ, WINDOW_SAMPLES, sound_16k, too_short
from emohop.features.encoding import Arrays, Encoder, load_encoder
from emohop.features.text import Text
from emohop.media import read_sounds

__all__ = ["Arrays", "Extractor", "Failure", "OnPictures", "OnSound"]

PENDING_BYTES = 32 << 20
"""Media that wait to be encoded together: eight minutes of sound, or 220 pictures."""

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


Results = dict[int, Arrays | Failure]
"""By the numbers of the clips."""


class Extractor:
    """Computes the arrays of clips: audio, prosody, text and video, as the settings say."""

    def __init__(
        self, settings: FeatureSettings, device: str = "auto", cache: str | Path | None = None
    ) -> None:
        """Check the settings and load what they need, pretrained models included.

        Pretrained models run on `device`: cpu, cuda, or auto, which takes a GPU that is there.
        What they give is kept in the folder `cache`, if one is named.
        """
        self.settings = settings
        self.sizes: dict[str, int] = {}
        self.encoders: dict[Modality, Encoder] = {}
        for modality in settings.modalities:
            self.encoders[modality] = load_encoder(modality, settings, device, cache)
        if settings.audio is not None:
            self.sizes["audio"] = self.encoders[Modality.AUDIO].width
            if settings.prosody:
                from emohop.features.prosody import PROSODY_NAMES, prosody

                prosody(np.zeros(16_000, np.float32), 16_000)  # a missing extra is said here
                self._prosody = prosody
                self.sizes["prosody"] = len(PROSODY_NAMES)
        if settings.text is not None and self.encoders[Modality.TEXT].width:
            self.sizes["text_states"] = self.encoders[Modality.TEXT].width
        if settings.video is not None:
            self.sizes["video"] = self.encoders[Modality.VIDEO].width
            if settings.crop == "face":
                self.sizes["face"] = 1

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
        parts: list[Results] = []
        if Modality.VIDEO in self.encoders:
            parts.append(self._pictures(clips, on_pictures))
        if Modality.AUDIO in self.encoders:
            parts.append(self._sounds(clips, on_sound))
        if Modality.TEXT in self.encoders:
            parts.append(self._texts(clips))
        for i, clip in enumerate(clips):
            arrays: dict[str, NDArray[Any]] = {}
            for part in parts:
                found = part[i]
                if isinstance(found, Failure):
                    yield clip, found
                    break
                arrays |= found
            else:
                yield clip, arrays

    def _texts(self, clips: Sequence[Clip]) -> Results:
        found = _Pending(self, Modality.TEXT)
        for i, clip in enumerate(clips):
            if clip.transcript is not None:
                found.add(i, Text(clip.transcript, clip.before), None)
            elif self.settings.incomplete:
                found.done[i] = self.empty(Modality.TEXT)
            else:
                reason = "the clip has no transcript: leave it out with --text none"
                found.done[i] = Failure("text", reason)
        return found.finish()

    def _sounds(self, clips: Sequence[Clip], on_sound: OnSound | None) -> Results:
        def prepare(i: int, found: tuple[NDArray[np.float32], int]) -> tuple[Any, Arrays]:
            samples, rate = found
            if on_sound is not None:
                samples = on_sound(clips[i], samples, rate)
            return self._heard(samples, rate)

        found = _Pending(self, Modality.AUDIO)
        found.read([clip.sound for clip in clips], read_sounds, prepare)
        return found.finish()

    def _heard(self, samples: NDArray[np.float32], rate: int) -> tuple[Any, Arrays]:
        """What an encoder is given of a sound, and its prosody."""
        samples = sound_16k(samples, rate)  # once for all features
        if len(samples) < WINDOW_SAMPLES:
            raise too_short(samples)
        if not self.settings.prosody:
            return samples, {}
        return samples, {"prosody": self._prosody(samples, SAMPLE_RATE_HZ)}

    def _pictures(self, clips: Sequence[Clip], on_pictures: OnPictures | None) -> Results:
        from emohop.features.video import Cropped, crops_of

        face = self.settings.crop == "face"

        def read(spans: Sequence[Span]) -> Iterator[tuple[int, Cropped | MediaError]]:
            return crops_of(spans, self.settings.frames_per_second, face=face)

        def prepare(i: int, cropped: Cropped) -> tuple[Any, Arrays]:
            del i
            pictures = cropped.pictures if on_pictures is None else on_pictures(cropped.pictures)
            return self._watched(pictures, cropped.found)

        found = _Pending(self, Modality.VIDEO)
        found.read([clip.picture for clip in clips], read, prepare)
        return found.finish()

    def _watched(self, pictures: Faces, found: NDArray[np.bool_]) -> tuple[Any, Arrays]:
        """What an encoder is given of pictures, and where a face was found."""
        face = self.settings.crop == "face"
        return pictures, {"face": found[:, None].astype(np.float32)} if face else {}

    def of_media(
        self,
        sound: tuple[NDArray[np.float32], int] | None = None,
        pictures: Faces | None = None,
        text: Text | None = None,
    ) -> Arrays:
        """The arrays of one clip that is decoded already; what is None it lacks.

        `sound` is samples [n] and samples a second; `pictures` is uint8 [n, height, width, 3],
        `frames_per_second` of them. Raises MediaError when features cannot be made of them.
        """
        from emohop.features.video import cropped

        arrays: dict[str, NDArray[Any]] = {}
        for modality, encoder in self.encoders.items():
            item: Any
            more: Arrays = {}
            if modality is Modality.AUDIO and sound is not None:
                item, more = self._heard(*sound)
            elif modality is Modality.VIDEO and pictures is not None:
                seen = cropped(pictures, face=self.settings.crop == "face")
                item, more = self._watched(seen.pictures, seen.found)
            elif modality is Modality.TEXT and text is not None:
                item = text
            else:
                arrays |= self.empty(modality)
                continue
            (found,) = encoder.encode([item])
            if isinstance(found, MediaError):
                raise found
            arrays |= {**found, **more}
        return arrays

    def empty(self, modality: Modality) -> Arrays:
        """The arrays of a clip that lacks a modality: no steps, and prosody of zeros."""
        names = {
            Modality.AUDIO: ("audio", "prosody"),
            Modality.TEXT: ("text", "text_states"),
            Modality.VIDEO: ("video", "face"),
        }[modality]
        arrays: dict[str, NDArray[Any]] = {}
        for name in names:
            if name == "text":
                arrays[name] = np.empty(0, np.str_)
            elif name in self.sizes:
                shape = (self.sizes[name],) if name == "prosody" else (0, self.sizes[name])
                arrays[name] = np.zeros(shape, np.float32)
        return arrays


class _Pending:
    """Media that wait for the encoder of their modality, which takes many clips at once."""

    def __init__(self, extractor: Extractor, modality: Modality) -> None:
        self.extractor, self.modality = extractor, modality
        self.encoder = extractor.encoders[modality]
        self.items: list[tuple[int, Path | None, Any, Arrays]] = []
        self.bytes = 0
        self.done: Results = {}

    def read(
        self,
        spans: Sequence[Span | None],
        read: Callable[[Sequence[Span]], Iterator[tuple[int, Medium | MediaError]]],
        prepare: Callable[[int, Medium], tuple[Any, Arrays]],
    ) -> None:
        """Read spans, each file once; `prepare` makes of a medium what is encoded, and more.

        `read` is given the spans of one file, and its numbers are theirs; an error of a file as a
        whole is that of each of its spans.
        """
        files: dict[Path, list[int]] = {}
        for i, span in enumerate(spans):
            if span is not None:
                files.setdefault(span.path, []).append(i)
            elif self.extractor.settings.incomplete:
                self.done[i] = self.extractor.empty(self.modality)
            else:
                self.done[i] = Failure(self.modality.value, _LACKING[self.modality])
        for path, members in files.items():
            left = set(members)
            try:
                for k, medium in read([span for i in members if (span := spans[i]) is not None]):
                    left.discard(members[k])
                    self._take(members[k], path, medium, prepare)
            except (MediaError, OSError) as error:
                for i in left:
                    self._fail(i, path, error)

    def _take(
        self,
        i: int,
        path: Path,
        medium: Medium | MediaError,
        prepare: Callable[[int, Medium], tuple[Any, Arrays]],
    ) -> None:
        if isinstance(medium, MediaError):
            self._fail(i, path, medium)
            return
        try:
            item, more = prepare(i, medium)
        except MediaError as error:
            self._fail(i, path, error)
            return
        self.add(i, item, path, more)

    def add(
        self, i: int, item: Any, path: Path | None, more: Arrays = MappingProxyType({})
    ) -> None:
        """Let clip `i` wait, and encode all that wait when they are many."""
        self.items.append((i, path, item, more))
        self.bytes += getattr(item, "nbytes", 0)
        if self.bytes > PENDING_BYTES:
            self._encode()

    def finish(self) -> Results:
        """Encode what still waits; everything by the numbers of the clips."""
        self._encode()
        return self.done

    def _encode(self) -> None:
        items, self.items, self.bytes = self.items, [], 0
        if not items:
            return
        found = self.encoder.encode([item for _, _, item, _ in items])
        for (i, path, _, more), arrays in zip(items, found, strict=True):
            if isinstance(arrays, MediaError):
                self._fail(i, path, arrays)
                continue
            both = {**arrays, **more}
            self.done[i] = both
            for name, array in both.items():
                if array.dtype.kind == "f" and not np.isfinite(array).all():
                    where = "" if path is None else f"{path}: "
                    self.done[i] = Failure(self.modality.value, f"{where}{name} is not finite")

    def _fail(self, i: int, path: Path | None, error: MediaError | OSError) -> None:
        self.done[i] = Failure(self.modality.value, _named(path, error))


_LACKING = {
    Modality.AUDIO: "the clip has no sound: leave it out with --audio none",
    Modality.VIDEO: "the clip has no picture: leave it out with --video none",
}


def _named(path: object, error: MediaError | OSError) -> str:
    """What went wrong with a file, in one line that names it."""
    reason = str(error) if isinstance(error, MediaError) else str(error.strerror or error)
    return reason if str(path) in reason else f"{path}: {reason}"
