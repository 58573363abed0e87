"""Predictions for the terminal, and as a table of comma-separated values."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.table import Table

from emohop.clips import Modality
from emohop.files import csv_text
from emohop.prediction.schema import ATTENTION_NOTE, Hop, Prediction

BAR_CELLS = 30
SHOWN_STEPS = 3
"""Of each hop, those with most weight."""
SHOWN_UNKNOWN = 10


def tables(predictions: Sequence[Prediction]) -> list[Table | str]:
    """One clip at length, several as a table."""
    if len(predictions) == 1:
        return list(_at_length(predictions[0]))
    notes = list(dict.fromkeys(note for found in predictions for note in found.notes))
    return [_table(predictions, notes), *(f"{_mark(i)} {note}" for i, note in enumerate(notes))]


def csv_rows(predictions: Sequence[Prediction], *, header: bool) -> str:
    """Predictions of one model as CSV, a line each, behind a first line of names."""
    columns = [
        {
            "source": found.source,
            "start": found.start,
            "end": found.end,
            "speaker": found.speaker,
            "label": found.label,
            **{f"p_{label}": p for label, p in found.probabilities.items()},
            "used": "+".join(m.value for m in found.used),
            "missing": "+".join(m.value for m in found.missing),
            "transcript": found.transcript,
            "notes": "; ".join(found.notes),
        }
        for found in predictions
    ]
    text = csv_text(list(columns[0]), [list(row.values()) for row in columns]) if columns else ""
    return text if header else text.partition("\n")[2]


def _at_length(found: Prediction) -> Iterator[Table | str]:
    yield f"{found.source}: {found.label}"
    table = Table(show_header=False)
    table.add_column("class")
    table.add_column("probability", justify="right")
    table.add_column("bar", min_width=BAR_CELLS)
    for label, p in sorted(found.probabilities.items(), key=lambda pair: -pair[1]):
        table.add_row(label, f"{p:.3f}", _bar_sign() * round(p * BAR_CELLS))
    yield table
    missing = f"; missing: {_listed(found.missing)}" if found.missing else ""
    yield f"used: {_listed(found.used)}{missing}"
    if found.transcript is not None:
        yield f"said ({found.transcript_from}): {found.transcript or 'nothing'}"
    if found.unknown_words:
        shown = ", ".join(found.unknown_words[:SHOWN_UNKNOWN])
        more = len(found.unknown_words) - SHOWN_UNKNOWN
        rest = f" and {more} more" if more > 0 else ""
        yield f"words that the model does not know: {shown}{rest}"
    yield from found.notes
    if found.attention:
        yield _hops(found.attention)
    if found.segments:
        yield _table(found.segments, ())


def _bar_sign() -> str:
    """What a bar is made of where the console can show it."""
    try:
        "█".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return "#"
    return "█"


def _hops(hops: Sequence[Hop]) -> Table:
    table = Table(
        title="attention weights by hop",
        caption=f"entropy: 1 is uniform. {ATTENTION_NOTE}",
        title_justify="left",
        caption_justify="left",
    )
    for name, side in (
        ("hop", "right"),
        ("attends to", "left"),
        ("entropy", "right"),
        ("most", "left"),
    ):
        table.add_column(name, justify=side)  # type: ignore[arg-type]
    for hop in hops:
        order = sorted(range(len(hop.weights)), key=lambda k: -hop.weights[k])[:SHOWN_STEPS]
        most = ", ".join(f"{_step(hop, k)} ({hop.weights[k]:.2f})" for k in sorted(order))
        table.add_row(str(hop.hop), hop.target.value, f"{hop.entropy:.2f}", most or "no steps")
    return table


def _step(hop: Hop, k: int) -> str:
    """A step by its word or its time."""
    if hop.words is not None:
        return hop.words[k]
    start, end = hop.starts[k], hop.ends[k]
    return f"step {k + 1}" if start is None or end is None else f"{start:.2f}–{end:.2f} s"


def _mark(number: int) -> str:
    """A footnote's mark, as [1]."""
    return f"[{number + 1}]"


def _table(predictions: Sequence[Prediction], notes: Sequence[str]) -> Table:
    """Clips below each other; their notes by the marks of footnotes."""
    table = Table()
    several = len({found.source for found in predictions}) > 1
    timed = any(found.start or found.source == predictions[0].source for found in predictions[1:])
    speakers = any(found.speaker for found in predictions)
    for shown, name in ((several, "clip"), (timed, "from"), (timed, "to"), (speakers, "speaker")):
        if shown:
            table.add_column(name, justify="right" if name in ("from", "to") else "left")
    table.add_column("label")
    table.add_column("p", justify="right")
    table.add_column("second")
    table.add_column("missing")
    table.add_column("said", overflow="fold")
    if notes:
        table.add_column("notes")
    numbers = {note: number for number, note in enumerate(notes)}
    for found in predictions:
        (_, p), (second, other), *_ = [
            *sorted(found.probabilities.items(), key=lambda pair: -pair[1]),
            ("", 0.0),
        ]
        facts = [
            *([Path(found.source).name] if several else []),
            *([_clock(found.start), _clock(found.end)] if timed else []),
            *([found.speaker or ""] if speakers else []),
        ]
        marks = ["".join(_mark(numbers[note]) for note in found.notes)] if notes else []
        table.add_row(
            *facts, found.label, f"{p:.2f}", f"{second} {other:.2f}", _listed(found.missing),
            found.transcript or "", *marks,
        )  # fmt: skip
    return table


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{rest:04.1f}" if hours else f"{minutes}:{rest:04.1f}"


def _listed(modalities: Sequence[Modality]) -> str:
    return ", ".join(modality.value for modality in modalities)
