"""Experiments: several recipes, the rows of one table, trained as one pool of fold runs.

An experiment file is a recipe with two more keys. `rows` lists settings to be put over the
recipe, one entry per row, each with an optional `name`; `vary` maps a setting's dotted name to the
values that it takes in turn, each with each. An experiment folder holds a run folder a row, and
`experiment.yaml`, which names them.
"""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from emohop import processes
from emohop.clips import MODALITIES
from emohop.config import ModelSettings, Recipe, checked, flattened
from emohop.errors import EmohopError
from emohop.evaluation.run_files import RunResults
from emohop.evaluation.run_folder import EXPERIMENT, RunFolder, is_taken
from emohop.files import write_text
from emohop.models import check, check_settings
from emohop.recipes import put_chosen, put_over, read_recipe, read_settings
from emohop.registry.models import MODELS, ModelSpec
from emohop.storage import PreparedCorpus, open_prepared
from emohop.storage.locks import check_unlocked, locked
from emohop.training.fold_run import FoldRun, check_trackers
from emohop.training.run import Report, begin, check_folder, resolve, summarise_run
from emohop.training.scheduler import Outcome, raise_failures, train_fold_runs

ROW_IDENTITY = ("model.name", "model.hops", "model.modalities", "model.order")
"""The settings that a model's title shows, and that a row's name stands for."""


@dataclass(frozen=True)
class RowRecipe:
    """One row of an experiment: what it is called and how it is trained."""

    name: str
    recipe: Recipe

    @property
    def folder(self) -> str:
        """The name of its run folder."""
        return re.sub(r"[^\w.+=>-]+", "_", self.name).replace(">", "-")


@dataclass(frozen=True)
class Experiment:
    """Rows in the order of the table; `left_out` says which combinations no model can be."""

    rows: tuple[RowRecipe, ...]
    left_out: tuple[str, ...] = ()


def is_experiment(out: Path) -> bool:
    """Whether a folder holds an experiment of several rows."""
    return (out / EXPERIMENT).exists()


def make_experiment(
    name_or_file: str | Path = "default",
    settings: Sequence[str] = (),
    overrides: Mapping[str, Any] | None = None,
    vary: Mapping[str, Sequence[Any]] | None = None,
    override: str | Path | None = None,
) -> Experiment | Recipe:
    """The recipe, or the experiment where the file has rows or something is varied.

    The recipe `override`, then `settings` (`key=value`) and `overrides` (by dotted key) are put
    over every row; `vary` replaces what the file varies of the same settings. EmohopError for an
    unknown key, a row that no model can be, and rows of one name.
    """
    base = read_recipe(name_or_file)
    rows, varied = _rows(base.pop("rows", None)), _varied(base.pop("vary", None))
    above = {} if override is None else read_recipe(override)
    if {"rows", "vary"} & above.keys():
        raise EmohopError(
            f"--override {override} is an experiment of several rows: give a plain recipe"
        )
    last = {**read_settings(settings), **(overrides or {})}
    varied = {k: v for k, v in varied.items() if k not in last}
    varied |= {key: list(values) for key, values in (vary or {}).items()}
    if rows is None and not varied:
        recipe = checked(Recipe, _layered([base, above], last))
        for key, value in last.items():
            _check_matters(key, value, recipe.model)
        return recipe
    made: dict[str, RowRecipe] = {}
    left_out: list[str] = []
    taken: set[str] = set()
    for row in rows or [{}]:
        name = row.pop("name", None)
        if name is not None:
            _check_row(str(name), row, {**dict(flattened(above)), **last})
        for values in itertools.product(*varied.values()):
            layers = [base, row, above]
            choice = _mattering(dict(zip(varied, values, strict=True)), layers, last)
            own = _mattering(last, layers, choice)
            taken |= own.keys()
            recipe = checked(Recipe, _layered(layers, {**choice, **own}))
            reason = _impossible(recipe)
            if reason and not choice:
                raise EmohopError(f"row {_row_name(name, recipe, choice)}: {reason}")
            if reason:
                left_out.append(reason)
            else:
                _add(
                    made,
                    RowRecipe(_row_name(name, recipe, choice), recipe),
                    varied.keys() - choice.keys(),
                )
    if ignored := [key for key in last if key not in taken]:
        raise EmohopError(f"{ignored[0]}={last[ignored[0]]} is a setting of no row's model")
    if not made:
        raise EmohopError(f"no row is left: {left_out[0]}")
    _check_doubles(made.values())
    return Experiment(tuple(made.values()), tuple(dict.fromkeys(left_out)))


def stored_experiment(out: Path) -> Experiment:
    """The experiment that a folder was begun with."""
    path = out / EXPERIMENT
    try:
        rows = yaml.safe_load(path.read_text("utf-8"))["rows"]
        return Experiment(
            tuple(RowRecipe(str(r["name"]), checked(Recipe, r["recipe"])) for r in rows)
        )
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
        raise EmohopError(f"{path} is damaged: choose a new folder or delete this one") from None


def continued(out: Path, overrides: Mapping[str, Any]) -> Experiment:
    """The experiment of a folder, each row under further settings by dotted key."""
    rows = []
    for row in stored_experiment(out).rows:
        values = _layered([row.recipe.model_dump(mode="json")], overrides)
        rows.append(RowRecipe(row.name, checked(Recipe, values)))
    return Experiment(tuple(rows))


def train_rows(
    prepared: str | Path,
    out: str | Path,
    experiment: Experiment,
    *,
    jobs: int = 1,
    engine: str = "local",
    report: Report | None = None,
    trackers: Sequence[str] = (),
    begun: Callable[[Sequence[FoldRun]], None] | None = None,
    ended: Callable[[Outcome], None] | None = None,
    held: bool = False,
) -> list[RunResults]:
    """Train every row on every fold and seed, all fold runs in one pool; their `results.json`.

    `begun` is told of all fold runs before the first is trained, `ended` of each as it ends. A
    folder that exists is continued; rows may be added. A caller that has locked `out` says that it
    is `held`. Raises EmohopError when it holds something else or a row under other settings, and
    FoldRunsFailedError, after all others are done, when a fold run cannot be fitted.
    """
    processes.check_engine(engine)
    check_trackers(trackers)
    corpus, out = open_prepared(prepared), Path(out)
    check_unlocked(out, lambda: _check_folder(corpus, out, experiment))
    folders = [out / row.folder for row in experiment.rows]
    with ExitStack() as locks:
        if not held:
            locks.enter_context(locked(out))
        _check_folder(corpus, out, experiment)
        for folder in folders:
            locks.enter_context(locked(folder))
        _write(out, experiment)
        parts = [
            begin(corpus, folder, row.recipe, report, trackers)
            for folder, row in zip(folders, experiment.rows, strict=True)
        ]
        # fold by fold through all rows: a table that is stopped early has every row
        ranks = itertools.zip_longest(*parts)
        fold_runs = [fold_run for rank in ranks for fold_run in rank if fold_run is not None]
        if begun is not None:
            begun(fold_runs)
        try:
            outcomes = train_fold_runs(fold_runs, jobs, engine, ended)
        finally:
            results = [
                summarise_run(folder, corpus).model_copy(update={"model": row.name})
                for folder, row, part in zip(folders, experiment.rows, parts, strict=True)
                if any(fold_run.complete for fold_run in part)
            ]
    raise_failures(outcomes)
    return results


def _rows(rows: object) -> list[dict[str, Any]] | None:
    if rows is None:
        return None
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise EmohopError("`rows` of an experiment is a list of settings, one entry per row")
    return [dict(row) for row in rows]


def _varied(vary: object) -> dict[str, list[Any]]:
    if vary is None:
        return {}
    if not isinstance(vary, dict) or not all(isinstance(v, list) and v for v in vary.values()):
        raise EmohopError("`vary` of an experiment maps settings to lists, as model.hops: [1, 3]")
    return dict(vary)


def _layered(layers: Sequence[Mapping[str, Any]], last: Mapping[str, Any]) -> dict[str, Any]:
    """Settings, each layer over those before it, then single ones by dotted key."""
    values: dict[str, Any] = {}
    for layer in layers:
        put_over(values, copy.deepcopy(dict(layer)))
    put_chosen(values, last)
    return values


def _add(made: dict[str, RowRecipe], row: RowRecipe, passed_over: Collection[str]) -> None:
    """Add a row, unless it is there already since what was varied does not concern its model."""
    if row.name not in made:
        made[row.name] = row
    elif not passed_over:
        raise EmohopError(f"two rows are called {row.name!r}: give each a `name`")


def _mattering(
    chosen: Mapping[str, Any], layers: Sequence[Mapping[str, Any]], last: Mapping[str, Any]
) -> dict[str, Any]:
    """Those of the chosen settings that concern the model of these layers."""
    named = _layered(layers, {k: v for k, v in {**chosen, **last}.items() if k == "model.name"})
    model = named.get("model", {})
    spec = MODELS[str(model.get("name", ModelSettings().name))]
    return {key: value for key, value in chosen.items() if _matters(key, spec)}


def _matters(key: str, spec: ModelSpec) -> bool:
    """Whether a model has a setting."""
    group, _, name = key.partition(".")
    return group != "model" or spec.has(name)


def _check_matters(key: str, value: object, model: ModelSettings) -> None:
    """EmohopError for a setting that was asked for and would be passed over."""
    check_settings(model)
    if not _matters(key, model.spec) and value not in (None, model.spec.modalities):
        name = key.partition(".")[2]
        others = [spec.name for spec in MODELS.shipped.values() if spec.has(name)]
        raise EmohopError(
            f"{key}={value}, but {model.name} has no {name}: leave it out, or train "
            f"{', '.join(others)}"
        )


def _check_row(name: str, row: Mapping[str, Any], over: Mapping[str, Any]) -> None:
    """EmohopError where settings for all rows contradict what makes a row what it is called."""
    own = dict(flattened(row))
    for key in ROW_IDENTITY:
        if key in own and key in over and not _same(own[key], over[key]):
            raise EmohopError(
                f"row {name!r} is {key}={_shown(own[key])}, which {key}={_shown(over[key])} "
                "contradicts: leave it out, or train that model by a recipe of one row"
            )


def _check_doubles(rows: Iterable[RowRecipe]) -> None:
    """EmohopError where two rows are one model, which would be trained twice."""
    seen: dict[str, str] = {}
    for row in rows:
        key = row.recipe.model_dump_json()
        if key in seen:
            raise EmohopError(
                f"rows {seen[key]!r} and {row.name!r} are the same model and settings: leave one "
                "out"
            )
        seen[key] = row.name


def _same(one: object, other: object) -> bool:
    return _shown(one) == _shown(other)


def _shown(value: object) -> str:
    """A value as it is typed."""
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _impossible(recipe: Recipe) -> str | None:
    """Why no corpus could train this row's model, or None."""
    try:
        check(recipe.model, MODALITIES, prosody=True)
    except EmohopError as error:
        return str(error)
    return None


def _row_name(name: object, recipe: Recipe, choice: Mapping[str, Any]) -> str:
    """The row's own name, else its model's title, with what was varied and does not show in it."""
    shown = ROW_IDENTITY if name is None else ()
    rest = [f"{key.split('.')[-1]}={value}" for key, value in choice.items() if key not in shown]
    return " ".join([str(name) if name is not None else recipe.model.title, *rest])


def _check_folder(corpus: PreparedCorpus, out: Path, experiment: Experiment) -> None:
    """What cannot work is said of every row before anything is written."""
    if RunFolder(out).begun:
        raise EmohopError(f"{out} holds a single run, not an experiment: choose a new folder")
    if not is_experiment(out) and is_taken(out):
        raise EmohopError(f"{out} exists and is not an experiment: choose a new folder")
    names: dict[str, str] = {}
    for row in experiment.rows:
        if names.setdefault(row.folder, row.name) != row.name:
            raise EmohopError(f"rows {names[row.folder]!r} and {row.name!r} need clearer names")
        recipe, _ = resolve(corpus, row.recipe)
        check_folder(corpus, out / row.folder, recipe)


def _write(out: Path, experiment: Experiment) -> None:
    """`experiment.yaml`: the rows, those of an earlier call that are not asked for now included."""
    rows = {row.name: row for row in stored_experiment(out).rows} if is_experiment(out) else {}
    rows |= {row.name: row for row in experiment.rows}
    values = [
        {"name": row.name, "folder": row.folder, "recipe": row.recipe.model_dump(mode="json")}
        for row in rows.values()
    ]
    text = yaml.safe_dump({"rows": values}, sort_keys=False, allow_unicode=True)
    write_text(out / EXPERIMENT, text)
