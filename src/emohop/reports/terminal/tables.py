"""Tables for the terminal; a score is named by what it computes, the field's name beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table

from emohop.evaluation.metrics import TITLES
from emohop.evaluation.reservations import Reservation, footnotes
from emohop.evaluation.run_files import RunResults
from emohop.reports.terminal.comparison import titled
from emohop.robustness.results import RobustnessResults

if TYPE_CHECKING:
    from emohop.training.tuning import Trial

SHOWN = ("accuracy", "balanced_accuracy", "f1_macro", "f1_weighted")


def results_table(results: RunResults) -> Table:
    """Test scores of a run: one line per fold and seed, then mean ± deviation and the interval."""
    table = Table(
        title=f"{results.model}: test scores, protocol {results.protocol}, "
        f"{results.class_set} ({len(results.labels)} classes)",
        caption="pooled: all test clips together, with the interval over their speakers"
        + _votes(results)
        + notes(results.reservations),
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("fold")
    table.add_column("seed", justify="right")
    table.add_column("clips", justify="right")
    for name in SHOWN:
        table.add_column(TITLES[name], justify="right")
    for fold_run in results.fold_runs:
        scores = [f"{fold_run.test[name]:.3f}" for name in SHOWN]
        table.add_row(fold_run.name, str(fold_run.seed), str(fold_run.test["n"]), *scores)
    table.add_section()
    pooled = results.pooled
    table.add_row("pooled", "", str(pooled["n"]), *(f"{pooled[name]:.3f}" for name in SHOWN))
    table.add_row("its 95 % interval", "", "", *(_interval(results, name) for name in SHOWN))
    if len(results.fold_runs) > 1:
        over = f"mean ± std over {_over(results)}"
        table.add_row(over, "", "", *(_mean(results, name) for name in SHOWN))
    return table


def comparison_tables(runs: Sequence[RunResults]) -> list[Table]:
    """Runs below each other, a table for each protocol and class set: scores of two do not mix."""
    kinds: dict[tuple[str, str], list[RunResults]] = {}
    for run in runs:
        kinds.setdefault((run.protocol, run.class_set), []).append(run)
    return [comparison_table(alike) for alike in kinds.values()]


def comparison_table(runs: Sequence[RunResults]) -> Table:
    """Runs of one protocol and class set below each other: mean ± deviation and intervals."""
    marks, said = footnotes([run.reservations for run in runs])
    several = len(runs[0].fold_runs) > 1
    spread = f", then mean ± std over {_over(runs[0])}" if several else ""
    table = Table(
        title=f"test scores, protocol {runs[0].protocol}, {runs[0].class_set}: of all test clips "
        f"together, 95 % interval over speakers{spread}",
        caption="\n".join(f"Note: [{mark}] {text}." for mark, text in said) or None,
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("model")
    for name in SHOWN:
        table.add_column(TITLES[name], justify="right")
    for run, mark in zip(runs, marks, strict=True):
        lines = [[f"{run.pooled[name]:.3f}", _interval(run, name)] for name in SHOWN]
        if len(run.fold_runs) > 1:
            lines = [[*line, _mean(run, name)] for line, name in zip(lines, SHOWN, strict=True)]
        table.add_row(titled(run.model, mark), *map("\n".join, lines))
    return table


def metrics_table(
    blocks: Mapping[str, Mapping[str, Any]], reservations: Sequence[Reservation] = ()
) -> Table:
    """Scores of dev and test as `metrics.json` has them."""
    table = Table(caption=notes(reservations).strip() or None, caption_justify="left")
    table.add_column("split")
    table.add_column("clips", justify="right")
    names = [name for name in TITLES if any(name in block for block in blocks.values())]
    for name in names:
        table.add_column(TITLES[name], justify="right")
    for split, block in blocks.items():
        table.add_row(split, str(block["n"]), *(f"{block[name]:.3f}" for name in names))
    return table


def robustness_table(result: RobustnessResults) -> Table:
    """Test scores under each condition, with what each loses against the first, clean one."""
    table = Table(
        title=f"test scores of {result.clips} clips under damage; in brackets, against clean",
        caption=notes(result.reservations).strip() or None,
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("condition")
    for name in SHOWN:
        table.add_column(TITLES[name], justify="right")
    clean = result.conditions[0].metrics
    for entry in result.conditions:
        scores = entry.metrics
        cells = [f"{scores[name]:.3f} ({scores[name] - clean[name]:+.3f})" for name in SHOWN]
        table.add_row(entry.name, *cells)
    return table


def tuning_table(trials: Sequence[Trial], best: Mapping[int, Trial], monitor: str) -> Table:
    """The best trial of each fold, and how many there were."""
    table = Table(title="chosen on dev, each fold for itself", title_justify="left")
    table.add_column("fold")
    for name in ("trials", "pruned", "failed", f"best dev {monitor.replace('_', ' ')}"):
        table.add_column(name, justify="right")
    table.add_column("settings")
    for fold, trial in sorted(best.items()):
        states = [other.state for other in trials if other.fold == fold]
        counts = [str(len(states)), str(states.count("pruned")), str(states.count("failed"))]
        settings = "\n".join(
            f"{key} = {value:.4g}" if isinstance(value, float) else f"{key} = {value}"
            for key, value in trial.settings.items()
        )
        table.add_row(str(fold), *counts, f"{trial.score:.3f}", settings)
    return table


def notes(reservations: Sequence[Reservation]) -> str:
    """What has to be said in every table, each on a line of its own below what stands there."""
    return "".join(f"\nNote: {one.text}." for one in reservations)


def _over(results: RunResults) -> str:
    """What a standard deviation runs over."""
    folds, seeds = len(results.folds), len(results.seeds)
    said = f"{folds} fold{'s' * (folds != 1)}"
    return said if seeds == 1 else f"{said} and {seeds} seeds"


def _votes(results: RunResults) -> str:
    """How far a run's probabilities are from the raters' votes, on a line of its own."""
    votes = results.votes
    if not votes:
        return ""
    return (
        f"\nfrom the raters' votes: Kullback-Leibler {votes.kl:.3f}, Jensen-Shannon "
        f"{votes.js:.3f} nats"
    )


def _mean(results: RunResults, name: str) -> str:
    std = results.std[name]
    return f"{results.mean[name]:.3f}" + ("" if std is None else f" ± {std:.3f}")


def _interval(results: RunResults, name: str) -> str:
    interval = results.interval_95[name]
    return "unknown" if interval is None else f"{interval[0]:.3f}–{interval[1]:.3f}"
