"""A corpus folder becomes a prepared corpus: parallel over shards, resumable, nothing half done.

The work is cut into shards once, in the order of the clips; the cut does not depend on the number
of processes. Each finished shard is put in place whole, then a note of what it holds. The manifest
comes last, so that an interrupted run is continued by the same call and ends with the same bytes.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emohop import corpora, processes
from emohop.clips import Clip, Modality
from emohop.config import FeatureSettings
from emohop.corpora.checks import NO_LABEL
from emohop.corpora.dialogs import with_turns_before
from emohop.errors import EmohopError
from emohop.features.extraction import Extractor
from emohop.features.trainable import read_record
from emohop.files import csv_text
from emohop.preparation.plan import PreparationPlan, begin, cut, is_begun, make_plan
from emohop.preparation.work import (
    Job,
    Running,
    Task,
    make_shard,
    mark_name,
    note_name,
    shard_name,
)
from emohop.registry.corpora import CORPORA
from emohop.storage.backends import place
from emohop.storage.locks import locked
from emohop.storage.manifest import (
    INDEX,
    MANIFEST,
    SHARDS,
    Manifest,
    Shard,
    fingerprint,
    read_manifest,
)
from emohop.storage.shards import ClipProblem, ShardNote
from emohop.storage.verification import intact_note

__all__ = ["PROBLEMS", "Preparation", "Running", "prepare"]

PROBLEMS = "problems.csv"
FEW_PROBLEMS = 0.05
"""The share of clips that may be left out without being asked."""
CRASHES = 100
"""Deaths of processes in a row over one shard: each leaves out a clip of it."""


@dataclass(frozen=True, slots=True)
class Preparation:
    """What a call of `prepare` did."""

    manifest: Manifest
    problems: tuple[ClipProblem, ...]
    computed: int
    """Clips read in this call; 0 when everything was there."""
    repaired: tuple[str, ...] = ()
    """Shards of a finished corpus that were damaged or missing, and are whole again."""


def prepare(
    corpus: str,
    source: str | Path,
    out: str | Path,
    *,
    features: FeatureSettings | None = None,
    labels: str | None = None,
    jobs: int = 1,
    engine: str = "local",
    strict: bool = False,
    allow_failures: bool = False,
    retry: bool = False,
    running: Running | None = None,
    progress: processes.Progress | None = None,
    **reading: Any,
) -> Preparation:
    """Read corpus `corpus` in folder `source`, compute its features and write them to `out`.

    `out` is a folder, or a URL of any file system that fsspec knows. Clips outside the class set
    `labels` (default: the corpus's first; else a shipped map or a YAML file) are counted and left
    out. Clips that cannot be read are listed in `problems.csv`; `strict` stops at the first one,
    and more than FEW_PROBLEMS of them must be accepted by `allow_failures`. `retry` reads those of
    an earlier call again. A finished corpus is verified, and what is damaged made again. `running`
    says where pretrained encoders run. `reading` goes to the corpus reader.
    Raises EmohopError when nothing can be read, `out` was begun with other settings, or another
    process works on it.

    Example:
        >>> settings = emohop.FeatureSettings(video=None, prosody=False)
        >>> done = emohop.prepare("iemocap", "demo/corpus", "prepared", features=settings)
        >>> done.manifest.sizes["audio"]
        120
    """
    processes.check_engine(engine)
    settings = features or FeatureSettings()
    work = _settle(
        corpus, Path(source), out, settings, labels, running or Running(), strict, reading
    )
    if not allow_failures:
        _check_whole(work)
    to = work.job.out
    if not is_begun(to, work.where, work.plan):
        work.job.extractor  # noqa: B018  (a wrong setting or missing extra is said before work)
    with locked(out):
        begin(to, work.where, work.plan)
        to.sweep()
        finished = MANIFEST in to.names()
        notes, damaged = _verified(work) if finished else (_notes(work), ())
        if retry:
            notes = {number: note for number, note in notes.items() if not note.problems}
        missing = [number for number in range(len(work.groups)) if number not in notes]
        if missing:
            if finished:
                _reopen(work, notes)
            todo, done = sum(len(work.groups[n]) for n in missing), 0
            tasks = [Task(work.job, number, tuple(work.groups[number])) for number in missing]
            for _, count in processes.run(make_shard, tasks, jobs, engine, CRASHES):
                done += count
                if progress is not None:
                    progress(done, todo)
            notes = _notes(work)
        problems = [problem for number in sorted(notes) for problem in notes[number].problems]
        if missing or not finished:
            _finish(work, notes, problems, allow_failures)
        _tidy(work)
        manifest = read_manifest(work.where)
    computed = sum(len(work.groups[number]) for number in missing)
    return Preparation(manifest, tuple(problems), computed, damaged)


@dataclass(frozen=True, slots=True)
class _Work:
    """What a call is about: how shards are made, which clips in which, and where to."""

    job: Job
    where: str
    plan: PreparationPlan
    groups: Sequence[Sequence[Clip]]
    dropped: Mapping[str, int]


def _settle(
    corpus: str,
    source: Path,
    out: str | Path,
    features: FeatureSettings,
    labels: str | None,
    running: Running,
    strict: bool,
    reading: Mapping[str, Any],
) -> _Work:
    """Read the corpus and lay out the work; EmohopError when there is none to do."""
    if not features.modalities:
        raise EmohopError("nothing to prepare: at least one of audio, text and video is needed")
    source = source.absolute()  # a worker may sit somewhere else
    everything = corpora.read(corpus, source, **reading)
    if features.turns_before:
        everything = with_turns_before(everything, features.turns_before)
    label_set = corpora.class_set(corpus, labels, everything)
    clips = [clip for clip in everything if label_set.class_of(clip.label) is not None]
    if not clips:
        raise EmohopError(f"{source}: none of {len(everything)} clips is in {label_set.name}")
    others = [clip.label for clip in everything if label_set.class_of(clip.label) is None]
    job = Job(
        source=source,
        out=place(out),
        labels=label_set,
        features=features,
        rated=CORPORA[corpus].rated,
        running=running,
        strict=strict,
    )
    return _Work(
        job=job,
        where=str(out),
        plan=make_plan(corpus, label_set, features, clips),
        groups=cut(clips),
        dropped=Counter(label or NO_LABEL for label in others),
    )


def _check_whole(work: _Work) -> None:
    """EmohopError when too many clips lack what was asked for: said before any work."""
    if work.job.features.keep_incomplete:
        return
    clips = [clip for group in work.groups for clip in group]
    for modality, what, found in (
        (Modality.AUDIO, "audio", [clip.audio for clip in clips]),
        (Modality.VIDEO, "video", [clip.video for clip in clips]),
        (Modality.TEXT, "transcript", [clip.transcript for clip in clips]),
    ):
        lacking = found.count(None)
        if work.job.features.of(modality) is not None and lacking > FEW_PROBLEMS * len(clips):
            raise EmohopError(
                f"{lacking} of {len(clips)} clips have no {what}: leave it out with --{modality} "
                "none, keep such clips with --keep-incomplete, or say --allow-failures to go on "
                "with the others"
            )


def _notes(work: _Work) -> dict[int, ShardNote]:
    """The finished shards of a run that is under way; a note that is damaged does not count."""
    there = _work_files(work)
    notes = {}
    for number in range(len(work.groups)):
        if shard_name(number) in there and note_name(number) in there:
            with contextlib.suppress(ValueError, KeyError, TypeError):
                notes[number] = ShardNote.from_json(work.job.out.get(note_name(number)))
    return notes


def _verified(work: _Work) -> tuple[dict[int, ShardNote], tuple[str, ...]]:
    """The shards of a finished corpus that are as written, and the names of the others."""
    manifest = read_manifest(work.where)
    notes, damaged = {}, []
    for number, shard in enumerate(manifest.shards):
        note = intact_note(work.job.out, shard)
        if note is None:
            damaged.append(shard.file)
        else:
            notes[number] = note
    return notes, tuple(damaged)


def _reopen(work: _Work, notes: Mapping[int, ShardNote]) -> None:
    """Make a finished corpus an unfinished one again, in which the shards of `notes` are done."""
    for number in range(len(work.groups)):
        if number in notes:
            work.job.out.put(note_name(number), notes[number].to_json())
        else:
            work.job.out.delete(note_name(number))
    work.job.out.delete(MANIFEST)


def _finish(
    work: _Work,
    notes: Mapping[int, ShardNote],
    problems: Sequence[ClipProblem],
    allow_failures: bool,
) -> None:
    """Write the tables, then the manifest; refuse a corpus that lost too many clips, or all."""
    job = work.job
    lines = [(p.id, p.path, p.stage, p.reason) for p in problems]
    job.out.put(PROBLEMS, csv_text(("id", "path", "stage", "reason"), lines).encode())
    found = sum((Counter(note.labels) for note in notes.values()), Counter[str]())
    clips = found.total() + len(problems)
    if not found:
        first = problems[0]
        raise EmohopError(
            f"none of {clips} clips could be read; the first, {first.id}: {first.reason}"
        )
    if len(problems) > FEW_PROBLEMS * clips and not allow_failures:
        raise EmohopError(
            f"{len(problems)} of {clips} clips ({len(problems) / clips:.0%}) could not be read, "
            f"{problems[0].id} first: {problems[0].reason}. See {work.where}/{PROBLEMS}; mend them "
            "and say --retry, or say --allow-failures to go on without them"
        )
    names = map(shard_name, range(len(work.groups)))
    files = [name.removeprefix(f"{SHARDS}/") for name in names]
    shards = tuple(
        Shard(file=f, clips=len(notes[n].ids), sha256=notes[n].sha256) for n, f in enumerate(files)
    )
    index = [(id_, file) for n, file in enumerate(files) for id_ in notes[n].ids]
    job.out.put(INDEX, csv_text(("id", "shard"), index).encode())
    encoders = job.extractor.encoders.items()
    manifest = Manifest(
        corpus=work.plan.corpus,
        class_set=job.labels.name,
        labels=job.labels.labels,
        features=job.features,
        sizes=job.sizes,
        layers={m.value: encoder.layers for m, encoder in encoders if encoder.layers > 1},
        encoders={m.value: encoder.fingerprint for m, encoder in encoders if encoder.fingerprint},
        adapted=_adapted(work.plan.corpus, job.extractor, [id_ for id_, _ in index]),
        label_counts={label: found[label] for label in job.labels.labels},
        dropped=dict(sorted(work.dropped.items())),
        problems=len(problems),
        shards=shards,
        fingerprint=fingerprint(work.plan.content(), shards),
    )
    job.out.put(MANIFEST, manifest.to_bytes())


def _adapted(corpus: str, extractor: Extractor, ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """By modality, which of these clips its encoder was finetuned on, or chosen by."""
    found = {}
    for modality, encoder in extractor.encoders.items():
        record = None if encoder.pretrained is None else read_record(encoder.pretrained.source)
        if record is not None and record.corpus == corpus:
            seen = {*record.train, *record.dev}
            found[modality.value] = tuple(id_ for id_ in ids if id_ in seen)
    return found


def _tidy(work: _Work) -> None:
    """Delete what only a run under way needs, and what killed processes left half written."""
    work.job.out.sweep()
    there = _work_files(work)
    for number in range(len(work.groups)):
        for name in (note_name(number), mark_name(number)):
            if name in there:
                work.job.out.delete(name)


def _work_files(work: _Work) -> set[str]:
    """The names of the files in the folder of the shards, that folder before them."""
    return {f"{SHARDS}/{name}" for name in work.job.out.names(SHARDS)}
