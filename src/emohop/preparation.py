"""A corpus folder becomes a prepared corpus: parallel over shards, resumable, nothing half done.

The work is cut into shards once, in the order of the clips, without parting the clips of one
video file; the cut does not depend on the number of processes. Each finished shard is put in
place whole. The manifest comes last, so that an interrupted run is continued by the same call
and ends with the same bytes.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from emohop import corpora, processes
from emohop.clips import Clip, LabelSet
from emohop.config import FeatureSettings
from emohop.errors import EmohopError
from emohop.features.extraction import Extractor, Failure
from emohop.files import sha256, write_text
from emohop.storage.manifest import (
    MANIFEST,
    Manifest,
    Shard,
    fingerprint,
    read_manifest,
    write_manifest,
)
from emohop.storage.shards import MappedShard, Problem, shard_problems, write_shard

CLIPS_PER_SHARD = 32
PLAN = "plan.json"
PROBLEMS = "problems.csv"


@dataclass(frozen=True, slots=True)
class Preparation:
    """What a call of `prepare` did."""

    manifest: Manifest
    problems: tuple[Problem, ...]
    computed: int
    """Clips read in this call; 0 when everything was there."""


@dataclass(frozen=True, slots=True)
class _Task:
    path: Path
    clips: tuple[Clip, ...]
    labels: LabelSet
    features: FeatureSettings


def prepare(
    corpus: str,
    source: str | Path,
    out: str | Path,
    *,
    features: FeatureSettings | None = None,
    labels: str | None = None,
    jobs: int = 1,
    engine: str = "local",
    progress: processes.Progress | None = None,
    **reading: Any,
) -> Preparation:
    """Read corpus `corpus` in folder `source`, compute its features and write them to `out`.

    Clips outside the class set `labels` (default: the corpus's first) are counted and left out.
    Clips that cannot be read are listed in `problems.csv`. `reading` goes to the corpus reader.
    Raises EmohopError when nothing can be read or `out` was begun with other settings.
    """
    processes.check_engine(engine)
    features = features or FeatureSettings()
    if not features.modalities:
        raise EmohopError("nothing to prepare: at least one of audio, text and video is needed")
    out = Path(out)
    if engine == "ray":  # whose workers may sit somewhere else
        source, out = Path(source).absolute(), out.absolute()
    label_set = corpora.class_set(corpus, labels)
    everything = corpora.read(corpus, source, **reading)
    clips = [clip for clip in everything if label_set.class_of(clip.label) is not None]
    dropped = Counter(str(c.label) for c in everything if label_set.class_of(c.label) is None)
    if not clips:
        raise EmohopError(f"{source}: none of {len(everything)} clips is in {label_set.name}")

    groups = _cut(clips)
    plan = _plan(corpus, label_set, features, clips)
    _check(out, plan)
    paths = [out / "shards" / f"{number:05d}.arrow" for number in range(len(groups))]
    tasks = [
        _Task(path, tuple(group), label_set, features)
        for path, group in zip(paths, groups, strict=True)
        if not path.exists()
    ]
    if not tasks and (out / MANIFEST).exists():
        return Preparation(read_manifest(out), tuple(_problems(paths)), computed=0)
    if tasks:
        _extractor(features)  # a wrong setting or a missing extra is said before any work
    _begin(out, plan)
    todo, done = sum(len(task.clips) for task in tasks), 0
    for _, count in processes.run(_prepare_shard, tasks, jobs, engine):
        done += count
        if progress is not None:
            progress(done, todo)
    manifest, problems = _finish(out, plan, label_set, features, paths, dropped)
    return Preparation(manifest, problems, computed=todo)


def _cut(clips: Sequence[Clip]) -> list[list[Clip]]:
    """Groups of at least CLIPS_PER_SHARD clips that never part a video file's clips."""
    groups: list[list[Clip]] = []
    by_file: dict[Any, list[Clip]] = {}
    for clip in clips:
        span = clip.picture or clip.sound
        by_file.setdefault(span.path if span else None, []).append(clip)
    for members in by_file.values():
        if groups and len(groups[-1]) < CLIPS_PER_SHARD:
            groups[-1].extend(members)
        else:
            groups.append(list(members))
    return groups


def _plan(
    corpus: str, labels: LabelSet, features: FeatureSettings, clips: Sequence[Clip]
) -> dict[str, Any]:
    """What decides the bytes of the shards; a folder is continued only under an equal plan."""
    facts = [
        [c.id, c.label, c.start, c.end, c.transcript, c.picture and c.picture.half] for c in clips
    ]
    return {
        "corpus": corpus,
        "class_set": asdict(labels),
        "features": features.model_dump(mode="json"),
        "clips": len(clips),
        "clips_sha256": hashlib.sha256(json.dumps(facts).encode()).hexdigest(),
    }


def _check(out: Path, plan: dict[str, Any]) -> None:
    """Refuse a folder that holds something else than a begun or finished run of this plan."""
    path = out / PLAN
    if path.exists():
        try:
            begun = json.loads(path.read_text("utf-8"))
            differing = [k for k in plan if begun.get(k) != json.loads(json.dumps(plan[k]))]
        except (ValueError, AttributeError):
            differing = [f"{PLAN} is damaged"]
        if differing:
            what = ", ".join(differing)
            raise EmohopError(
                f"{out} was begun with other settings ({what}): choose a new folder or delete it"
            )
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise EmohopError(f"{out} exists and is not a prepared corpus: choose a new folder")


def _begin(out: Path, plan: dict[str, Any]) -> None:
    """Lay out the folder and sweep up what an interrupted run left half written."""
    (out / "shards").mkdir(parents=True, exist_ok=True)
    for leftover in (out / "shards").glob(".*.tmp"):
        leftover.unlink(missing_ok=True)
    if not (out / PLAN).exists():
        write_text(out / PLAN, json.dumps(plan, indent=1) + "\n")


@cache
def _extractor(features: FeatureSettings) -> Extractor:
    """One extractor a process: its image model is loaded once."""
    return Extractor(features)


def _prepare_shard(task: _Task) -> int:
    extractor = _extractor(task.features)
    rows, problems = [], []
    for clip, result in extractor.extract(task.clips):
        if isinstance(result, Failure):
            problems.append(Problem(clip.id, result.stage, result.reason))
        else:
            rows.append((clip, result))
    write_shard(task.path, rows, task.labels, task.features, extractor.sizes, problems)
    return len(task.clips)


def _problems(paths: Sequence[Path]) -> list[Problem]:
    return [problem for path in paths for problem in shard_problems(path)]


def _finish(
    out: Path,
    plan: dict[str, Any],
    labels: LabelSet,
    features: FeatureSettings,
    paths: Sequence[Path],
    dropped: Counter[str],
) -> tuple[Manifest, tuple[Problem, ...]]:
    """Write `problems.csv`, then the manifest; refuse a corpus without a single readable clip."""
    problems = _problems(paths)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["id", "stage", "reason"])
    writer.writerows([p.id, p.stage, p.reason] for p in problems)
    write_text(out / PROBLEMS, table.getvalue())
    labels_of = [MappedShard(path).facts["label"] for path in paths]
    found = Counter(label for shard in labels_of for label in shard)
    if not found:
        first = problems[0]
        raise EmohopError(
            f"none of {len(problems)} clips could be read; the first, {first.id}: {first.reason}"
        )
    shards = tuple(
        Shard(path.name, len(shard), sha256(path))
        for path, shard in zip(paths, labels_of, strict=True)
    )
    manifest = Manifest(
        corpus=plan["corpus"],
        class_set=labels.name,
        labels=labels.labels,
        features=features,
        sizes=_extractor(features).sizes,
        label_counts={label: found[label] for label in labels.labels},
        dropped=dict(sorted(dropped.items())),
        problems=len(problems),
        shards=shards,
        fingerprint=fingerprint(plan, shards),
    )
    write_manifest(out, manifest)
    return manifest, tuple(problems)
