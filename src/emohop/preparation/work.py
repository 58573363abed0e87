"""One shard's work: its clips' features, put in place whole, whatever happens to the process.

A process that dies leaves a mark beside its shard. The shard is then done again, one clip at a
time, noting each before it is read: a clip that the process dies over a second time is left out as
a problem. Marks count within one call only, so that a run that was stopped accuses nobody.
"""

from __future__ import annotations

import json
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
from emohop.storage.shards import RATERS, Problem, shard_bytes

_HALF_LIMIT = float(np.finfo(np.float16).max)
_DIED = "the process that read it died twice: a decoder crashed, or the memory was not enough"


@dataclass(frozen=True, slots=True)
class Running:
    """What pretrained encoders run on, and the folder that keeps what they gave, if any."""

    device: str = "auto"
    cache: Path | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """A shard to make. `call` is the same for the tasks of one call of `prepare`."""

    number: int
    clips: tuple[Clip, ...]
    labels: LabelSet
    features: FeatureSettings
    source: Path
    out: Place
    call: str
    strict: bool = False
    running: Running = Running()
    rated: Mapping[str, str] = field(default_factory=dict)
    """The words of its raters: see `corpora.votes`."""

    @property
    def sizes(self) -> dict[str, int]:
        """Numbers in a step of each array."""
        sizes = extractor_of(self.features, self.running).sizes
        return {**sizes, RATERS: len(self.labels.labels)} if self.rated else sizes


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
    """One extractor a process: its models are loaded once."""
    return Extractor(features, running.device, running.cache)


def make_shard(task: Task) -> int:
    """Compute and write a shard and its note; returns its number of clips.

    EmohopError when the corpus's folder has gone, or for the first problem where it is `strict`.
    """
    extractor, mark = extractor_of(task.features, task.running), _Mark.leave(task)
    rows: list[tuple[Clip, Arrays]] = []
    problems: list[Problem] = []
    for clip, result in _results(extractor, task, mark):
        if isinstance(result, Failure):
            _check_source(task)
            problem = Problem(clip.id, _path(clip, result.stage), result.stage, result.reason)
            if task.strict:
                raise EmohopError(f"{clip.id} ({result.stage}): {result.reason}")
            problems.append(problem)
        else:
            rows.append((clip, result))
    data, note = shard_bytes(rows, task.labels, task.features, task.sizes, problems)
    task.out.put(shard_name(task.number), data)
    task.out.put(note_name(task.number), note.to_json())
    task.out.delete(mark_name(task.number))
    return len(task.clips)


def _results(
    extractor: Extractor, task: Task, mark: _Mark
) -> Iterator[tuple[Clip, Arrays | Failure]]:
    if mark.attempt == 0:
        results: Iterable[tuple[Clip, Arrays | Failure]] = extractor.extract(task.clips)
    else:
        results = _one_by_one(extractor, task, mark)
    for clip, result in results:
        if isinstance(result, Failure):
            yield clip, result
            continue
        if task.rated:
            result = {**result, RATERS: vote_shares(clip, task.rated, task.labels)}  # noqa: PLW2901
        yield clip, result if task.features.precision == "float32" else _fitting(result)


def _one_by_one(
    extractor: Extractor, task: Task, mark: _Mark
) -> Iterator[tuple[Clip, Arrays | Failure]]:
    for clip in task.clips:
        if clip.id in mark.fatal:
            yield clip, Failure("process", _DIED)
            continue
        mark.at(task, clip.id)
        yield from extractor.extract([clip])


def _fitting(arrays: Arrays) -> Arrays | Failure:
    """The arrays, unless one holds numbers that half a float cannot."""
    for name, array in arrays.items():
        kind = ARRAYS.get(name)
        if kind is not None and kind.half and np.abs(array).max(initial=0) > _HALF_LIMIT:
            stage = kind.modality.value
            return Failure(stage, f"its {stage} features do not fit float16: use float32")
    return arrays


def _check_source(task: Task) -> None:
    if not task.source.exists():
        raise EmohopError(
            f"{task.source} has gone: what is finished is kept; run the same command again when "
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
        mark = cls(task.call)
        try:
            before = cls(**json.loads(task.out.get(mark_name(task.number))))
            if before.call == task.call:
                fatal = [*before.fatal, *([before.clip] if before.clip else [])]
                mark = cls(task.call, before.attempt + 1, fatal=fatal)
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
        task.out.put(mark_name(task.number), json.dumps(values).encode())
