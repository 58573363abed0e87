"""Recipes: settings as YAML with any part left out, those that ship with the package among them."""

from __future__ import annotations

from emohop.recipes.reading import (
    make_recipe,
    put_chosen,
    put_over,
    read_recipe,
    read_settings,
    recipe_names,
)

__all__ = ["make_recipe", "put_chosen", "put_over", "read_recipe", "read_settings", "recipe_names"]
