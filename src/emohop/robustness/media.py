"""Features of clips whose audio or frames are damaged, by the path that prepared them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emohop import corpora, processes
from emohop.clips import Clip, Modality
from emohop.config import FeatureSettings
from emohop.content import hash_samples
from emohop.errors import EmohopError
from emohop.features.degradation import (
    BABBLERS,
    NOISES,
    Condition,
    Degradation,
    add_noise,
    babble,
    blurred,
    chance,
    white_noise,
)
from emohop.features.extraction import Extractor, Failure
from emohop.media import read_audio
from emohop.storage import PreparedCorpus

CLIPS_AT_ONCE = 16
"""Clips whose media one process damages before it hands back their features."""


@dataclass(frozen=True)
class CorruptedMedia:
    """The clips of a corpus's folder, by row of the prepared corpus."""

    features: FeatureSettings
    clips: tuple[Clip, ...]

    contents: tuple[int | None, ...]
    """The hash of each clip's audio as it was prepared; None where that is not known."""

    @classmethod
    def of(cls, corpus: PreparedCorpus, source: Path, *, prosody: bool) -> CorruptedMedia:
        """The media of a prepared corpus; EmohopError when a clip of it is not there."""
        clips = source_clips(corpus, source, range(len(corpus)))
        features = corpus.manifest.features.model_copy(update={"text": None, "prosody": prosody})
        contents = corpus.metadata("audio_hash") if features.audio is not None else []
        return cls(features, clips, tuple(contents) or (None,) * len(clips))

    def fingerprint(self) -> str:
        """What tells this source from others: the files of its clips, their sizes and times."""
        spans = {span for clip in self.clips for span in (clip.audio, clip.video) if span}
        told = sorted((str(s.path), s.start, s.end or -1.0, s.half or "") for s in spans)
        files = sorted({path for path, *_ in told})
        stats = [[path, *_stat(path)] for path in files]
        return hashlib.sha256(json.dumps([told, stats]).encode()).hexdigest()

    def damaged(
        self, rows: Sequence[int], condition: Condition, jobs: int
    ) -> dict[int, Mapping[str, NDArray[Any]]]:
        """The features of rows whose audio or frames are damaged."""
        groups = [rows[i : i + CLIPS_AT_ONCE] for i in range(0, len(rows), CLIPS_AT_ONCE)]
        parts = tuple(part for part in condition.parts if part.needs_media)
        touched = {part.modality for part in parts}
        features = self.features.model_copy(
            update={
                "audio": self.features.audio if Modality.AUDIO in touched else None,
                "video": self.features.video if Modality.VIDEO in touched else None,
            }
        )
        voices = any(part.kind == "noise:babble" for part in parts)
        tasks = [
            _Task(
                tuple(self.clips[i] for i in group),
                tuple(self.contents[i] for i in group),
                tuple(self._others(i) for i in group) if voices else (),
                features,
                parts,
            )
            for group in groups
        ]
        return {
            row: arrays
            for number, found in processes.run(_extract, tasks, jobs)
            for row, arrays in zip(groups[number], found, strict=True)
        }

    def _others(self, row: int) -> tuple[Clip, ...]:
        """Clips of other speakers, drawn for this one."""
        clip = self.clips[row]
        others = [c for c in self.clips if c.speaker != clip.speaker and c.audio is not None]
        if not others:
            raise EmohopError("noise:babble is made of other speakers: the corpus has one only")
        drawn = chance("babble", clip.id).choice(len(others), min(BABBLERS, len(others)), False)
        return tuple(others[i] for i in drawn)


@dataclass(frozen=True)
class _Task:
    clips: tuple[Clip, ...]
    contents: tuple[int | None, ...]
    voices: tuple[tuple[Clip, ...], ...]
    features: FeatureSettings
    parts: tuple[Degradation, ...]


@cache
def _extractor(features: FeatureSettings) -> Extractor:
    """One extractor per process: its models are loaded once."""
    return Extractor(features)


def _extract(task: _Task) -> list[Mapping[str, NDArray[Any]]]:
    """The features of the clips of a task, damaged, by the path that prepared them."""
    voices = dict(zip((clip.id for clip in task.clips), task.voices, strict=False))
    contents = dict(zip((clip.id for clip in task.clips), task.contents, strict=True))

    def on_audio(clip: Clip, samples: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
        check_prepared(clip, samples, rate, contents[clip.id])
        for part in task.parts:
            if part.kind in NOISES:
                noise = white_noise(len(samples), clip.id)
                if part.kind == "noise:babble":
                    heard = [_voice(other, rate) for other in voices[clip.id]]
                    noise = babble(len(samples), heard)
                samples = add_noise(samples, noise, part.level or 0.0)
        return samples

    def on_frames(clip: Clip, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        for part in task.parts:
            if part.kind == "video:blur":
                frames = blurred(frames, part.level or 0.0)
        return frames

    results = []
    extracted = _extractor(task.features).extract(task.clips, on_audio, on_frames)
    for clip, arrays in extracted:
        if isinstance(arrays, Failure):
            raise EmohopError(f"clip {clip.id} ({arrays.stage}): {arrays.reason}")
        results.append(arrays)
    return results


def source_clips(corpus: PreparedCorpus, source: Path, rows: Sequence[int]) -> tuple[Clip, ...]:
    """The clips of these rows in a corpus's folder, read as they were when it was prepared.

    EmohopError when one is not there.
    """
    manifest = corpus.manifest
    if manifest.parts:
        raise EmohopError(f"{corpus.folder} joins several corpora: give one, and its --source")
    read = corpora.read(manifest.corpus, source, **manifest.reading)
    found, ids = {clip.id: clip for clip in read}, corpus.metadata("id")
    if lost := [ids[row] for row in rows if ids[row] not in found]:
        raise EmohopError(
            f"{source} lacks {len(lost)} of {len(rows)} prepared clips, {lost[0]} for one: give "
            "the folder that was prepared"
        )
    return tuple(found[ids[row]] for row in rows)


def check_prepared(
    clip: Clip, samples: NDArray[np.float32], rate: int, prepared: int | None
) -> None:
    """EmohopError unless a clip's audio is what was prepared, by its hash; None is not known."""
    if prepared is not None and hash_samples(samples, rate) != prepared:
        raise EmohopError(
            f"clip {clip.id} of --source is not the recording that was prepared: give the folder "
            "that was, or prepare again"
        )


def _stat(path: str) -> tuple[int, int]:
    """Size and time of a file, -1 where it is gone."""
    try:
        found = Path(path).stat()
    except OSError:
        return -1, -1
    return found.st_size, found.st_mtime_ns


def _voice(clip: Clip, rate: int) -> NDArray[np.float32]:
    """Another speaker's audio at this clip's rate."""
    from emohop.features.audio import resample

    if clip.audio is None:
        raise EmohopError(f"clip {clip.id} has no audio to babble with")
    samples, own, _ = read_audio(clip.audio)
    return resample(samples, own, rate)
