"""One shard's work: its clips' features, put in place whole, whatever happens to the process.

A process that dies leaves a mark beside its shard. The shard is then done again, one clip at a
time, noting each before it is read: a clip that the process dies over a second time is left out as
a problem. Marks count within one call only, so that a run that was stopped accuses nobody.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

from emohop.clips import Clip, LabelSet
from emohop.config import FeatureSettings
from emohop.corpora.votes import vote_shares
from emohop.errors import EmohopError
from emohop.features.arrays import ARRAYS, Arrays
from emohop.features.extraction import Extractor, Failure
from emohop.storage.backends import Place
from emohop.storage.manifest import SHARDS
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


def shard_name(number: int) -> str:
    """A shard's Arrow file."""
    return f"{SHARDS}/{number:05d}.arrow"


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
    """Compute and write a shard and its note; returns its number of clips.

    EmohopError when the corpus's folder has gone, or for the first problem where it is `strict`.
    """
    job, mark = task.job, _Mark.leave(task)
    rows: list[tuple[Clip, Arrays]] = []
    problems: list[ClipProblem] = []
    for clip, result in _results(task, mark):
        if isinstance(result, Failure):
            _check_source(job)
            problem = ClipProblem(clip.id, _path(clip, result.stage), result.stage, result.reason)
            if job.strict:
                raise EmohopError(f"{clip.id} ({result.stage}): {result.reason}")
            problems.append(problem)
        else:
            rows.append((clip, result))
    data, note = shard_bytes(rows, job.labels, job.features, job.sizes, problems)
    job.out.put(shard_name(task.number), data)
    job.out.put(note_name(task.number), note.to_json())
    job.out.delete(mark_name(task.number))
    return len(task.clips)


def _results(task: Task, mark: _Mark) -> Iterator[tuple[Clip, Arrays | Failure]]:
    job = task.job
    if mark.attempt == 0:
        results: Iterable[tuple[Clip, Arrays | Failure]] = job.extractor.extract(task.clips)
    else:
        results = _one_by_one(task, mark)
    for clip, result in results:
        if isinstance(result, Failure):
            yield clip, result
            continue
        if job.rated:
            result = {**result, RATERS: vote_shares(clip, job.rated, job.labels)}  # noqa: PLW2901
        yield clip, result if job.features.precision == "float32" else _fitting(result)


def _one_by_one(task: Task, mark: _Mark) -> Iterator[tuple[Clip, Arrays | Failure]]:
    for clip in task.clips:
        if clip.id in mark.fatal:
            yield clip, Failure("process", _DIED)
            continue
        mark.at(task, clip.id)
        yield from task.job.extractor.extract([clip])


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
