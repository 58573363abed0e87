"""Settings chosen on dev by Optuna, each fold for itself, without a look at test.

Over all folds, the dev parts show every clip's label: settings that are good for all of them would
be chosen on the test clips too. So each fold is searched by itself, and trained with what was found
for it (nested selection). The search is handed a corpus in which nothing is known of test clips.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import yaml

from emohop import processes
from emohop.config import Recipe
from emohop.documents import Document
from emohop.errors import EmohopError, MissingExtraError
from emohop.evaluation.run_folder import RunFolder, is_taken
from emohop.files import csv_text, write_text
from emohop.preprocessor import check_fit
from emohop.storage import PreparedCorpus, open_prepared
from emohop.storage.locks import check_unlocked, locked
from emohop.training.fold_run import Epoch
from emohop.training.run import resolve
from emohop.training.space import Choice, Range, Space, default_space, try_setting

if TYPE_CHECKING:
    import optuna

BEST = "best.yaml"
TRIALS = "trials.csv"
SEARCH = "tuning.json"


class SearchFile(Document):
    """`tuning.json`: what a folder searches."""

    remedy: ClassVar[str] = "choose a new folder or delete this one"

    version: Literal[1] = 1
    fingerprint: str
    """Of the prepared corpus's manifest."""
    recipe: dict[str, Any]
    """The recipe that is tuned."""
    space: dict[str, Any]
    """What is searched, by dotted name of the setting."""


STUDY = "study.db"
RANDOM_TRIALS = 8
"""Trials drawn by chance before the search learns from them, and before any is stopped early."""


@dataclass(frozen=True)
class Trial:
    """One try: the settings, the best dev score by epoch, and how it ended."""

    fold: int
    number: int
    state: str
    """complete, pruned or failed."""
    score: float | None
    settings: Mapping[str, Any]
    reason: str = ""


@dataclass(frozen=True)
class Search:
    """Everything that the search for one fold is handed: of test clips it holds nothing.

    `corpus` knows the clips of `train` and `dev` only (`PreparedCorpus.only`).
    """

    corpus: PreparedCorpus
    recipe: Recipe
    train: tuple[int, ...]
    dev: tuple[int, ...]
    space: Space
    folder: Path

    def score(
        self, settings: Mapping[str, Any], place: Path, told: Callable[[Epoch], None]
    ) -> float:
        """The dev score of the best epoch under these settings; `told` hears of each epoch."""
        from emohop.training.fitting import fit_network

        monitor = f"dev_{self.recipe.training.monitor}"
        scores: list[float] = []

        def hear(epoch: Epoch) -> None:
            scores.append(epoch[monitor])
            told(epoch)

        recipe = try_setting(self.recipe, settings)
        try:
            fit_network(self.corpus, recipe, self.train, self.dev, recipe.seeds[0], place, hear)
        finally:
            shutil.rmtree(place, ignore_errors=True)
        return min(scores) if self.recipe.training.monitor == "loss" else max(scores)


@dataclass(frozen=True)
class _Task:
    prepared: Path
    out: Path
    recipe: Recipe
    fold: int
    space: Space
    trials: int
    report: Callable[[Trial], None] | None


def tune(
    prepared: str | Path,
    out: str | Path,
    recipe: Recipe,
    *,
    space: Space | None = None,
    trials: int = 40,
    jobs: int = 1,
    report: Callable[[Trial], None] | None = None,
) -> list[Trial]:
    """Search `trials` settings for each fold of a recipe; all trials of `out`, in their order.

    Writes `best.yaml`, a recipe that trains each fold with its own best settings, and
    `trials.csv`; `report` is told of each trial in the process that ran it. Folds are searched in
    parallel, the trials of one fold one after another, since each learns from those before. A
    search that was stopped is continued. Raises EmohopError when `out` holds another search, and
    when no trial of a fold came to an end.
    """
    _optuna()
    corpus, out = open_prepared(prepared), Path(out)
    recipe, folds = resolve(corpus, recipe)
    if recipe.per_fold is not None:
        raise EmohopError("the recipe has settings per fold: tune the one that it was made of")
    found = space or default_space(recipe)
    check_unlocked(out, lambda: _check_search(corpus, out, recipe, found))
    place = corpus.folder.absolute(), out.absolute()
    tasks = [_Task(*place, recipe, fold.index, found, trials, report) for fold in folds]
    with locked(out):
        _check_search(corpus, out, recipe, found).write(out / SEARCH)
        for _ in processes.run(_search, tasks, jobs):
            pass  # each keeps its own file
        searched = sorted(int(file.parent.name[5:]) for file in out.glob(f"fold-*/{STUDY}"))
        tried = [trial for fold in searched for trial in _tried(out, recipe, fold)]
        _write(out, recipe.model_copy(update={"folds": tuple(searched)}), tried)
    return tried


def best_trials(recipe: Recipe, trials: Sequence[Trial]) -> dict[int, Trial]:
    """The best complete trial of each fold, the first of several equal."""
    sign = -1.0 if recipe.training.monitor == "loss" else 1.0
    best: dict[int, Trial] = {}
    for trial in trials:
        if trial.state == "complete" and trial.score is not None:
            before = best.get(trial.fold)
            if before is None or sign * trial.score > sign * (before.score or 0.0):
                best[trial.fold] = trial
    return best


def make_search(
    corpus: PreparedCorpus, recipe: Recipe, fold: int, space: Space, out: Path
) -> Search:
    """The search for one fold; from here on nothing leads to a test clip."""
    _, folds = resolve(corpus, recipe.model_copy(update={"folds": (fold,)}))
    train, dev = tuple(folds[0].train.tolist()), tuple(folds[0].dev.tolist())
    visible = corpus.only([*train, *dev])
    return Search(visible, recipe, train, dev, space, RunFolder(out).fold(fold))


def _search(task: _Task) -> None:
    """Go on with the trials of one fold until there are enough."""
    corpus = open_prepared(task.prepared)
    search = make_search(corpus, task.recipe, task.fold, task.space, task.out)
    with _study(search.folder, task.recipe) as study:
        _sweep(study, search.folder)
        while len(_ended(study)) < task.trials:
            study.sampler = _sampler(task.recipe.seeds[0], task.fold, len(_ended(study)))
            _try(study, search)
            if task.report is not None:
                ended = _ended(study)
                task.report(_trial(task.fold, len(ended) - 1, ended[-1]))


def _tried(out: Path, recipe: Recipe, fold: int) -> list[Trial]:
    """All trials of one fold, those of earlier calls included."""
    with _study(RunFolder(out).fold(fold), recipe) as study:
        return [_trial(fold, number, trial) for number, trial in enumerate(_ended(study))]


def _try(study: optuna.Study, search: Search) -> None:
    """One trial, stopped early when it lags behind the median of those before."""
    optuna = _optuna()
    trial = study.ask()
    settings = {key: _suggest(trial, key, part) for key, part in search.space.items()}
    monitor = f"dev_{search.recipe.training.monitor}"

    def told(epoch: Epoch) -> None:
        trial.report(epoch[monitor], int(epoch["epoch"]))
        if trial.should_prune():
            raise optuna.TrialPruned

    place = search.folder / f"trial-{trial.number}"
    try:
        study.tell(trial, search.score(settings, place, told))
    except optuna.TrialPruned:
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    except EmohopError as error:  # it diverged, say; told as pruned, or it would be tried again
        trial.set_user_attr("reason", str(error))
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)


def _suggest(trial: optuna.Trial, key: str, part: Range | Choice) -> Any:
    if isinstance(part, Choice):
        return trial.suggest_categorical(key, part.values)
    if isinstance(part.low, int) and isinstance(part.high, int):
        return trial.suggest_int(key, part.low, part.high, log=part.log)
    return trial.suggest_float(key, part.low, part.high, log=part.log)


@contextmanager
def _study(folder: Path, recipe: Recipe) -> Iterator[optuna.Study]:
    """A fold's study, in a file of its own, which is closed afterwards."""
    library = _optuna()
    folder.mkdir(parents=True, exist_ok=True)
    storage = library.storages.RDBStorage(f"sqlite:///{folder / STUDY}")
    try:
        yield library.create_study(
            study_name=folder.name,
            storage=storage,
            direction="minimize" if recipe.training.monitor == "loss" else "maximize",
            pruner=library.pruners.MedianPruner(n_startup_trials=RANDOM_TRIALS, n_warmup_steps=5),
            load_if_exists=True,
        )
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _sampler(seed: int, fold: int, ended: int) -> optuna.samplers.BaseSampler:
    """Chance that depends on what has ended alone, so that a stopped search goes on as it would."""
    state = int(np.random.SeedSequence([seed, fold, ended]).generate_state(1)[0])
    sampler: optuna.samplers.BaseSampler = _optuna().samplers.TPESampler(
        seed=state, n_startup_trials=RANDOM_TRIALS
    )
    return sampler


def _sweep(study: optuna.Study, folder: Path) -> None:
    """Trials that were running when the search was stopped are tried again, first of all."""
    optuna = _optuna()
    running = study.get_trials(states=(optuna.trial.TrialState.RUNNING,))
    for trial in running:
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        if trial.params:
            study.enqueue_trial(trial.params)
    for leftover in folder.glob("trial-*"):
        shutil.rmtree(leftover)


def _ended(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """Trials that came to an end by themselves."""
    states = _optuna().trial.TrialState
    ended: list[optuna.trial.FrozenTrial] = study.get_trials(
        deepcopy=False, states=(states.COMPLETE, states.PRUNED)
    )
    return ended


def _trial(fold: int, number: int, trial: optuna.trial.FrozenTrial) -> Trial:
    reason = str(trial.user_attrs.get("reason", ""))
    return Trial(
        fold=fold,
        number=number,
        state="failed" if reason else trial.state.name.lower(),
        score=trial.value if trial.state.name == "COMPLETE" else None,
        settings=dict(trial.params),
        reason=reason,
    )


def _check_search(corpus: PreparedCorpus, out: Path, recipe: Recipe, space: Space) -> SearchFile:
    """What a folder is to search; EmohopError where it searches or holds something else."""
    check_fit(corpus, recipe)
    search = SearchFile(
        fingerprint=corpus.manifest.fingerprint,
        recipe=recipe.model_dump(mode="json", exclude={"folds"}),
        space={key: part.model_dump(mode="json") for key, part in space.items()},
    )
    path = out / SEARCH
    if path.exists():
        before, now = SearchFile.read(path).to_json(), search.to_json()
        if differing := [name for name in now if before[name] != now[name]]:
            raise EmohopError(
                f"{out} holds a search with another {' and '.join(differing)}: repeat its own "
                "command to continue it, or choose a new folder"
            )
    elif is_taken(out):
        raise EmohopError(f"{out} exists and holds no search: choose a new folder")
    return search


def _write(out: Path, recipe: Recipe, trials: Sequence[Trial]) -> None:
    keys = sorted({key for trial in trials for key in trial.settings})
    header = ["fold", "trial", "state", f"dev_{recipe.training.monitor}", *keys, "reason"]
    rows = [
        [t.fold, t.number, t.state, t.score, *map(t.settings.get, keys), t.reason] for t in trials
    ]
    write_text(out / TRIALS, csv_text(header, rows))
    best = best_trials(recipe, trials)
    lost = sorted({trial.fold for trial in trials} - best.keys())
    if lost:
        reasons = [trial.reason for trial in trials if trial.fold == lost[0] and trial.reason]
        raise EmohopError(
            f"fold {lost[0]}: none of its trials came to an end, see {out / TRIALS}: "
            f"{(reasons or ['all were stopped early'])[0]}"
        )
    chosen = {fold: dict(trial.settings) for fold, trial in sorted(best.items())}
    tuned = {**recipe.model_dump(mode="json"), "per_fold": chosen}
    write_text(out / BEST, yaml.safe_dump(tuned, sort_keys=False, allow_unicode=True))


def _optuna() -> Any:
    """Optuna, quiet; MissingExtraError where it is not installed."""
    try:
        import optuna
    except ImportError:
        raise MissingExtraError("tuning", "tune") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna
