"""Commands that list what there is to choose from: corpora, feature encoders, models."""

from __future__ import annotations

from typing import Annotated

import typer

from emohop.cli.commands import command


@command
def corpora(
    name: Annotated[str | None, typer.Argument(help="One of them, in full.")] = None,
) -> None:
    """List the corpora that emohop reads: what they hold, their classes, licences."""
    from emohop.registry.corpora import CORPORA
    from emohop.reports.terminal.console import show
    from emohop.reports.terminal.corpora import corpora_table, corpus_table

    show(corpora_table(CORPORA.values()) if name is None else corpus_table(CORPORA[name]))


@command
def models() -> None:
    """List the models: what each takes and computes, and the settings that it has of its own."""
    from emohop.registry.models import MODELS
    from emohop.reports.terminal.console import show
    from emohop.reports.terminal.listing import models_table

    show(models_table(MODELS.values()))


@command
def features() -> None:
    """List the feature encoders of each modality, and their options."""
    from emohop.registry.features import FEATURES
    from emohop.reports.terminal.console import show
    from emohop.reports.terminal.listing import features_table

    show(features_table(FEATURES.values()))
