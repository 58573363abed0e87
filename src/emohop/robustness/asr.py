"""What trained models are worth when their words are recognised instead of given."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from emohop import processes
from emohop.clips import Clip, Modality
from emohop.errors import DAMAGED, EmohopError, MediaError
from emohop.evaluation.word_errors import word_error_rate
from emohop.features.audio import waveform_16k
from emohop.features.text import Text
from emohop.features.transcription import Transcriber
from emohop.files import csv_text, write_text
from emohop.media import read_audio
from emohop.robustness.evaluation import fingerprint_of
from emohop.robustness.media import check_prepared, source_clips
from emohop.robustness.results import ConditionScores, RobustnessResults
from emohop.robustness.targets import (
    EvaluationTarget,
    encoded,
    entry_of,
    models_of,
    reservations_of,
    scored,
    targets_of,
)
from emohop.storage import PreparedCorpus

CLIPS_AT_ONCE = 16
"""Clips whose words one process recognises before they are written down."""


def evaluate_heard(
    model: str | Path,
    corpus: PreparedCorpus,
    source: str | Path,
    name: str,
    *,
    device: str = "auto",
    heard: Path | None = None,
    jobs: int = 1,
    include_seen: bool = False,
    progress: processes.Progress | None = None,
) -> RobustnessResults:
    """Score a model, or all fold runs of a run, on their test words as given and as recognised.

    `source` is the corpus's folder, `name` a Whisper model. The result is as `evaluate_damaged`
    gives it, with the word error rate (`wer`) of the second entry. What was heard is kept in the
    table `heard`, from which a call that was stopped goes on. Raises EmohopError for a model
    without words, clips that are not in `source`, or waveforms that cannot be read.
    """
    targets = targets_of(model, corpus, include_seen=include_seen)
    if Modality.TEXT not in targets[0].predictor.preprocessor.max_length:
        raise EmohopError("--asr: this model has no text input")
    if targets[0].predictor.preprocessor.features.turns_before:
        raise EmohopError("--asr: words with turns of context cannot be heard again")
    rows = sorted({row for target in targets for row in target.rows})
    ids = corpus.metadata("id")
    clips = {clip.id: clip for clip in source_clips(corpus, Path(source), rows)}
    files = {clips[ids[row]].id: file_of(clips[ids[row]]) for row in rows}
    known = _known(heard, name, files)
    todo = [clips[ids[row]] for row in rows if ids[row] not in known]
    groups = [todo[i : i + CLIPS_AT_ONCE] for i in range(0, len(todo), CLIPS_AT_ONCE)]
    hashes = dict(zip(ids, corpus.metadata("audio_hash"), strict=True))
    tasks = [
        _Task(tuple(group), tuple(hashes[clip.id] for clip in group), name, device)
        for group in groups
    ]
    for number, texts in processes.run(_hear, tasks, jobs):
        known |= {clip.id: text for clip, text in zip(groups[number], texts, strict=True)}
        if heard is not None:
            lines = [(id_, name, files[id_], text) for id_, text in sorted(known.items())]
            write_text(heard, csv_text(("id", "recogniser", "file", "heard"), lines))
        if progress is not None:
            progress(len(known), len(rows))
    wrong = word_error_rate((clips[ids[row]].transcript or "", known[ids[row]]) for row in rows)
    entries = [
        _entry("clean", targets, corpus, None),
        _entry(f"asr:{name}", targets, corpus, known),
    ]
    recognised = entries[1].model_copy(update={"wer": wrong})
    return RobustnessResults(
        fingerprint=fingerprint_of(models_of(Path(model)), corpus, targets),
        clips=sum(len(target.rows) for target in targets),
        conditions=(entries[0], recognised),
        reservations=reservations_of(targets),
    )


def _entry(
    name: str,
    targets: Sequence[EvaluationTarget],
    corpus: PreparedCorpus,
    heard: Mapping[str, str] | None,
) -> ConditionScores:
    tables = []
    for target in targets:
        rows = (corpus[i] for i in target.rows)
        if heard is not None:
            rows = (
                replace(
                    row,
                    transcript=heard[row.id],
                    arrays={
                        **row.arrays,
                        **encoded(Text(heard[row.id]), corpus.manifest.features),
                    },
                )
                for row in rows
            )
        tables.append(scored(target, rows))
    kind = "clean" if heard is None else "asr"
    return entry_of(name, targets, corpus, np.concatenate(tables), kind)


@dataclass(frozen=True)
class _Task:
    clips: tuple[Clip, ...]
    hashes: tuple[int | None, ...]
    """Of the audio that was prepared; None where none was."""
    name: str
    device: str


@cache
def _transcriber(name: str, device: str) -> Transcriber:
    """One recogniser a process."""
    return Transcriber(name, device)


def _hear(task: _Task) -> list[str]:
    """What is heard in each clip; EmohopError, naming it, for one that cannot be read."""
    transcriber, texts = _transcriber(task.name, task.device), []
    for clip, prepared in zip(task.clips, task.hashes, strict=True):
        if clip.audio is None:
            raise EmohopError(f"clip {clip.id} has no audio: its words cannot be heard")
        try:
            samples, rate, _ = read_audio(clip.audio)
            check_prepared(clip, samples, rate, prepared)
            waveform = waveform_16k(samples, rate)
        except MediaError as error:
            raise EmohopError(f"clip {clip.id}: {error}") from None
        texts.append(" ".join(one.word for one in transcriber(waveform)))
    return texts


def file_of(clip: Clip) -> str:
    """What tells the stretch of a file that is heard from another: size, time, start and end."""
    if clip.audio is None or not clip.audio.path.exists():
        return ""
    found = clip.audio.path.stat()
    return f"{found.st_size} {found.st_mtime_ns} {clip.audio.start} {clip.audio.end}"


def _known(path: Path | None, name: str, files: Mapping[str, str]) -> dict[str, str]:
    """What this recogniser heard before in these files."""
    if path is None or not path.exists():
        return {}
    try:
        lines = list(csv.DictReader(io.StringIO(path.read_text("utf-8"), newline="")))
        return {
            line["id"]: line["heard"]
            for line in lines
            if line["recogniser"] == name and line.get("file") == files.get(line["id"])
        }
    except DAMAGED as error:
        raise EmohopError(f"{path} is damaged ({error!r}): delete it") from None
