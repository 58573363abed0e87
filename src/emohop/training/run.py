"""One run: a recipe on every fold and seed of a prepared corpus, in a run folder of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from datetime import datetime, timezone
from pathlib import Path
from statistics import fmean
from typing import Any

import yaml

import emohop
from emohop import processes
from emohop.clips import Modality
from emohop.config import Recipe, checked, recipe_for_fold
from emohop.errors import EmohopError
from emohop.evaluation.reservations import Reservation
from emohop.evaluation.results import check_complete
from emohop.evaluation.run_files import FoldRunMetrics, RunInfo, RunResults, VoteScores
from emohop.evaluation.run_folder import RunFolder, is_taken
from emohop.evaluation.splits import (
    Fold,
    adaptation_of,
    check_unseen,
    context_of,
    default_protocol,
    encoders_of,
    make_folds,
    reservations_of,
)
from emohop.evaluation.summary import FoldRunResult, result_lines, summarise
from emohop.files import csv_text, write_text
from emohop.preprocessor import check_fit
from emohop.storage import PreparedCorpus, open_prepared
from emohop.storage.locks import check_unlocked, locked
from emohop.training.fold_run import Epoch, FoldRun, check_trackers
from emohop.training.scheduler import Outcome, raise_failures, train_fold_runs

_MAY_GROW = {"folds", "seeds"}
"""Settings that may differ when a run is continued: they add fold runs and change none."""
_CLIP_FACTS = ("id", "speaker", "gender", "session", "dialog", "scripted", "label", "start", "end")

Report = Callable[[FoldRun, Epoch], None]
"""Told each epoch's line, in the process that trains."""


def train(
    prepared: str | Path,
    out: str | Path,
    recipe: Recipe,
    *,
    jobs: int = 1,
    engine: str = "local",
    report: Report | None = None,
    trackers: Sequence[str] = (),
    ended: Callable[[Outcome], None] | None = None,
    held: bool = False,
) -> RunResults:
    """Train and score every fold and seed; returns what `results.json` holds.

    `ended` is told of each fold run as it ends; `trackers` (mlflow, wandb) get its numbers. A
    caller that has locked `out` says that it is `held`. Raises EmohopError when `out` holds another
    experiment, and FoldRunsFailedError, after all others are done, when a fold run cannot be
    fitted.

    Example:
        >>> recipe = emohop.make_recipe("demo", ["training.max_epochs=1", "folds=[1]"])
        >>> emohop.train("demo/prepared", "run", recipe).protocol
        'session'
    """
    processes.check_engine(engine)
    corpus, out = open_prepared(prepared), Path(out)
    check_trackers(trackers)
    check_unlocked(out, lambda: check_folder(corpus, out, resolve(corpus, recipe)[0]))
    with nullcontext() if held else locked(out):
        fold_runs = begin(corpus, out, recipe, report, trackers)
        outcomes = train_fold_runs(fold_runs, jobs, engine, ended)
        results = (
            summarise_run(out, corpus) if any(fold_run.complete for fold_run in fold_runs) else None
        )
    raise_failures(outcomes)
    if results is None:
        raise EmohopError(f"{out}: no fold run of the run was trained")
    return results


def begin(
    corpus: PreparedCorpus,
    out: Path,
    recipe: Recipe,
    report: Report | None = None,
    trackers: Sequence[str] = (),
) -> list[FoldRun]:
    """Lay out a run folder, or check that the one there is of the same recipe; its fold runs.

    The caller holds the folder (`locked`): what runs there keeps its files.
    """
    recipe, folds = resolve(corpus, recipe)
    check_folder(corpus, out, recipe)
    out.mkdir(parents=True, exist_ok=True)
    clips = _clips_table(corpus)
    info = RunInfo(
        emohop=emohop.__version__,
        data=corpus.folder.name,
        corpus=corpus.manifest.corpus,
        class_set=corpus.manifest.class_set,
        fingerprint=corpus.manifest.fingerprint,
        clips_fingerprint=hashlib.sha256(clips.encode()).hexdigest(),
    )
    files = RunFolder(out)
    write_text(files.clips_file, clips)
    info.write(files.info_file)
    text = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    write_text(files.recipe_file, text)
    # a worker may sit somewhere else
    files, data = RunFolder(out.absolute()), corpus.folder.absolute()
    return [
        FoldRun(
            prepared=data,
            folder=files.fold_run(fold.index, seed).path,
            recipe=recipe_for_fold(recipe, fold.index),
            fold=fold,
            seed=seed,
            report=report,
            trackers=tuple(trackers),
        )
        for fold in folds
        for seed in recipe.seeds
    ]


def resolve(corpus: PreparedCorpus, recipe: Recipe) -> tuple[Recipe, list[Fold]]:
    """The recipe with its protocol's name, and its folds; EmohopError for what cannot work."""
    protocol = recipe.protocol or default_protocol(corpus.metadata)  # the files name it
    recipe = recipe.model_copy(update={"protocol": protocol})
    folds = choose_folds(corpus, recipe)
    for fold in folds:  # what cannot work is said before anything is written
        check_fit(corpus, recipe_for_fold(recipe, fold.index))
    return recipe, folds


def choose_folds(corpus: PreparedCorpus, recipe: Recipe) -> list[Fold]:
    """The folds that a recipe asks for."""
    folds = make_folds(recipe.protocol, corpus.metadata, recipe.fold_seed, recipe.groups)
    if recipe.folds is not None:
        strange = sorted(set(recipe.folds) - set(range(len(folds))))
        if strange:
            raise EmohopError(
                f"no fold {strange[0]}: protocol {recipe.protocol} has 0..{len(folds) - 1}"
            )
        folds = [folds[i] for i in sorted(set(recipe.folds))]
    protocol = recipe.protocol or default_protocol(corpus.metadata)
    check_unseen(protocol, folds, corpus.metadata, corpus.manifest.seen)
    return folds


def stored_recipe(out: Path) -> dict[str, Any] | None:
    """The settings of a run folder, or None where no run was begun."""
    path = RunFolder(out).recipe_file
    if not path.exists():
        return None
    try:
        values = yaml.safe_load(path.read_text("utf-8"))
    except yaml.YAMLError:
        values = None
    if not isinstance(values, dict):
        raise EmohopError(f"{path} is damaged: choose a new run folder or delete this one")
    return values


def check_folder(corpus: PreparedCorpus, out: Path, recipe: Recipe) -> None:
    """Refuse a folder that holds something else than a run of this recipe on this corpus."""
    stored = stored_recipe(out)
    if stored is None:
        if is_taken(out):
            raise EmohopError(f"{out} exists and is not a run folder: choose a new folder")
        return
    before, now = checked(Recipe, stored).model_dump(), recipe.model_dump()
    differing = [
        f"{key} was {was}, now {now_is}"
        for key, was, now_is in _differences(before, now)
        if key not in _MAY_GROW
    ]
    if differing:
        raise EmohopError(
            f"{out} holds a run with other settings ({'; '.join(differing)}): repeat its own "
            "command to continue it, or choose a new folder"
        )
    if RunInfo.read(RunFolder(out).info_file).fingerprint != corpus.manifest.fingerprint:
        raise EmohopError(f"{out} holds a run on another prepared corpus: choose a new folder")


def _differences(
    before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """Dotted keys of settings that differ, with both values."""
    for key in now:
        one, other = before.get(key), now[key]
        if isinstance(one, dict) and isinstance(other, dict):
            yield from _differences(one, other, f"{prefix}{key}.")
        elif one != other:
            yield f"{prefix}{key}", _plain(one), _plain(other)


def _plain(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _clips_table(corpus: PreparedCorpus) -> str:
    """What reports need to know of the clips, as CSV; unknown facts are empty."""
    columns = [corpus.metadata(name) for name in _CLIP_FACTS]
    return csv_text(_CLIP_FACTS, zip(*columns, strict=True))


def summarise_run(out: Path, corpus: PreparedCorpus) -> RunResults:
    """Write `results.json` and `TEST_run_result.txt` from a run folder's complete fold runs."""
    files = RunFolder(out)
    recipe, info = checked(Recipe, stored_recipe(out)), RunInfo.read(files.info_file)
    protocol = recipe.protocol or default_protocol(corpus.metadata)
    folds = make_folds(protocol, corpus.metadata, recipe.fold_seed, recipe.groups)
    named = protocol if recipe.groups is None else f"{protocol} in {recipe.groups} groups"
    fold_runs = [
        FoldRunResult.read(one.path, fold.index, one.seed, fold.name)
        for fold in folds
        for one in files.complete_fold_runs(fold.index)
    ]
    ids = corpus.metadata("id")
    for fold_run in fold_runs:
        check_complete(fold_run.predictions, "test", (ids[i] for i in folds[fold_run.fold].test))
    results = RunResults(
        **dict(summarise(fold_runs, named, info.class_set, corpus.manifest.labels)),
        model=_title(recipe, corpus),
        corpus=info.corpus,
        votes=_votes(files, fold_runs),
        reservations=_reservations(recipe, protocol, folds, corpus),
        fingerprint=info.fingerprint,
        clips_fingerprint=info.clips_fingerprint,
        emohop=info.emohop,
    )
    results.write(files.results_file)
    time = datetime.now(timezone.utc).isoformat(timespec="seconds")
    lines = result_lines(fold_runs, info.data, out.name, time)
    write_text(files.result_lines_file, "\n".join(lines) + "\n")
    return results


def _title(recipe: Recipe, corpus: PreparedCorpus) -> str:
    """The model's name for tables; turns of context are part of it, since they change the task."""
    turns = corpus.manifest.features.turns_before
    seen = turns if Modality.TEXT in recipe.model.uses else 0
    return f"{recipe.model.title} +{seen} turns" if seen else recipe.model.title


def _reservations(
    recipe: Recipe, protocol: str, folds: Sequence[Fold], corpus: PreparedCorpus
) -> tuple[Reservation, ...]:
    """What has to be said beside every number of a run."""
    text = Modality.TEXT in recipe.model.uses
    used = {m.value for m in recipe.model.uses}
    adapted = {m: ids for m, ids in corpus.manifest.adapted.items() if m in used}
    return (
        *reservations_of(protocol, folds, corpus.metadata),
        *adaptation_of(recipe.training.standardise),
        *context_of(corpus.manifest.features.turns_before if text else 0),
        *encoders_of(adapted),
    )


def _votes(files: RunFolder, fold_runs: Sequence[FoldRunResult]) -> VoteScores | None:
    """The mean divergences of test from the raters' votes, where every fold run has them."""
    tests = [
        FoldRunMetrics.read(files.fold_run(one.fold, one.seed).metrics_file).test
        for one in fold_runs
    ]
    if not tests or not all("votes_kl" in test for test in tests):
        return None
    return VoteScores(
        kl=fmean(t["votes_kl"] for t in tests), js=fmean(t["votes_js"] for t in tests)
    )
