"""No training clip is scored as test: commands, times the ways in which a corpus comes about.

docs/evaluation.md has the table of these routes.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

import emohop
from emohop.cli import app
from emohop.config import FeatureSettings
from emohop.errors import EmohopError
from emohop.evaluation.splits import make_folds
from emohop.features.degradation import parse_conditions
from emohop.preparation import prepare
from emohop.recipes import make_recipe
from emohop.robustness import asr, evaluate_damaged
from emohop.robustness.asr import evaluate_heard
from emohop.robustness.targets import targets_of
from emohop.storage import open_prepared
from emohop.storage.joining import join
from emohop.training.run import train
from tests.features.tiny import waveform
from tests.test_asr import Deaf

CLIPS, SPEAKERS = 24, 4
EACH = CLIPS // SPEAKERS
FEATURES = FeatureSettings(video=None, prosody=False)
SMALL = [
    "model.name=amh", "model.modalities=[audio,text]", "model.hops=1", "model.audio.hidden=4",
    "model.text.hidden=4", "model.text.embedding=4", "training.max_epochs=1", "folds=[0]",
]  # fmt: skip
Lines = list[dict[str, str]]


def write(folder: Path, lines: Lines) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "clips.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    return folder


def recorded(folder: Path, first: int = 0, ending: str = "wav") -> Lines:
    """Clips of four speakers, the first half of each angry; no two are alike."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for n in range(first, first + CLIPS):
        place = n - first
        tone = waveform(0.3 + n / 500, seed=place % 2) + 0.001 * (n + 1)
        soundfile.write(folder / f"{n}.{ending}", tone, 16_000, subtype="PCM_16")
        lines.append(
            {
                "path": f"{n}.{ending}", "id": f"c{n:03d}", "label": ("angry", "calm")[place % 2],
                "speaker": f"s{first}{place // EACH}", "transcript": f"word{n} said",
            }
        )  # fmt: skip
    return lines


class Case:
    """A corpus, prepared, and a run on it: fold 0 tests the first speaker, dev is the second."""

    def __init__(self, root: Path) -> None:
        self.root, self.source = root, root / "source"
        self.lines = recorded(self.source)
        write(self.source, self.lines)
        self.prepared = root / "prepared"
        prepare("folder", self.source, self.prepared, features=FEATURES)
        train(self.prepared, root / "run", make_recipe("default", SMALL))
        self.model = root / "run/fold-0/seed-0/model"

    def again(self, out: Path, lines: Lines, **changes: Any) -> Path:
        """The same recordings under other lines, prepared."""
        folder = out / "source"
        shutil.copytree(self.source, folder, dirs_exist_ok=True)
        write(folder, lines)
        prepare("folder", folder, out / "prepared", **{"features": FEATURES, **changes})
        return out / "prepared"


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case(tmp_path_factory.mktemp("case"))


def same(case: Case, out: Path) -> Path:
    del out
    return case.prepared


def half_precision(case: Case, out: Path) -> Path:
    features = FEATURES.model_copy(update={"precision": "float16"})
    return case.again(out, case.lines, features=features)


def with_prosody(case: Case, out: Path) -> Path:
    pytest.importorskip("opensmile")
    return case.again(out, case.lines, features=FEATURES.model_copy(update={"prosody": True}))


def other_labels(case: Case, out: Path) -> Path:
    out.mkdir(parents=True)
    (out / "map.yaml").write_text("classes: [angry, calm]\nfrom: {angry: angry, calm: calm}\n")
    return case.again(out, case.lines, labels=str(out / "map.yaml"))


def one_mended(case: Case, out: Path) -> Path:
    prepared = case.again(out, case.lines)
    soundfile.write(out / "source/20.wav", waveform(0.5, seed=3), 16_000)
    prepare("folder", out / "source", prepared, features=FEATURES)
    return prepared


def retried(case: Case, out: Path) -> Path:
    folder = Path(shutil.copytree(case.source, out / "source"))
    (folder / "20.wav").write_bytes(b"RIFF")
    prepare("folder", folder, out / "prepared", features=FEATURES)
    shutil.copy(case.source / "20.wav", folder / "20.wav")
    prepare("folder", folder, out / "prepared", features=FEATURES, retry=True)
    return out / "prepared"


def copied(case: Case, out: Path) -> Path:
    return Path(shutil.copytree(case.prepared, out))


def other_reader(case: Case, out: Path) -> Path:
    """Sorted into folders by label and speaker, under other ids and names of people, as FLAC."""
    for n, line in enumerate(reversed(case.lines)):
        place = out / "source" / line["label"] / f"x{line['speaker']}"
        place.mkdir(parents=True, exist_ok=True)
        samples, rate = soundfile.read(case.source / line["path"], dtype="int16")
        soundfile.write(place / f"{n:02d}.flac", samples, rate)
        (place / f"{n:02d}.txt").write_text(line["transcript"])
    prepare("folder", out / "source", out / "prepared", features=FEATURES)
    return out / "prepared"


def without_words(case: Case, out: Path) -> Path:
    features = FeatureSettings(video=None, prosody=False, text=None)
    return case.again(out, case.lines, features=features)


def without_audio(case: Case, out: Path) -> Path:
    features = FeatureSettings(video=None, prosody=False, audio=None)
    renamed = [{**line, "id": f"y{n}"} for n, line in enumerate(case.lines)]
    return case.again(out, renamed, features=features)


OWN = (
    same, half_precision, with_prosody, other_labels, one_mended, retried, copied, other_reader,
    without_words,
)  # fmt: skip


def scored(case: Case, corpus: Path) -> set[int]:
    """The lines of the source that the model is tested on, by their recordings or sentences."""
    found = open_prepared(corpus)
    (target,) = targets_of(case.model, found)
    own = open_prepared(case.prepared)
    key = "audio_hash" if "audio" in found.manifest.sizes else "text_hash"
    known = {value: n for n, value in enumerate(own.metadata(key))}
    return {known.get(found.metadata(key)[row], -1) for row in target.rows}


@pytest.mark.parametrize("route", OWN, ids=lambda route: route.__name__)
def test_on_its_own_corpus_the_fold_is_found_again(
    case: Case, tmp_path: Path, route: Callable[[Case, Path], Path]
) -> None:
    prepared = route(case, tmp_path / "other")
    assert scored(case, prepared) == set(range(EACH))
    predictions = emohop.load(case.model).evaluate(open_prepared(prepared))
    assert predictions.split.count("dev") == EACH
    if route is half_precision:
        before = emohop.load(case.model).evaluate(open_prepared(case.prepared))
        assert np.allclose(predictions.probabilities, before.probabilities, atol=0.02)


def test_words_alone_are_known_too(case: Case, tmp_path: Path) -> None:
    assert scored(case, without_audio(case, tmp_path / "other")) == set(range(EACH))


def more(tmp_path: Path, lines: int = CLIPS) -> Path:
    """A corpus of other people."""
    source = tmp_path / "more"
    write(source, recorded(source, first=100)[:lines])
    prepare("folder", source, tmp_path / "new", features=FEATURES)
    return tmp_path / "new"


def test_of_other_corpora_what_was_learned_is_left_out(case: Case, tmp_path: Path) -> None:
    new = more(tmp_path)
    predictor = emohop.load(case.model)
    judged = predictor.judged(open_prepared(new))
    assert (judged.dev, len(judged.test), judged.reservations) == ((), CLIPS, ())
    join([case.prepared, new], [], tmp_path / "joined")
    judged = predictor.judged(open_prepared(tmp_path / "joined"))
    assert len(judged.test) == EACH + CLIPS
    assert [one.text for one in judged.reservations] == [
        "left out 18 clips that this model was trained on"
    ]
    mixed = [*case.lines[EACH - 2 : EACH + 2], *recorded(tmp_path / "m/source", first=200)[:3]]
    judged = predictor.judged(open_prepared(case.again(tmp_path / "m", mixed)))
    assert len(judged.test) == 5
    assert "left out 2 clips" in judged.reservations[0].text


def test_where_nothing_unseen_is_left_it_is_an_error(case: Case, tmp_path: Path) -> None:
    learned = case.again(tmp_path / "learned", case.lines[2 * EACH :])
    corpus = open_prepared(learned)
    with pytest.raises(EmohopError, match="all of its 12 clips are ones that this model was"):
        emohop.load(case.model).evaluate(corpus)
    done = CliRunner().invoke(app, ["evaluate", str(case.model), str(learned)])
    assert (done.exit_code, len(done.stderr.splitlines())) == (1, 1)
    assert len(emohop.load(case.model).evaluate(corpus, include_seen=True)) == 12


def test_known_speakers_are_said(case: Case, tmp_path: Path) -> None:
    lines = recorded(tmp_path / "s/source", first=300)[:4]
    named = [{**line, "speaker": "s02" if n < 2 else "new"} for n, line in enumerate(lines)]
    judged = emohop.load(case.model).judged(open_prepared(case.again(tmp_path / "s", named)))
    (said,) = judged.reservations
    assert (said.kind, said.text) == ("speakers", "1 of 2 speakers of test are known from training")


def test_converted_copies_are_warned_of(case: Case, tmp_path: Path) -> None:
    shutil.copytree(case.source, tmp_path / "quiet/source")
    for path in (tmp_path / "quiet/source").glob("*.wav"):
        samples, rate = soundfile.read(path)
        soundfile.write(path, samples / 2, rate, subtype="PCM_16")
    write(tmp_path / "quiet/source", case.lines)
    prepare("folder", tmp_path / "quiet/source", tmp_path / "quiet/out", features=FEATURES)
    judged = emohop.load(case.model).judged(open_prepared(tmp_path / "quiet/out"))
    text = "18 clips have ids of clips that this model was trained on and hold other recordings"
    assert any(text in one.text for one in judged.reservations)


def run_json(*words: object) -> dict[str, Any]:
    done = CliRunner().invoke(app, [*map(str, words), "--json", "--jobs", "1"])
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("route", [half_precision, other_reader], ids=lambda route: route.__name__)
def test_every_command_scores_the_same_clips(
    case: Case, tmp_path: Path, route: Callable[[Case, Path], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asr, "Transcriber", Deaf)
    asr._transcriber.cache_clear()
    prepared = route(case, tmp_path / "other")
    at = ["--source", tmp_path / "other/source"]
    run = case.model.parents[2]
    note = "left out 12 clips that this model was trained on"
    evaluated = run_json("evaluate", case.model, prepared)
    assert (evaluated["dev"]["n"], evaluated["test"]["n"]) == (EACH, EACH)
    assert note in [one["text"] for one in evaluated["reservations"]]
    for found in (
        run_json("evaluate", run, prepared, "--degrade", "missing:audio,noise:0", *at),
        run_json("evaluate", case.model, prepared, "--asr", "deaf", *at),
        run_json("explain", case.model, prepared, "--draws", "1"),
    ):
        assert found["clips"] == EACH
        assert note in [one["text"] for one in found["reservations"]]
    pytest.importorskip("onnxscript")
    done = CliRunner().invoke(app, ["export", str(case.model), str(tmp_path / "exported")])
    assert done.exit_code == 0, done.output
    assert run_json("evaluate", tmp_path / "exported", prepared)["test"]["n"] == EACH


def test_what_includes_seen_clips_says_so_everywhere(case: Case, tmp_path: Path) -> None:
    seen = "--include-seen"
    text = "18 clips that this model was trained on are included"
    run = case.model.parents[2]
    kept = tmp_path / "kept.json"
    found = [
        run_json("evaluate", case.model, case.prepared, seen),
        run_json("evaluate", run, case.prepared, "--degrade", "missing:text", seen, "--out", kept),
        run_json("explain", case.model, case.prepared, "--draws", "1", seen),
        json.loads(kept.read_text()),
    ]
    for one in found:
        assert any(text in said["text"] for said in one["reservations"])
    run_json("evaluate", run, case.prepared, "--degrade", "missing:text", seen)
    assert not (run / "robustness.json").exists()  # which holds test scores
    for words in (["evaluate"], ["explain", "--draws", "1"]):
        command = [words[0], str(case.model), str(case.prepared), *words[1:], seen]
        done = CliRunner().invoke(app, command)
        assert f"Note: {text}" in " ".join(done.output.split())


def test_training_on_a_corpus_and_testing_on_its_copy(case: Case, tmp_path: Path) -> None:
    full = other_reader(case, tmp_path / "full").rename(tmp_path / "sorted")
    for test in (copied(case, tmp_path / "same"), full):
        words = ["train", str(case.prepared), str(tmp_path / "run"), "--test", str(test)]
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 1
        assert "nothing unseen is left" in done.stderr
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
    partly = write(tmp_path / "p", [*case.lines[:4], *recorded(tmp_path / "p", first=400)[:6]])
    for line in case.lines[:4]:
        shutil.copy(case.source / line["path"], partly / line["path"])
    prepare("folder", partly, tmp_path / "partly", features=FEATURES)
    join([case.prepared], [tmp_path / "partly"], tmp_path / "joined")
    corpus = open_prepared(tmp_path / "joined")
    (fold,) = make_folds(None, corpus.metadata)
    assert (len(fold.test), fold.copies) == (6, 4)
    results = train(tmp_path / "joined", tmp_path / "run", make_recipe("default", SMALL))
    (said,) = results.reservations
    assert said.text == "left out of test: 4 clips whose recordings are on another side too"


def test_copies_of_words_alone_are_found_too(case: Case, tmp_path: Path) -> None:
    features = FeatureSettings(video=None, prosody=False, audio=None)
    first = case.again(tmp_path / "first", case.lines, features=features).rename(tmp_path / "one")
    renamed = [{**line, "id": f"y{n}", "speaker": f"x{n}"} for n, line in enumerate(case.lines)]
    other = case.again(tmp_path / "other", renamed, features=features)
    join([first], [other], tmp_path / "cross")
    with pytest.raises(EmohopError, match="nothing unseen is left"):
        make_folds("cross", open_prepared(tmp_path / "cross").metadata)
    shutil.copytree(first, tmp_path / "two")
    join([first, tmp_path / "two"], [], tmp_path / "both")
    both = open_prepared(tmp_path / "both")
    recordings = both.metadata("recording")
    assert recordings[:CLIPS] == recordings[CLIPS:]
    for fold in make_folds("random", both.metadata):
        sides = [{recordings[row] for row in p} for p in (fold.train, fold.dev, fold.test)]
        assert sum(map(len, sides)) == len(set.union(*sides))


def test_copies_in_one_corpus_are_on_one_side(case: Case, tmp_path: Path) -> None:
    twins = [{**line, "id": f"t{n}", "speaker": "s00"} for n, line in enumerate(case.lines[-4:])]
    prepared = case.again(tmp_path / "twins", [*case.lines, *twins])
    corpus = open_prepared(prepared)
    assert corpus.manifest.copies == 4
    assert (prepared / "copies.csv").read_text().splitlines()[1] == "t0,c020"
    recordings = corpus.metadata("recording")
    for protocol in ("speaker", "random"):
        for fold in make_folds(protocol, corpus.metadata):
            sides = [{recordings[row] for row in p} for p in (fold.train, fold.dev, fold.test)]
            assert sum(map(len, sides)) == len(set.union(*sides))
    results = train(prepared, tmp_path / "run", make_recipe("default", SMALL))
    assert any(one.kind == "copies" for one in results.reservations)
    model = emohop.load(tmp_path / "run/fold-0/seed-0/model")
    predictions = model.evaluate(corpus)
    assert set(predictions.split) == {"dev", "test"}
    assert predictions.metrics()["n"] == len(predictions)


def test_what_was_degraded_from_another_source_is_not_taken_up(case: Case, tmp_path: Path) -> None:
    run = Path(shutil.copytree(case.root / "run", tmp_path / "run"))
    corpus = open_prepared(case.prepared)
    conditions = parse_conditions(["noise:10"], [emohop.Modality.AUDIO])
    first = evaluate_damaged(run, corpus, conditions, source=case.source)
    other = Path(shutil.copytree(case.source, tmp_path / "other"))
    again = evaluate_damaged(run, corpus, conditions, source=other)
    assert again.conditions[-1].metrics == first.conditions[-1].metrics  # the same recordings
    assert again.conditions[-1].source != first.conditions[-1].source
    soundfile.write(other / "0.wav", waveform(0.5, seed=9), 16_000)
    with pytest.raises(
        EmohopError, match="c000 of --source is not the recording that was prepared"
    ):
        evaluate_damaged(run, corpus, conditions, source=other)


def test_words_heard_in_another_file_are_not_taken_up(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asr, "Transcriber", Deaf)
    asr._transcriber.cache_clear()
    corpus, kept = open_prepared(case.prepared), tmp_path / "heard.csv"
    Deaf.asked = 0
    evaluate_heard(case.model, corpus, case.source, "deaf", heard=kept)
    evaluate_heard(case.model, corpus, case.source, "deaf", heard=kept)
    assert Deaf.asked == EACH
    other = Path(shutil.copytree(case.source, tmp_path / "other"))
    soundfile.write(other / "0.wav", waveform(0.5, seed=9), 16_000)
    with pytest.raises(EmohopError, match="not the recording that was prepared"):
        evaluate_heard(case.model, corpus, other, "deaf", heard=kept)
