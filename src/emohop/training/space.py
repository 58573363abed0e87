"""What `emohop tune` may choose: a range or a list for each of some settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from emohop.config import Recipe, checked, recipe_for_fold
from emohop.errors import EmohopError


class Range(BaseModel):
    """Numbers from `low` to `high`, both included; `log` draws their logarithm evenly."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: Literal["range"] = "range"
    low: int | float
    high: int | float
    log: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if not self.low < self.high or (self.log and self.low <= 0):
            raise ValueError("low < high is expected, and low > 0 for log")
        return self

    @property
    def ends(self) -> tuple[Any, Any]:
        """Values that must be good settings for all others to be."""
        return self.low, self.high


class Choice(BaseModel):
    """One of some values."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: Literal["choice"] = "choice"
    values: tuple[bool | int | float | str | None, ...] = Field(min_length=1)

    @property
    def ends(self) -> tuple[Any, ...]:
        """All of them."""
        return self.values


Space = Mapping[str, Range | Choice]
"""What is searched, by dotted name of the setting."""


def default_space(recipe: Recipe) -> Space:
    """The settings that matter most to a recipe's model, around what it has."""
    model = recipe.model
    space: dict[str, Range | Choice] = {
        "training.learning_rate": Range(low=3e-4, high=1e-2, log=True),
        "training.batch_size": Choice(values=(16, 32, 64, 128)),
        "training.weight_decay": Range(low=1e-4, high=1e-1, log=True),
    }
    for modality in model.uses:
        hidden = model.encoder(modality).hidden
        sizes = (max(1, hidden // 2), hidden, 2 * hidden)
        space[f"model.{modality}.hidden"] = Choice(values=sizes)
        space[f"model.{modality}.dropout"] = Range(low=0.0, high=0.8)
    if model.spec.has("hops"):
        space["model.hops"] = Range(low=1, high=9)
    return space


def read_space(path: Path, recipe: Recipe) -> Space:
    """A space from YAML: `model.hops: [1, 3]`, `model.audio.dropout: {low: 0, high: 0.8}`.

    EmohopError for a setting that is unknown or may not be searched, and for values that it
    cannot have.
    """
    try:
        values = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise EmohopError(f"space {path} cannot be read: {reason}") from None
    if not isinstance(values, dict) or not values:
        raise EmohopError(f"space {path}: map settings to lists, or to low and high")
    space = {str(key): _part(path, str(key), value) for key, value in values.items()}
    for key, part in space.items():
        for end in part.ends:
            try_setting(recipe, {key: end})
    return space


def try_setting(recipe: Recipe, chosen: Mapping[str, Any]) -> Recipe:
    """The recipe under chosen settings; EmohopError when it cannot be."""
    base = recipe.model_dump(mode="json", exclude={"per_fold"})
    return recipe_for_fold(checked(Recipe, {**base, "per_fold": {0: dict(chosen)}}), 0)


def _part(path: Path, key: str, value: object) -> Range | Choice:
    if isinstance(value, list):
        return checked(Choice, {"values": value})
    if isinstance(value, dict):
        return checked(Range, value)
    raise EmohopError(f"space {path}: {key} is {value!r}; give a list, or low and high")
