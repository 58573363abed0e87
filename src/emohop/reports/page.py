"""One page of everything that runs came to: `emohop report`."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from emohop import __version__, load
from emohop.config import HOPPING, ModelSettings
from emohop.errors import EmohopError
from emohop.evaluation.calibration import apply_temperature, reliability
from emohop.evaluation.comparison import Comparison, compare
from emohop.evaluation.metrics import TITLES, confusion_matrix
from emohop.evaluation.runs import Run, read_runs
from emohop.files import write_text
from emohop.reports import diagrams, plots
from emohop.reports.comparison import Grid, grids, pieces
from emohop.reports.theme import Draw, as_svg, save
from emohop.storage import open_prepared

SCORES = ("accuracy", "balanced_accuracy")
GROUPS = ("fold", "speaker", "gender")
SHOWN_RUNS = 8
"""Runs in one plot; more could not be told apart."""
CLIPS = 3
FORMATS = ("pdf", "svg", "png")


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


@dataclass(frozen=True)
class Report:
    """What a page holds."""

    title: str
    facts: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    sections: tuple[Section, ...] = field(default_factory=tuple)


def write_report(
    folders: Sequence[str | Path],
    out: str | Path,
    *,
    prepared: str | Path | None = None,
    source: str | Path | None = None,
    clips: Sequence[str] = (),
    figures: str | Path | None = None,
    kind: str = "pdf",
    reference: str | None = None,
    command: str = "",
) -> Report:
    """Write the page of runs to `out`, and with `figures` its plots as files of `kind` there.

    `reference` is the run that others are compared with. `prepared` adds where each hop looked in
    test clips (`clips`, or some chosen here), `source`, the corpus's folder, their sound and
    pictures; `command` says how to repeat the page. EmohopError for runs that cannot stand in one
    table and for clips that are not tested.
    """
    out = Path(out)
    _check_places(out, prepared, source, clips, kind)
    report = make_report(read_runs(folders), prepared, source, clips, reference, command)
    if figures is not None:
        folder = Path(figures)
        folder.mkdir(parents=True, exist_ok=True)
        for plot in (plot for section in report.sections for plot in section.plots):
            save(plot.draw, folder / f"{plot.name}.{kind}")
    write_text(out, render(report))
    return report


def make_report(
    runs: Sequence[Run],
    prepared: str | Path | None = None,
    source: str | Path | None = None,
    clips: Sequence[str] = (),
    reference: str | None = None,
    command: str = "",
) -> Report:
    """The page's parts, those that the runs have something for."""
    comparison = compare(runs, reference)
    first = runs[0]
    shown = runs[:SHOWN_RUNS]
    made: Iterable[Section | None] = (
        _scores(comparison),
        _hops(comparison, runs),
        _confusions(runs),
        _by_group(shown),
        _calibration(runs),
        _robustness(runs),
        _attention(runs, prepared, source, clips),
        _learning(runs),
        _recipes(runs, command),
    )
    facts = (
        ("protocol", f"{comparison.protocol}, {_count(len(comparison.folds), 'fold')}"),
        ("seeds", ", ".join(map(str, comparison.seeds))),
        ("class set", f"{comparison.class_set}: {', '.join(comparison.labels)}"),
        ("test clips", str(comparison.rows[0].clips)),
        ("speakers", str(first.results["speakers"])),
        ("corpus", f"{first.results['corpus']}, fingerprint {first.results['fingerprint'][:12]}"),
        ("emohop", f"{first.results['emohop']} trained, {__version__} made this page"),
    )
    names = [run.title for run in runs]
    title = names[0] if len(names) == 1 else f"{len(names)} runs"
    return Report(title, facts, comparison.notes, tuple(part for part in made if part is not None))


def render(report: Report) -> str:
    """The page as HTML that needs nothing else."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    folder = resources.files("emohop.reports")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.from_string(folder.joinpath("page.html").read_text("utf-8"))

    def svg(plot: Plot) -> Markup:
        return Markup(as_svg(plot.draw, plot.name, plot.label))  # noqa: S704  escaped by as_svg

    style = Markup(folder.joinpath("page.css").read_text("utf-8"))  # noqa: S704  our own file
    return str(page.render(report=report, svg=svg, style=style, pieces=pieces))


def _scores(comparison: Comparison) -> Section:
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


def _hops(comparison: Comparison, runs: Sequence[Run]) -> Section | None:
    """Curves of runs that differ in hops alone."""
    alike: dict[str, list[tuple[int, int]]] = {}
    for place, run in enumerate(runs):
        model = {**run.recipe["model"]}
        if model["name"] in HOPPING:
            hops = int(model.pop("hops"))
            rest = {key: value for key, value in run.recipe.items() if key != "model"}
            key = yaml.safe_dump([model, rest], sort_keys=True)
            alike.setdefault(key, []).append((hops, place))
    made = []
    for score in SCORES:
        curves = {}
        for found in alike.values():
            if len(found) > 1:
                rows = [(hops, comparison.rows[place]) for hops, place in sorted(found)]
                settings = ModelSettings.model_validate(runs[found[0][1]].recipe["model"])
                name = f"{settings.name} {'+'.join(m.value for m in settings.uses)}"
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


def _confusions(runs: Sequence[Run]) -> Section:
    made = []
    for number, run in enumerate(runs):
        parts = [unit.predictions.part("test") for unit in run.units]
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
        "What is taken for what",
        "Each line holds the test clips of one true class: which share of them, and how many, were "
        "called what. The diagonal is right.",
        plots=tuple(made),
    )


def _by_group(runs: Sequence[Run]) -> Section:
    made = []
    for group in GROUPS:
        scores = {run.title: _accuracy_by(run, group) for run in runs}
        if len({name for found in scores.values() for name in found}) < 2:
            continue
        wholes = {run.title: run.results["pooled"]["accuracy"] for run in runs}
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
    return Section("groups", "Who is understood", plots=tuple(made))


def _accuracy_by(run: Run, group: str) -> dict[str, float]:
    hits: dict[str, list[bool]] = {}
    for unit in run.units:
        test = unit.predictions.part("test")
        for name, speaker, label, said in zip(
            test.id, test.speaker, test.label, test.predicted, strict=True
        ):
            clip = run.clips.get(name, {})
            key = {"fold": unit.name, "speaker": speaker, "gender": clip.get("gender")}[group]
            if key:
                hits.setdefault(key, []).append(label == said)
    return {name: float(np.mean(found)) for name, found in sorted(hits.items())}


def _calibration(runs: Sequence[Run]) -> Section:
    made = []
    for number, run in enumerate(runs):
        raw, better, true = [], [], []
        for unit in run.units:
            test = unit.predictions.part("test")
            heat = float(unit.card["calibration"]["temperature"])
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
        "What confidence is worth",
        "A point is a bin of test clips of like confidence, as large as their share. On the line, "
        "confidence is accuracy; below it, the model is too sure. The temperature of each unit was "
        "fitted on its dev part.",
        plots=tuple(made),
    )


def _robustness(runs: Sequence[Run]) -> Section | None:
    from emohop.robustness import ROBUSTNESS, read_robustness

    found = {
        run.title: read_robustness(run.folder / ROBUSTNESS)
        for run in runs
        if (run.folder / ROBUSTNESS).exists()
    }
    if not found:
        return None
    score = SCORES[0]
    kinds: dict[str, dict[str, list[tuple[float, float, plots.Interval | None]]]] = {}
    lines = []
    for title, conditions in found.items():
        for one in conditions:
            ends = one["interval_95"][score]
            interval = None if ends is None else (float(ends[0]), float(ends[1]))
            value = float(one["metrics"][score])
            said = "" if interval is None else f" [{interval[0]:.3f}, {interval[1]:.3f}]"
            other = f"{one['metrics'][SCORES[1]]:.3f}"
            lines.append((title, str(one["name"]), f"{value:.3f}{said}", other))
            if one["level"] is not None:
                curve = kinds.setdefault(str(one["kind"]), {}).setdefault(title, [])
                curve.append((float(one["level"]), value, interval))
    clean = {title: float(parts[0]["metrics"][score]) for title, parts in found.items()}
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
    return Section("robustness", "Under damage", "", (table,), tuple(made))


def _points(points: Sequence[tuple[float, float, Any]]) -> str:
    return ", ".join(f"{level:g} {value:.3f}" for level, value, _ in points)


def _attention(
    runs: Sequence[Run],
    prepared: str | Path | None,
    source: str | Path | None,
    clips: Sequence[str],
) -> Section | None:
    hopping = [run for run in runs if run.recipe["model"]["name"] in (*HOPPING, "mdrea")]
    if prepared is None or not hopping:
        if clips:
            raise EmohopError("--clips needs --prepared, and a run with attention: amh, mha, mdrea")
        return None
    from emohop.reports.attention import attention, media_of, seen

    corpus = open_prepared(prepared)
    run = max(hopping, key=lambda one: float(one.results["pooled"][SCORES[1]]))
    if corpus.manifest.fingerprint != run.results["fingerprint"]:
        raise EmohopError(f"{prepared} is not the prepared corpus that {run.folder} was trained on")
    chosen = [_tested(run, name) for name in clips] or _telling(run)
    media = {}
    if source is not None:
        media = media_of(corpus.manifest.corpus, Path(source), [name for name, _ in chosen])
    rows = {name: i for i, name in enumerate(corpus.facts("id"))}
    made = []
    for number, (name, place) in enumerate(chosen):
        unit = run.units[place]
        predictor = load(unit.folder / "model")
        row = corpus[rows[name]]
        (looks,) = predictor.looks([row])
        test = unit.predictions.part("test")
        at = test.id.index(name)
        sure = float(test.probabilities[at].max())
        said = f"{name}: {test.label[at]}, predicted {test.predicted[at]} ({100 * sure:.0f} %)"
        words = f"; words: {' '.join(row.text.tolist())}" if predictor.inputs.vocabulary else ""
        peaks = ", ".join(
            f"hop {k} {look.target} entropy {look.entropy:.2f}" for k, look in enumerate(looks, 1)
        )
        shown = seen(row, predictor, media.get(name))
        draw = attention(looks, shown, predictor)
        made.append(Plot(f"attention-{number + 1}", f"{said}. {peaks}", f"{said}{words}", draw))
    return Section(
        "attention",
        "Where each hop looked",
        f"{run.title}, test clips. Orange: the weights of a hop over what it attends to, the "
        "highest drawn full. The number is the entropy of the weights: 1 is everywhere alike, 0 "
        "one step. Attention is not by itself an explanation of the answer (Jain and Wallace 2019; "
        "Wiegreffe and Pinter 2019).",
        plots=tuple(made),
    )


def _tested(run: Run, name: str) -> tuple[str, int]:
    """The first unit that tests a clip."""
    ids: list[str] = []
    for place, unit in enumerate(run.units):
        tested = unit.predictions.part("test").id
        if name in tested:
            return name, place
        ids += tested
    near = difflib.get_close_matches(name, ids, n=1, cutoff=0.0)[0]
    raise EmohopError(f"clip {name} is tested in no unit of {run.folder}: did you mean {near}?")


def _telling(run: Run) -> list[tuple[str, int]]:
    """Of the first unit: the surest right clip, the surest wrong one, the least sure one."""
    test = run.units[0].predictions.part("test")
    sure = test.probabilities.max(axis=1)
    right = np.array([a == b for a, b in zip(test.label, test.predicted, strict=True)])
    chosen = [int(np.argmin(sure))]
    for mask in (~right, right):
        if mask.any():
            chosen.insert(0, int(np.flatnonzero(mask)[np.argmax(sure[mask])]))
    return [(test.id[i], 0) for i in dict.fromkeys(chosen)][:CLIPS]


def _learning(runs: Sequence[Run]) -> Section:
    made = []
    for number, run in enumerate(runs):
        select = str(run.recipe["training"]["select"])
        histories = {f"{u.fold}/{u.seed}": u.history for u in run.units}
        epochs = [len(history) for history in histories.values()]
        made.append(
            Plot(
                f"learning-{number + 1}",
                f"Learning curves of {run.title}: {min(epochs)} to {max(epochs)} epochs",
                "A line a unit; the dot is the epoch that was kept, by its dev score.",
                diagrams.learning_curves(histories, select, run.title),
            )
        )
    return Section("learning", "How training went", plots=tuple(made))


def _recipes(runs: Sequence[Run], command: str) -> Section:
    details = [(f"Recipe of {run.title}", _yaml(run.recipe)) for run in runs]
    details += [(f"Origin of {run.title}", _yaml(run.facts)) for run in runs]
    text = f"This page was made by: {command}" if command else ""
    return Section("recipes", "How to repeat it", text, details=tuple(details))


def _yaml(values: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True)


def _check_places(
    out: Path,
    prepared: str | Path | None,
    source: str | Path | None,
    clips: Sequence[str],
    kind: str,
) -> None:
    if out.suffix != ".html":
        raise EmohopError(f"the page is the last word and ends in .html, not {out}")
    if out.is_dir() or not out.parent.is_dir():
        raise EmohopError(f"{out}: give a file in a folder that is there")
    if prepared is None and (source is not None or clips):
        raise EmohopError(
            "--source and --clips need --prepared: where hops look is in the features"
        )
    if kind not in FORMATS:
        raise EmohopError(f"--format {kind!r}: one of {', '.join(FORMATS)}")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"
