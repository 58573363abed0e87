"""All folds and seeds of an experiment in parallel processes; a killed run is continued."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import yaml

import emohop
from emohop import processes
from emohop.config import Recipe, checked
from emohop.errors import EmohopError
from emohop.evaluation.results import METRICS, check_complete, write_json
from emohop.evaluation.splits import Fold, default_protocol, make_folds
from emohop.evaluation.summary import RESULT_LINES, RESULTS, UnitResult, result_lines, summarise
from emohop.files import write_text
from emohop.inputs import check_fit
from emohop.storage import PreparedCorpus, open_prepared
from emohop.training.unit import Epoch, Unit, fit

RECIPE = "recipe.yaml"
RUN = "run.json"
_MAY_GROW = {"folds", "seeds"}
"""Settings that may differ when a run is continued: they add units and change none."""


def train(
    prepared: str | Path,
    out: str | Path,
    recipe: Recipe,
    *,
    jobs: int = 1,
    report: Callable[[Unit, Epoch], None] | None = None,
) -> dict[str, Any]:
    """Train and score every fold and seed; returns what `results.json` holds.

    `report` is called in the worker with each epoch's line. Raises EmohopError when `out` holds
    another experiment.
    """
    corpus, out = open_prepared(prepared), Path(out)
    protocol = recipe.protocol or default_protocol(corpus.facts)  # the files name it
    recipe = recipe.model_copy(update={"protocol": protocol})
    folds = choose_folds(corpus, recipe)
    check_fit(corpus, recipe)  # what cannot work is said before anything is written
    begin(out, recipe, corpus)
    units = [
        Unit(
            Path(prepared), out / f"fold-{fold.index}" / f"seed-{seed}", recipe, fold, seed, report
        )
        for fold in folds
        for seed in recipe.seeds
    ]
    left = [unit for unit in units if not unit.complete]
    for _ in processes.run(fit, left, jobs):
        pass  # each writes its own files
    return summarise_run(out, corpus)


def choose_folds(corpus: PreparedCorpus, recipe: Recipe) -> list[Fold]:
    """The folds that a recipe asks for."""
    folds = make_folds(recipe.protocol, corpus.facts)
    if recipe.folds is None:
        return folds
    strange = sorted(set(recipe.folds) - set(range(len(folds))))
    if strange:
        raise EmohopError(
            f"no fold {strange[0]}: protocol {recipe.protocol} has 0..{len(folds) - 1}"
        )
    return [folds[i] for i in sorted(set(recipe.folds))]


def stored_recipe(out: Path) -> dict[str, Any] | None:
    """The settings of a run folder, or None where no run was begun."""
    path = out / RECIPE
    if not path.exists():
        return None
    try:
        values = yaml.safe_load(path.read_text("utf-8"))
    except yaml.YAMLError:
        values = None
    if not isinstance(values, dict):
        raise EmohopError(f"{path} is damaged: choose a new run folder or delete this one")
    return values


def begin(out: Path, recipe: Recipe, corpus: PreparedCorpus) -> None:
    """Lay out a run folder, or check that the one there is of the same experiment."""
    facts = {
        "emohop": emohop.__version__,
        "data": corpus.folder.name,
        "corpus": corpus.manifest.corpus,
        "class_set": corpus.manifest.class_set,
        "fingerprint": corpus.manifest.fingerprint,
    }
    stored = stored_recipe(out)
    if stored is not None:
        before = checked(Recipe, stored)
        differing = [
            name
            for name in type(recipe).model_fields
            if name not in _MAY_GROW and getattr(before, name) != getattr(recipe, name)
        ]
        if differing:
            raise EmohopError(
                f"{out} holds a run with other settings ({', '.join(differing)}): repeat its own "
                "command to continue it, or choose a new folder"
            )
        if _run_facts(out)["fingerprint"] != facts["fingerprint"]:
            raise EmohopError(f"{out} holds a run on another prepared corpus: choose a new folder")
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise EmohopError(f"{out} exists and is not a run folder: choose a new folder")
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / RUN, facts)
    text = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    write_text(out / RECIPE, text)


def summarise_run(out: Path, corpus: PreparedCorpus) -> dict[str, Any]:
    """Write `results.json` and `TEST_run_result.txt` from all complete units of a run folder."""
    recipe, facts = checked(Recipe, stored_recipe(out)), _run_facts(out)
    protocol = recipe.protocol or default_protocol(corpus.facts)
    folds = make_folds(protocol, corpus.facts)
    units = [
        UnitResult.read(folder, fold.index, int(folder.name.removeprefix("seed-")), fold.name)
        for fold in folds
        for folder in sorted((out / f"fold-{fold.index}").glob("seed-*"))
        if (folder / METRICS).exists()
    ]
    ids = corpus.facts("id")
    for unit in units:
        check_complete(unit.predictions, "test", (ids[i] for i in folds[unit.fold].test))
    results = {
        **summarise(units, protocol, facts["class_set"], corpus.manifest.labels),
        "model": recipe.model.title,
        "corpus": facts["corpus"],
        "fingerprint": facts["fingerprint"],
        "emohop": facts["emohop"],
    }
    write_json(out / RESULTS, results)
    time = datetime.now(timezone.utc).isoformat(timespec="seconds")
    lines = result_lines(units, facts["data"], out.name, time)
    write_text(out / RESULT_LINES, "\n".join(lines) + "\n")
    return results


def _run_facts(out: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((out / RUN).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        raise EmohopError(f"{out / RUN} is missing or damaged: choose a new run folder") from None
