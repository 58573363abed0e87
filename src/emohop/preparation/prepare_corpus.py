"""A corpus folder becomes a prepared corpus: parallel over shards, resumable, nothing half done.

The work is cut into shards once, in the order of the clips; the cut does not depend on the number
of processes. Each finished shard is put in place whole, then a note of what it holds. The manifest
comes last, so that an interrupted run is continued by the same call and ends with the same bytes.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from emohop import corpora, processes
from emohop.clips import Clip, LabelSet, Modality
from emohop.config import FeatureSettings
from emohop.corpora.checks import NO_LABEL
from emohop.corpora.dialogs import with_turns_before
from emohop.errors import EmohopError
from emohop.features.extraction import Extractor
from emohop.features.trainable import read_record
from emohop.files import csv_text
from emohop.learned import ClipHashes, ClipPart
from emohop.preparation.plan import PreparationPlan, begin, cut, is_begun, make_plan, read_plan
from emohop.preparation.sources import (
    FILES,
    INPUTS,
    KEPT,
    Change,
    Held,
    SourceSnapshot,
    Stamp,
    digest_of,
    files_table,
    held_manifest,
    inputs_of,
    media_of,
    name_of,
)
from emohop.preparation.work import (
    Job,
    Running,
    Task,
    make_shard,
    note_name,
    shard_file,
    shard_name,
)
from emohop.registry.corpora import CORPORA
from emohop.storage.backends import is_url, place
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
from emohop.storage.shards import ClipProblem, ShardNote, metadata_of

__all__ = ["COPIES", "NOTES", "PROBLEMS", "Preparation", "Running", "compare", "prepare"]

PROBLEMS = "problems.csv"
NOTES = "notes.csv"
COPIES = "copies.csv"
"""Clips that hold the same recording as another one, where there are any."""
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
    changes: tuple[Change, ...] = ()
    """What had changed since the corpus was prepared, and is as it is now."""
    copies: tuple[tuple[str, str], ...] = ()
    """Clips that hold the same recording as another one, and that one."""
    notes: tuple[tuple[str, str], ...] = ()
    """Clips and what was noticed in reading them, as silence, clipping or what was repaired."""
    sample_rates: Mapping[int, int] = field(default_factory=dict)
    """How many clips were recorded at each rate in Hz."""


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
    verify: bool = False,
    running: Running | None = None,
    progress: processes.Progress | None = None,
    **reading: Any,
) -> Preparation:
    """Read corpus `corpus` in folder `source`, compute its features and write them to `out`.

    `out` is a folder, or a URL of any file system that fsspec knows. Clips outside the class set
    `labels` (default: the corpus's first; else a shipped map or a YAML file) are counted and left
    out. Clips that cannot be read are listed in `problems.csv`; `strict` stops at the first one,
    and more than FEW_PROBLEMS of them must be accepted by `allow_failures`. `retry` reads those of
    an earlier call again. A finished corpus is verified, and what is damaged made again; it is
    brought up to date with its source: other metadata are written, and clips whose media or words
    changed are computed again (a file's size and time tell; its content where only the time
    differs, or always to `verify`). `running` says where pretrained encoders run. `reading` goes to
    the corpus reader.
    Raises EmohopError when nothing can be read, `out` was begun with other settings, many of its
    clips are gone from `source`, or another process works on it.

    Example:
        >>> settings = emohop.FeatureSettings(video=None, prosody=False)
        >>> done = emohop.prepare("iemocap", "demo/corpus", "prepared", features=settings)
        >>> done.manifest.sizes["audio"]
        120
    """
    processes.check_engine(engine)
    settings = features or FeatureSettings()
    _check_apart(Path(source), out)
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
        update = _update(work, verify=verify, retry=retry, allow_failures=allow_failures)
        notes: Mapping[int, ShardNote] = update.staying
        computed = 0
        if update.needed or not finished:
            notes = _notes(work)
            if retry and not finished:
                notes = {number: note for number, note in notes.items() if not note.problems}
            missing = [number for number in range(len(work.groups)) if number not in notes]
            tasks = [_task(work, number, update) for number in missing]
            total = sum(len(task.clips) - len(task.kept) for task in tasks)
            for _, count in processes.run(make_shard, tasks, jobs, engine, CRASHES):
                computed += count
                if progress is not None and total:  # metadata alone may have changed
                    progress(computed, total)
            notes = _notes(work)
            _finish(work, notes, update.stamps, allow_failures)
        elif update.stamps != update.before:
            to.put(FILES, files_table(update.stamps))
        _tidy(work)
        manifest = read_manifest(work.where)
    problems = tuple(problem for number in sorted(notes) for problem in notes[number].problems)
    contents = [content for number in sorted(notes) for content in notes[number].contents]
    return Preparation(
        manifest,
        problems,
        computed,
        update.damaged,
        update.changes,
        _copies(notes),
        _noticed(notes),
        dict(sorted(Counter(c.sample_rate for c in contents if c.sample_rate).items())),
    )


def compare(prepared: str | Path, source: str | Path, *, verify: bool = False) -> list[Change]:
    """What has changed in a corpus's folder since it was prepared. Nothing is written.

    Media are compared by size and time, and by content where only the time differs, or always to
    `verify`. Raises EmohopError when `prepared` is not what `prepare` wrote and finished.
    """
    to, where = place(prepared), str(prepared)
    manifest, plan = read_manifest(prepared), read_plan(to, where)
    labels = LabelSet(plan.class_set.name, plan.class_set.labels, plan.class_set.merged)
    everything = corpora.read(plan.corpus, Path(source).absolute(), **plan.reading)
    if plan.features.turns_before:
        everything = with_turns_before(everything, plan.features.turns_before)
    if labels.name == plan.corpus:  # every label is a class, new ones included
        labels = corpora.class_set(plan.corpus, None, everything)
    now = SourceSnapshot(
        clips=[clip for clip in everything if labels.class_of(clip.label) is not None],
        present=frozenset(clip.id for clip in everything),
        labels=labels,
        features=plan.features,
        source=Path(source).absolute(),
        encoders=_encoders(Extractor(plan.features)) if manifest.encoders else {},
    )
    difference, _ = now.difference(Held.read(to, manifest), verify=verify)
    return list(difference.changes)


def _encoders(extractor: Extractor) -> dict[str, str]:
    """The fingerprints of pretrained encoders by modality."""
    found = extractor.encoders.items()
    return {m.value: encoder.fingerprint for m, encoder in found if encoder.fingerprint}


@dataclass(frozen=True)
class _Work:
    """What a call is about: how shards are made, which clips in which, and where to."""

    job: Job
    where: str
    plan: PreparationPlan
    groups: Sequence[Sequence[Clip]]
    dropped: Mapping[str, int]
    present: frozenset[str]
    """The ids of all clips of the source, those outside the class set included."""

    @property
    def clips(self) -> list[Clip]:
        """All clips of the class set."""
        return [clip for group in self.groups for clip in group]

    @cached_property
    def digests(self) -> list[str]:
        """What decides each shard: settings, metadata, and what its features are made of."""
        job = self.job
        stamps: dict[Path, Stamp] = {}
        for clip in self.clips:
            for path in media_of(clip, job.features).values():
                if path not in stamps:
                    stamps[path] = Stamp.of(path)
        every = [asdict(job.labels), job.features.model_dump(mode="json"), dict(job.rated)]
        encoders = {m.value: e.fingerprint for m, e in job.extractor.encoders.items()}
        return [
            digest_of([*every, encoders, *(self._told(clip, stamps) for clip in group)])
            for group in self.groups
        ]

    def _told(self, clip: Clip, stamps: Mapping[Path, Stamp]) -> list[Any]:
        job = self.job
        files = [astuple(stamps[path]) for path in media_of(clip, job.features).values()]
        inputs = inputs_of(clip, job.features, job.source)
        return [metadata_of(clip, job.labels), inputs, files]


@dataclass(frozen=True, slots=True)
class _Update:
    """What has to be done to a corpus that was prepared before."""

    changes: tuple[Change, ...] = ()
    damaged: tuple[str, ...] = ()
    kept: Mapping[str, str] = field(default_factory=dict)
    """Clips whose features stay, and the file that holds them."""
    stamps: Mapping[str, Stamp] = field(default_factory=dict)
    """Of the media files that stay."""
    before: Mapping[str, Stamp] = field(default_factory=dict)
    staying: Mapping[int, ShardNote] = field(default_factory=dict)
    """The shards that stay as they are."""
    needed: bool = False


def _update(work: _Work, *, verify: bool, retry: bool, allow_failures: bool) -> _Update:
    """Compare what is prepared with the source, and lay shards with rows to keep aside.

    The shards that stay as they are get their notes. EmohopError when too many clips are gone.
    """
    to = work.job.out
    manifest = held_manifest(to, work.where)
    if manifest is None:
        return _Update()
    held = Held.read(to, manifest)
    job = work.job
    encoders = _encoders(job.extractor) if manifest.encoders else {}
    now = SourceSnapshot(work.clips, work.present, job.labels, job.features, job.source, encoders)
    difference, stamps = now.difference(held, verify=verify, retry=retry)
    lost = difference.lost
    if len(lost) > FEW_PROBLEMS * len(held.rows) and not allow_failures:
        raise EmohopError(
            f"{len(lost)} of the {len(held.rows)} clips in {work.where} are no longer in "
            f"{job.source}, {lost[0]} first: is it whole, and the folder that was prepared? "
            "Choose a new folder, or say --allow-failures to leave them out"
        )
    stale = difference.again | difference.touched
    shards, stay = held.shards_of(), {}
    for number, group in enumerate(work.groups):
        ids = [clip.id for clip in group]
        file = shards.get(frozenset(ids))
        if file is not None and not stale & set(ids):
            order = [id_ for id_ in ids if id_ in held.rows]
            if file == shard_file(number) and order == list(held.notes[file].ids):
                stay[number] = held.notes[file]
    needed = len(stay) < len(work.groups) or bool(difference.changes) or bool(held.damaged)
    if not needed and MANIFEST in to.names():
        return _Update(stamps=stamps, before=held.stamps, staying=stay)
    kept = {id_: place for id_, place in held.places.items() if id_ not in difference.again}
    staying = {shard_file(number) for number in stay}
    for file in {*kept.values()}:
        name = file.rpartition("/")[2]
        if name not in staying and file.startswith(f"{SHARDS}/"):
            to.move(file, f"{KEPT}/{name}")
    for number, note in stay.items():
        to.put(note_name(number), replace(note, digest=work.digests[number]).to_json())
    if MANIFEST in to.names():
        to.move(MANIFEST, f"{KEPT}/{MANIFEST}")
    kept = {
        id_: place if place.rpartition("/")[2] in staying else f"{KEPT}/{place.rpartition('/')[2]}"
        for id_, place in kept.items()
    }
    return _Update(difference.changes, held.damaged, kept, stamps, held.stamps, stay, needed=True)


def _task(work: _Work, number: int, update: _Update) -> Task:
    clips = tuple(work.groups[number])
    kept = {clip.id: update.kept[clip.id] for clip in clips if clip.id in update.kept}
    return Task(work.job, number, clips, work.digests[number], kept)


def _check_apart(source: Path, out: str | Path) -> None:
    """EmohopError where a prepared corpus would lie in the corpus's folder, or around it."""
    if is_url(out):
        return
    here, there = source.resolve(), Path(out).resolve()
    if here.is_dir() and (there == here or here in there.parents):
        raise EmohopError(
            f"{out} lies in the corpus's folder {source}, which is only read: choose a folder "
            "outside of it"
        )
    if there in here.parents:
        raise EmohopError(f"{out} holds the corpus's folder {source}: choose a folder beside it")


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
        plan=make_plan(corpus, label_set, features, reading),
        groups=cut(clips),
        dropped=Counter(label or NO_LABEL for label in others),
        present=frozenset(clip.id for clip in everything),
    )


def _check_whole(work: _Work) -> None:
    """EmohopError when too many clips lack what was asked for: said before any work."""
    if work.job.features.keep_incomplete:
        return
    clips = work.clips
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
    """The finished shards of a run that is under way, made of what is there now.

    A note that is damaged does not count.
    """
    there = _work_files(work)
    notes = {}
    for number in range(len(work.groups)):
        if shard_name(number) in there and note_name(number) in there:
            with contextlib.suppress(ValueError, KeyError, TypeError):
                note = ShardNote.from_json(work.job.out.get(note_name(number)))
                if note.digest == work.digests[number]:
                    notes[number] = note
    return notes


def _finish(
    work: _Work,
    notes: Mapping[int, ShardNote],
    stamps: Mapping[str, Stamp],
    allow_failures: bool,
) -> None:
    """Write the tables, then the manifest; refuse a corpus that lost too many clips, or all."""
    job = work.job
    problems = [problem for number in sorted(notes) for problem in notes[number].problems]
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
    files = [shard_file(number) for number in range(len(work.groups))]
    shards = tuple(
        Shard(file=f, clips=len(notes[n].ids), sha256=notes[n].sha256) for n, f in enumerate(files)
    )
    _write_sources(work, notes, stamps)
    copies = _copies(notes)
    job.out.delete(NOTES)
    if noticed := _noticed(notes):
        job.out.put(NOTES, csv_text(("id", "note"), noticed).encode())
    job.out.delete(COPIES)
    if copies:
        job.out.put(COPIES, csv_text(("id", "same_as"), copies).encode())
    encoders = job.extractor.encoders.items()
    manifest = Manifest(
        corpus=work.plan.corpus,
        class_set=job.labels.name,
        labels=job.labels.labels,
        features=job.features,
        sizes=job.sizes,
        layers={m.value: encoder.layers for m, encoder in encoders if encoder.layers > 1},
        encoders=_encoders(job.extractor),
        adapted=_adapted(job.extractor, *_hashes(work.plan.corpus, notes)),
        label_counts={label: found[label] for label in job.labels.labels},
        dropped=dict(sorted(work.dropped.items())),
        problems=len(problems),
        copies=len(copies),
        shards=shards,
        fingerprint=fingerprint(work.plan.content(), shards),
        reading=work.plan.reading,
    )
    job.out.put(MANIFEST, manifest.to_bytes())


def _write_sources(
    work: _Work, notes: Mapping[int, ShardNote], stamps: Mapping[str, Stamp]
) -> None:
    """`index.csv` and `files.csv`: each clip's shard, and what it was made of."""
    job, lines = work.job, []
    for number, group in enumerate(work.groups):
        there = set(notes[number].ids)
        for clip in group:
            inputs = inputs_of(clip, job.features, job.source)
            shard = shard_file(number) if clip.id in there else ""
            lines.append((clip.id, shard, *(inputs[name] for name in INPUTS)))
    job.out.put(INDEX, csv_text(("id", "shard", *INPUTS), lines).encode())
    used = {
        name_of(path, job.source)
        for clip in work.clips
        for path in media_of(clip, job.features).values()
    }
    read = {name: Stamp(*told) for note in notes.values() for name, told in note.stamps.items()}
    found = {name: stamp for name, stamp in {**stamps, **read}.items() if name in used}
    job.out.put(FILES, files_table(found))


def _noticed(notes: Mapping[int, ShardNote]) -> tuple[tuple[str, str], ...]:
    """What was noticed in reading clips, a line each, by their ids."""
    return tuple(
        (id_, said)
        for number in sorted(notes)
        for id_, content in zip(notes[number].ids, notes[number].contents, strict=True)
        for said in content.notes
    )


def _copies(notes: Mapping[int, ShardNote]) -> tuple[tuple[str, str], ...]:
    """Clips that hold the same recording as an earlier one, and that one."""
    first: dict[int, str] = {}
    copies = []
    for number in sorted(notes):
        for id_, content in zip(notes[number].ids, notes[number].contents, strict=True):
            if content.recording is not None:
                same = first.setdefault(content.recording, id_)
                if same != id_:
                    copies.append((id_, same))
    return tuple(copies)


def _hashes(corpus: str, notes: Mapping[int, ShardNote]) -> tuple[list[str], ClipHashes]:
    """The ids of all clips, and what they hold."""
    ids = [id_ for number in sorted(notes) for id_ in notes[number].ids]
    contents = [content for number in sorted(notes) for content in notes[number].contents]
    speakers = [speaker for number in sorted(notes) for speaker in notes[number].speakers]
    return ids, ClipHashes.of(corpus, ids, speakers, contents)


def _adapted(
    extractor: Extractor, ids: Sequence[str], clips: ClipHashes
) -> dict[str, tuple[str, ...]]:
    """By modality, which of these clips its encoder was finetuned on, or chosen by."""
    found = {}
    for modality, encoder in extractor.encoders.items():
        record = None if encoder.pretrained is None else read_record(encoder.pretrained.source)
        if record is not None:
            parts = record.learned.find(clips)
            seen = tuple(
                id_
                for id_, part in zip(ids, parts, strict=True)
                if part in (ClipPart.TRAIN, ClipPart.DEV)
            )
            if seen:
                found[modality.value] = seen
    return found


def _tidy(work: _Work) -> None:
    """Delete what only a run under way needs, and what killed processes left half written."""
    to = work.job.out
    to.sweep()
    wanted = {shard_name(number) for number in range(len(work.groups))}
    for name in _work_files(work) - wanted:
        to.delete(name)
    for name in to.names(KEPT):
        to.delete(f"{KEPT}/{name}")
    to.delete_folder(KEPT)


def _work_files(work: _Work) -> set[str]:
    """The names of the files in the folder of the shards, that folder before them."""
    return {f"{SHARDS}/{name}" for name in work.job.out.names(SHARDS)}
