from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from emohop.errors import EmohopError
from emohop.evaluation.metrics import SCORES, metrics
from emohop.evaluation.results import (
    Predictions,
    check_complete,
    read_predictions,
    write_fold_run,
    write_predictions,
)
from emohop.evaluation.significance import cluster_intervals
from emohop.evaluation.summary import FoldRunResult, result_lines, summarise

LABELS = ("ang", "hap", "sad")


def part(split: str, session: int, seed: int = 0, n: int = 12) -> Predictions:
    draw = np.random.default_rng([session, seed, split == "test"])
    return Predictions.of(
        split,
        [f"Ses{session}_{i}" for i in range(n)],
        [f"Ses{session}{'FM'[i % 2]}" for i in range(n)],
        draw.integers(3, size=n),
        draw.dirichlet(np.ones(3), size=n),
        LABELS,
    )


def fold_run(fold: int, seed: int = 0) -> FoldRunResult:
    both = part("dev", (fold + 1) % 3, seed) + part("test", fold, seed)
    return FoldRunResult.of(fold, seed, f"Ses{fold}", both)


def same(one: Predictions, other: Predictions) -> bool:
    texts = ("split", "id", "speaker", "label", "predicted", "labels")
    return all(getattr(one, n) == getattr(other, n) for n in texts) and np.array_equal(
        one.probabilities, other.probabilities
    )


def test_predictions_file_has_the_columns_of_the_contract(tmp_path: Path) -> None:
    predictions = part("dev", 1) + replace(part("test", 2), speaker=(None,) * 12)
    path = tmp_path / "fold=0" / "predictions.parquet"  # not a partition
    path.parent.mkdir()
    write_predictions(path, predictions)
    table = pq.ParquetFile(path).read()
    texts = ["split", "id", "speaker", "label", "predicted"]
    assert table.column_names == [*texts, "p_ang", "p_hap", "p_sad"]
    assert {table.schema.field(name).type for name in texts} == {pa.string()}
    assert {table.schema.field(f"p_{label}").type for label in LABELS} == {pa.float32()}
    assert same(read_predictions(path), predictions)
    before = path.read_bytes()
    write_predictions(path, predictions)
    assert path.read_bytes() == before
    assert [f.name for f in path.parent.iterdir()] == [path.name]


def test_predictions_know_their_numbers() -> None:
    both = part("dev", 1) + part("test", 2)
    assert len(both) == 24
    test = both.part("test")
    assert same(test, part("test", 2))
    assert test.predicted_numbers.tolist() == test.probabilities.argmax(axis=1).tolist()
    assert [LABELS[number] for number in test.true_numbers] == list(test.label)
    assert test.metrics() == metrics(test.true_numbers, test.probabilities)
    assert len(both.part("dev").part("test")) == 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"split": ("train",) * 12}, "split 'train'"),
        ({"label": ("joy",) * 12}, r"label 'joy' in predictions: one of \['ang'"),
        ({"predicted": ("ang",) * 12}, "is predicted 'ang', but .* the most probable"),
        ({"id": ("same",) * 12}, "clip same is predicted 12 times in test"),
        ({"id": ("a", "b")}, "do not fit together"),
        ({"labels": LABELS[:2]}, "do not fit together"),
        ({"probabilities": np.full((12, 3), np.nan, np.float32)}, "row 0 of the probabilities"),
    ],
)
def test_predictions_that_contradict_themselves(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(EmohopError, match=reason):
        replace(part("test", 0), **change)


def test_predictions_of_other_labels_do_not_join() -> None:
    other = Predictions.of("dev", ["x"], ["y"], [2], [[0, 0, 1]], ("ang", "hap", "neu"))
    with pytest.raises(EmohopError, match="predictions over"):
        part("test", 0) + other


def test_files_that_are_no_predictions(tmp_path: Path) -> None:
    path = tmp_path / "predictions.parquet"
    with pytest.raises(EmohopError, match=r"no .*predictions\.parquet: the run did not get"):
        read_predictions(path)
    path.write_bytes(b"PAR1 half a file")
    with pytest.raises(EmohopError, match="is not a predictions file") as error:
        read_predictions(path)
    assert "\n" not in str(error.value)
    good = tmp_path / "good.parquet"
    write_predictions(good, part("test", 0))
    table = pq.ParquetFile(good).read()
    path.write_bytes(good.read_bytes()[:-100])
    with pytest.raises(EmohopError, match="is not a predictions file"):
        read_predictions(path)
    for wrong, reason in (
        (table.drop_columns(["p_ang", "p_hap", "p_sad"]), "columns split, id"),
        (table.rename_columns({"speaker": "who"}), "columns split, id, who"),
        (table.set_column(5, "p_ang", pa.array(["x"] * 12)), "is not a predictions file"),
        (table.set_column(0, "split", pa.array([None] * 12, pa.string())), "is not a predictions"),
        (table.set_column(5, "p_ang", pa.array([9.0] * 12)), "row 0 of the probabilities"),
    ):
        pq.write_table(wrong, path)
        with pytest.raises(EmohopError, match=reason):
            read_predictions(path)


def test_each_clip_is_scored_exactly_once() -> None:
    both = part("dev", 1, n=4) + part("test", 0, n=3)
    ids = ["Ses0_0", "Ses0_1", "Ses0_2"]
    check_complete(both, "test", reversed(ids))
    with pytest.raises(EmohopError, match=r"test: clip Ses0_3 \(and 1 more\) is not predicted"):
        check_complete(both, "test", [*ids, "Ses0_3", "Ses0_4"])
    with pytest.raises(EmohopError, match="test: clip Ses0_2 is predicted but not part"):
        check_complete(both, "test", ids[:2])
    with pytest.raises(EmohopError, match=r"dev: clip Ses0_0 .* is not predicted"):
        check_complete(both, "dev", ids)
    with pytest.raises(ValueError, match="expected twice"):
        check_complete(both, "test", [*ids, ids[0]])


def test_a_unit_writes_predictions_and_metrics_and_is_read_back(tmp_path: Path) -> None:
    both = part("dev", 1) + part("test", 0)
    folder = tmp_path / "fold-0" / "seed-0"
    blocks = write_fold_run(folder, both)
    assert sorted(f.name for f in folder.iterdir()) == ["metrics.json", "predictions.parquet"]
    assert json.loads((folder / "metrics.json").read_text("utf-8")) == blocks.to_json()
    assert list(blocks.test) == ["n", *SCORES, "ece"]
    assert blocks.dev == part("dev", 1).metrics()
    result = FoldRunResult.read(folder, 0, 0, "Ses0")
    assert (result.dev, result.test) == (blocks.dev, blocks.test)
    assert same(result.predictions, both.part("test"))


def test_a_unit_without_dev_clips_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(EmohopError, match="no clips"):
        write_fold_run(tmp_path / "fold_run", part("test", 0))
    assert not list(tmp_path.iterdir())


def pooled_by_hand(fold_runs: list[FoldRunResult]) -> tuple[NDArray[Any], NDArray[Any], list[Any]]:
    true, table, who = [], [], []
    for u in fold_runs:
        for row in range(len(u.predictions)):
            true.append(LABELS.index(u.predictions.label[row]))
            table.append(u.predictions.probabilities[row])
            who.append(u.predictions.speaker[row])
    return np.array(true), np.array(table), who


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_summary(seeds: tuple[int, ...]) -> None:
    fold_runs = [fold_run(fold, seed) for seed in seeds for fold in (2, 0, 1)]
    summary = summarise(fold_runs, "session", "iemocap-3", LABELS)
    json.dumps(summary.model_dump(), allow_nan=False)
    assert (summary.protocol, summary.class_set) == ("session", "iemocap-3")
    assert summary.labels == LABELS
    assert (summary.folds, summary.seeds) == ((0, 1, 2), seeds)
    assert summary.speakers == 6
    assert [(u.fold, u.seed) for u in summary.fold_runs] == [
        (fold, seed) for fold in range(3) for seed in seeds
    ]
    first = fold_run(0, 0)
    assert summary.fold_runs[0].model_dump() == {
        "fold": 0, "seed": 0, "name": "Ses0", "dev": first.dev, "test": first.test,
    }  # fmt: skip
    for name in (*SCORES, "ece"):
        values = [u.test[name] for u in fold_runs]
        middle = sum(values) / len(values)
        spread = (sum((v - middle) ** 2 for v in values) / (len(values) - 1)) ** 0.5
        assert summary.mean[name] == pytest.approx(middle)
        assert summary.std[name] == pytest.approx(spread)
    true, table, who = pooled_by_hand(fold_runs)
    assert summary.pooled == pytest.approx(metrics(true, table))
    assert summary.pooled["n"] == 36 * len(seeds)
    assert set(summary.interval_95) == set(SCORES)
    wanted = cluster_intervals(true, table.argmax(axis=1), who, 3)
    for name in SCORES:
        assert summary.interval_95[name] == wanted[name]
        low, high = wanted[name]
        assert low < summary.pooled[name] < high
    heat = [u.temperature for u in fold_runs]
    assert len(set(heat)) == len(heat)
    assert summary.calibration.temperature == pytest.approx(sum(heat) / len(heat))


def test_summary_of_one_unit_has_no_spread_and_of_unknown_speakers_no_interval() -> None:
    one = fold_run(0)
    summary = summarise([one], "session", "c", LABELS)
    assert set(summary.std.values()) == {None}
    assert summary.mean["accuracy"] == summary.pooled["accuracy"] == one.test["accuracy"]
    for who, count in ((None, 0), ("only", 1)):
        unsure = replace(one, predictions=replace(one.predictions, speaker=(who,) * 12))
        summary = summarise([unsure], "session", "c", LABELS)
        assert summary.interval_95 == dict.fromkeys(SCORES)
        assert summary.speakers == count


def test_summary_does_not_depend_on_the_order_of_units() -> None:
    fold_runs = [fold_run(fold, seed) for fold in range(3) for seed in (0, 1)]
    one, other = (summarise(u, "session", "c", LABELS) for u in (fold_runs, fold_runs[::-1]))
    assert one == other


def test_what_does_not_belong_in_one_summary() -> None:
    with pytest.raises(EmohopError, match="no results to summarise"):
        summarise([], "session", "c", LABELS)
    with pytest.raises(EmohopError, match="fold 1 with seed 0 is given 2 times"):
        summarise([fold_run(1), fold_run(1)], "session", "c", LABELS)
    with pytest.raises(EmohopError, match="clip Ses0_0 is tested in folds 0 and 1 of seed 0"):
        summarise([fold_run(0), replace(fold_run(0), fold=1)], "session", "c", LABELS)
    other_seed = replace(fold_run(0, seed=1), fold=1)  # a seed may have folds of its own
    assert summarise([fold_run(0), other_seed], "session", "c", LABELS).folds == (0, 1)
    with pytest.raises(EmohopError, match="different class sets do not mix"):
        summarise([fold_run(0)], "session", "c", ("ang", "hap", "neu"))


def test_result_lines_are_those_of_the_original_with_true_names() -> None:
    dev = Predictions.of("dev", "abcd", "wxyz", [0, 0, 0, 1], np.eye(3)[[0, 0, 1, 1]], LABELS)
    test = Predictions.of("test", "efg", "wxy", [0, 0, 2], np.eye(3)[[0, 1, 2]], LABELS)
    fold_runs = [FoldRunResult.of(fold, 1, "s", dev + test) for fold in (10, 2)]
    lines = result_lines(fold_runs, "my\tdata", "run", "2024-05-06T07:08:09")
    assert [line.split("\t")[2] for line in lines] == ["run/fold-2/seed-1", "run/fold-10/seed-1"]
    assert lines[0].split("\t") == [
        "2024-05-06T07:08:09", "my data", "run/fold-2/seed-1",
        "0.7500", f"{(2 / 3 + 1) / 2:.4f}", "0.6667", "0.7500",
    ]  # fmt: skip
