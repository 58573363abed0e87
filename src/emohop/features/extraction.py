"""The one path from media to numbers: preparing a corpus and predicting a clip both call it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emohop.clips import Clip, Modality, Span
from emohop.config import FeatureSettings, VideoFeatures
from emohop.errors import MediaError
from emohop.features.arrays import FACE, PROSODY, Arrays, empty_arrays
from emohop.features.audio import SAMPLE_RATE_HZ, WINDOW_SAMPLES, too_short, waveform_16k
from emohop.features.batching import Failure, Pending, Results
from emohop.features.encoder import FeatureEncoder
from emohop.features.encoding import device_of, load_encoder
from emohop.features.text import Text
from emohop.media import Audio, Passes, read_audio_spans
from emohop.media.levels import level_notes
from emohop.model_config import STATES

__all__ = ["Arrays", "Extractor", "Failure", "OnAudio", "OnFrames", "OnNote"]

OnAudio = Callable[[Clip, NDArray[np.float32], int], NDArray[np.float32]]
"""Samples [n] and samples per second of a clip, to samples."""
Faces = NDArray[np.uint8]
OnFrames = Callable[[Clip, Faces], Faces]
"""Frames [n, side, side, 3] of a clip, to frames."""
OnNote = Callable[[Clip, str], None]
"""Told what was noticed in a clip's media, line by line."""


class Extractor:
    """Computes the arrays of clips: audio, prosody, text and video, as the settings say."""

    def __init__(
        self, settings: FeatureSettings, device: str = "auto", cache: str | Path | None = None
    ) -> None:
        """Check the settings and load what they need, pretrained models included.

        Pretrained models run on `device`: cpu, cuda, or auto, which takes a GPU that is there.
        What they give is kept in the folder `cache`, if one is named.
        """
        if device != "auto":
            device_of(device)  # a wrong one is said whatever the encoders
        self.settings = settings
        self.sizes: dict[str, int] = {}
        self.encoders: dict[Modality, FeatureEncoder] = {}
        for modality in settings.modalities:
            chosen = settings.of(modality)
            if chosen is not None:
                self.encoders[modality] = load_encoder(modality, chosen, device, cache)
        if settings.audio is not None:
            self.sizes["audio"] = self.encoders[Modality.AUDIO].width
            if settings.prosody:
                from emohop.features.prosody import PROSODY_NAMES, prosody

                prosody(np.zeros(16_000, np.float32), 16_000)  # a missing extra is said here
                self._prosody = prosody
                self.sizes[PROSODY] = len(PROSODY_NAMES)
        if settings.text is not None and self.encoders[Modality.TEXT].width:
            self.sizes[STATES] = self.encoders[Modality.TEXT].width
        if settings.video is not None:
            self.sizes["video"] = self.encoders[Modality.VIDEO].width
            if settings.video.crop == "face":
                self.sizes[FACE] = 1

    def __call__(self, clip: Clip) -> Arrays:
        """The arrays of one clip; raises MediaError when one cannot be made."""
        ((_, result),) = self.extract([clip])
        if isinstance(result, Failure):
            raise MediaError(result.reason)
        return result

    def extract(
        self,
        clips: Sequence[Clip],
        on_audio: OnAudio | None = None,
        on_frames: OnFrames | None = None,
        on_note: OnNote | None = None,
    ) -> Iterator[tuple[Clip, Arrays | Failure]]:
        """The arrays of clips that share a video file, which is decoded once, in their order.

        `on_audio` and `on_frames` are given the decoded media, and what they return is what
        features are computed of; `on_note` is told what was noticed.
        """
        for clip, parts in self.parts(clips, on_audio, on_frames, on_note):
            arrays: dict[str, NDArray[Any]] = {}
            for found in parts.values():
                if isinstance(found, Failure):
                    yield clip, found
                    break
                arrays |= found
            else:
                yield clip, arrays

    def parts(
        self,
        clips: Sequence[Clip],
        on_audio: OnAudio | None = None,
        on_frames: OnFrames | None = None,
        on_note: OnNote | None = None,
        passes: Passes | None = None,
    ) -> Iterator[tuple[Clip, Mapping[Modality, Arrays | Failure]]]:
        """As `extract`, modality by modality: of a clip that is damaged, what can be read.

        `passes` are those of a recording of which more clips follow.
        """
        parts: dict[Modality, Results] = {}
        if Modality.VIDEO in self.encoders:
            parts[Modality.VIDEO] = self._frames(clips, on_frames, on_note)
        if Modality.AUDIO in self.encoders:
            parts[Modality.AUDIO] = self._waveforms(clips, on_audio, on_note, passes)
        if Modality.TEXT in self.encoders:
            parts[Modality.TEXT] = self._texts(clips)
        for i, clip in enumerate(clips):
            yield clip, {modality: found[i] for modality, found in parts.items()}

    def _pending(self, modality: Modality) -> Pending:
        absent = self.empty(modality) if self.settings.keep_incomplete else None
        return Pending(modality, self.encoders[modality], absent)

    def _texts(self, clips: Sequence[Clip]) -> Results:
        found = self._pending(Modality.TEXT)
        for i, clip in enumerate(clips):
            if clip.transcript is not None:
                found.add(i, Text(clip.transcript, clip.previous_turns), None)
            else:
                found.lack(i)
        return found.finish()

    def _waveforms(
        self,
        clips: Sequence[Clip],
        on_audio: OnAudio | None,
        on_note: OnNote | None,
        passes: Passes | None,
    ) -> Results:
        def read(spans: Sequence[Span]) -> Iterator[tuple[int, Audio | MediaError]]:
            return read_audio_spans(spans, repair=self.settings.repair, passes=passes)

        def prepare(i: int, found: Audio) -> tuple[Any, Arrays]:
            samples, rate, notes = found
            if on_note is not None:
                for note in (*notes, *level_notes(samples)):
                    on_note(clips[i], f"{Modality.AUDIO}: {note}")
            if on_audio is not None:
                samples = on_audio(clips[i], samples, rate)
            return self.heard(samples, rate)

        found = self._pending(Modality.AUDIO)
        found.read([clip.audio for clip in clips], read, prepare)
        return found.finish()

    def heard(self, samples: NDArray[np.float32], rate: int) -> tuple[Any, Arrays]:
        """What an encoder is given of a waveform, and its prosody; MediaError as `waveform_16k`."""
        samples = waveform_16k(samples, rate, self.settings.bandwidth)  # once for all features
        if len(samples) < WINDOW_SAMPLES:
            raise too_short(samples)
        if not self.settings.prosody:
            return samples, {}
        return samples, {PROSODY: self._prosody(samples, SAMPLE_RATE_HZ)}

    def _frames(
        self, clips: Sequence[Clip], on_frames: OnFrames | None, on_note: OnNote | None
    ) -> Results:
        from emohop.features.video import Cropped, crops_of

        video = self.settings.video or VideoFeatures()

        def read(spans: Sequence[Span]) -> Iterator[tuple[int, Cropped | MediaError]]:
            rate = video.frames_per_second
            return crops_of(spans, rate, face=self._face, repair=self.settings.repair)

        def prepare(i: int, cropped: Cropped) -> tuple[Any, Arrays]:
            frames = cropped.frames
            if on_note is not None:
                for note in cropped.notes:
                    on_note(clips[i], f"{Modality.VIDEO}: {note}")
            if on_frames is not None:
                frames = on_frames(clips[i], frames)
            return self._watched(frames, cropped.found)

        found = self._pending(Modality.VIDEO)
        found.read([clip.video for clip in clips], read, prepare)
        return found.finish()

    def _watched(self, frames: Faces, found: NDArray[np.bool_]) -> tuple[Any, Arrays]:
        """What an encoder is given of frames, and where a face was found."""
        return frames, {FACE: found[:, None].astype(np.float32)} if self._face else {}

    @property
    def _face(self) -> bool:
        """Whether image models see the largest face."""
        return FACE in self.sizes

    def of_media(
        self,
        waveform: tuple[NDArray[np.float32], int] | None = None,
        frames: Faces | None = None,
        text: Text | None = None,
    ) -> Arrays:
        """The arrays of one clip that is decoded already; what is None it lacks.

        `audio` is samples [n] and samples a second; `frames` is uint8 [n, height, width, 3],
        `frames_per_second` of them. Raises MediaError when features cannot be made of them.
        """
        from emohop.features.video import cropped

        arrays: dict[str, NDArray[Any]] = {}
        for modality, encoder in self.encoders.items():
            item: Any
            more: Arrays = {}
            if modality is Modality.AUDIO and waveform is not None:
                item, more = self.heard(*waveform)
            elif modality is Modality.VIDEO and frames is not None:
                seen = cropped(frames, face=self._face)
                item, more = self._watched(seen.frames, seen.found)
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
        return empty_arrays(modality, self.sizes)
