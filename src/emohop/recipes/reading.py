"""Recipes: settings as YAML with any part left out, those that ship with the package among them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from emohop.config import Recipe, checked, put
from emohop.errors import EmohopError
from emohop.registry.models import MODELS


def recipe_names() -> list[str]:
    """The recipes that ship with the package."""
    folder = resources.files("emohop.recipes")
    return sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name[-5:] == ".yaml")


def read_recipe(name_or_file: str | Path = "default") -> dict[str, Any]:
    """The settings that a shipped recipe or a YAML file gives, not yet checked.

    A recipe with `extends: NAME` gives what the recipe of that name or file gives, with its own
    settings put over it. A file is looked for beside the recipe that names it.
    """
    layers: list[dict[str, Any]] = []
    seen: list[str] = []
    name: object = str(name_or_file)
    while name is not None:
        if isinstance(name, str) and name not in recipe_names():
            folder = Path(seen[-1]).parent if seen else Path()
            name = os.path.normpath(folder / name)  # one name for a file, so that a cycle is seen
        if not isinstance(name, str) or name in seen:
            chain = " -> ".join([*seen, str(name)])
            raise EmohopError(f"recipe {chain}: `extends` names one other recipe or YAML file")
        seen.append(name)
        layers.append(_read_layer(name))
        name = layers[-1].pop("extends", None)
    settings: dict[str, Any] = {}
    for layer in reversed(layers):
        put_over(settings, layer)
    return settings


def _read_layer(name: str) -> dict[str, Any]:
    """What one recipe says itself."""
    if name in recipe_names():
        text = resources.files("emohop.recipes").joinpath(f"{name}.yaml").read_text("utf-8")
    elif Path(name).is_file():
        try:
            text = Path(name).read_text("utf-8")
        except UnicodeDecodeError:
            raise EmohopError(f"recipe {name} is not text in UTF-8: give a YAML file") from None
    else:
        known = ", ".join(recipe_names())
        raise EmohopError(f"no recipe {name!r}: give a YAML file or one of {known}")
    try:
        settings = yaml.safe_load(text) or {}
    except (yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise EmohopError(f"recipe {name} is not YAML: {reason}") from None
    if not isinstance(settings, dict):
        raise EmohopError(f"recipe {name} holds {type(settings).__name__}: settings are expected")
    return settings


def put_over(settings: dict[str, Any], layer: Mapping[str, Any]) -> None:
    """Put a recipe's settings over those of the recipe that it extends.

    Where it names another model, the choice of modalities that was made for the one below goes if
    this model has none.
    """
    model, below = layer.get("model"), settings.get("model")
    spec = MODELS.get(str(model.get("name"))) if isinstance(model, Mapping) else None
    if spec is not None and isinstance(below, dict):
        for key in ("modalities", "order"):
            if not spec.has(key):
                below.pop(key, None)
    merge(settings, layer)


def merge(settings: dict[str, Any], over: Mapping[str, Any]) -> None:
    """Put settings over others, group by group."""
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(settings.get(key), dict):
            merge(settings[key], value)
        else:
            settings[key] = value


def make_recipe(
    name_or_file: str | Path = "default",
    settings: Sequence[str] = (),
    overrides: Mapping[str, Any] | None = None,
) -> Recipe:
    """A checked recipe: the file, then `key=value` settings, then `overrides` by dotted key.

    Example:
        >>> emohop.make_recipe("published-amh", ["model.hops=3"]).model.title
        'amh-3 audio+text+video'
    """
    values = read_recipe(name_or_file)
    if {"rows", "vary"} & values.keys():
        raise EmohopError(
            f"recipe {name_or_file} is an experiment of several rows: `emohop train` takes it; "
            "give a recipe of one row here"
        )
    put_chosen(values, {**read_settings(settings), **(overrides or {})})
    return checked(Recipe, values)


def put_chosen(settings: dict[str, Any], chosen: Mapping[str, Any]) -> None:
    """Put single settings, by dotted key, over a recipe's."""
    if "model.name" in chosen:
        put_over(settings, {"model": {"name": chosen["model.name"]}})
    for key, value in chosen.items():
        put(settings, key, value)


def read_settings(settings: Sequence[str]) -> dict[str, Any]:
    """Values by dotted key, from `key=value` with YAML's values."""
    values = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise EmohopError(f"--set {setting!r}: write key=value, as in model.hops=3")
        try:
            values[key.strip()] = yaml.safe_load(text)
        except yaml.YAMLError:
            raise EmohopError(f"--set {setting!r}: the value is not YAML") from None
    return values
