"""The checks of attention as tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.table import Table

from emohop.evaluation.metrics import TITLES
from emohop.explanation.results import Area, ExplanationResults
from emohop.prediction.schema import ATTENTION_NOTE
from emohop.reports.figures.deletion import ORDERS
from emohop.reports.terminal.tables import notes

FEW_SPEAKERS = 5
"""Intervals drawn from fewer are hardly intervals: nothing is concluded from them."""


def explanation_tables(result: ExplanationResults) -> Iterator[Table | str]:
    """Deletion with what it means, uniform attention, and the hops."""
    yield _deletion(result)
    for entry in result.deletion if result.speakers >= FEW_SPEAKERS else ():
        yield f"{entry.target}: {finding(entry.differences['attention-random'])}"
    yield ""
    yield _uniform(result)
    uniform = result.uniform
    yield (
        f"the same label for {100 * uniform.agreement:.0f} % of clips; total variation "
        f"distance of the probabilities {uniform.distance:.3f} (0 alike, 1 nothing in common)"
    )
    yield ""
    yield _hops(result)
    yield "entropy: 1 is uniform, 0 one step only"
    if result.agreement:
        yield (
            "agreement: Spearman's correlation of two seeds' weights, mean over clips; shuffled: "
            "where 95 % of such means lie if one seed's weights are shuffled within each clip"
        )
    if result.speakers < FEW_SPEAKERS:
        yield (
            f"Intervals are drawn from {result.speakers} speakers, too few to conclude anything"
            ": give a run's folder, which pools the test clips of its folds."
        )
    yield ATTENTION_NOTE


def finding(difference: Area) -> str:
    """What the area of attention's order minus that of random order says."""
    if difference.interval_95 is None:
        return "no interval, since two speakers or more are not known"
    low, high = difference.interval_95
    if high < 0:
        return "steps with much attention matter more than random ones"
    if low > 0:
        return "steps with much attention matter less than random ones"
    return "steps with much attention are not told from random ones"


def _deletion(result: ExplanationResults) -> Table:
    models = f"{result.fold_runs} models, " if result.fold_runs > 1 else ""
    table = Table(
        title=f"{result.model}: {models}{result.clips} test clips, steps of most worth "
        "removed first",
        caption="area under the probability of the first answer as 0 to 100 % of the steps go: "
        "the lower, the more those\nthat went first mattered; below differences, 95 % intervals "
        "over speakers" + notes(result.reservations),
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("removed")
    names = ("clips", "steps", "attention", "gradient × input", "random")
    for name in (*names, "attention - random", "gradient - random"):
        table.add_column(name, justify="right")
    for entry in result.deletion:
        areas = [f"{entry.curves[order].area:.3f}" for order in ORDERS]
        gaps = [_gap(entry.differences[f"{one}-random"]) for one in ("attention", "gradient")]
        table.add_row(entry.target, str(entry.clips), f"{entry.steps:.1f}", *areas, *gaps)
    return table


def _uniform(result: ExplanationResults) -> Table:
    table = Table(title="the same networks, every step attended to alike", title_justify="left")
    table.add_column("score")
    for name in ("as trained", "uniform attention", "change"):
        table.add_column(name, justify="right")
    for name, entry in (
        ("accuracy", result.uniform.accuracy),
        ("balanced_accuracy", result.uniform.balanced_accuracy),
    ):
        change = f"{entry.change:+.3f} {_ends(entry.interval_95)}".rstrip()
        table.add_row(TITLES[name], f"{entry.trained:.3f}", f"{entry.uniform:.3f}", change)
    return table


def _hops(result: ExplanationResults) -> Table:
    agreed = {(entry.hop, entry.target): entry for entry in result.agreement}
    table = Table(title="hops", title_justify="left")
    table.add_column("hop")
    table.add_column("attends to")
    table.add_column("entropy", justify="right")
    if agreed:
        table.add_column("agreement", justify="right")
        table.add_column("shuffled", justify="right")
    entropy = {(entry.hop, entry.target): entry for entry in result.entropy}
    for hop, target in dict.fromkeys([*entropy, *agreed]):
        wide, alike = entropy.get((hop, target)), agreed.get((hop, target))
        cells = ["all" if hop is None else str(hop), target.value]
        cells.append("" if wide is None else f"{wide.mean:.2f} ± {wide.std:.2f}")
        if alike is not None:
            low, high = alike.shuffled_95
            cells += [f"{alike.spearman:+.2f}", f"{low:+.2f} to {high:+.2f}"]
        table.add_row(*cells)
    return table


def _gap(difference: Area) -> str:
    ends = _ends(difference.interval_95)
    return f"{difference.area:+.3f}" + (f"\n{ends}" if ends else "")


def _ends(interval: Sequence[float] | None) -> str:
    return "" if interval is None else f"({interval[0]:+.3f} to {interval[1]:+.3f})"
