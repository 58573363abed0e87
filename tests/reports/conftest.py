"""Models that are trained once for the page's tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from emohop.evaluation.metrics import SCORES
from emohop.evaluation.run_folder import ROBUSTNESS
from emohop.robustness import ConditionScores, RobustnessResults
from emohop.training.experiment import Experiment, make_experiment, train_rows
from tests.prepared import write_prepared

QUICK = ("training.max_epochs=1", "folds=[0,1]", "model.audio.hidden=8", "model.text.hidden=8")


def write_robustness(folder: Path) -> None:
    conditions = []
    for name, kind, level in (
        ("clean", "clean", None),
        ("noise:10", "noise", 10.0),
        ("noise:0", "noise", 0.0),
        ("missing:audio", "missing", None),
    ):
        score = 0.5 if level is None else 0.4 + level / 100
        metrics = {"n": 60, **dict.fromkeys(SCORES, score - 0.1), "accuracy": score, "ece": 0.1}
        ends = {**dict.fromkeys(SCORES), "accuracy": (score - 0.05, score + 0.05)}
        entry = ConditionScores(
            name=name, kind=kind, level=level, metrics=metrics, interval_95=ends
        )
        conditions.append(entry)
    found = RobustnessResults(fingerprint="x", clips=60, conditions=tuple(conditions))
    found.write(folder / ROBUSTNESS)


@pytest.fixture(scope="session")
def hopping(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A prepared corpus without media, and an experiment on it: amh of 3 and 4 hops, and are."""
    folder = tmp_path_factory.mktemp("hopping")
    prepared = write_prepared(folder / "prepared")
    rows: dict[str, list[Any]] = {"model.name": ["amh", "are"], "model.hops": [3, 4]}
    made = make_experiment("demo", QUICK, {}, rows)
    assert isinstance(made, Experiment)
    train_rows(prepared, folder / "table", made)
    return prepared, folder / "table"
