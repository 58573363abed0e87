"""Settings: defaults, recipes, and one clear line for everything that is wrong."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from emohop.clips import Modality
from emohop.config import FeatureSettings, ModelSettings, Recipe
from emohop.errors import EmohopError
from emohop.recipes import make_recipe, read_recipe, recipe_names
from emohop.training.experiment import Experiment, make_experiment


@pytest.mark.parametrize("name", recipe_names())
def test_shipped_recipes_are_valid(name: str) -> None:
    if {"rows", "vary"} & read_recipe(name).keys():
        with pytest.raises(EmohopError, match=f"{name} is an experiment of several rows"):
            make_recipe(name)
        assert isinstance(make_experiment(name), Experiment)
    else:
        assert isinstance(make_recipe(name), Recipe)


def test_default_recipe_is_the_defaults() -> None:
    assert make_recipe("default") == Recipe()
    assert read_recipe("default") == {}


def test_published_sizes() -> None:
    model = make_recipe("published").model
    assert [model.encoder(m).hidden for m in Modality] == [200, 200, 128]
    assert [model.encoder(m).max_length for m in Modality] == [750, 128, 25]
    assert (model.hops, model.text.embedding) == (7, 300)


def test_a_recipe_survives_yaml(tmp_path: Path) -> None:
    import yaml

    recipe = make_recipe("demo", ["model.audio.bidirectional=true", "seeds=[1, 2]"])
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe.model_dump(mode="json")))
    assert make_recipe(path) == recipe


def test_settings_and_overrides_win_over_the_file() -> None:
    recipe = make_recipe(
        "demo", ["model.hops=9", "training.batch_size=3"], {"model.hops": 2, "folds": [1]}
    )
    assert (recipe.model.hops, recipe.training.batch_size, recipe.folds) == (2, 3, (1,))


def test_modalities_as_text_and_in_order() -> None:
    settings = make_recipe(settings=["model.modalities=video,audio"]).model
    assert settings.uses == (Modality.AUDIO, Modality.VIDEO)
    assert settings.title == "amh-7 audio+video"
    assert ModelSettings(name="tre").uses == (Modality.TEXT,)
    assert FeatureSettings(text=None).modalities == (Modality.AUDIO, Modality.VIDEO)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("model.hop=3", "unknown setting 'model.hop': did you mean 'model.hops'"),
        ("model.hops=0", "model.hops = 0: input should be greater than or equal to 1"),
        ("model.hops=many", "model.hops = 'many'"),
        ("model.modalities=audio,smell", "smell"),
        ("model.modalities=audio,audio", "twice"),
        ("training.monitor=test_accuracy", "training.monitor"),
        ("model.hops", "write key=value"),
        ("model.hops.deep=1", "hops is a value"),
        ("model.hops=[", "not YAML"),
        ("model.audio.dropout=1.0", "less than 1"),
        ("protocol=guess", "protocol"),
    ],
)
def test_wrong_settings(setting: str, message: str) -> None:
    with pytest.raises(EmohopError) as caught:
        make_recipe("demo", [setting])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_wrong_recipes(tmp_path: Path) -> None:
    with pytest.raises(EmohopError, match="no recipe 'dmo': give a YAML file or one of"):
        make_recipe("dmo")
    for text, message in (("a: [", "not YAML"), ("- 1", "holds list")):
        path = tmp_path / "bad.yaml"
        path.write_text(text)
        with pytest.raises(EmohopError, match=message):
            make_recipe(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(EmohopError, match=r"bad\.yaml is not text in UTF-8"):
        make_recipe(path)


def test_the_settings_page_is_up_to_date() -> None:
    docs = Path(__file__).parents[1] / "docs"
    made = subprocess.run(
        [sys.executable, str(docs / "make_settings.py")], capture_output=True, text=True, check=True
    )
    assert made.stdout == (docs / "settings.md").read_text("utf-8")


def test_every_line_of_the_settings_tables_is_whole() -> None:
    page = (Path(__file__).parents[1] / "docs/settings.md").read_text("utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert len(rows) > 50
    assert all(line.endswith(" |") and line.count(" | ") == 2 for line in rows)


def test_a_recipe_extends_another(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("extends: published-amh\nmodel: {hops: 2, audio: {hidden: 9}}\n")
    recipe, base = make_recipe(mine), make_recipe("published-amh")
    assert (recipe.model.hops, recipe.model.audio.hidden) == (2, 9)
    assert recipe.model.audio.max_length == base.model.audio.max_length
    assert recipe.training == base.training
    again = tmp_path / "again.yaml"
    again.write_text(f"extends: {mine}\n")
    assert make_recipe(again) == recipe


def test_a_file_to_extend_lies_beside_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("model: {hops: 2}\n")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/mine.yaml").write_text("extends: ../base.yaml\nseeds: [4]\n")
    assert read_recipe(tmp_path / "deep/mine.yaml") == {"model": {"hops": 2}, "seeds": [4]}
    (tmp_path / "base.yaml").write_text("extends: deep/mine.yaml\n")
    with pytest.raises(EmohopError, match=r"mine\.yaml -> .*base\.yaml -> .*mine\.yaml: `extends`"):
        read_recipe(tmp_path / "deep/mine.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("extends: {}\n", "names one other recipe"),
        ("extends: publishd\n", "no recipe '.*publishd': give a YAML file or one of .*published"),
        ("extends: SELF\n", "SELF -> SELF: `extends` names one other"),
    ],
)
def test_what_cannot_be_extended(tmp_path: Path, text: str, message: str) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(text.replace("SELF", str(mine)))
    with pytest.raises(EmohopError, match=message.replace("SELF", re.escape(str(mine)))):
        read_recipe(mine)


def test_the_published_recipes() -> None:
    amh = make_recipe("published-amh")
    assert make_recipe("published") == amh
    assert (amh.model.title, amh.model.reset_after, amh.model.align_backward) == (
        "amh-7 audio+text+video",
        False,
        False,
    )
    for name in ("are", "tre", "mdre", "mdrea"):
        recipe = make_recipe(f"published-{name}")
        assert recipe.model.name == name
        assert Modality.VIDEO not in recipe.model.uses
        assert recipe.model.prosody == (name != "tre")
        assert recipe.model.shared_bias
        assert (recipe.training.loss, recipe.training.gradient_clip_mode) == ("sigmoid", "value")
        assert recipe.training.sampling == amh.training.sampling == "replacement"


def test_models_between_two_modalities_take_audio_and_text_by_themselves() -> None:
    assert make_recipe(settings=["model.name=mha"]).model.uses == (Modality.AUDIO, Modality.TEXT)
    chosen = make_recipe(settings=["model.name=mdrea", "model.order=video,audio"]).model
    assert chosen.title == "mdrea video>audio"
    assert make_recipe(settings=["model.name=mdre"]).model.uses == tuple(Modality)


@pytest.mark.parametrize("setting", ["model.hops=0", "model.order=text,text", "model.order=smell"])
def test_models_that_cannot_be(setting: str) -> None:
    with pytest.raises(EmohopError, match=r"^setting model\.(hops|order)"):
        make_recipe(settings=[setting])
