"""A comparison as tables: for the terminal, Markdown, LaTeX, CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table

from emohop.evaluation.comparison import ComparedRun, Comparison, Pair
from emohop.evaluation.metrics import SCORES, TITLES
from emohop.evaluation.reservations import joined

SHOWN = ("accuracy", "balanced_accuracy", "f1_macro", "f1_weighted")
"""The scores of tables for people; CSV has all."""


@dataclass(frozen=True)
class Grid:
    """A table as text: a header and lines of as many cells."""

    title: str
    header: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]


def grids(comparison: Comparison, scores: Sequence[str] = SHOWN) -> list[Grid]:
    """The scores of each run, then the differences of the pairs, if there are any."""
    fold_runs = _fold_runs(comparison)
    tables = [
        Grid(
            f"Test scores, protocol {comparison.protocol}, {comparison.class_set}: of all test "
            f"clips together [95 % interval over speakers], then mean ± std over {fold_runs}",
            ("model", *(TITLES[name] for name in scores), "calibration error, then by temperature"),
            tuple(_scores(row, scores) for row in comparison.rows),
        )
    ]
    if comparison.pairs:
        tables.append(
            Grid(
                "Differences, b minus a: [95 % interval over speakers, paired], p by swaps of "
                f"speakers, after Holm over {len(comparison.pairs)} pairs",
                ("a", "b", *(TITLES[name] for name in scores), "McNemar: only a, only b right, p"),
                tuple(_differences(pair, scores, comparison.marks) for pair in comparison.pairs),
            )
        )
    return tables


def terminal_tables(comparison: Comparison, scores: Sequence[str] = SHOWN) -> list[Table]:
    """The grids as rich draws them, the notes below the last."""
    tables = []
    for grid in grids(comparison, scores):
        table = Table(
            title=grid.title, title_justify="left", caption_justify="left", padding=(0, 1)
        )
        names = 1 if grid.header[0] == "model" else 2
        for place, name in enumerate(grid.header):
            table.add_column(name, justify="left" if place < names else "right")
        for line in grid.lines:
            cells = ["\n".join(pieces(cell)) for cell in line[names:]]
            table.add_row(*line[:names], *cells)
        tables.append(table)
    if comparison.said:
        tables[-1].caption = "\n".join(f"Note: {note}." for note in comparison.said)
    return tables


def pieces(cell: str) -> list[str]:
    """A cell as short lines: the score, its interval, then the mean or p."""
    cell = re.sub(r" \[(?=[-+\d])", "\n[", cell).replace("], ", "]\n")
    return cell.split("\n")


def titled(title: str, mark: str) -> str:
    """A run's title with its mark, if it has one."""
    return f"{title} [{mark}]" if mark else title


def markdown(comparison: Comparison, scores: Sequence[str] = SHOWN) -> str:
    """Tables in Markdown, with the notes."""
    parts = []
    for grid in grids(comparison, scores):
        rows = [grid.header, ("---",) * len(grid.header), *grid.lines]
        lines = ["| " + " | ".join(_in_markdown(cell) for cell in row) + " |" for row in rows]
        parts.append("\n".join([_in_markdown(grid.title), "", *lines]))
    parts += [f"Note: {_in_markdown(note)}." for note in comparison.said]
    return "\n\n".join(parts) + "\n"


def latex(comparison: Comparison, scores: Sequence[str] = SHOWN) -> str:
    """Tables in LaTeX, to be used with the package booktabs; the notes go into the caption."""
    parts = []
    for grid in grids(comparison, scores):
        names = 1 if grid.header[0] == "model" else 2
        notes = "".join(f" {note[0].upper()}{note[1:]}." for note in comparison.said)
        body = [
            r"\begin{table}",
            rf"\caption{{{_in_latex(grid.title + '.' + notes)}}}",
            rf"\begin{{tabular}}{{{'l' * names}{'r' * (len(grid.header) - names)}}}",
            r"\toprule",
            " & ".join(map(_in_latex, grid.header)) + r" \\",
            r"\midrule",
            *(" & ".join(map(_in_latex, line)) + r" \\" for line in grid.lines),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
        parts.append("\n".join(body))
    return "\n\n".join(parts) + "\n"


def as_csv(comparison: Comparison, scores: Sequence[str] = SCORES) -> str:
    """One line a run and score, then one a pair and score, full precision, empty where unknown."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        [
            *("kind", "model", "reference", "score", "value", "std", "std_seeds", "low", "high"),
            *("p", "p_holm", "mean", "fold_runs", "clips", "protocol", "class_set"),
            "reservations",
        ]
    )
    same = [comparison.protocol, comparison.class_set]
    for row in comparison.rows:
        size = [row.fold_runs, row.clips, *same, joined(row.reservations)]
        for name in scores:
            ends = row.interval[name] or ("", "")
            spread = [row.std[name], row.std_seeds[name]]
            values = [row.pooled[name], *spread, *ends, "", "", row.mean[name]]
            writer.writerow(["scores", row.title, "", name, *values, *size])
        for name, value in (("ece", row.ece), ("ece_calibrated", row.ece_calibrated)):
            writer.writerow(["scores", row.title, "", name, value, *[""] * 7, *size])
    said = {row.title: row.reservations for row in comparison.rows}
    for pair in comparison.pairs:
        both = {one.text: one for title in (pair.a, pair.b) for one in said[title]}
        same = [comparison.protocol, comparison.class_set, joined(both.values())]
        if pair.difference is not None and pair.holm is not None:
            for name in scores:
                value, low, high, p = pair.difference[name]
                values = [value, "", "", low, high, p, pair.holm[name], ""]
                writer.writerow(["difference", pair.b, pair.a, name, *values, "", "", *same])
        found = pair.mcnemar
        gap = found.only_b - found.only_a
        values = [gap, "", "", "", "", found.p, "", ""]
        writer.writerow(["mcnemar", pair.b, pair.a, "clips", *values, "", "", *same])
    return text.getvalue()


FORMATS: dict[str, Callable[[Comparison], str]] = {
    "markdown": markdown,
    "latex": latex,
    "csv": as_csv,
}
"""What `emohop compare --format` writes, beside the terminal's table."""


def _fold_runs(comparison: Comparison) -> str:
    folds, seeds = len(comparison.folds), len(comparison.seeds)
    said = f"{folds} fold{'s' * (folds != 1)}"
    return said if seeds == 1 else f"{said} and {seeds} seeds"


def _scores(row: ComparedRun, scores: Sequence[str]) -> tuple[str, ...]:
    cells = []
    for name in scores:
        std, ends = row.std[name], row.interval[name]
        interval = "" if ends is None else f" [{ends[0]:.3f}, {ends[1]:.3f}]"
        spread = "" if std is None else f", mean {row.mean[name]:.3f} ± {std:.3f}"
        cells.append(f"{row.pooled[name]:.3f}{interval}{spread}")
    title = titled(row.title, row.mark)
    return (title, *cells, f"{row.ece:.3f}, {row.ece_calibrated:.3f}")


def _differences(pair: Pair, scores: Sequence[str], marks: Mapping[str, str]) -> tuple[str, ...]:
    cells = ["unknown"] * len(scores)
    if pair.difference is not None and pair.holm is not None:
        cells = []
        for name in scores:
            value, low, high, _ = pair.difference[name]
            p = p_value(pair.holm[name])
            cells.append(f"{value:+.3f} [{low:+.3f}, {high:+.3f}], p {p}")
    test = pair.mcnemar
    names = (titled(title, marks[title]) for title in (pair.a, pair.b))
    return (*names, *cells, f"{test.only_a}, {test.only_b}, {p_value(test.p)}")


def p_value(p: float) -> str:
    """0.034, or < 0.001."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _in_markdown(text: str) -> str:
    for sign in "\\|*_<>`[]":
        text = text.replace(sign, "\\" + sign)
    return text


_LATEX = {
    "\\": r"\textbackslash{}",
    "±": r"$\pm$",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{sign: "\\" + sign for sign in "&%$#_{}"},
}


def _in_latex(text: str) -> str:
    return "".join(_LATEX.get(sign, sign) for sign in text)
