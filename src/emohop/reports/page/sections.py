"""The parts of a report: each a function from runs to tables and plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import yaml

from emohop.config import ModelSettings
from emohop.evaluation.calibration import apply_temperature, reliability
from emohop.evaluation.comparison import Comparison
from emohop.evaluation.metrics import TITLES, confusion_matrix
from emohop.evaluation.reservations import footnotes
from emohop.evaluation.run_folder import RunFolder
from emohop.evaluation.runs import Run
from emohop.registry.models import MODELS
from emohop.reports.figures import diagrams, plots
from emohop.reports.figures.theme import Draw
from emohop.reports.terminal.comparison import Grid, grids, titled
from emohop.robustness import RobustnessResults

SCORES = ("accuracy", "balanced_accuracy")
GROUPS = ("fold", "speaker", "gender")
SHOWN_RUNS = 8
"""Runs in one plot; more could not be told apart."""
SHOWN_GROUPS = 60
"""Speakers, or folds, in one plot."""


@dataclass(frozen=True)
class Plot:
    """A plot with its file's name, what it says to who cannot see it, and how to read it."""

    name: str
    label: str
    caption: str
    draw: Draw


@dataclass(frozen=True)
class Section:
    """A part of the page; `text` comes before its tables and plots."""

    anchor: str
    title: str
    text: str = ""
    grids: tuple[Grid, ...] = ()
    plots: tuple[Plot, ...] = ()
    details: tuple[tuple[str, str], ...] = ()
    """Summaries and long texts, folded."""


def scores_section(comparison: Comparison) -> Section:
    """Tables of scores and differences, and a forest plot."""
    rows = comparison.rows
    said = ", ".join(f"{row.title} {row.pooled[SCORES[0]]:.3f}" for row in rows)
    return Section(
        "scores",
        "Scores",
        "WA and UA are the field's names; what each score computes stands beside them. An interval "
        "says where the score would lie with other speakers of the same kind.",
        tuple(grids(comparison)),
        (
            Plot(
                "scores",
                f"Pooled test {TITLES[SCORES[0]]} of each run: {said}",
                "Pooled test scores with 95 % intervals over speakers. Overlapping intervals "
                "decide nothing: the table of differences does.",
                plots.forest(rows, SCORES),
            ),
        ),
    )


def hops_section(comparison: Comparison, runs: Sequence[Run]) -> Section | None:
    """Curves of runs that differ in hops alone."""
    alike: dict[str, list[tuple[int, int]]] = {}
    for place, run in enumerate(runs):
        model = {**run.recipe["model"]}
        if MODELS[model["name"]].has("hops"):
            hops = int(model.pop("hops"))
            rest = {key: value for key, value in run.recipe.items() if key != "model"}
            key = yaml.safe_dump([model, rest], sort_keys=True)
            alike.setdefault(key, []).append((hops, place))
    made = []
    for score in SCORES:
        curves: dict[str, list[tuple[int, float, plots.Interval | None]]] = {}
        for found in alike.values():
            if len(found) > 1:
                rows = [(hops, comparison.rows[place]) for hops, place in sorted(found)]
                settings = ModelSettings.model_validate(runs[found[0][1]].recipe["model"])
                name = f"{settings.name} {'+'.join(m.value for m in settings.uses)}"
                if name in curves:  # they differ in something else, too
                    name = f"{name} ({len(curves) + 1})"
                curves[name] = [(h, row.pooled[score], row.interval[score]) for h, row in rows]
        if curves:
            said = "; ".join(
                f"{name}: " + ", ".join(f"{h} hops {value:.3f}" for h, value, _ in points)
                for name, points in curves.items()
            )
            caption = "Pooled test score by number of hops, with 95 % intervals over speakers."
            draw = plots.hop_curve(curves, score)
            made.append(Plot(f"hops-{score}", f"{TITLES[score]} by hops. {said}", caption, draw))
    return Section("hops", "Number of hops", plots=tuple(made)) if made else None


def confusion_section(runs: Sequence[Run]) -> Section:
    """What each run takes for what."""
    made = []
    for number, run in enumerate(runs):
        parts = [fold_run.predictions.part("test") for fold_run in run.fold_runs]
        true = np.concatenate([part.true_numbers for part in parts])
        said = np.concatenate([part.predicted_numbers for part in parts])
        counts = confusion_matrix(true, said, len(run.labels))
        recall = np.diag(counts) / np.maximum(1, counts.sum(axis=1))
        label = ", ".join(
            f"{name} {100 * x:.0f} %" for name, x in zip(run.labels, recall, strict=True)
        )
        made.append(
            Plot(
                f"confusion-{number + 1}",
                f"Confusion of {run.title}. Found of each class: {label}",
                run.title,
                diagrams.confusion(counts, run.labels, run.title),
            )
        )
    return Section(
        "confusion",
        "Confusion matrices",
        "Each line holds the test clips of one true class: which share of them, and how many, were "
        "called what. The diagonal is right.",
        plots=tuple(made),
    )


def groups_section(runs: Sequence[Run]) -> Section | None:
    """Accuracy by fold, speaker and gender, where they are known and can be told apart."""
    made = []
    shown = runs[:SHOWN_RUNS]
    for group in GROUPS:
        scores = {run.title: _accuracy_by(run, group) for run in shown}
        if not 2 <= len({name for found in scores.values() for name in found}) <= SHOWN_GROUPS:
            continue
        wholes = {run.title: run.results.pooled["accuracy"] for run in shown}
        ends = {name: (min(found.values()), max(found.values())) for name, found in scores.items()}
        said = "; ".join(
            f"{name} from {low:.3f} to {high:.3f}" for name, (low, high) in ends.items()
        )
        made.append(
            Plot(
                f"by-{group}",
                f"Accuracy by {group}. {said}",
                f"Test accuracy of each {group}; lines: over all of them.",
                plots.groups(scores, wholes, f"{TITLES['accuracy']} by {group}"),
            )
        )
    text = _first_of(len(runs))
    return (
        Section("groups", "Scores by fold, speaker and gender", text, plots=tuple(made))
        if made
        else None
    )


def _accuracy_by(run: Run, group: str) -> dict[str, float]:
    hits: dict[str, list[bool]] = {}
    for fold_run in run.fold_runs:
        test = fold_run.predictions.part("test")
        for name, speaker, label, said in zip(
            test.id, test.speaker, test.label, test.predicted, strict=True
        ):
            clip = run.clips.get(name, {})
            key = {"fold": fold_run.name, "speaker": speaker, "gender": clip.get("gender")}[group]
            if key:
                hits.setdefault(key, []).append(label == said)
    return {name: float(np.mean(found)) for name, found in sorted(hits.items())}


def calibration_section(runs: Sequence[Run]) -> Section:
    """Reliability of each run, before and after its temperatures."""
    made = []
    for number, run in enumerate(runs):
        raw, better, true = [], [], []
        for fold_run in run.fold_runs:
            test = fold_run.predictions.part("test")
            heat = fold_run.model_config.calibration.temperature
            raw.append(test.probabilities)
            better.append(apply_temperature(test.probabilities, heat))
            true.append(test.true_numbers)
        truth = np.concatenate(true)
        before, after = (reliability(np.concatenate(table), truth) for table in (raw, better))
        made.append(
            Plot(
                f"reliability-{number + 1}",
                f"Reliability of {run.title}: calibration error {before.error:.3f} as it came, "
                f"{after.error:.3f} by temperature",
                run.title,
                diagrams.reliability_diagram(before, after, run.title),
            )
        )
    return Section(
        "calibration",
        "Calibration",
        "A point is a bin of test clips of like confidence, as large as their share. On the line, "
        "confidence is accuracy; below it, the model is too sure. The temperature of each fold run "
        "was fitted on its dev part.",
        plots=tuple(made),
    )


def robustness_section(runs: Sequence[Run]) -> Section | None:
    """Scores under damage, where runs have them."""
    files = {
        run.title: RobustnessResults.read(RunFolder(run.folder).robustness_file)
        for run in runs
        if RunFolder(run.folder).robustness_file.exists()
    }
    if not files:
        return None
    found = {title: file.ordered() for title, file in files.items()}
    kinds: dict[str, dict[str, list[tuple[float, float, plots.Interval | None]]]] = {}
    lines = []
    marks, said_of = footnotes([one.reservations for one in files.values()])
    marked = dict(zip(files, marks, strict=True))
    for title, conditions in found.items():
        for one in conditions:
            ends, accuracy = one.interval_95[SCORES[0]], one.metrics[SCORES[0]]
            said = "" if ends is None else f" [{ends[0]:.3f}, {ends[1]:.3f}]"
            shown = titled(title, marked[title])
            lines.append(
                (shown, one.name, f"{accuracy:.3f}{said}", f"{one.metrics[SCORES[1]]:.3f}")
            )
            if one.level is not None:
                curve = kinds.setdefault(one.kind, {}).setdefault(title, [])
                curve.append((one.level, accuracy, ends))
    clean = {title: conditions[0].metrics[SCORES[0]] for title, conditions in found.items()}
    score = SCORES[0]
    made = [
        Plot(
            f"robustness-{kind.replace(':', '-')}",
            f"{TITLES[score]} under {kind}: "
            + "; ".join(f"{run}: {_points(points)}" for run, points in curves.items()),
            f"Pooled test score under {kind}, with 95 % intervals over speakers.",
            plots.robustness(dict(list(curves.items())[:SHOWN_RUNS]), clean, kind, score),
        )
        for kind, curves in kinds.items()
        if max(map(len, curves.values())) > 1
    ]
    header = ("model", "condition", f"{TITLES[score]} [95 % interval]", TITLES[SCORES[1]])
    table = Grid("Test scores under damage", header, tuple(lines))
    notes = [f"[{mark}] {said}." for mark, said in said_of]
    text = " ".join([*notes, _first_of(len(found))]).strip()
    return Section("robustness", "Robustness", text, (table,), tuple(made))


def _first_of(runs: int) -> str:
    """What is said where only the first runs are drawn."""
    return f"The plots show the first {SHOWN_RUNS} of {runs} runs." if runs > SHOWN_RUNS else ""


def _points(points: Sequence[tuple[float, float, Any]]) -> str:
    return ", ".join(f"{level:g} {value:.3f}" for level, value, _ in points)


def learning_section(runs: Sequence[Run]) -> Section:
    """Histories of every fold run."""
    made = []
    for number, run in enumerate(runs):
        monitor = str(run.recipe["training"]["monitor"])
        histories = {f"{u.fold}/{u.seed}": u.history for u in run.fold_runs}
        epochs = [len(history) for history in histories.values()]
        made.append(
            Plot(
                f"learning-{number + 1}",
                f"Learning curves of {run.title}: {min(epochs)} to {max(epochs)} epochs",
                "A line a fold run; the dot is the epoch that was kept, by its dev score.",
                diagrams.learning_curves(histories, monitor, run.title),
            )
        )
    return Section("learning", "Learning curves", plots=tuple(made))


def recipes_section(runs: Sequence[Run], command: str) -> Section:
    """Recipes and origins, folded."""
    details = [(f"Recipe of {run.title}", _yaml(run.recipe)) for run in runs]
    details += [(f"Origin of {run.title}", _yaml(run.info.to_json())) for run in runs]
    text = f"This page was made by: {command}" if command else ""
    return Section("recipes", "How to repeat it", text, details=tuple(details))


def _yaml(values: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True)
