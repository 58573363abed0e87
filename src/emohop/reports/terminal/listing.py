"""Tables of models and feature encoders."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table

from emohop.registry.features import FeatureSpec
from emohop.registry.models import ModelSpec


def models_table(models: Iterable[ModelSpec]) -> Table:
    """The models, a line each."""
    table = Table(caption="docs/models.md tells more", caption_justify="left", show_lines=True)
    for header in ("name", "takes", "computes", "has", "paper"):
        table.add_column(header)
    for model in models:
        own = ", ".join((*model.options, *(f"extra.{name}" for name in model.extra)))
        table.add_row(model.name, model.inputs, model.summary, own, model.paper)
    return table


def features_table(features: Iterable[FeatureSpec]) -> Table:
    """The feature encoders, a line each; a family of pretrained ones is one line."""
    table = Table(caption="docs/encoders.md tells more", caption_justify="left", show_lines=True)
    for header in ("name", "modality", "computes", "options", "paper"):
        table.add_column(header)
    for one in features:
        name = f"any {one.name}" if one.family else one.name
        table.add_row(name, one.modality.value, one.summary, ", ".join(one.options), one.paper)
    return table
