"""Recipes that ship with the package, as YAML; `emohop.config.read_recipe` reads them."""
