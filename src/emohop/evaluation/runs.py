"""Run folders, read for tables and reports: what was asked for, what came out, their files.

An experiment folder (`experiment.yaml`) holds one run folder per row; it can be named wherever run
folders are, and stands for all of them.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from emohop.errors import EmohopError
from emohop.evaluation.results import Predictions, read_predictions
from emohop.evaluation.run_files import RunInfo, RunResults
from emohop.evaluation.run_folder import EXPERIMENT, METRICS, RECIPE, FoldRunFolder, RunFolder
from emohop.model_config import MODEL_CONFIG, ModelConfig

_AGAIN = "run its `emohop train` again to finish it"


@dataclass(frozen=True)
class FoldRunFiles:
    """One fold and seed of a run: `name` says what its fold tests."""

    files: FoldRunFolder
    fold: int
    seed: int
    name: str

    @cached_property
    def predictions(self) -> Predictions:
        """Of dev and test."""
        return read_predictions(self.files.predictions_file)

    @cached_property
    def history(self) -> list[dict[str, float]]:
        """A line an epoch: epoch, train_loss, dev_loss and dev_<score>."""
        path = self.files.history_file
        try:
            with path.open(encoding="utf-8", newline="") as file:
                return [{k: float(v) for k, v in line.items()} for line in csv.DictReader(file)]
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise EmohopError(f"{path} is missing or damaged ({error}): {_AGAIN}") from None

    @cached_property
    def model_config(self) -> ModelConfig:
        """What the `model.json` of the fold run's model folder says."""
        return ModelConfig.read(self.files.model_folder / MODEL_CONFIG)


@dataclass(frozen=True)
class Run:
    """A run folder with at least one complete fold run.

    `recipe` is its `recipe.yaml`, `info` its `run.json`, `results` its `results.json`; `clips`
    maps a clip's id to its speaker, gender, session, dialog, … ("" where unknown).
    """

    folder: Path
    title: str
    recipe: Mapping[str, Any]
    info: RunInfo
    results: RunResults
    fold_runs: tuple[FoldRunFiles, ...]

    @cached_property
    def clips(self) -> dict[str, dict[str, str]]:
        """Facts of every clip of the corpus, by id."""
        path = RunFolder(self.folder).clips_file
        try:
            with path.open(encoding="utf-8", newline="") as file:
                return {line["id"]: line for line in csv.DictReader(file)}
        except (OSError, KeyError, csv.Error) as error:
            raise EmohopError(f"{path} is missing or damaged ({error}): {_AGAIN}") from None

    @property
    def labels(self) -> tuple[str, ...]:
        """The class set's names, in their order."""
        return self.results.labels

    @property
    def protocol(self) -> str:
        """The name of the protocol that made the folds."""
        return self.results.protocol


def read_runs(folders: Iterable[str | Path]) -> list[Run]:
    """The runs in these folders, experiment folders opened out, each with a title of its own.

    EmohopError when a folder is not a run, is half written, or was written by another version.
    """
    found = [pair for folder in folders for pair in _find(Path(folder))]
    if not found:
        raise EmohopError("no runs: name at least one run or experiment folder")
    runs = [_read_run(folder, title) for folder, title in found]
    titles = [run.title for run in runs]
    if len(set(titles)) == len(titles):
        return runs
    named = [_retitled(r, titles.count(r.title) > 1) for r in runs]
    seen: set[str] = set()
    for run in named:
        if run.title in seen:
            raise EmohopError(f"{run.folder} is named twice, or two runs are called {run.title!r}")
        seen.add(run.title)
    return named


def check_comparable(runs: Sequence[Run]) -> None:
    """EmohopError unless the runs may stand in one table: one protocol, class set and corpus."""
    first = runs[0]
    for run in runs[1:]:
        for what, ours, theirs in (
            ("protocol", first.protocol, run.protocol),
            ("class set", first.results.class_set, run.results.class_set),
            ("classes", " ".join(first.labels), " ".join(run.labels)),
            ("prepared clips", _fingerprint(first), _fingerprint(run)),
        ):
            if ours != theirs:
                raise EmohopError(
                    f"{run.folder} and {first.folder} cannot stand in one table, their {what} "
                    f"differ: {theirs} and {ours}: compare runs of one kind"
                )


def _fingerprint(run: Run) -> str:
    """What decides the clips and folds of a run, shortened for people."""
    return run.results.clips_fingerprint[:12]


def _find(folder: Path) -> list[tuple[Path, str | None]]:
    """Run folders and the names that their experiment gives them."""
    if RunFolder(folder).begun:
        return [(folder, None)]
    path = folder / EXPERIMENT
    if not path.exists():
        hint = "give a folder that `emohop train` wrote"
        raise EmohopError(f"{folder} is not a run folder, it has no {RECIPE}: {hint}")
    values = _read_yaml(path)
    try:
        rows = [(folder / str(row["folder"]), str(row["name"])) for row in values["rows"]]
    except (KeyError, TypeError):
        raise EmohopError(f"{path} is damaged: {_AGAIN}") from None
    begun = [(run, name) for run, name in rows if RunFolder(run).results_file.exists()]
    if not begun:
        raise EmohopError(f"{folder} has no finished fold run yet: {_AGAIN}")
    return list(begun)


def _read_run(folder: Path, title: str | None) -> Run:
    files = RunFolder(folder)
    results = RunResults.read(files.results_file)
    fold_runs = tuple(
        FoldRunFiles(files.fold_run(one.fold, one.seed), one.fold, one.seed, one.name)
        for one in results.fold_runs
    )
    for one in fold_runs:
        if not one.files.complete:
            raise EmohopError(f"{one.files.path} is half written, it has no {METRICS}: {_AGAIN}")
    recipe, info = _read_yaml(files.recipe_file), RunInfo.read(files.info_file)
    return Run(folder, title or results.model, recipe, info, results, fold_runs)


def _retitled(run: Run, shared: bool) -> Run:
    """The folder's name beside a title that several runs have."""
    if not shared:
        return run
    title = f"{run.title} ({run.folder.name})"
    return replace(run, title=title)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        return dict(yaml.safe_load(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError, yaml.YAMLError):
        raise EmohopError(f"{path} is missing or damaged: {_AGAIN}") from None
