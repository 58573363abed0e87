"""Two processes in one folder at once: one works, the other says so and changes nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import soundfile
import yaml

from emohop.evaluation.run_folder import RunFolder
from emohop.features.trainable import read_record
from emohop.storage import open_prepared
from emohop.storage.verification import verify
from tests.features.tiny import save_language, waveform
from tests.prepared import write_prepared
from tests.races import TRIES, WHAT

REFUSED = (
    "is in use by another emohop",
    "was begun with other settings",
    "holds a run with other settings",
    "holds a search with another",
    "joins other corpora",
    "holds a model with other settings",
    "clips differ",
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("races")
    write_prepared(root / "a", clips=30)
    write_prepared(root / "b", clips=30, seed=1)
    lines = ["path,id,label,speaker,transcript"]
    (root / "source").mkdir()
    for n in range(12):
        soundfile.write(root / f"source/{n}.wav", waveform(0.2 + n / 100, seed=n), 16_000)
        lines.append(f"{n}.wav,c{n},{('angry', 'calm')[n % 2]},s{n // 4},excuse me {n}")
    (root / "source/clips.csv").write_text("\n".join(lines) + "\n")
    save_language(root / "language")
    return root


def won(what: str, out: Path) -> int:
    """Whose work a folder holds, all of it."""
    if what == "prepare":
        manifest, damages = verify(out)
        assert damages == []
        return int(manifest.features.text is None)
    if what == "join":
        return int(open_prepared(out).manifest.parts[0].name == "b")
    if what == "finetune":
        record = read_record(out)
        assert record is not None
        return int(record.facts["seed"])
    if what == "tune":
        found: dict[str, Any] = json.loads((out / "tuning.json").read_text())["recipe"]
        assert yaml.safe_load((out / "best.yaml").read_text())["fold_seed"] == found["fold_seed"]
        return int(found["fold_seed"])
    runs = [out] if what == "train" else [p.parent for p in out.glob("*/recipe.yaml")]
    seeds = set()
    for run in runs:
        recipe = yaml.safe_load(RunFolder(run).recipe_file.read_text())
        results = json.loads(RunFolder(run).results_file.read_text())
        assert results["seeds"] == recipe["seeds"]
        seeds.add(int(recipe["fold_seed"]))
    assert len(seeds) == 1
    return seeds.pop()


@pytest.mark.parametrize("what", WHAT)
def test_one_of_two_wins_and_the_other_changes_nothing(what: str, root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.races", what, str(root)],
        cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    tries = [line.split("\t") for line in done.stdout.splitlines()]
    assert len(tries) == TRIES
    for number, *answers in tries:
        winners = [which for which, said in enumerate(answers) if said == "done"]
        assert len(winners) == 1, answers
        (refusal,) = (said for said in answers if said != "done")
        assert any(what in refusal for what in REFUSED), refusal
        assert won(what, root / f"{what}-{number}") == winners[0]
