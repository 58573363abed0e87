"""Runs compared: numbers against independent implementations, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from confidence_intervals import evaluate_with_conf_int
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from statsmodels.stats.contingency_tables import mcnemar as reference_mcnemar
from statsmodels.stats.multitest import multipletests

from emohop.errors import EmohopError
from emohop.evaluation.calibration import apply_temperature, fit_temperature
from emohop.evaluation.comparison import Comparison, compare
from emohop.evaluation.metrics import SCORES, expected_calibration_error
from emohop.evaluation.runs import read_runs
from emohop.evaluation.significance import (
    cluster_intervals,
    holm,
    mcnemar,
    paired_differences,
)
from tests.runs import RANDOM, SESSIONS, clip_facts, edit_results, predictions, write_run


def drawn(seed: int, clips: int = 240) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
    """True classes, two predictions of them, and ten speakers of unequal clips."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, 3, clips)
    speakers = [f"s{n}" for n in rng.choice(10, clips, p=np.arange(1, 11) / 55)]
    a, b = (
        np.where(rng.random(clips) < skill, true, rng.integers(0, 3, clips)) for skill in (0.4, 0.6)
    )
    return true, a, b, speakers


def test_paired_differences_against_scikit_learn() -> None:
    true, a, b, speakers = drawn(3)
    found = paired_differences(true, a, b, speakers, 3)["balanced_accuracy"]
    gaps = []
    for name in sorted(set(speakers)):
        rest = [i for i, who in enumerate(speakers) if who != name]
        one, other = (balanced_accuracy_score(true[rest], said[rest]) for said in (a, b))
        gaps.append(other - one)
    expected = balanced_accuracy_score(true, b) - balanced_accuracy_score(true, a)
    half = t.ppf(0.975, 9) * (9 / 10 * np.square(np.array(gaps) - np.mean(gaps)).sum()) ** 0.5
    assert found[:3] == pytest.approx((expected, expected - half, expected + half))


@given(st.integers(0, 500))
@settings(max_examples=20)
def test_differences_change_sign_with_their_order(seed: int) -> None:
    true, a, b, speakers = drawn(seed, 80)
    one = paired_differences(true, a, b, speakers, 3)
    other = paired_differences(true, b, a, speakers, 3)
    same = paired_differences(true, a, a, speakers, 3)
    for name in SCORES:
        assert one[name].value == pytest.approx(-other[name].value)
        assert one[name].low == pytest.approx(-other[name].high)
        assert one[name].p == pytest.approx(other[name].p)
        assert 0 < one[name].p <= 1
        assert same[name] == pytest.approx((0, 0, 0, 1))


@pytest.mark.parametrize("each", [1, 6])
def test_intervals_against_the_library(each: int) -> None:
    # The library also draws clips within the drawn speakers, which is more chance than there is.
    # Where a speaker's clips are all alike (one of them, or copies) the two are the same.
    rng = np.random.default_rng(5)
    true = np.repeat(rng.integers(0, 3, 60), each)
    said = np.where(np.repeat(rng.random(60), each) < 0.6, true, (true + 1) % 3)
    numbers = np.repeat(np.arange(60), each)
    ours = cluster_intervals(true, said, numbers.tolist(), 3)["accuracy"]
    _, ends = evaluate_with_conf_int(
        said, accuracy_score, true, numbers, num_bootstraps=300, alpha=5
    )
    assert ours == pytest.approx(ends, abs=0.035)


@given(st.integers(0, 500), st.integers(1, 60))
@settings(max_examples=40)
def test_mcnemar_against_statsmodels(seed: int, clips: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.random(clips) < 0.5, rng.random(clips) < 0.7
    found = mcnemar(a, b)
    table = [[(a & b).sum(), found.only_a], [found.only_b, (~a & ~b).sum()]]
    assert np.sum(table) == clips
    assert found.p == pytest.approx(float(reference_mcnemar(table, exact=True).pvalue))


def test_mcnemar_of_equals_and_of_other_clips() -> None:
    assert mcnemar([True, False], [True, False]) == (0, 0, 1.0)
    with pytest.raises(ValueError, match="the same clips"):
        mcnemar([True], [True, False])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
@settings(max_examples=40)
def test_holm_against_statsmodels(p_values: list[float]) -> None:
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1].tolist())


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    folder = tmp_path_factory.mktemp("runs")
    seeds = (0, 1)
    write_run(folder / "weak", skill=0.5, settings=["model.name=are"], seeds=seeds)
    write_run(folder / "good", skill=2.0, settings=["model.name=amh"], seeds=seeds)
    write_run(folder / "same", skill=0.5, settings=["model.name=tre"], seeds=seeds)
    return compare(read_runs([folder / name for name in ("weak", "good", "same")]), all_pairs=True)


def test_rows(comparison: Comparison) -> None:
    assert [row.title for row in comparison.rows] == [
        "are audio",
        "amh-3 audio+text+video",
        "tre text",
    ]
    row = comparison.rows[0]
    assert (row.fold_runs, row.clips) == (10, 120)
    facts = clip_facts(60)
    tests: list[float] = []
    seeds: dict[int, list[float]] = {}
    both, right, calibrated = [], [], []
    for seed in (0, 1):
        for fold in range(5):
            said = predictions(facts, fold, 0.5, seed)
            dev, test = said.part("dev"), said.part("test")
            tests.append(accuracy_score(test.label, test.predicted))
            seeds.setdefault(seed, []).append(tests[-1])
            both.append(test.probabilities)
            right.append(test.true_numbers)
            heat = fit_temperature(dev.probabilities, dev.true_numbers)
            calibrated.append(apply_temperature(test.probabilities, heat))
    assert row.mean["accuracy"] == pytest.approx(np.mean(tests))
    assert row.std["accuracy"] == pytest.approx(np.std(tests, ddof=1))
    means = [np.mean(values) for values in seeds.values()]
    assert row.std_seeds["accuracy"] == pytest.approx(np.std(means, ddof=1))
    true = np.concatenate(right)
    assert row.ece == pytest.approx(expected_calibration_error(np.concatenate(both), true))
    after = expected_calibration_error(np.concatenate(calibrated), true)
    assert row.ece_calibrated == pytest.approx(after)


def test_pairs(comparison: Comparison) -> None:
    weak, good, same = (row.title for row in comparison.rows)
    assert [(pair.a, pair.b) for pair in comparison.pairs] == [
        (weak, good), (weak, same), (good, same),
    ]  # fmt: skip
    better, equal, worse = comparison.pairs
    assert better.difference is not None
    assert better.holm is not None
    assert better.difference["accuracy"].low > 0
    assert better.holm["accuracy"] == pytest.approx(3 * better.difference["accuracy"].p)
    assert better.mcnemar.only_b > better.mcnemar.only_a
    assert better.mcnemar.only_a + better.mcnemar.only_b <= 60  # a clip counts once
    assert equal.difference is not None
    assert list(equal.difference["accuracy"]) == [0, 0, 0, 1]
    assert equal.holm is not None
    assert equal.holm["accuracy"] == 1
    assert equal.mcnemar.p == 1
    assert worse.difference is not None
    assert worse.difference["accuracy"].value == -better.difference["accuracy"].value
    assert comparison.notes == ()


def test_against_a_reference_with_unknown_speakers_and_leaks(tmp_path: Path) -> None:
    for name, skill in (("a", 1.0), ("b", 1.5)):
        write_run(
            tmp_path / name, skill=skill, settings=[f"model.hops={skill:.0f}"], speakers=False
        )
        edit_results(tmp_path / name, protocol="random", reservations=RANDOM)
    runs = read_runs([tmp_path / "a", tmp_path / "b"])
    found = compare(runs, reference="b")
    (pair,) = found.pairs
    assert (pair.a, pair.b) == (runs[1].title, runs[0].title)
    assert pair.difference is None
    assert pair.holm is None
    assert found.rows[0].interval["accuracy"] is None
    assert found.rows[0].mark == "a"
    assert "speakers and scripted sentences of test are in train too" in found.said[0]
    assert "speakers are unknown" in found.said[1]
    with pytest.raises(EmohopError, match="did you mean 'amh-1 audio"):
        compare(runs, reference="amh-1")


def test_few_speakers_are_said(tmp_path: Path) -> None:
    write_run(tmp_path / "a", folds=[0, 1])
    (note,) = compare(read_runs([tmp_path / "a"])).notes
    assert note == "4 speakers are few: no p can be below 0.12"


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"protocol": "speaker"}, "their protocol differ: speaker and session"),
        ({"class_set": "iemocap-4"}, "their class set differ: iemocap-4 and made-3"),
        ({"clips": 80}, "their prepared clips differ"),
        ({"folds": [0, 1]}, "fold 2 with seed 0 is in one of them only"),
        ({"seeds": [0, 1]}, "fold 0 with seed 1 is in one of them only"),
    ],
)
def test_what_does_not_stand_in_one_table(
    tmp_path: Path, other: dict[str, Any], message: str
) -> None:
    write_run(tmp_path / "a")
    write_run(tmp_path / "b", settings=["model.hops=1"], **other)
    with pytest.raises(EmohopError, match=message):
        compare(read_runs([tmp_path / "a", tmp_path / "b"]))


def test_run_folders_that_cannot_be_read(tmp_path: Path) -> None:
    whole = write_run(tmp_path / "whole", folds=[0, 1])
    with pytest.raises(EmohopError, match="is named twice"):
        read_runs([whole, whole])
    with pytest.raises(EmohopError, match="name at least one"):
        read_runs([])
    for change, message in (
        (lambda f: shutil.rmtree(f / "fold-1/seed-0"), "half written, it has no metrics.json"),
        (lambda f: (f / "results.json").write_text("{"), r"results\.json is damaged \(not JSON"),
        (lambda f: (f / "results.json").unlink(), r"results\.json cannot be read"),
        (lambda f: edit_results(f, version=9), "version 9, this emohop reads version 3"),
        (
            lambda f: edit_results(f, fold_runs=[{}]),
            r"is damaged \(fold_runs\.0\.fold: field required",
        ),
        (lambda f: (f / "recipe.yaml").unlink(), "is not a run folder"),
        (lambda f: (f / "run.json").write_text("3"), r"run\.json is damaged"),
    ):
        broken = Path(shutil.copytree(whole, tmp_path / "broken"))
        change(broken)
        with pytest.raises(EmohopError, match=message):
            read_runs([broken])
        shutil.rmtree(broken)
    (run,) = read_runs([whole])
    (whole / "fold-0/seed-0/history.csv").write_text("epoch\nx\n")
    with pytest.raises(EmohopError, match=r"history\.csv is missing or damaged"):
        _ = run.fold_runs[0].history
    (whole / "clips.csv").write_text("x\n1\n")
    with pytest.raises(EmohopError, match=r"clips\.csv is missing or damaged"):
        _ = run.clips


def test_runs_of_one_title_get_their_folder_s_name(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_run(tmp_path / name, folds=[0, 1])
    titles = [run.title for run in read_runs([tmp_path / "a", tmp_path / "b"])]
    assert titles == ["amh-3 audio+text+video (a)", "amh-3 audio+text+video (b)"]
    assert SESSIONS[0] == "Ses01"


def test_mcnemar_is_of_the_first_seed(tmp_path: Path) -> None:
    """With several seeds a clip counts once, by both runs' predictions of the same, first seed."""
    for name, skill in (("a", 0.5), ("b", 1.5)):
        write_run(tmp_path / name, skill=skill, seeds=(3, 7))
    runs = read_runs([tmp_path / "a", tmp_path / "b"])
    (pair,) = compare(runs).pairs
    found = {}
    for seed in (3, 7):
        hits: list[dict[str, bool]] = []
        for run in runs:
            tests = [one.predictions.part("test") for one in run.fold_runs if one.seed == seed]
            right = [
                (clip, true == said)
                for test in tests
                for clip, true, said in zip(test.id, test.label, test.predicted, strict=True)
            ]
            hits.append(dict(right))
        a, b = hits
        found[seed] = (sum(a[c] and not b[c] for c in a), sum(b[c] and not a[c] for c in a))
    assert found[3] != found[7]  # or the test could not tell them apart
    assert (pair.mcnemar.only_a, pair.mcnemar.only_b) == found[3]
