"""A whole experiment: what is trained, how, and on which folds."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from emohop.config.models import ModelSettings
from emohop.config.settings import Settings, checked, put
from emohop.config.training import TrainingSettings
from emohop.errors import EmohopError

EXPERIMENT_KEYS = ("extends", "rows", "vary")
"""What a recipe file may hold besides settings; `rows` and `vary` make an experiment of it."""


class Recipe(Settings):
    """A whole experiment on a prepared corpus.

    Example:
        >>> emohop.Recipe(seeds=(0, 1)).model.name
        'amh'
    """

    also: ClassVar[tuple[str, ...]] = EXPERIMENT_KEYS

    model: ModelSettings = ModelSettings()
    """The network."""
    training: TrainingSettings = TrainingSettings()
    """The fitting."""
    protocol: Literal["session", "speaker", "script", "random", "official", "cross"] | None = None
    """How clips are divided into train, dev and test (docs/evaluation.md); None is official for a
    corpus with parts of its own, cross with --test, else session, or speaker without sessions."""
    groups: int | None = Field(default=None, ge=3)
    """Groups of speakers that protocol speaker leaves out one at a time; None leaves one speaker
    out."""
    fold_seed: int = Field(default=0, ge=0)
    """Draws the folds of protocol random and the dev speakers of cross."""
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    """Each fold is trained once for each seed."""
    folds: tuple[int, ...] | None = None
    """The folds to run, counted from 0; None runs all."""
    per_fold: dict[int, dict[str, Any]] | None = None
    """Settings by dotted name to be put over those of a fold: what `emohop tune` chose for it."""

    @model_validator(mode="after")
    def _folds_are_recipes(self) -> Recipe:
        for fold in self.per_fold or {}:
            recipe_for_fold(self, fold)
        return self


def recipe_for_fold(recipe: Recipe, fold: int) -> Recipe:
    """The recipe under the settings that it has for one fold."""
    own = (recipe.per_fold or {}).get(fold, {})
    values = recipe.model_dump(mode="json", exclude={"per_fold"})
    for key, value in own.items():
        if key.partition(".")[0] not in ("model", "training"):
            raise EmohopError(f"per_fold {fold}: {key} is not of model or training")
        put(values, key, value)
    return checked(Recipe, values)
