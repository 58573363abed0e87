"""One page of everything that runs came to: `emohop report`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from emohop import __version__
from emohop.config import ModelSettings
from emohop.errors import EmohopError
from emohop.evaluation.comparison import compare
from emohop.evaluation.run_folder import RunFolder
from emohop.evaluation.runs import Run, read_runs
from emohop.files import write_text
from emohop.reports.figures.theme import as_svg, save
from emohop.reports.page.attention_section import attention_section
from emohop.reports.page.sections import (
    Plot,
    Section,
    calibration_section,
    confusion_section,
    groups_section,
    hops_section,
    learning_section,
    recipes_section,
    robustness_section,
    scores_section,
)
from emohop.reports.terminal.comparison import pieces

FORMATS = ("pdf", "svg", "png")


@dataclass(frozen=True)
class Report:
    """What a page holds."""

    title: str
    facts: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    sections: tuple[Section, ...]


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

    `reference` is the run that others are compared with. `prepared` adds attention weights in
    test clips (`clips`, or some chosen here), `source`, the corpus's folder, their audio and
    frames; `command` says how to repeat the page. EmohopError for runs that cannot stand in one
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
    for run in runs:
        _check_whole(run)
    comparison = compare(runs, reference)
    first = runs[0]
    made: Iterable[Section | None] = (
        scores_section(comparison),
        hops_section(comparison, runs),
        confusion_section(runs),
        groups_section(runs),
        calibration_section(runs),
        robustness_section(runs),
        attention_section(runs, prepared, source, clips),
        learning_section(runs),
        recipes_section(runs, command),
    )
    facts = (
        ("protocol", f"{comparison.protocol}, {_count(len(comparison.folds), 'fold')}"),
        ("seeds", ", ".join(map(str, comparison.seeds))),
        ("class set", f"{comparison.class_set}: {', '.join(comparison.labels)}"),
        ("test clips", str(comparison.rows[0].clips)),
        ("speakers", str(first.results.speakers)),
        ("corpus", f"{first.results.corpus}, fingerprint {first.results.fingerprint[:12]}"),
        ("emohop", f"{first.results.emohop} trained, {__version__} made this page"),
    )
    names = [run.title for run in runs]
    title = names[0] if len(names) == 1 else f"{len(names)} runs"
    return Report(title, facts, comparison.said, tuple(part for part in made if part is not None))


def render(report: Report) -> str:
    """The page as HTML that needs nothing else."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    folder = resources.files("emohop.reports.page")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.from_string(folder.joinpath("page.html").read_text("utf-8"))

    def svg(plot: Plot) -> Markup:
        return Markup(as_svg(plot.draw, plot.name, plot.label))  # noqa: S704  escaped by as_svg

    style = Markup(folder.joinpath("page.css").read_text("utf-8"))  # noqa: S704  our own file
    return str(page.render(report=report, svg=svg, style=style, pieces=pieces))


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
        raise EmohopError("--source and --clips need --prepared: attention needs the features")
    if kind not in FORMATS:
        raise EmohopError(f"--format {kind!r}: one of {', '.join(FORMATS)}")


def _check_whole(run: Run) -> None:
    """EmohopError where a run's files lack what the page shows of them."""
    with _told(RunFolder(run.folder).recipe_file):
        model, monitor = run.recipe["model"], run.recipe["training"]["monitor"]
        ModelSettings.model_validate(model)
    for fold_run in run.fold_runs:
        with _told(fold_run.files.history_file):
            if not fold_run.history:
                raise ValueError("no epoch")
            for line in fold_run.history:
                line["epoch"], line["train_loss"], line["dev_loss"], line[f"dev_{monitor}"]
        _ = fold_run.model_config  # which says itself what is wrong with the file


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """What is wrong with a file's values, as one line."""
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        lines = str(error).splitlines()
        what = f"{type(error).__name__}: {lines[0] if lines else ''}"
        raise EmohopError(
            f"{path} is damaged, or of another version of emohop ({what}): run its `emohop train` "
            "again to finish it, or use the version that wrote it"
        ) from None


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"
