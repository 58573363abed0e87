"""The search for settings: on dev alone, resumable, and what becomes of what it found."""

from __future__ import annotations

import csv
import gc
import json
import shutil
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pyarrow as pa
import pytest
import yaml
from typer.testing import CliRunner

from emohop.cli import FAILED, app
from emohop.clips import Clip
from emohop.config import recipe_for_fold
from emohop.errors import EmohopError, MissingExtraError
from emohop.recipes import make_recipe
from emohop.storage import open_prepared
from emohop.training import tuning
from emohop.training.run import train
from emohop.training.space import Choice, Range, Space, default_space, read_space
from emohop.training.tuning import BEST, TRIALS, Trial, best_trials, make_search, tune
from tests import prepared as tests_prepared
from tests.prepared import write_prepared

QUICK = ("training.max_epochs=2", "model.name=are", "model.audio.hidden=8", "folds=[0,2]")
SPACE: Space = {
    "training.learning_rate": Range(low=1e-4, high=1e-1, log=True),
    "model.audio.hidden": Choice(values=(4, 8)),
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_prepared(tmp_path_factory.mktemp("data") / "prepared")


@pytest.fixture(scope="module")
def found(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Trial]]:
    out = tmp_path_factory.mktemp("tuned") / "search"
    return out, tune(prepared, out, make_recipe("demo", QUICK), space=SPACE, trials=4)


def test_every_fold_gets_the_best_of_its_own_trials(
    found: tuple[Path, list[Trial]], prepared: Path, tmp_path: Path
) -> None:
    out, trials = found
    assert [(trial.fold, trial.number) for trial in trials] == [
        (fold, number) for fold in (0, 2) for number in range(4)
    ]
    recipe = make_recipe(out / BEST)
    assert recipe.per_fold is not None
    assert set(recipe.per_fold) == {0, 2}
    with (out / TRIALS).open() as file:
        lines = list(csv.DictReader(file))
    for fold, best in best_trials(recipe, trials).items():
        scores = [t.score for t in trials if t.fold == fold and t.score is not None]
        assert best.score == max(scores)
        assert recipe.per_fold[fold] == best.settings
        mine = [float(line["dev_f1_weighted"]) for line in lines if line["fold"] == str(fold)]
        assert max(mine) == best.score
        own = recipe_for_fold(recipe, fold)
        assert own.model.audio.hidden == best.settings["model.audio.hidden"]
        assert own.training.learning_rate == best.settings["training.learning_rate"]
    assert not list(out.rglob("trial-*"))  # nothing of the trials' training stays

    train(prepared, tmp_path / "run", recipe)
    for fold, best in best_trials(recipe, trials).items():
        fold_run = tmp_path / f"run/fold-{fold}/seed-0"
        config = json.loads((fold_run / "model/model.json").read_text())
        assert config["model"]["audio"]["hidden"] == best.settings["model.audio.hidden"]
        dev = json.loads((fold_run / "metrics.json").read_text())["dev"]["f1_weighted"]
        assert dev == pytest.approx(best.score)  # the very training that the search saw


def reachable(root: object) -> Iterator[object]:
    """Everything that can be come by from an object, but not by way of a module or a class."""
    seen, left = set(), [root]
    while left:
        item = left.pop()
        if id(item) in seen or isinstance(item, (types.ModuleType, type)):
            continue
        seen.add(id(item))
        yield item
        if isinstance(item, types.FunctionType):
            left += [cell.cell_contents for cell in item.__closure__ or ()]
            left += [item.__defaults__, item.__kwdefaults__]
        else:
            left += gc.get_referents(item)


def texts_of(root: object) -> set[str]:
    """All texts that can be come by, those in arrays and Arrow tables included."""
    texts: set[str] = set()
    for item in reachable(root):
        if isinstance(item, str):
            texts.add(item)
        elif isinstance(item, np.ndarray) and item.dtype.kind == "U":
            texts.update(item.tolist())
        elif isinstance(item, (pa.Table, pa.RecordBatch)):
            texts.update(item.schema.names)
            for column in item.columns:
                if pa.types.is_string(column.type):
                    texts.update(column.to_pylist())
    return texts


def test_the_search_can_come_by_no_test_label(tmp_path: Path) -> None:
    whole = open_prepared(write_prepared(tmp_path / "prepared"))
    recipe = make_recipe("demo", QUICK)
    search = make_search(whole, recipe, 0, SPACE, tmp_path / "out")
    hidden = set(range(len(whole))) - {*search.train, *search.dev}
    assert len(hidden) == 20
    labels, ids = search.corpus.metadata("label"), search.corpus.metadata("id")
    assert all(labels[i] is None and ids[i] is None for i in hidden)
    assert [labels[i] for i in search.train] == [whole.metadata("label")[i] for i in search.train]
    with pytest.raises(EmohopError, match="hidden"):
        _ = search.corpus[min(hidden)]
    with pytest.raises(EmohopError, match="hidden"):
        search.corpus.votes()
    _ = [search.corpus[i] for i in (*search.train, *search.dev)]  # every shard is open
    names = texts_of(search)
    known = whole.metadata("id")
    assert {known[i] for i in search.train} <= names
    assert not {known[i] for i in hidden} & names
    tables = [item for item in reachable(search) if isinstance(item, pa.Table)]
    assert tables
    assert not {"label", "corpus_label", "votes", "valence"} & {
        n for t in tables for n in t.schema.names
    }
    # and the means to find one are not blind: the whole corpus does lead to them
    _ = [whole[i] for i in range(len(whole))]
    assert set(known) <= texts_of(whole)


@pytest.mark.parametrize(("monitor", "score"), [("accuracy", 0.9), ("loss", 0.2)])
def test_a_trial_is_worth_its_best_epoch(
    monitor: str, score: float, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The highest dev score of any epoch, the lowest of a loss; neither the last nor the first."""
    recipe = make_recipe("demo", [*QUICK, f"training.monitor={monitor}"])
    search = make_search(open_prepared(prepared), recipe, 0, SPACE, tmp_path / "out")

    def fit(*words: Any) -> None:
        for number, value in enumerate((0.4, 0.9, 0.2, 0.5)):
            words[-1]({"epoch": number + 1, f"dev_{monitor}": value})

    monkeypatch.setattr("emohop.training.fitting.fit_network", fit)
    told: list[float] = []
    found = search.score({}, tmp_path / "trial", lambda line: told.append(line[f"dev_{monitor}"]))
    assert found == score
    assert told == [0.4, 0.9, 0.2, 0.5]


def test_of_several_equal_trials_the_first_is_best() -> None:
    trials = [
        Trial(0, number, state, score, {"number": number})
        for number, (state, score) in enumerate(
            [("complete", 0.5), ("pruned", 0.9), ("complete", 0.7), ("complete", 0.7)]
        )
    ]
    assert best_trials(make_recipe("demo"), trials)[0].number == 2
    by_loss = make_recipe("demo", ["training.monitor=loss"])
    assert best_trials(by_loss, trials)[0].number == 0


def test_every_trial_of_every_fold_draws_its_own() -> None:
    drawn = set()
    for seed, fold, ended in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)):
        study = optuna.create_study(sampler=tuning._sampler(seed, fold, ended))
        drawn.add(study.ask().suggest_float("x", 0, 1))
    assert len(drawn) == 4


def test_a_trial_that_was_cut_off_is_tried_again_first(tmp_path: Path) -> None:
    with tuning._study(tmp_path / "fold-0", make_recipe("demo")) as study:
        (tmp_path / "fold-0/trial-0").mkdir()
        cut = study.ask().suggest_float("x", 0, 1)
        tuning._sweep(study, tmp_path / "fold-0")
        assert not (tmp_path / "fold-0/trial-0").exists()
        assert study.ask().suggest_float("x", 0, 1) == cut
        assert study.ask().suggest_float("x", 0, 1) != cut


@pytest.mark.parametrize(("monitor", "way"), [("loss", "MINIMIZE"), ("accuracy", "MAXIMIZE")])
def test_which_way_is_better(monitor: str, way: str, tmp_path: Path) -> None:
    recipe = make_recipe("demo", [f"training.monitor={monitor}"])
    with tuning._study(tmp_path, recipe) as study:
        assert study.direction.name == way


def test_scrambled_test_labels_change_nothing(
    found: tuple[Path, list[Trial]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first session is test of fold 0: its labels turned around give the same search."""
    turned = {"ang": "hap", "hap": "sad", "sad": "ang"}

    def liar(**facts: Any) -> Clip:
        if facts["session"] == "Ses01":
            facts["label"] = turned[facts["label"]]
        return Clip(**facts)

    monkeypatch.setattr(tests_prepared, "Clip", liar)
    scrambled = write_prepared(tmp_path / "prepared")
    assert open_prepared(scrambled).metadata("label")[:3] == ["hap", "sad", "ang"]
    recipe = make_recipe("demo", [*QUICK, "folds=[0]"])
    again = tune(scrambled, tmp_path / "out", recipe, space=SPACE, trials=4)
    assert again == [trial for trial in found[1] if trial.fold == 0]


def test_a_stopped_search_goes_on_as_it_would(
    found: tuple[Path, list[Trial]],
    prepared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = make_recipe("demo", QUICK)
    tune(prepared, tmp_path / "out", recipe, space=SPACE, trials=1)
    score = tuning.Search.score

    def stopped(self: Any, settings: Any, place: Path, told: Any) -> float:
        """Like a process that is killed in its third trial."""
        if place.name == "trial-2":
            place.mkdir()
            raise KeyboardInterrupt
        return score(self, settings, place, told)

    with monkeypatch.context() as patch:
        patch.setattr(tuning.Search, "score", stopped)
        with pytest.raises(KeyboardInterrupt):
            tune(prepared, tmp_path / "out", recipe, space=SPACE, trials=4)
    ended = tune(prepared, tmp_path / "out", recipe, space=SPACE, trials=4, jobs=2)
    assert ended == found[1]
    with tuning._study(tmp_path / "out" / "fold-0", recipe) as study:
        assert [trial.state.name for trial in study.trials].count("FAIL") == 1
    assert (tmp_path / "out" / BEST).read_bytes() == (found[0] / BEST).read_bytes()


def test_folds_may_be_searched_one_by_one(
    found: tuple[Path, list[Trial]], prepared: Path, tmp_path: Path
) -> None:
    for fold in (2, 0):
        recipe = make_recipe("demo", [*QUICK, f"folds=[{fold}]"])
        trials = tune(prepared, tmp_path / "out", recipe, space=SPACE, trials=4)
    assert trials == found[1]
    for name in (BEST, TRIALS):
        assert (tmp_path / "out" / name).read_bytes() == (found[0] / name).read_bytes()


def test_trials_that_lag_are_stopped_and_those_that_fail_are_told(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def score(self: Any, settings: Any, place: Path, told: Any) -> float:
        quality = settings["x"]
        if quality < 2:
            raise EmohopError("training diverged")
        for epoch in range(1, 12):
            told({"epoch": epoch, "dev_f1_weighted": quality * epoch})
        return float(quality * 11)

    monkeypatch.setattr(tuning.Search, "score", score)
    told: list[Trial] = []
    recipe = make_recipe("demo", [*QUICK, "folds=[0]"])
    space: Space = {"x": Range(low=0.0, high=10.0)}
    trials = tune(prepared, tmp_path / "out", recipe, space=space, trials=30, report=told.append)
    assert told == trials
    states = [trial.state for trial in trials]
    assert {"complete", "pruned", "failed"} == set(states)
    assert "pruned" not in states[: tuning.RANDOM_TRIALS]
    assert all((trial.score is None) == (trial.state != "complete") for trial in trials)
    failed = [trial for trial in trials if trial.state == "failed"]
    assert all(trial.reason == "training diverged" for trial in failed)
    assert all(trial.settings["x"] < 2 for trial in failed)
    assert best_trials(recipe, trials)[0].settings["x"] > 9  # it learns where to look


def test_no_trial_came_to_an_end(prepared: Path, tmp_path: Path) -> None:
    wild = make_recipe("demo", [*QUICK, "folds=[0]", "training.gradient_clip=0"])
    space: Space = {"training.learning_rate": Choice(values=(1e30,))}
    with pytest.raises(EmohopError, match=r"fold 0: none of its trials came to an end.*diverged"):
        tune(prepared, tmp_path / "out", wild, space=space, trials=2)
    assert "training diverged" in (tmp_path / "out" / TRIALS).read_text()


def test_another_search_is_kept_out(
    found: tuple[Path, list[Trial]], prepared: Path, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(found[0], tmp_path / "search"))
    with pytest.raises(EmohopError, match="a search with another recipe:"):
        tune(prepared, out, make_recipe("demo", [*QUICK, "model.audio.layers=2"]), space=SPACE)
    with pytest.raises(EmohopError, match="a search with another space:"):
        tune(prepared, out, make_recipe("demo", QUICK))
    other = write_prepared(tmp_path / "other", seed=4)
    with pytest.raises(EmohopError, match="a search with another fingerprint:"):
        tune(other, out, make_recipe("demo", QUICK), space=SPACE)
    (out / "tuning.json").write_text("3")
    with pytest.raises(EmohopError, match="is damaged"):
        tune(prepared, out, make_recipe("demo", QUICK), space=SPACE)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("years of work")
    with pytest.raises(EmohopError, match="holds no search"):
        tune(prepared, tmp_path / "mine", make_recipe("demo", QUICK), space=SPACE)
    with pytest.raises(EmohopError, match="tune the one that it was made of"):
        tune(prepared, tmp_path / "new", make_recipe(found[0] / BEST), space=SPACE)


def test_spaces(tmp_path: Path) -> None:
    recipe = make_recipe("default")
    space = default_space(recipe)
    assert space["model.hops"] == Range(low=1, high=9)
    assert space["model.video.hidden"] == Choice(values=(64, 128, 256))
    assert "model.hops" not in default_space(make_recipe("default", ["model.name=are"]))
    file = tmp_path / "space.yaml"
    file.write_text(
        "model.hops: [1, 3]\ntraining.learning_rate: {low: 1e-4, high: 0.1, log: true}\n"
    )
    assert read_space(file, recipe) == {
        "model.hops": Choice(values=(1, 3)),
        "training.learning_rate": Range(low=1e-4, high=0.1, log=True),
    }
    for text, message in (
        ("model.hopps: [1]", "unknown setting 'model.hopps': did you mean 'model.hops'"),
        ("model.hops: [0]", "model.hops = 0"),
        ("model.audio.dropout: {low: 0.5, high: 1.5}", "model.audio.dropout = 1.5"),
        ("model.hops: 3", "give a list, or low and high"),
        ("model.hops: {low: 3, high: 1}", "low < high is expected"),
        ("model.hops: {low: 0, high: 1, log: true}", "low > 0 for log"),
        ("protocol: [random]", "protocol is not of model or training"),
        ("- 3", "map settings to lists"),
        ("", "map settings to lists"),
    ):
        file.write_text(text)
        with pytest.raises(EmohopError, match=message):
            read_space(file, recipe)
    with pytest.raises(EmohopError, match="cannot be read"):
        read_space(tmp_path / "none.yaml", recipe)


def test_settings_per_fold_are_checked() -> None:
    recipe = make_recipe("demo", ["per_fold={1: {model.hops: 5}}"])
    assert recipe_for_fold(recipe, 1).model.hops == 5
    assert recipe_for_fold(recipe, 0).model.hops == 3
    for value in ("{1: {model.hopps: 5}}", "{1: {model.hops: 0}}", "{1: {seeds: [1]}}"):
        with pytest.raises(EmohopError):
            make_recipe("demo", [f"per_fold={value}"])


def test_optuna_is_an_extra(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'emohop\[tune\]'"):
        tune(prepared, tmp_path / "out", make_recipe("demo", QUICK))
    assert not (tmp_path / "out").exists()


def test_the_command(prepared: Path, tmp_path: Path) -> None:
    space = tmp_path / "space.yaml"
    space.write_text(yaml.safe_dump({"model.audio.hidden": [4, 6]}))
    words = ["tune", str(prepared), str(tmp_path / "out"), "--recipe", "demo", "--jobs", "1"]
    options = [f"--set={setting}" for setting in QUICK] + ["--trials", "2", "--space", str(space)]
    result = CliRunner().invoke(app, [*words, *options, "--fold", "0"])
    assert result.exit_code == 0, result.output
    assert "fold 0 trial   1 complete" in result.output
    assert "model.audio.hidden = " in result.output
    assert f"--recipe {tmp_path / 'out' / BEST}" in result.output
    space.write_text("model.hops: 3")
    result = CliRunner().invoke(app, [*words, *options])
    assert result.exit_code == FAILED
    assert "give a list, or low and high" in result.stderr
