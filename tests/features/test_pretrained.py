"""Names, layers and fingerprints of pretrained models."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from emohop.clips import Modality
from emohop.errors import EmohopError
from emohop.features.pretrained import SHORT_NAMES, Layers, load, source_of, spec_of
from tests.features.tiny import save_language, save_speech

STATES = [torch.full((2, 3), float(k)) for k in range(5)]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [("last", 4.0), ("0", 0.0), ("3", 3.0), ("mean-2", 3.5), ("mean-5", 2.0)],
)
def test_one_vector_of_some_states(choice: str, expected: float) -> None:
    layers = Layers(choice)
    assert layers.count(5, "it") == 1
    torch.testing.assert_close(layers.pick(STATES), torch.full((2, 3), expected))


def test_all_states_side_by_side() -> None:
    assert Layers("all").count(5, "it") == 5
    assert Layers("all").pick(STATES)[0].tolist() == [k for k in range(5) for _ in range(3)]


@pytest.mark.parametrize("choice", ["5", "mean-6", "999"])
def test_states_that_are_not_there(choice: str) -> None:
    with pytest.raises(EmohopError, match=rf"layer {choice}: it has the hidden states 0 .* to 4"):
        Layers(choice).count(5, "it")


@pytest.mark.parametrize("modality", list(Modality))
def test_short_names_are_hub_names(modality: Modality) -> None:
    for short, hub in SHORT_NAMES[modality].items():
        assert source_of(modality, short) == hub
        assert hub.count("/") == 1
        assert "/" not in short
        assert spec_of(modality, short).family


def test_names_of_our_own_and_of_nothing(tmp_path: Path) -> None:
    assert not spec_of(Modality.AUDIO, "mfcc39").family
    assert source_of(Modality.TEXT, "somebody/some-model") == "somebody/some-model"
    assert source_of(Modality.TEXT, str(tmp_path)) == str(tmp_path)
    for name in ("", "mfcc40", "./nowhere", "a/b/c", "C:\\models\\net"):
        with pytest.raises(
            EmohopError, match=r"no audio features .*: one of mfcc120, mfcc39, a sho"
        ):
            spec_of(Modality.AUDIO, name)
    with pytest.raises(EmohopError, match="a short name such as wavlm-large"):
        source_of(Modality.AUDIO, "wavlm-larg")


def test_a_fingerprint_is_of_weights_and_not_of_folders(tmp_path: Path) -> None:
    first = load(Modality.TEXT, save_language(tmp_path / "a")).fingerprint()
    moved = load(Modality.TEXT, save_language(tmp_path / "b")).fingerprint()
    other = load(Modality.TEXT, save_language(tmp_path / "c", seed=1)).fingerprint()
    assert first == moved != other
    assert len(first) == 64
    loud = load(Modality.AUDIO, save_speech(tmp_path / "d")).fingerprint()
    level = load(Modality.AUDIO, save_speech(tmp_path / "e", do_normalize=False)).fingerprint()
    assert loud != level  # the same weights hear something else


def test_one_changed_weight_changes_it(tmp_path: Path) -> None:
    model = load(Modality.TEXT, save_language(tmp_path))
    before = model.fingerprint()
    with torch.no_grad():
        next(p for p in model.model.parameters() if p.dim() == 2)[0, 0] += 1e-3
    assert model.fingerprint() != before


@pytest.mark.parametrize(
    ("modality", "says"),
    [
        (
            Modality.AUDIO,
            "is not of the kind 'speech model': it takes input_ids: give it to --text",
        ),
        (
            Modality.VIDEO,
            "is not of the kind 'image or video model': it takes input_ids: give it to --text",
        ),
    ],
)
def test_the_wrong_kind_names_the_right_option(
    tmp_path: Path, modality: Modality, says: str
) -> None:
    with pytest.raises(EmohopError, match=says):
        load(modality, save_language(tmp_path))


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(EmohopError, match="cannot be loaded") as caught:
        load(Modality.TEXT, str(tmp_path))
    assert "\n" not in str(caught.value)
    folder = save_language(tmp_path / "cut")
    weights = Path(folder) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:500])
    with pytest.raises(EmohopError, match="cannot be loaded") as caught:
        load(Modality.TEXT, folder)
    assert "\n" not in str(caught.value)
