"""One shard's work: its clips' features, put in place whole, whatever happens to the process.

A process that dies leaves a mark beside its shard. The shard is then done again, one clip at a
time, noting each before it is read: a clip that the process dies over a second time is left out as
a problem. Marks count within one call only, so that a run that was stopped accuses nobody.
"""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emohop.clips import Clip, LabelSet
from emohop.config import FeatureSettings
from emohop.content import Content, hash_array, hash_samples, hash_transcript
from emohop.corpora.votes import vote_shares
from emohop.errors import EmohopError
from emohop.features.arrays import ARRAYS, Arrays
from emohop.features.extraction import Extractor, Failure
from emohop.preparation.sources import Stamp, media_of, name_of
from emohop.storage.backends import Place
from emohop.storage.manifest import SHARDS
from emohop.storage.reader import read_rows
from emohop.storage.shards import RATERS, ClipProblem, shard_bytes

_HALF_LIMIT = float(np.finfo(np.float16).max)
_DIED = "the process that read it died twice: a decoder crashed, or the memory was not enough"


@dataclass(frozen=True, slots=True)
class Running:
    """What pretrained encoders run on, and the folder that keeps what they gave, if any."""

    device: str = "auto"
    cache: Path | None = None


@dataclass(frozen=True)
class Job:
    """What all shards of one call of `prepare` have in common."""

    source: Path
    out: Place
    labels: LabelSet
    features: FeatureSettings
    rated: Mapping[str, str]
    """The words of its raters: see `corpora.votes`."""
    running: Running = Running()
    strict: bool = False
    call: str = field(default_factory=lambda: uuid.uuid4().hex)
    """Tells this call's marks from those of others."""

    @property
    def extractor(self) -> Extractor:
        """What computes its features, one per process."""
        return extractor_of(self.features, self.running)

    @property
    def sizes(self) -> dict[str, int]:
        """Numbers in a step of each array."""
        sizes = self.extractor.sizes
        return {**sizes, RATERS: len(self.labels.labels)} if self.rated else sizes


@dataclass(frozen=True, slots=True)
class Task:
    """A shard to make."""

    job: Job
    number: int
    clips: tuple[Clip, ...]
    digest: str = ""
    """Of all that it is made of."""
    kept: Mapping[str, str] = field(default_factory=dict)
    """Clips whose features are there already, and the file that holds them."""


def shard_file(number: int) -> str:
    """The name of a shard's Arrow file."""
    return f"{number:05d}.arrow"


def shard_name(number: int) -> str:
    """With the folder that it is in."""
    return f"{SHARDS}/{shard_file(number)}"


def note_name(number: int) -> str:
    """What is known of a finished shard, until the manifest holds it; written after the shard."""
    return f"{SHARDS}/{number:05d}.json"


def mark_name(number: int) -> str:
    """The mark of a process that works on a shard."""
    return f"{SHARDS}/.{number:05d}.mark"


@cache
def extractor_of(features: FeatureSettings, running: Running) -> Extractor:
    """One extractor per process: its models are loaded once."""
    return Extractor(features, running.device, running.cache)


def make_shard(task: Task) -> int:
    """Compute and write a shard and its note; returns how many clips were computed.

    EmohopError when the corpus's folder has gone, or for the first problem where it is `strict`.
    """
    job, mark = task.job, _Mark.leave(task)
    kept = _kept(task)
    fresh = [clip for clip in task.clips if clip.id not in kept]
    stamps = _stamps(job, fresh)
    contents = {id_: content for id_, (content, _) in kept.items()}
    noticing = _Noticing()
    rows: list[tuple[Clip, Arrays]] = []
    problems: list[ClipProblem] = []
    for clip, result in _results(task, mark, kept, noticing):
        before = contents.get(clip.id, Content())
        found = before if clip.id in kept else noticing.found(clip)
        contents[clip.id] = replace(found, text=hash_transcript(clip.transcript))
        if isinstance(result, Failure):
            _check_source(job)
            problem = ClipProblem(clip.id, _path(clip, result.stage), result.stage, result.reason)
            if job.strict:
                raise EmohopError(f"{clip.id} ({result.stage}): {result.reason}")
            problems.append(problem)
        else:
            rows.append((clip, result))
    data, note = shard_bytes(rows, job.labels, job.features, job.sizes, problems, contents)
    note = replace(note, digest=task.digest, stamps=stamps)
    job.out.put(shard_name(task.number), data)
    job.out.put(note_name(task.number), note.to_json())
    job.out.delete(mark_name(task.number))
    return len(fresh)


_Rows = Mapping[str, tuple[Content, Arrays]]


@dataclass(frozen=True, slots=True)
class _Noticing:
    """What is decoded of each clip, on its way to the features."""

    heard: dict[str, tuple[int | None, int]] = field(default_factory=dict)
    seen: dict[str, int | None] = field(default_factory=dict)
    said: dict[str, list[str]] = field(default_factory=dict)

    def audio(self, clip: Clip, samples: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
        """As `OnAudio`."""
        self.heard[clip.id] = hash_samples(samples, rate), rate
        return samples

    def frames(self, clip: Clip, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """As `OnFrames`."""
        self.seen[clip.id] = hash_array(frames)
        return frames

    def note(self, clip: Clip, said: str) -> None:
        """As `OnNote`."""
        self.said.setdefault(clip.id, []).append(said)

    def found(self, clip: Clip) -> Content:
        """What was found in reading a clip, but for its words."""
        audio, rate = self.heard.get(clip.id, (None, None))
        notes = tuple(self.said.get(clip.id, ()))
        return Content(audio, None, self.seen.get(clip.id), rate, notes)


def _kept(task: Task) -> _Rows:
    """The rows of the clips whose features are there already; those of a lost file are not."""
    rows: dict[str, tuple[Content, Arrays]] = {}
    for file in dict.fromkeys(task.kept.values()):
        with contextlib.suppress(FileNotFoundError, ValueError):
            found = read_rows(task.job.out.get(file))
            rows |= {id_: row for id_, row in found.items() if task.kept.get(id_) == file}
    return rows


def _stamps(job: Job, clips: Sequence[Clip]) -> dict[str, tuple[int, int, str]]:
    """The media files of clips, before they are decoded."""
    files = {path for clip in clips for path in media_of(clip, job.features).values()}
    found = {name_of(path, job.source): Stamp.read(path) for path in sorted(files)}
    return {name: (s.size, s.time_ns, s.sha256) for name, s in found.items()}


def _results(
    task: Task, mark: _Mark, kept: _Rows, noticing: _Noticing
) -> Iterator[tuple[Clip, Arrays | Failure]]:
    """The arrays of every clip, in their order, those that are kept among them."""
    job = task.job
    clips = [clip for clip in task.clips if clip.id not in kept]
    fresh: Iterator[tuple[Clip, Arrays | Failure]]
    if mark.attempt == 0:
        fresh = job.extractor.extract(clips, noticing.audio, noticing.frames, noticing.note)
    else:
        fresh = _one_by_one(task, clips, mark, noticing)
    for clip in task.clips:
        result = kept[clip.id][1] if clip.id in kept else next(fresh)[1]
        if isinstance(result, Failure):
            yield clip, result
            continue
        if job.rated:
            result = {**result, RATERS: vote_shares(clip, job.rated, job.labels)}
        yield clip, result if job.features.precision == "float32" else _fitting(result)


def _one_by_one(
    task: Task, clips: Sequence[Clip], mark: _Mark, noticing: _Noticing
) -> Iterator[tuple[Clip, Arrays | Failure]]:
    for clip in clips:
        if clip.id in mark.fatal:
            yield clip, Failure("process", _DIED)
            continue
        mark.at(task, clip.id)
        yield from task.job.extractor.extract(
            [clip], noticing.audio, noticing.frames, noticing.note
        )


def _fitting(arrays: Arrays) -> Arrays | Failure:
    """The arrays, unless one holds numbers that half a float cannot."""
    for name, array in arrays.items():
        kind = ARRAYS.get(name)
        if kind is not None and kind.half and np.abs(array).max(initial=0) > _HALF_LIMIT:
            stage = kind.modality.value
            return Failure(stage, f"its {stage} features do not fit float16: use float32")
    return arrays


def _check_source(job: Job) -> None:
    if not job.source.exists():
        raise EmohopError(
            f"{job.source} has gone: what is finished is kept; run the same command again when "
            "it is back"
        )


def _path(clip: Clip, stage: str) -> str:
    span = clip.video if stage == "video" else clip.audio or clip.video
    return "" if span is None or stage == "text" else str(span.path)


@dataclass
class _Mark:
    """What a process leaves for the one that does a shard again after it died."""

    call: str
    attempt: int = 0
    clip: str | None = None
    """The one being read, where they are read one by one."""
    fatal: list[str] = field(default_factory=list)

    @classmethod
    def leave(cls, task: Task) -> _Mark:
        """This process's own mark, by what the one before it left."""
        mark = cls(task.job.call)
        try:
            before = cls(**json.loads(task.job.out.get(mark_name(task.number))))
            if before.call == task.job.call:
                fatal = [*before.fatal, *([before.clip] if before.clip else [])]
                mark = cls(task.job.call, before.attempt + 1, fatal=fatal)
        except (FileNotFoundError, ValueError, TypeError):
            pass  # nobody was here before
        mark.write(task)
        return mark

    def at(self, task: Task, clip: str) -> None:
        """Note the clip that is read next."""
        self.clip = clip
        self.write(task)

    def write(self, task: Task) -> None:
        """Put the mark beside the shard."""
        values = {
            "call": self.call,
            "attempt": self.attempt,
            "clip": self.clip,
            "fatal": self.fatal,
        }
        task.job.out.put(mark_name(task.number), json.dumps(values).encode())
