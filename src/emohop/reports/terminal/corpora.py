"""Tables of corpora: those that are read, and what was found in a folder."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table

from emohop.corpora.report import CheckReport
from emohop.registry.corpora import CorpusSpec

_COUNTS = ("clips", "speakers", "sessions")


def check_table(report: CheckReport) -> Table:
    """What was found in a corpus folder; `found / expected` where a complete copy differs."""
    table = Table(
        title=f"{report.corpus} in {report.folder}",
        caption="found / in a complete copy, where the two differ",
        title_justify="left",
        caption_justify="left",
    )
    header, *lines = report.table()
    for i, cell in enumerate(header):
        table.add_column(cell, justify="right" if i else "left")
    for line in lines:
        table.add_row(*line)
    return table


def corpora_table(corpora: Iterable[CorpusSpec]) -> Table:
    """The corpora that are read, a line each."""
    table = Table(caption="emohop corpora NAME tells more", caption_justify="left")
    for header in (
        "name",
        "modalities",
        "clips",
        "speakers",
        "sessions",
        "own parts",
        "class sets",
    ):
        table.add_column(header, justify="right" if header in _COUNTS else "left")
    for corpus in corpora:
        table.add_row(
            corpus.name,
            ", ".join(m.value for m in corpus.modalities),
            *(_count(n) for n in (corpus.clips, corpus.speakers, corpus.sessions)),
            "yes" if corpus.own_parts else "",
            ", ".join(labels.name for labels in corpus.class_sets) or "labels as found",
        )
    return table


def corpus_table(corpus: CorpusSpec) -> Table:
    """Everything that is known of one corpus before it is seen."""
    table = Table(title=f"{corpus.name}: {corpus.title}", title_justify="left", show_header=False)
    table.add_column(no_wrap=True)
    table.add_column()
    for what, value in (
        ("modalities", ", ".join(m.value for m in corpus.modalities)),
        ("clips", _count(corpus.clips)),
        ("speakers", _count(corpus.speakers)),
        ("sessions", _count(corpus.sessions)),
        ("train, dev, test", "its own" if corpus.own_parts else ""),
        ("language", corpus.language),
        ("licence", corpus.licence),
        ("cite", corpus.citation),
        ("read about it", corpus.page or ""),
    ):
        table.add_row(what, value)
    for labels in corpus.class_sets:
        merged = "".join(f"; {label} as {to}" for label, to in labels.merged.items())
        table.add_row(f"--labels {labels.name}", " ".join(labels.labels) + merged)
    return table


def _count(number: int | None) -> str:
    return "" if number is None else f"{number:,}"
