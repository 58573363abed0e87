from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from emohop.clips import Modality
from emohop.config import FinetuningSettings
from emohop.content import Content
from emohop.errors import EmohopError, MissingExtraError
from emohop.features.language import load_language_encoder
from emohop.features.speech import load_speech_encoder
from emohop.features.text import Text
from emohop.features.trainable import RECORD, Adapting, Record, load_adapting, read_record
from emohop.learned import LEARNED, ClipHashes, ClipPart, LearnedClips
from tests.features.tiny import (
    LANGUAGE,
    LAYERS,
    SENTENCES,
    SPEECH,
    change_json,
    save_language,
    save_speech,
    waveform,
)

KINDS = [
    *((Modality.TEXT, k) for k in LANGUAGE),
    *((Modality.AUDIO, k) for k in (*SPEECH, "whisper")),
]
TEXTS = [Text(said, ("Well?",)) for said in SENTENCES]
SOUNDS = [waveform(seconds, seed) for seed, seconds in enumerate((0.9, 1.4, 0.6))]


def save(folder: Path, modality: Modality, kind: str) -> str:
    return (save_language if modality is Modality.TEXT else save_speech)(folder, kind)


def opened(name: str, modality: Modality, *, context: bool = False, **values: Any) -> Adapting:
    torch.manual_seed(0)
    settings = FinetuningSettings.model_validate(values)
    return load_adapting(modality, name, settings, "cpu", context=context)


def items_of(modality: Modality) -> list[Any]:
    return TEXTS if modality is Modality.TEXT else list(SOUNDS)


def shifted(open_: Adapting, items: list[Any]) -> None:
    """One large step of training."""
    optimizer = torch.optim.SGD(open_.parameters.values(), lr=0.1)
    for _ in range(2):  # the first step of low-rank updates moves half of them only
        optimizer.zero_grad()
        (open_.vectors(items) ** 2).sum().backward()
        optimizer.step()


@pytest.mark.parametrize(("modality", "kind"), KINDS, ids=str)
def test_what_is_trained_is_the_mean_of_what_prepare_computes(
    modality: Modality, kind: str, tmp_path: Path
) -> None:
    name, items = save(tmp_path, modality, kind), items_of(modality)
    with torch.no_grad():
        means = opened(name, modality).vectors(items).numpy()
    if modality is Modality.AUDIO:
        frames = load_speech_encoder(name)(items)
        np.testing.assert_allclose(means, [f.mean(0) for f in frames], atol=1e-5)
        return
    encoder = load_language_encoder(name)
    for mean, text in zip(means, TEXTS, strict=True):
        (piece,) = encoder.pieces([text])[0]
        with torch.no_grad():
            alone = encoder.states([piece])[-1][0, piece.first : piece.last].mean(0)
        np.testing.assert_allclose(mean, alone.numpy(), atol=1e-5)


@pytest.mark.parametrize("lora", [None, 2])
@pytest.mark.parametrize(("modality", "kind"), KINDS, ids=str)
def test_only_the_last_layers_change_and_what_is_saved_is_what_was_trained(
    modality: Modality, kind: str, lora: int | None, tmp_path: Path
) -> None:
    name, items = save(tmp_path / "old", modality, kind), items_of(modality)
    trained = opened(name, modality, last_layers=1, lora_rank=lora, dropout=0)
    assert trained.parameters
    before = trained.vectors(items).detach().numpy()
    shifted(trained, items)
    after = trained.vectors(items).detach().numpy()
    assert np.abs(after - before).max() > 1e-3
    trained.save(tmp_path / "new")
    loaded = opened(str(tmp_path / "new"), modality)
    with torch.no_grad():
        np.testing.assert_allclose(loaded.vectors(items).numpy(), after, atol=1e-4)
    old = opened(name, modality).encoder.pretrained.model.state_dict()
    new = loaded.encoder.pretrained.model.state_dict()
    changed = {key for key in old if not torch.equal(old[key], new[key])}
    assert changed
    assert all(f".{LAYERS - 1}." in key for key in changed)


def test_all_layers(tmp_path: Path) -> None:
    name = save_language(tmp_path)
    one, every = (len(opened(name, Modality.TEXT, last_layers=n).parameters) for n in (1, None))
    assert every == LAYERS * one


def test_dropout_is_in_the_trained_layers_only(tmp_path: Path) -> None:
    network = opened(save_language(tmp_path), Modality.TEXT, last_layers=1)
    still = network.vectors(TEXTS)
    assert torch.equal(still, network.vectors(TEXTS))
    network.train()
    assert not torch.equal(still, network.vectors(TEXTS))
    network.train(mode=False)
    assert torch.equal(still, network.vectors(TEXTS))


def test_the_turns_before_are_read_and_not_averaged(tmp_path: Path) -> None:
    name = save_language(tmp_path)
    alone, beside = (opened(name, Modality.TEXT, context=on) for on in (False, True))
    assert alone.size == beside.size
    with torch.no_grad():
        assert not torch.allclose(alone.vectors(TEXTS), beside.vectors(TEXTS))
        quiet = [Text(text.words) for text in TEXTS]
        torch.testing.assert_close(alone.vectors(quiet), beside.vectors(quiet))


def test_a_long_text_and_nothing_at_all(tmp_path: Path) -> None:
    network = opened(save_language(tmp_path), Modality.TEXT)
    long = Text("no " * 100)
    assert network.lengths([long, Text("")])[0] > 100
    assert network.lengths([Text("")]) == [0]
    with torch.no_grad():
        both = network.vectors([long, Text("")])
    assert both[0].any()
    assert not both[1].any()


def test_too_many_layers(tmp_path: Path) -> None:
    with pytest.raises(EmohopError, match=f"^last_layers = 9: .* has {LAYERS} layers$"):
        opened(save_language(tmp_path), Modality.TEXT, last_layers=9)


def test_without_peft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingExtraError, match=r"emohop\[lora\]"):
        opened(save_language(tmp_path), Modality.TEXT, lora_rank=2)


def test_a_record_comes_back(tmp_path: Path) -> None:
    assert read_record(tmp_path) is None
    assert read_record("openai/whisper-tiny") is None
    seen_by().write(tmp_path)
    found = read_record(tmp_path)
    assert found is not None
    assert (found.corpus, found.facts, found.learned.counts) == ("meld", {"fold": 0}, (2, 1))
    clips = ClipHashes.of("meld", ["b", "new", "ü"], ["x"] * 3, [Content()] * 3)
    assert found.learned.find(clips).tolist() == [ClipPart.DEV, ClipPart.NEW, ClipPart.TRAIN]


def test_no_id_can_be_read_in_what_an_encoder_has_seen(tmp_path: Path) -> None:
    seen_by().write(tmp_path)
    assert b"secret" not in (tmp_path / LEARNED).read_bytes() + (tmp_path / RECORD).read_bytes()
    (tmp_path / LEARNED).write_bytes(b"{}")
    with pytest.raises(EmohopError, match=r"learned\.safetensors cannot be used"):
        read_record(tmp_path)


def seen_by() -> Record:
    """The record of an encoder that has seen four clips, one of them in test."""
    clips = ClipHashes.of("meld", ["secret", "ü", "b", "t"], ["x"] * 4, [Content()] * 4)
    return Record("meld", LearnedClips.of(clips, [[0, 1], [2], [3]]), {"fold": 0})


@pytest.mark.parametrize(
    "values", [{"learned": None}, {"learned": 3}, {"corpus": None}, {"facts": 1}]
)
def test_a_damaged_record(tmp_path: Path, values: dict[str, object]) -> None:
    seen_by().write(tmp_path)
    change_json(tmp_path / RECORD, **values)
    with pytest.raises(EmohopError, match=r"emohop\.json is damaged"):
        read_record(tmp_path)
    (tmp_path / RECORD).write_text(json.dumps({"version": 99}))
    with pytest.raises(EmohopError, match="version 99, this emohop reads version 2"):
        read_record(tmp_path)
