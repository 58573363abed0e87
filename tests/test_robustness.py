"""Models under damage: the same path to features, clean as trained, kept results, refusals."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from emohop.cli import FAILED, app
from emohop.config import FeatureSettings
from emohop.errors import EmohopError
from emohop.evaluation.run_folder import ROBUSTNESS
from emohop.features.degradation import Condition, parse_condition, parse_conditions
from emohop.preparation import prepare
from emohop.recipes import make_recipe
from emohop.robustness import RobustnessResults, evaluate_damaged
from emohop.robustness.media import CorruptedMedia
from emohop.storage import open_prepared
from emohop.training.run import train
from tests.prepared import write_prepared

QUICK = ("training.max_epochs=2", "model.audio.hidden=8", "model.text.hidden=8")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_prepared(tmp_path_factory.mktemp("data") / "prepared")


@pytest.fixture(scope="module")
def run(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "amh"
    train(prepared, out, make_recipe("demo", [*QUICK, "seeds=[0,1]", "model.prosody=true"]))
    return out


@pytest.fixture(scope="module")
def made(synthetic_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A synthetic corpus's features, and a model of all modalities trained on some of it."""
    folder = tmp_path_factory.mktemp("made")
    features = FeatureSettings(video="hog", prosody=False)
    prepare("iemocap", synthetic_corpus, folder / "prepared", features=features, labels="iemocap-4")
    recipe = make_recipe("demo", [*QUICK, "training.max_epochs=1", "folds=[1]"])
    train(folder / "prepared", folder / "run", recipe)
    return folder / "prepared", folder / "run"


def names(result: RobustnessResults) -> list[str]:
    return [entry.name for entry in result.conditions]


def test_clean_is_what_the_run_said(run: Path, prepared: Path) -> None:
    corpus = open_prepared(prepared)
    result = evaluate_damaged(run, corpus, parse_conditions(["words:0.5"]), out=run / "a.json")
    results = json.loads((run / "results.json").read_text())
    clean = result.conditions[0]
    assert clean.name == "clean"
    assert clean.metrics == results["pooled"]
    assert json.loads(clean.model_dump_json())["interval_95"] == results["interval_95"]
    assert result.clips == 120
    assert names(result) == ["clean", "words:0.5"]


@pytest.mark.parametrize("name", ["amh", "mdre", "mha", "mdrea", "are", "tre", "vre"])
def test_every_model_bears_what_it_can_miss(prepared: Path, tmp_path: Path, name: str) -> None:
    recipe = make_recipe("demo", [*QUICK, f"model.name={name}", "folds=[0]"])
    train(prepared, tmp_path / name, recipe)
    corpus = open_prepared(prepared)
    for modality in recipe.model.uses:
        conditions = [Condition(), parse_condition(f"missing:{modality}")]
        if len(recipe.model.uses) == 1:
            with pytest.raises(EmohopError, match="nothing is left for the model to see"):
                evaluate_damaged(tmp_path / name, corpus, conditions)
        else:
            result = evaluate_damaged(tmp_path / name, corpus, conditions)
            clean, missing = result.conditions
            assert missing.metrics["n"] == clean.metrics["n"] == 20
            assert (missing.kind, missing.level) == ("missing", None)
            assert missing.metrics["ece"] != clean.metrics["ece"]


def test_a_model_folder_and_another_corpus(run: Path, prepared: Path, tmp_path: Path) -> None:
    model = run / "fold-1/seed-0/model"
    conditions = parse_conditions(["video:drop:1,missing:video"])
    result = evaluate_damaged(model, open_prepared(prepared), conditions, out=tmp_path / "x.json")
    assert result.clips == 20
    before = json.loads((run / "fold-1/seed-0/metrics.json").read_text())
    assert result.conditions[0].metrics == before["test"]
    dropped, missing = result.conditions[1:]
    assert dropped.metrics == missing.metrics  # all frames lost is no frames
    assert RobustnessResults.read(tmp_path / "x.json") == result
    other = open_prepared(write_prepared(tmp_path / "other", seed=7))
    assert evaluate_damaged(model, other, [Condition()]).clips == 60
    assert not (model / ROBUSTNESS).exists()


def test_what_was_computed_is_kept(run: Path, prepared: Path) -> None:
    corpus, path = open_prepared(prepared), run / ROBUSTNESS
    told: list[str] = []
    first = evaluate_damaged(
        run, corpus, parse_conditions(["words:0.2"]), done=lambda entry: told.append(entry.name)
    )
    assert told == ["clean", "words:0.2"]
    marked = json.loads(path.read_text())
    marked["conditions"][1]["metrics"]["accuracy"] = 0.123
    path.write_text(json.dumps(marked))
    more = evaluate_damaged(run, corpus, parse_conditions(["words:0.4,words:0.2"]))
    assert names(more) == ["clean", "words:0.4", "words:0.2"]
    assert more.conditions[2].metrics["accuracy"] == 0.123  # not computed again
    assert [one.name for one in RobustnessResults.read(path).ordered()] == [
        "clean",
        "words:0.2",
        "words:0.4",
    ]
    marked["fingerprint"] = "of other models"
    path.write_text(json.dumps(marked))
    again = evaluate_damaged(run, corpus, parse_conditions(["words:0.2"]))
    assert again == first
    path.write_text("{}")
    with pytest.raises(EmohopError, match=r"robustness\.json is damaged \(it has no version\)"):
        evaluate_damaged(run, corpus, parse_conditions(["words:0.2"]))
    path.unlink()


def test_undamaged_media_give_the_prepared_arrays(
    made: tuple[Path, Path], synthetic_corpus: Path
) -> None:
    corpus = open_prepared(made[0])
    media = CorruptedMedia.of(corpus, synthetic_corpus, prosody=False)
    rows = [0, 3, len(corpus) - 1]
    faint = parse_condition("noise:400+video:blur:0.01")  # too little to change a number
    found = media.damaged(rows, faint, jobs=1)
    for row in rows:
        assert np.array_equal(found[row]["audio"], corpus[row].audio)
        assert np.array_equal(found[row]["video"], corpus[row].video)
        assert "text" not in found[row]
    waveform = media.damaged(rows, parse_condition("noise:10"), jobs=1)
    assert set(waveform[0]) == {"audio"}  # frames are not decoded for noise
    assert not np.array_equal(waveform[0]["audio"], corpus[0].audio)
    again = media.damaged(rows[::-1], parse_condition("noise:10"), jobs=2)
    assert np.array_equal(again[0]["audio"], waveform[0]["audio"])
    voices = media.damaged(rows, parse_condition("noise:babble:0"), jobs=1)
    assert not np.array_equal(voices[0]["audio"], waveform[0]["audio"])
    assert np.isfinite(voices[0]["audio"]).all()


def test_damaged_media_from_the_command(made: tuple[Path, Path], synthetic_corpus: Path) -> None:
    prepared, out = map(str, made)
    words = ["evaluate", out, prepared, "--source", str(synthetic_corpus), "--jobs", "1"]
    damage = ["--degrade", "noise:0,video:blur:8", "--degrade", "words:1+missing:audio"]
    result = CliRunner().invoke(app, [*words, *damage])
    assert result.exit_code == 0, result.output
    for text in ("noise:0", "video:blur:8", "words:1+missing:audio", "(+0.000)"):
        assert text in result.output
    found = RobustnessResults.read(Path(out) / ROBUSTNESS)
    entries = {entry.name: entry for entry in found.conditions}
    assert entries["words:1+missing:audio"].kind == "words+missing"
    assert entries["words:1+missing:audio"].level is None
    assert entries["noise:0"].level == 0
    shown = CliRunner().invoke(app, [*words, "--json", "--degrade", "noise:0"])
    assert json.loads(shown.stdout)["conditions"][1] == json.loads(
        entries["noise:0"].model_dump_json()
    )


def test_what_cannot_be_damaged(
    made: tuple[Path, Path], synthetic_corpus: Path, run: Path, prepared: Path, tmp_path: Path
) -> None:
    def refused(*words: object) -> str:
        result = CliRunner().invoke(app, ["evaluate", *map(str, words)])
        assert result.exit_code == FAILED
        assert len(result.stderr.strip().splitlines()) == 1
        return str(result.stderr)

    assert "did you mean noise:NUMBER" in refused(run, prepared, "--degrade", "nose:3")
    assert "with --source" in refused(run, prepared, "--degrade", "noise:3")
    assert "go with --degrade" in refused(run, prepared, "--source", synthetic_corpus)
    train(prepared, tmp_path / "tre", make_recipe("demo", [*QUICK, "model.name=tre", "folds=[0]"]))
    said = refused(tmp_path / "tre", prepared, "--degrade", "missing:audio")
    assert "the model takes no audio, only text" in said
    shutil.copytree(synthetic_corpus, tmp_path / "part")
    for path in (tmp_path / "part").rglob("*.txt"):
        if path.parent.name == "EmoEvaluation" and path.name.startswith("Ses05"):
            path.unlink()
    said = refused(made[1], made[0], "--degrade", "noise:3", "--source", tmp_path / "part")
    assert "prepared clips" in said or "Ses05" in said
