from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import soundfile
from typer.testing import CliRunner

import emohop
from emohop.cli import app
from emohop.clips import Modality
from emohop.config import FeatureSettings, FinetuningSettings, Recipe
from emohop.errors import EmohopError
from emohop.features.trainable import RECORD, Record, read_record
from emohop.preparation import prepare
from emohop.storage import open_prepared
from emohop.storage.joining import join
from emohop.training.finetuning import PROGRESS, finetune
from emohop.training.run import train
from tests.features.tiny import change_json, save_language, save_speech, waveform

SAID = {"angry": ("Unbelievable!", "Unbelievable, no"), "calm": ("excuse me", "have you")}
QUICK = FinetuningSettings(last_layers=2, epochs=3, batch_size=8, learning_rate=0.02, dropout=0)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty clips of four speakers: what is said and how high tells the class."""
    root = tmp_path_factory.mktemp("clips")
    lines = ["path,id,label,speaker,transcript"]
    for number in range(40):
        label = ("angry", "calm")[number % 2]
        tone = waveform(0.4 + number / 1000, seed=number % 2)  # no two are one recording
        soundfile.write(root / f"{number}.wav", tone, 16_000)
        words = SAID[label][number // 2 % 2]
        lines.append(f'{number}.wav,c{number:02d},{label},s{number // 10},"{words}"')
    (root / "clips.csv").write_text("\n".join(lines) + "\n")
    return root / "clips.csv"


@pytest.fixture(scope="module")
def language(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_language(tmp_path_factory.mktemp("language"))


def tuned(
    clips: Path, out: Path, name: str, modality: Modality = Modality.TEXT, **options: Any
) -> Record:
    settings = options.pop("settings", QUICK)
    return finetune("folder", clips, out, modality, name, settings, device="cpu", **options)


@pytest.fixture(scope="module")
def encoder(clips: Path, language: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained for fold 0, whose test is s0 and whose dev is s1."""
    out = tmp_path_factory.mktemp("tuned") / "encoder"
    tuned(clips, out, language)
    return out


@pytest.fixture(scope="module")
def prepared(clips: Path, encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("prepared") / "text"
    prepare("folder", clips, out, features=text_of(encoder))
    return out


def text_of(encoder: Path | str) -> FeatureSettings:
    return FeatureSettings(audio=None, prosody=False, video=None, text=str(encoder))


def ids(first: int, last: int) -> tuple[str, ...]:
    return tuple(f"c{n:02d}" for n in range(first, last))


def test_it_learns_and_says_what_it_saw(encoder: Path) -> None:
    record = read_record(encoder)
    assert record is not None
    assert (record.corpus, record.learned.counts) == ("folder", (20, 10))
    losses = [line["train_loss"] for line in record.facts["epochs"]]
    assert losses[-1] < 0.8 * losses[0]
    assert record.facts["scores"]["test"]["balanced_accuracy"] == 1
    assert record.facts["protocol"] == "speaker"
    assert not (encoder / PROGRESS).exists()
    assert json.loads((encoder / "config.json").read_text())["model_type"] == "bert"


def test_a_audio_model(clips: Path, tmp_path: Path) -> None:
    name = save_speech(tmp_path / "speech")
    record = tuned(clips, tmp_path / "out", name, Modality.AUDIO)
    losses = [line["train_loss"] for line in record.facts["epochs"]]
    assert losses[-1] < losses[0]
    features = FeatureSettings(audio=str(tmp_path / "out"), prosody=False, video=None, text=None)
    prepare("folder", clips, tmp_path / "prepared", features=features)
    assert open_prepared(tmp_path / "prepared").manifest.adapted == {"audio": ids(10, 40)}


def test_the_best_epoch_by_dev_is_kept(clips: Path, language: str, tmp_path: Path) -> None:
    settings = QUICK.model_copy(update={"epochs": 4, "learning_rate": 0.3})  # too fast to be good
    record = tuned(clips, tmp_path / "out", language, settings=settings)
    dev = [line["dev_balanced_accuracy"] for line in record.facts["epochs"]]
    assert record.facts["scores"]["dev"]["balanced_accuracy"] == max(dev)


def test_the_same_seed_gives_the_same_bytes(
    clips: Path, language: str, encoder: Path, tmp_path: Path
) -> None:
    tuned(clips, tmp_path / "again", language)
    weights = "model.safetensors"
    assert (tmp_path / "again" / weights).read_bytes() == (encoder / weights).read_bytes()
    tuned(clips, tmp_path / "other", language, seed=1)
    assert (tmp_path / "other" / weights).read_bytes() != (encoder / weights).read_bytes()


@pytest.mark.parametrize("lora", [None, 2])
@pytest.mark.parametrize("after", [1, 2])
def test_a_killed_run_goes_on_to_the_same_bytes(
    after: int, lora: int | None, clips: Path, language: str, tmp_path: Path
) -> None:
    settings = QUICK.model_copy(update={"lora_rank": lora, "dropout": 0.2})
    whole = tuned(clips, tmp_path / "whole", language, settings=settings)
    seen: list[float] = []

    def killed(line: Mapping[str, float]) -> None:
        seen.append(line["epoch"])
        if len(seen) == after:
            raise KeyboardInterrupt

    def goes_on(line: Mapping[str, float]) -> None:
        seen.append(line["epoch"])

    with pytest.raises(KeyboardInterrupt):
        tuned(clips, tmp_path / "cut", language, settings=settings, report=killed)
    assert read_record(tmp_path / "cut") is None
    cut = tuned(
        clips,
        tmp_path / "cut",
        language,
        settings=settings,
        report=lambda e: seen.append(e["epoch"]),
    )
    assert seen == [*range(1, after + 1), *range(after, 4)]  # what was not kept is done again
    assert cut == whole
    bytes_ = [(tmp_path / n / "model.safetensors").read_bytes() for n in ("cut", "whole")]
    assert bytes_[0] == bytes_[1]


def test_a_finished_folder_is_left_alone(clips: Path, language: str, encoder: Path) -> None:
    before = (encoder / RECORD).stat().st_mtime_ns
    assert tuned(
        clips, encoder, language, report=lambda _: pytest.fail("it trains")
    ) == read_record(encoder)
    assert (encoder / RECORD).stat().st_mtime_ns == before


def test_other_settings_in_a_folder_are_refused(
    clips: Path, language: str, encoder: Path, tmp_path: Path
) -> None:
    with pytest.raises(EmohopError, match="holds a model with other settings"):
        tuned(clips, encoder, language, fold=1)
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(EmohopError, match="was not begun by finetune"):
        tuned(clips, tmp_path, language)
    with pytest.raises(KeyboardInterrupt):
        tuned(clips, tmp_path / "cut", language, report=interrupt)
    with pytest.raises(EmohopError, match="was begun with other settings"):
        tuned(clips, tmp_path / "cut", language, seed=4)


def test_a_damaged_checkpoint_is_named(clips: Path, language: str, tmp_path: Path) -> None:
    seen: list[float] = []

    def late(line: Mapping[str, float]) -> None:
        seen.append(line["epoch"])
        if len(seen) == 2:
            interrupt(line)

    with pytest.raises(KeyboardInterrupt):
        tuned(clips, tmp_path / "cut", language, report=late)
    (tmp_path / "cut" / PROGRESS / "last.ckpt").write_bytes(b"PK")
    with pytest.raises(EmohopError, match=r"last\.ckpt is damaged .* delete .*progress to begin"):
        tuned(clips, tmp_path / "cut", language)
    shutil.rmtree(tmp_path / "cut" / PROGRESS)
    tuned(clips, tmp_path / "cut", language)


def interrupt(line: Mapping[str, float]) -> None:
    del line
    signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"modality": Modality.VIDEO}, "no video encoder can be finetuned"),
        ({"fold": 4}, "no fold 4: protocol speaker has 0..3"),
        ({"modality": Modality.AUDIO, "context": 1}, "context is of text"),
        ({"context": 1}, "no dialogs"),
    ],
)
def test_what_cannot_be(
    options: dict[str, Any], said: str, clips: Path, language: str, tmp_path: Path
) -> None:
    with pytest.raises(EmohopError, match=said):
        tuned(clips, tmp_path / "out", language, **options)
    assert not (tmp_path / "out").exists()


def test_a_broken_audio_is_named(clips: Path, tmp_path: Path) -> None:
    lines = clips.read_text().splitlines()
    for n in range(40):
        (tmp_path / f"{n}.wav").write_bytes((clips.parent / f"{n}.wav").read_bytes())
    (tmp_path / "7.wav").write_bytes(b"RIFF")
    (tmp_path / "clips.csv").write_text("\n".join(lines))
    name = save_speech(tmp_path / "speech")
    with pytest.raises(EmohopError, match=r"^c07: .*7\.wav cannot be heard"):
        tuned(tmp_path / "clips.csv", tmp_path / "out", name, Modality.AUDIO)


def test_a_prepared_corpus_knows_what_its_encoder_saw(prepared: Path, clips: Path) -> None:
    corpus = open_prepared(prepared)
    assert corpus.manifest.adapted == {"text": ids(10, 40)}
    assert corpus.manifest.seen == set(ids(10, 40))


def recipe(**values: Any) -> Recipe:
    model = {"name": "tre", "text": {"hidden": 4}}
    return Recipe.model_validate({"model": model, "training": {"max_epochs": 1}, **values})


def test_only_the_fold_that_it_was_made_for_is_tested(
    prepared: Path, language: str, clips: Path, tmp_path: Path
) -> None:
    train(prepared, tmp_path / "run", recipe(folds=[0]))
    for number in (1, 2, 3):
        with pytest.raises(EmohopError, match=rf"^fold {number} \(s{number}\) tests 10 clips that"):
            train(prepared, tmp_path / "other", recipe(folds=[number]))
    with pytest.raises(EmohopError, match="finetune for this one"):
        train(prepared, tmp_path / "other", recipe())
    assert not (tmp_path / "other").exists()
    model = tmp_path / "run" / "fold-0" / "seed-0" / "model"
    assert len(emohop.load(model).evaluate(open_prepared(prepared)).id) == 20


def test_a_model_of_elsewhere_is_not_tested_on_what_its_encoder_saw(
    prepared: Path, encoder: Path, clips: Path, tmp_path: Path
) -> None:
    train(prepared, tmp_path / "run", recipe(folds=[0]))
    lines = clips.read_text().splitlines()
    (clips.parent / "most.csv").write_text("\n".join(lines[:-2]) + "\n")
    prepare("folder", clips.parent / "most.csv", tmp_path / "most", features=text_of(encoder))
    predictor = emohop.load(tmp_path / "run" / "fold-0" / "seed-0" / "model")
    assert list(predictor.evaluate(open_prepared(tmp_path / "most")).id) == [
        *ids(10, 20),
        *ids(0, 10),
    ]
    (clips.parent / "new.csv").write_text("\n".join([lines[0], *lines[1:11]]) + "\n")
    prepare("folder", clips.parent / "new.csv", tmp_path / "new", features=text_of(encoder))
    assert len(predictor.evaluate(open_prepared(tmp_path / "new")).id) == 10


def test_joined_corpora_know_it_too(
    prepared: Path, encoder: Path, clips: Path, tmp_path: Path
) -> None:
    (clips.parent / "few.csv").write_text("\n".join(clips.read_text().splitlines()[:11]) + "\n")
    prepare("folder", clips.parent / "few.csv", tmp_path / "few", features=text_of(encoder))
    manifest = join([prepared, tmp_path / "few"], [], tmp_path / "joined")
    assert manifest.adapted == {"text": tuple(f"text/{id_}" for id_ in ids(10, 40))}


def test_a_damaged_record_stops_prepare(encoder: Path, clips: Path, tmp_path: Path) -> None:
    shutil.copytree(encoder, tmp_path / "encoder")
    change_json(tmp_path / "encoder" / RECORD, learned=None)
    with pytest.raises(EmohopError, match=r"emohop\.json is damaged"):
        prepare("folder", clips, tmp_path / "out", features=text_of(tmp_path / "encoder"))


def test_the_command(clips: Path, language: str, tmp_path: Path) -> None:
    command = ["finetune", "folder", str(clips), str(tmp_path / "out"), "--text", language]
    options = [
        "--lora-rank",
        "2",
        "--last-layers",
        "all",
        "--epochs",
        "2",
        "--set",
        "learning_rate=0.01",
        "--fold",
        "2",
    ]
    said = CliRunner().invoke(app, [*command, *options])
    assert said.exit_code == 0, said.output
    assert "epoch 2 of 2: loss" in said.output
    assert f"PREPARED --text {tmp_path / 'out'}" in said.output
    record = read_record(tmp_path / "out")
    assert record is not None
    assert (record.facts["settings"]["last_layers"], record.facts["settings"]["lora_rank"]) == (
        None,
        2,
    )
    assert record.learned.counts == (20, 10)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "name one encoder to start from"),
        (["--text", "minilm", "--audio", "whisper-tiny"], "name one encoder to start from"),
        (["--text", "minilm", "--last-layers", "some"], "setting last_layers = 'some'"),
        (["--text", "minilm", "--lora-rank", "0"], "setting lora_rank = 0"),
        (["--text", "minilm", "--set", "epoch=1"], "did you mean 'epochs'"),
        (["--text", "minilmm"], "no text features 'minilmm'"),
    ],
)
def test_wrong_options(options: list[str], said: str, clips: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app, ["finetune", "folder", str(clips), str(tmp_path / "out"), *options]
    )
    assert result.exit_code == 1
    assert said in result.output
    assert len(result.output.splitlines()) == 1
