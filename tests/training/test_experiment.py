"""Experiments: rows by list and by file, one pool of fold runs, failures apart, continuation."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from emohop.config import Recipe
from emohop.errors import EmohopError
from emohop.evaluation.comparison import compare
from emohop.evaluation.runs import read_runs
from emohop.reports.terminal.tables import comparison_tables, results_table
from emohop.training import scheduler
from emohop.training.experiment import (
    Experiment,
    RowRecipe,
    continued,
    is_experiment,
    make_experiment,
    stored_experiment,
    train_rows,
)
from emohop.training.fold_run import FoldRun
from emohop.training.scheduler import FAILURE, RUNNING, FoldRunsFailedError, Outcome
from emohop.training.scheduler import fit as true_fit
from tests.prepared import write_prepared

QUICK = ("training.max_epochs=2", "model.audio.hidden=8", "model.text.hidden=8", "folds=[0,2]")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_prepared(tmp_path_factory.mktemp("data") / "prepared")


def experiment(**vary: object) -> Experiment:
    made = make_experiment("demo", QUICK, {}, {k.replace("_", "."): v for k, v in vary.items()})  # type: ignore[misc]
    assert isinstance(made, Experiment)
    return made


def test_lists_are_multiplied_and_what_makes_no_model_is_left_out() -> None:
    made = experiment(
        model_name=["amh", "mdre", "mha", "are"],
        model_hops=[1, 3],
        model_modalities=["audio+text", "audio+text+video"],
    )
    assert [row.name for row in made.rows] == [
        "amh-1 audio+text",
        "amh-1 audio+text+video",
        "amh-3 audio+text",
        "amh-3 audio+text+video",
        "mdre audio+text",
        "mdre audio+text+video",
        "mha-1 audio+text",
        "mha-3 audio+text",
        "are audio",
    ]
    assert len(made.left_out) == 1
    assert "mha is between two modalities" in made.left_out[0]
    assert made.rows[3].recipe.model.hops == 3
    assert made.rows[3].recipe.model.audio.hidden == 8


def test_a_file_with_rows(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        "extends: demo\n"
        "model: {audio: {hidden: 5}}\n"
        "rows:\n"
        "  - {name: voice, model: {name: are}}\n"
        "  - {model: {name: amh, audio: {hidden: 9}}}\n"
        "vary: {training.learning_rate: [0.1, 0.2], seeds: [[0], [1]]}\n"
    )
    made = make_experiment(file, ["seeds=[4]", "model.text.hidden=3"])
    assert isinstance(made, Experiment)
    assert [(row.name, row.folder) for row in made.rows] == [
        ("voice learning_rate=0.1", "voice_learning_rate=0.1"),
        ("voice learning_rate=0.2", "voice_learning_rate=0.2"),
        (
            "amh-3 audio+text+video learning_rate=0.1",
            "amh-3_audio+text+video_learning_rate=0.1",
        ),
        (
            "amh-3 audio+text+video learning_rate=0.2",
            "amh-3_audio+text+video_learning_rate=0.2",
        ),
    ]
    hidden = [row.recipe.model.audio.hidden for row in made.rows]
    assert hidden == [5, 5, 9, 9]  # a row's settings stay its own
    assert all(row.recipe.seeds == (4,) for row in made.rows)  # said last, so it is not varied
    assert all(row.recipe.model.text.hidden == 3 for row in made.rows)
    assert isinstance(make_experiment("demo"), Recipe)


def test_small_is_put_over_the_paper_s_tables() -> None:
    made = make_experiment("table-2020", override="small")
    assert isinstance(made, Experiment)
    assert [row.name for row in made.rows] == [
        *("MDRE A+T", "MDRE T+V", "MDRE A+V", "MHA A+T", "MHA T+V", "MHA A+V"),
        *("MDRE A+T+V", "AMH A+T+V"),
    ]
    assert {row.recipe.model.audio.hidden for row in made.rows} == {48}
    assert [row.recipe.model.audio.bidirectional for row in made.rows] == [False] * 3 + [
        True
    ] * 3 + [False] * 2
    assert {row.recipe.training.sampling for row in made.rows} == {"replacement"}
    with pytest.raises(EmohopError, match="--override hops-2020 is an experiment of several rows"):
        make_experiment("default", override="hops-2020")
    hops = make_experiment("hops-2020")
    assert isinstance(hops, Experiment)
    assert [row.recipe.model.hops for row in hops.rows] == list(range(1, 10))
    assert hops.rows[0].recipe.training.max_steps == 10_000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("row: [{}]", "unknown setting 'row': did you mean 'rows'"),
        ("rows: [{modle: {}}]", "unknown setting 'modle': did you mean 'model'"),
        ("rows: 3", "`rows` of an experiment is a list"),
        ("rows: []", "`rows` of an experiment is a list"),
        ("vary: [1]", "`vary` of an experiment maps settings to lists"),
        ("vary: {model.hops: 3}", "`vary` of an experiment maps settings to lists"),
        ("vary: {model.hopps: [3]}", "unknown setting 'model.hopps': did you mean 'model.hops'"),
        ("rows: [{model: {name: are}}, {model: {name: are}}]", "two rows are called 'are audio'"),
        ("rows: [{model: {name: mha, modalities: [audio, text, video]}}]", "row mha-7 .* between"),
        ("vary: {model.modalities: [audio]}", "no row is left: amh needs two modalities"),
    ],
)
def test_files_that_say_nonsense(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(EmohopError, match=message):
        make_experiment(file)


def test_rows_are_runs_of_their_own(prepared: Path, tmp_path: Path) -> None:
    wanted = experiment(model_name=["are", "tre"])
    begun: list[FoldRun] = []
    ended: list[Outcome] = []
    out = tmp_path / "table"
    results = train_rows(prepared, out, wanted, jobs=2, begun=begun.extend, ended=ended.append)
    assert [result.model for result in results] == ["are audio", "tre text"]
    assert [fold_run.title for fold_run in begun] == [
        *("are_audio/fold-0/seed-0", "tre_text/fold-0/seed-0"),
        *("are_audio/fold-2/seed-0", "tre_text/fold-2/seed-0"),
    ]
    assert sorted(outcome.fold_run.title for outcome in ended) == sorted(u.title for u in begun)
    assert all(outcome.error is None and outcome.seconds > 0 for outcome in ended)
    assert not list(out.rglob(RUNNING))
    runs = read_runs([out])
    assert [run.title for run in runs] == ["are audio", "tre text"]
    assert runs[0].folder == out / "are_audio"
    assert runs[0].clips["Ses01_000"]["gender"] == "F"
    assert len(runs[1].fold_runs) == 2

    assert is_experiment(out)
    assert not is_experiment(out / "are_audio")
    assert stored_experiment(out).rows == wanted.rows
    more = continued(out, {"seeds": [0, 1], "folds": [0]})
    ended.clear()
    train_rows(prepared, out, more, ended=ended.append)
    assert [outcome.fold_run.title for outcome in ended] == [
        "are_audio/fold-0/seed-1",
        "tre_text/fold-0/seed-1",
    ]
    with pytest.raises(EmohopError, match=r"model\.audio\.hidden was 8, now 9"):
        train_rows(prepared, out, continued(out, {"model.audio.hidden": 9}))
    with pytest.raises(EmohopError, match="holds a single run, not an experiment"):
        train_rows(prepared, out / "are_audio", wanted)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("years of work")
    with pytest.raises(EmohopError, match="is not an experiment"):
        train_rows(prepared, tmp_path / "mine", wanted)
    (out / "experiment.yaml").write_text("rows: 3")
    with pytest.raises(EmohopError, match=r"experiment\.yaml is damaged"):
        stored_experiment(out)


@pytest.mark.parametrize("name", ["table-2020", "hops-2020", "table-2018", "modalities"])
def test_shipped_experiments_run(prepared: Path, tmp_path: Path, name: str) -> None:
    quick = ["training.max_epochs=1", "folds=[0]", "model.text.embedding=6"]
    made = make_experiment(name, quick, override="small")
    assert isinstance(made, Experiment)
    results = train_rows(prepared, tmp_path / "out", made)
    assert [result.model for result in results] == [row.name for row in made.rows]
    runs = read_runs([tmp_path / "out"])
    assert compare(runs).rows[0].fold_runs == 1
    assert not made.left_out


def test_scores_of_two_protocols_stand_in_two_tables(prepared: Path, tmp_path: Path) -> None:
    made = experiment(**{"protocol": ["session", "random"], "model.name": ["are"]})
    results = train_rows(prepared, tmp_path / "out", made)
    assert [result.protocol for result in results] == ["session", "random"]
    honest, leaky = comparison_tables(results)
    assert honest.caption is None
    assert "speakers and scripted sentences of test are in train too" in str(leaky.caption)
    assert "sentences of test are in train too" in str(results_table(results[1]).caption)
    with pytest.raises(EmohopError, match="their protocol differ"):
        compare(read_runs([tmp_path / "out"]))


def test_folders_of_names_must_differ(prepared: Path, tmp_path: Path) -> None:
    rows = tuple(RowRecipe(name, Recipe()) for name in ("a b", "a/b"))
    with pytest.raises(EmohopError, match="rows 'a b' and 'a/b' need clearer names"):
        train_rows(prepared, tmp_path / "out", Experiment(rows))
    assert not (tmp_path / "out").exists()


def test_a_failing_unit_does_not_end_the_others(prepared: Path, tmp_path: Path) -> None:
    made = make_experiment(
        "demo",
        [*QUICK, "training.gradient_clip=0"],
        {"model.name": "are"},
        {"training.learning_rate": [1e30, 0.002]},
    )
    assert isinstance(made, Experiment)
    with pytest.raises(
        FoldRunsFailedError, match="2 of 4 fold runs failed, the others are kept"
    ) as error:
        train_rows(prepared, tmp_path / "out", made)
    assert "fold-0/seed-0: training diverged" in str(error.value)
    (good,) = read_runs([tmp_path / "out"])
    assert good.title == "are audio learning_rate=0.002"
    assert len(good.fold_runs) == 2
    bad = tmp_path / "out/are_audio_learning_rate=1e+30/fold-0/seed-0"
    assert "training diverged" in (bad / FAILURE).read_text()
    assert not (good.fold_runs[0].files.path / FAILURE).exists()


def test_a_bug_in_one_unit_is_raised_when_all_others_are_done(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fit(fold_run: FoldRun) -> None:
        if fold_run.fold.index == 0:
            raise ZeroDivisionError("a bug")
        true_fit(fold_run)

    monkeypatch.setattr(scheduler, "fit", fit)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        train_rows(prepared, tmp_path / "out", experiment(model_name=["are"]))
    (run,) = read_runs([tmp_path / "out"])
    assert [fold_run.fold for fold_run in run.fold_runs] == [2]


def test_a_full_disk_ends_it_at_once(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = []

    def fit(fold_run: FoldRun) -> None:
        begun.append(fold_run)
        raise OSError(errno.ENOSPC, "No space left on device", str(fold_run.folder))

    monkeypatch.setattr(scheduler, "fit", fit)
    with pytest.raises(OSError, match="No space left"):
        train_rows(prepared, tmp_path / "out", experiment(model_name=["are"]))
    assert len(begun) == 1


class _OddError(Exception):
    """It cannot go to another process: it takes two arguments and keeps one."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(one)


def test_errors_that_cannot_travel_say_what_they_said(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fit(fold_run: FoldRun) -> None:
        raise _OddError("strange", "thing")

    monkeypatch.setattr(scheduler, "fit", fit)
    with pytest.raises(RuntimeError, match="_OddError: strange"):
        train_rows(prepared, tmp_path / "out", experiment(model_name=["are"]))


def _command(prepared: Path, out: Path, *words: str) -> list[str]:
    command = [sys.executable, "-m", "emohop", "train", str(prepared), str(out), "--recipe", "demo"]
    return [*command, *(f"--set={setting}" for setting in QUICK), *words]


def test_killed_and_continued_to_the_same_bytes(prepared: Path, tmp_path: Path) -> None:
    words = ("--model", "are,tre", "--jobs", "1", "--set=training.max_epochs=5")
    whole = tmp_path / "whole"
    subprocess.run(_command(prepared, whole, *words), check=True, capture_output=True)
    killed = tmp_path / "killed"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("COV")}
    process = subprocess.Popen(
        _command(prepared, killed, *words), stderr=subprocess.PIPE, text=True, env=environment
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "done; 1 of 4 fold runs done" in line:
            process.send_signal(signal.SIGKILL)
            break
    process.stderr.close()
    assert process.wait() == -signal.SIGKILL
    # continued by its folder alone
    again = [sys.executable, "-m", "emohop", "train", str(prepared), str(killed), "--jobs", "1"]
    done = subprocess.run(again, check=True, capture_output=True, text=True)
    assert "are audio" in done.stdout
    for name in ("are_audio", "tre_text"):
        for file in ("fold-2/seed-0/predictions.parquet", "fold-0/seed-0/history.csv"):
            assert (whole / name / file).read_bytes() == (killed / name / file).read_bytes()
        results = [json.loads((out / name / "results.json").read_text()) for out in (whole, killed)]
        assert results[0] == results[1]


def test_on_ray_a_killed_worker_s_unit_is_run_again(prepared: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    words = ("--model", "are,tre", "--set=training.max_epochs=40", "--set=training.patience=40")
    out = tmp_path / "ray"
    # Ray's own processes would be measured, and killed ones leave broken files of coverage
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("COV", "RAY"))}
    process = subprocess.Popen(
        _command(prepared, out, *words, "--engine", "ray", "--jobs", "2"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )
    fold_run = out / "are_audio/fold-0/seed-0"
    history = fold_run / "history.csv"
    while process.poll() is None:
        if history.exists() and len(history.read_text().splitlines()) > 3:
            worker = int((fold_run / RUNNING).read_text().split()[1])
            os.kill(worker, signal.SIGKILL)
            break
        time.sleep(0.02)
    assert not (fold_run / "metrics.json").exists()
    said, _ = process.communicate(timeout=240)
    assert process.returncode == 0, said
    train_rows(prepared, tmp_path / "local", _as_asked(words))
    for name in ("are_audio", "tre_text"):
        for fold in (0, 2):
            file = f"{name}/fold-{fold}/seed-0/predictions.parquet"
            assert (out / file).read_bytes() == (tmp_path / "local" / file).read_bytes()
    lines = history.read_text().splitlines()
    assert [int(line.split(",")[0]) for line in lines[1:]] == list(range(1, len(lines)))


def _as_asked(words: tuple[str, ...]) -> Experiment:
    settings = [word.removeprefix("--set=") for word in words if word.startswith("--set=")]
    made = make_experiment("demo", [*QUICK, *settings], {}, {"model.name": ["are", "tre"]})
    assert isinstance(made, Experiment)
    return made
