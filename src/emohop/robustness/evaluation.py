"""What trained models are worth when audio, text or video are damaged."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emohop import processes
from emohop.clips import Modality
from emohop.config import FeatureSettings
from emohop.errors import EmohopError
from emohop.evaluation.run_files import RunInfo
from emohop.evaluation.run_folder import RunFolder
from emohop.features.degradation import Condition, kept_frames, wrong_words
from emohop.features.pretrained import spec_of
from emohop.features.text import Text
from emohop.models.folder import ModelFolder
from emohop.prediction import Predictor
from emohop.robustness.media import CorruptedMedia
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
from emohop.storage import PreparedCorpus, Row

Done = Callable[[ConditionScores], None]
"""Told of each condition's entry, as the file has it, before it is written."""


def evaluate_damaged(
    model: str | Path,
    corpus: PreparedCorpus,
    conditions: Sequence[Condition],
    *,
    source: str | Path | None = None,
    out: str | Path | None = None,
    jobs: int = 1,
    include_seen: bool = False,
    done: Done | None = None,
    progress: processes.Progress | None = None,
) -> RobustnessResults:
    """Score a model, or all fold runs of a run, under each condition; what `robustness.json` holds.

    `model` is a model folder or a run folder. Each fold run is scored on its own test part (of
    another corpus, on the clips that it has not learned from; on all, to `include_seen`), and the
    predictions of all are pooled.
    `source` is the corpus's folder, for damage to audio and video. `out`, or on a run's own
    corpus its `robustness.json`, is written after each condition; what stands there of the same
    models and clips is kept. EmohopError for what the models or the corpus do not have.
    """
    folders = models_of(Path(model))
    path = Path(out) if out is not None else _place(Path(model), corpus)
    if include_seen and out is None:
        path = None  # what a run's file holds are test scores
    targets = targets_of(model, corpus, include_seen=include_seen)
    _check(targets, conditions, source)
    clips = sum(len(target.rows) for target in targets)
    fingerprint = fingerprint_of(folders, corpus, targets)
    known = _known(path, fingerprint)
    media, origin = None, ""
    if source is not None and any(condition.needs_media for condition in conditions):
        prosody = any(target.predictor.preprocessor.sizes.prosody for target in targets)
        media = CorruptedMedia.of(corpus, Path(source), prosody=prosody)
        origin = media.fingerprint()
    said = reservations_of(targets)
    entries: dict[str, ConditionScores] = {}
    for condition in conditions:
        name = str(condition)
        entry = known.get(name)
        if entry is not None and condition.needs_media and entry.source != origin:
            entry = None  # of another source, which may hold other recordings
        if entry is None:
            entry = _score(targets, condition, corpus, media, jobs, progress)
            if condition.needs_media:
                entry = entry.model_copy(update={"source": origin})
        entries[name] = entry
        if done is not None:
            done(entry)
        if path is not None:
            everything = tuple({**known, **entries}.values())
            RobustnessResults(
                fingerprint=fingerprint, clips=clips, conditions=everything, reservations=said
            ).write(path)
    return RobustnessResults(
        fingerprint=fingerprint,
        clips=clips,
        conditions=tuple(entries.values()),
        reservations=said,
    )


def modalities_of(model: str | Path) -> tuple[Modality, ...]:
    """The modalities of a model, or of the first model of a run."""
    return Predictor.load(models_of(Path(model))[0]).settings.uses


def _place(model: Path, corpus: PreparedCorpus) -> Path | None:
    """A run's `robustness.json`, which holds scores on the corpus of the run alone."""
    files = RunFolder(model)
    if not files.begun:
        return None
    own = RunInfo.read(files.info_file).fingerprint == corpus.manifest.fingerprint
    return files.robustness_file if own else None


def _check(
    targets: Sequence[EvaluationTarget], conditions: Sequence[Condition], source: str | Path | None
) -> None:
    taken = set(targets[0].predictor.preprocessor.max_length)
    for condition in conditions:
        blind = [m for m in condition.modalities if m not in taken]
        if blind:
            seen = ", ".join(str(m) for m in Modality if m in taken)
            raise EmohopError(f"--degrade {condition}: the model takes no {blind[0]}, only {seen}")
        if taken == {part.modality for part in condition.parts if part.level is None}:
            raise EmohopError(f"--degrade {condition}: nothing is left for the model to see")
        if targets[0].predictor.preprocessor.features.turns_before and "words" in str(condition):
            raise EmohopError(
                f"--degrade {condition}: words with turns of context cannot be read again; "
                "prepare without --context"
            )
        if condition.needs_media and source is None:
            raise EmohopError(
                f"--degrade {condition} damages audio or video itself: name the corpus's "
                "folder with --source"
            )


def fingerprint_of(
    folders: Sequence[Path], corpus: PreparedCorpus, targets: Sequence[EvaluationTarget]
) -> str:
    """What the numbers depend on: the clips, their features, the weights or graphs, the rows."""
    weights = [ModelFolder(path).fingerprint() for path in folders]
    rows = [",".join(map(str, target.rows)) for target in targets]
    parts = [corpus.manifest.fingerprint, *weights, *rows]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _known(path: Path | None, fingerprint: str) -> dict[str, ConditionScores]:
    """Entries that were computed before of the same models and clips."""
    if path is None or not path.exists():
        return {}
    found = RobustnessResults.read(path)
    if found.fingerprint != fingerprint:
        return {}
    return {entry.name: entry for entry in found.ordered()}


def _score(
    targets: Sequence[EvaluationTarget],
    condition: Condition,
    corpus: PreparedCorpus,
    media: CorruptedMedia | None,
    jobs: int,
    progress: processes.Progress | None,
) -> ConditionScores:
    words = _words(corpus) if any(part.kind == "words" for part in condition.parts) else ()
    tables = []
    total, finished = sum(len(target.rows) for target in targets), 0
    arrays: dict[int, Mapping[str, NDArray[Any]]] = {}
    for target in targets:
        if media is not None and condition.needs_media and not arrays.keys() >= set(target.rows):
            arrays = media.damaged(target.rows, condition, jobs)  # kept for the fold's other seeds
        rows = (
            _damaged_row(corpus[i], condition, words, arrays.get(i), corpus.manifest.features)
            for i in target.rows
        )
        tables.append(scored(target, rows))
        finished += len(target.rows)
        if progress is not None:
            progress(finished, total)
    single = condition.parts[0] if len(condition.parts) == 1 else None
    return entry_of(
        str(condition),
        targets,
        corpus,
        np.concatenate(tables),
        _kind(condition),
        None if single is None else single.level,
    )


def _kind(condition: Condition) -> str:
    kinds = [
        part.kind.partition(":")[0] if part.level is None else part.kind for part in condition.parts
    ]
    return "+".join(kinds) or "clean"


def _damaged_row(
    row: Row,
    condition: Condition,
    words: Sequence[str],
    media: Mapping[str, NDArray[Any]] | None,
    features: FeatureSettings,
) -> Row:
    """A row with what the damage leaves of it."""
    arrays, lacking = {**row.arrays, **(media or {})}, []
    for part in condition.parts:
        if part.kind == "words":
            said = wrong_words(row.text.tolist(), part.level or 0.0, words, row.id)
            arrays |= _words_again(said, features)
        elif part.kind == "video:drop":
            kept = kept_frames(len(arrays["video"]), part.level or 0.0, row.id)
            arrays["video"] = arrays["video"][kept]
        elif part.level is None:
            lacking.append(part.modality)
    damaged = replace(row, arrays=arrays)
    for modality in lacking:
        damaged = damaged.without(modality)
    return damaged


def _words(corpus: PreparedCorpus) -> tuple[str, ...]:
    """Every word of a corpus, in order: what wrong words are drawn from."""
    return tuple(sorted({word for row in corpus for word in row.text.tolist()}))


def _words_again(words: Sequence[str], features: FeatureSettings) -> Mapping[str, NDArray[Any]]:
    """The arrays of words, which are tokens already where no language model read the corpus."""
    if features.text is None or not spec_of(Modality.TEXT, features.text.encoder).family:
        return {"text": np.array(words, dtype=np.str_)}
    return encoded(Text(" ".join(words)), features)
