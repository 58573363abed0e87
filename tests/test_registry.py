"""Registries: what ships, what a plug-in adds, what is said of a name that nothing has."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from emohop import EmohopError
from emohop.clips import MODALITIES, Modality
from emohop.config import FeatureSettings
from emohop.registry.core import PLUGINS, Registry, resolve
from emohop.registry.features import FEATURES, FeatureSpec, family_of, feature_names

PLUGIN = """
import numpy as np

from emohop.clips import Modality
from emohop.features.encoder import FeatureEncoder
from emohop.registry.features import FEATURES, FeatureSpec


def load(settings, device):
    def encode(waveforms):
        return [{"audio": np.abs(s[: len(s) // 160 * 160]).reshape(-1, 160)} for s in waveforms]

    return FeatureEncoder(encode, width=160, steps_per_second=100, version="loudness 1")


FEATURES.add(FeatureSpec("loudness", Modality.AUDIO, load, "absolute samples, 10 ms a frame"))
"""


def test_every_spec_names_code_that_is_there_and_options_that_are_settings() -> None:
    for spec in FEATURES.shipped.values():
        assert callable(resolve(spec.load))
        settings = FeatureSettings().of(spec.modality)
        assert settings is not None
        assert set(spec.options) <= set(type(settings).model_fields) - {"encoder"}
    assert feature_names(Modality.AUDIO) == ("mfcc120", "mfcc39")
    assert all(family_of(modality).family for modality in MODALITIES)


def test_a_name_that_nothing_has_is_one_line() -> None:
    with pytest.raises(
        EmohopError, match=r"unknown feature encoder 'mfcc12' \(did you mean mfcc"
    ) as e:
        FEATURES["mfcc12"]
    assert f"--plugin MODULE, or {PLUGINS}=MODULE" in str(e.value)


def test_a_name_is_taken_once() -> None:
    registry: Registry[FeatureSpec] = Registry("thing", "emohop.nothing", ())
    one = FeatureSpec("a", Modality.AUDIO, "m:f", "one")
    assert registry.add(one) is registry.add(one)
    with pytest.raises(EmohopError, match="two entries are called thing 'a'"):
        registry.add(FeatureSpec("a", Modality.AUDIO, "m:f", "another"))
    assert list(registry) == ["a"]


def test_a_module_adds_a_feature_encoder(tmp_path: Path) -> None:
    (tmp_path / "my_loudness.py").write_text(PLUGIN)
    code = (
        "from emohop.clips import Clip, Span\n"
        "from emohop.config import FeatureSettings\n"
        "from emohop.features.extraction import Extractor\n"
        "import numpy as np\n"
        "settings = FeatureSettings(audio='loudness', text=None, video=None, prosody=False)\n"
        "extractor = Extractor(settings)\n"
        "arrays = extractor.of_media((np.zeros(16_000, np.float32), 16_000))\n"
        "print(arrays['audio'].shape, extractor.encoders['audio'].fingerprint)\n"
    )
    environment = {**os.environ, PLUGINS: "my_loudness", "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\n")[0] == "(100, 160) loudness 1"


def test_a_module_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PLUGINS, "emohop_nowhere")
    with pytest.raises(EmohopError, match="the plug-in emohop_nowhere cannot be imported"):
        FEATURES["mine"]
    assert import_module("emohop.registry.features").FEATURES is FEATURES
