"""Pretrained encoders the whole way: from a folder of clips to a model, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

import emohop
from emohop.cli import app
from emohop.clips import Clip, Modality, Span
from emohop.config import FeatureSettings, Recipe
from emohop.corpora.dialogs import with_turns_before
from emohop.errors import EmohopError, MediaError
from emohop.features import batching
from emohop.features.cache import Cache
from emohop.features.encoder import FeatureEncoder
from emohop.features.extraction import Arrays, Extractor, Failure
from emohop.features.text import CONTEXT_WORDS, TURN, Text, said
from emohop.preparation import Running, prepare
from emohop.storage import open_prepared
from emohop.storage.joining import join
from emohop.training.run import train
from tests.features.tiny import SIZE, save_language, save_speech, waveform

SPEAKERS = ("anna", "bert", "carl")
SAID = ("What are you talking about?", "no", "Excuse me, do you have your forms?")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eighteen clips of three speakers and two labels; of some the words or the audio are lost."""
    root = tmp_path_factory.mktemp("clips")
    lines = ["path,id,label,speaker,transcript"]
    for number in range(18):
        label, speaker = ("angry", "calm")[number % 2], SPEAKERS[number // 6]
        path = "" if number == 4 else f"{number:02d}.wav"
        if path:
            soundfile.write(root / path, waveform(0.4 + 0.05 * number, seed=number), 16_000)
        words = "" if number == 7 else f'"{SAID[number % 3]}"'
        lines.append(f"{path},c{number:02d},{label},{speaker},{words}")
    (root / "clips.csv").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_speech(tmp_path_factory.mktemp("speech"))


@pytest.fixture(scope="module")
def language(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_language(tmp_path_factory.mktemp("language"))


def settings(speech: str, language: str, **changes: object) -> FeatureSettings:
    values = {"audio": speech, "text": language, "video": None, "prosody": False, **changes}
    return FeatureSettings.model_validate(values)


@pytest.fixture(scope="module")
def prepared(
    clips: Path, speech: str, language: str, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """All clips, incomplete ones too, with all layers of the speech model."""
    out = tmp_path_factory.mktemp("out") / "prepared"
    audio = {"encoder": speech, "layer": "all", "pool": 2}
    features = settings(speech, language, audio=audio, keep_incomplete=True)
    prepare("folder", clips / "clips.csv", out, features=features)
    return out


def test_what_is_prepared(prepared: Path) -> None:
    corpus = open_prepared(prepared)
    manifest = corpus.manifest
    assert manifest.sizes == {"audio": 4 * SIZE, "text_states": SIZE}
    assert manifest.layers == {"audio": 4}
    assert set(manifest.encoders) == {"audio", "text"}
    assert len(corpus) == 18
    for row in corpus:
        assert row.has(Modality.AUDIO) == (row.id != "c04")
        assert row.has(Modality.TEXT) == (row.id != "c07")
        assert len(row.text) == len(row["text_states"])
        assert row["text_states"].shape[1] == SIZE
    assert corpus[0].text.tolist() == ["What", "are", "you", "talking", "about", "?"]


def test_a_clip_alone_is_as_in_its_corpus(prepared: Path, clips: Path, speech: str) -> None:
    features = open_prepared(prepared).manifest.features
    row = open_prepared(prepared)[9]
    clip = Clip("x", transcript=row.transcript, audio=Span(clips / "09.wav"))
    arrays = Extractor(features)(clip)
    for name in ("audio", "text_states"):
        np.testing.assert_allclose(arrays[name], row[name], atol=2e-5)


@pytest.mark.parametrize("name", ["amh", "stats", "late"])
def test_training_and_scoring_again(prepared: Path, clips: Path, tmp_path: Path, name: str) -> None:
    small = {"hidden": 4}
    model = {"name": name, "modalities": ("audio", "text"), "hops": 2, "audio": small,
             "text": small, "missing_modality": "learned"}  # fmt: skip
    recipe = Recipe.model_validate(
        {
            "model": model,
            "training": {"max_epochs": 2, "modality_dropout": 0.3, "batch_size": 4},
            "protocol": "speaker",
            "folds": (0,),
        }
    )
    run = tmp_path / "run"
    train(prepared, run, recipe)
    predictor = emohop.load(run / "fold-0/seed-0/model")
    again = predictor.evaluate(open_prepared(prepared))
    metrics = json.loads((run / "fold-0/seed-0/metrics.json").read_text())
    assert again.part("test").metrics()["accuracy"] == metrics["test"]["accuracy"]
    done = CliRunner().invoke(app, ["evaluate", str(run), str(prepared), "--degrade", "subsets"])
    assert done.exit_code == 0, done.output
    deaf = tmp_path / "deaf"
    said = open_prepared(prepared).manifest.features
    prepare("folder", clips / "clips.csv", deaf,
            features=said.model_copy(update={"audio": None}))  # fmt: skip
    unit = str(run / "fold-0/seed-0/model")
    without = CliRunner().invoke(app, ["evaluate", unit, str(deaf)])
    assert without.exit_code == 0, without.output
    assert "holds no audio: the model did without" in " ".join(without.output.split())
    names = [c["name"] for c in json.loads((run / "robustness.json").read_text())["conditions"]]
    assert names == ["clean", "missing:audio", "missing:text"]


def test_another_encoder_is_refused_and_a_moved_one_is_not(
    prepared: Path, clips: Path, language: str, speech: str, tmp_path: Path
) -> None:
    recipe = Recipe.model_validate(
        {"model": {"name": "tre", "text": {"hidden": 3}}, "training": {"max_epochs": 1},
         "protocol": "speaker", "folds": (0,)}
    )  # fmt: skip
    train(prepared, tmp_path / "run", recipe)
    predictor = emohop.load(tmp_path / "run/fold-0/seed-0/model")

    moved = save_language(tmp_path / "moved")  # the same weights
    other = save_language(tmp_path / "other", seed=1)
    for name, folder in (("a", moved), ("b", other)):
        features = FeatureSettings(audio=None, prosody=False, video=None, text=folder)
        prepare("folder", clips / "clips.csv", tmp_path / name, features=features,
                allow_failures=True)  # fmt: skip
    assert len(predictor.evaluate(open_prepared(tmp_path / "a"))) == 11  # its dev and test
    with pytest.raises(
        EmohopError,
        match=r"prepared with text\.encoder = .*other \(\w{12}\), the model was fitted on",
    ):
        predictor.evaluate(open_prepared(tmp_path / "b"))
    with pytest.raises(EmohopError, match=r"prepared with text\.encoder = .*other \(\w{12}\), "):
        join([tmp_path / "a"], [tmp_path / "b"], tmp_path / "joined")


def test_a_model_of_states_takes_no_word_vectors(prepared: Path, tmp_path: Path) -> None:
    recipe = Recipe.model_validate({"model": {"name": "tre", "text": {"glove": "glove.txt"}}})
    with pytest.raises(EmohopError, match=r"holds the states of .* and no words to start"):
        train(prepared, tmp_path / "run", recipe)


def test_two_processes_and_a_cache_give_the_same_bytes(
    clips: Path, speech: str, language: str, tmp_path: Path
) -> None:
    features = settings(speech, language, keep_incomplete=True, precision="float16")
    running = Running("cpu", tmp_path / "cache")
    outs = []
    for name, jobs, how in (("one", 1, None), ("two", 2, running), ("three", 1, running)):
        outs.append(
            prepare("folder", clips / "clips.csv", tmp_path / name, features=features, jobs=jobs,
                    running=how or Running()).manifest
        )  # fmt: skip
    assert outs[0].shards == outs[1].shards == outs[2].shards
    assert any((tmp_path / "cache").glob("*/*.npz"))


def test_the_cache_knows_content_settings_and_damage(tmp_path: Path) -> None:
    calls: list[int] = []

    def encode(items: list[bytes]) -> list[Arrays | MediaError]:
        calls.append(len(items))
        return [
            MediaError("bad") if item == b"bad" else {"audio": np.array([[len(item)]], np.float32)}
            for item in items
        ]

    cache = Cache(tmp_path, "encoder 1")

    def ask(*items: bytes, by: Cache = cache) -> list[object]:
        found = by.through(items, bytes, encode)
        return [a if isinstance(a, MediaError) else a["audio"].tolist() for a in found]

    assert ask(b"one", b"three") == [[[3.0]], [[5.0]]]
    assert ask(b"three", b"four") == [[[5.0]], [[4.0]]]
    assert calls == [2, 1]
    ask(b"one", by=Cache(tmp_path, "encoder 2"))
    assert calls == [2, 1, 1]
    for entry in tmp_path.glob("*/*.npz"):
        entry.write_bytes(entry.read_bytes()[:40])
    assert ask(b"one") == [[[3.0]]]
    assert calls == [2, 1, 1, 1]
    assert isinstance(ask(b"bad")[0], MediaError)
    assert isinstance(ask(b"bad")[0], MediaError)  # errors are not kept
    assert calls == [2, 1, 1, 1, 1, 1]
    (tmp_path / "file").write_text("")
    with pytest.raises(EmohopError, match=r"cache .* cannot be made"):
        Cache(tmp_path / "file", "x")


def test_lacking_and_unreadable_are_not_the_same(
    clips: Path, speech: str, language: str, tmp_path: Path
) -> None:
    (tmp_path / "bad.wav").write_bytes(b"RIFF, but no audio")
    bad = Clip("bad", transcript="no", audio=Span(tmp_path / "bad.wav"))
    bare = Clip("bare", transcript=None, audio=None)
    silent = Clip("silent", transcript="", audio=Span(clips / "00.wav"))
    keep = Extractor(settings(speech, language, keep_incomplete=True))
    found = dict(zip("abc", (a for _, a in keep.extract([bad, bare, silent])), strict=True))
    assert isinstance(found["a"], Failure)
    assert not isinstance(found["b"], Failure)
    assert {name: len(array) for name, array in found["b"].items()} == {
        "audio": 0, "text": 0, "text_states": 0,
    }  # fmt: skip
    assert not isinstance(found["c"], Failure)
    assert len(found["c"]["audio"]) > 0
    with pytest.raises(MediaError, match="no audio"):
        Extractor(settings(speech, language))(bare)


def test_media_that_wait_are_encoded_in_parts(
    clips: Path, speech: str, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spans = [Clip(f"{n}", transcript="no", audio=Span(clips / f"{n:02d}.wav")) for n in (0, 1, 9)]
    extract = Extractor(settings(speech, language))
    together = list(extract.extract(spans))
    calls: list[int] = []
    encoder = extract.encoders[Modality.AUDIO]
    extract.encoders[Modality.AUDIO] = FeatureEncoder(
        lambda items: calls.append(len(items)) or encoder.encode(items),  # type: ignore[func-returns-value]
        encoder.width,
    )
    monkeypatch.setattr(batching, "PENDING_BYTES", 1)
    for (_, alone), (_, whole) in zip(extract.extract(spans), together, strict=True):
        assert not isinstance(alone, Failure)
        assert not isinstance(whole, Failure)
        np.testing.assert_allclose(alone["audio"], whole["audio"], atol=2e-5)
    assert calls == [1, 1, 1]


def test_turns_before() -> None:
    def clip(name: str, dialog: str | None, words: str | None) -> Clip:
        return Clip(name, dialog=dialog, transcript=words)

    found = with_turns_before(
        [clip("1", "x", "a"), clip("2", "y", "b"), clip("3", "x", None), clip("4", "x", "d"),
         clip("5", None, "e"), clip("6", "x", "f")], 2
    )  # fmt: skip
    assert [c.previous_turns for c in found] == [(), (), ("a",), ("a", ""), (), ("", "d")]
    with pytest.raises(EmohopError, match="no dialogs"):
        with_turns_before([clip("1", None, "a")], 1)


def test_words_of_turns_before() -> None:
    assert said(Text("I know.", ("No!", ""))) == ["no", "!", TURN, TURN, "i", "know", "."]
    long = said(Text("yes", ("word " * 100,)))
    assert len(long) == CONTEXT_WORDS + 1
    assert long[-2:] == [TURN, "yes"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            ["--audio", "mfcc120", "--audio-layer", "all"],
            "audio.layer is set, but mfcc120 has no layer",
        ),
        (["--audio", "SPEECH", "--audio-layer", "9"], "has the hidden states 0"),
        (["--audio", "SPEECH", "--audio-layer", "best"], "audio.layer"),
        (["--audio", "LANGUAGE"], "give it to --text"),
        (["--text", "SPEECH"], "give it to --audio"),
        (["--audio", "nobody/has-this-model"], "give the folder"),
        (["--audio", "SPEECH", "--device", "tpu"], "no device 'tpu' here"),
        (["--text", "words", "--context", "2"], "this corpus has no dialogs"),
        (["--audio", "wavlm"], "a short name such as wavlm-base"),
    ],
)
def test_what_is_refused_in_one_line(
    clips: Path, speech: str, language: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, options: list[str], says: str,
) -> None:  # fmt: skip
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    named = {"SPEECH": speech, "LANGUAGE": language}
    words = [named.get(word, word) for word in options]
    if "--audio" not in words:
        words += ["--audio", "none"]
    if "--text" not in words:
        words += ["--text", "none"]
    done = CliRunner().invoke(
        app,
        ["prepare", "folder", str(clips / "clips.csv"), str(tmp_path / "out"), "--video", "none",
         "--no-prosody", "--allow-failures", "--jobs", "1", *words],
    )  # fmt: skip
    assert done.exit_code == 1, done.output
    lines = [line for line in done.output.strip().splitlines() if line.startswith("error")]
    assert len(lines) == 1, done.output
    assert says in lines[0]
    assert not (tmp_path / "out").exists()
