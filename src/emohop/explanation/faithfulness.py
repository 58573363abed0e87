"""Whether attention tells what a model goes by: removal of steps, no attention, other seeds.

Attention is not by itself an explanation (Jain and Wallace 2019; Wiegreffe and Pinter 2019). What
is measured here is how faithful its weights are to one model, not whether they please.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emohop import processes
from emohop.errors import EmohopError
from emohop.evaluation.metrics import metrics
from emohop.evaluation.run_files import Interval
from emohop.evaluation.significance import mean_interval, paired_differences
from emohop.explanation.agreement import agreement, entropies
from emohop.explanation.curves import ORDERS, SHARES, Curves, curves_of
from emohop.explanation.results import (
    Area,
    Deletion,
    DeletionCurve,
    ExplanationResults,
    Uniform,
    UniformScore,
)
from emohop.models.inference import BATCH_SIZE
from emohop.prediction import AttentionMap, Predictor
from emohop.registry.models import names_where
from emohop.robustness.targets import EvaluationTarget, models_of, reservations_of, targets_of
from emohop.storage import PreparedCorpus, open_prepared

DRAWS = 5
"""Random orders whose mean attention is compared with."""


@dataclass(frozen=True)
class _Task:
    folder: Path
    corpus: Path
    rows: tuple[int, ...]
    draws: int
    seed: int


@dataclass(frozen=True)
class _Part:
    """What was found of some clips of a fold run."""

    ids: tuple[str, ...]
    speakers: tuple[str | None, ...]
    classes: NDArray[np.int64]
    curves: Curves
    maps: tuple[tuple[AttentionMap, ...], ...]


def explain(
    model: str | Path,
    corpus: PreparedCorpus,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    jobs: int = 1,
    include_seen: bool = False,
    progress: processes.Progress | None = None,
) -> ExplanationResults:
    """Check the attention of a model, or of all fold runs of a run, on the clips that test them.

    Each fold run is judged by its own test part (of another corpus by the clips that it has not
    learned from; by all, to `include_seen`), and the clips of all are pooled; docs/explaining.md
    has what each number is. The result
    depends on the seed and not on `jobs`. EmohopError for a model without attention weights.
    """
    if draws < 1:
        raise EmohopError(f"draws = {draws}: of random orders there must be 1 or more")
    folders = models_of(Path(model))
    targets = targets_of(model, corpus, include_seen=include_seen)
    for target in targets:
        _check_attends(target, corpus)
    tasks = [
        _Task(folder, Path(corpus.folder), target.rows[first : first + BATCH_SIZE], draws, seed)
        for folder, target in zip(folders, targets, strict=True)
        for first in range(0, len(target.rows), BATCH_SIZE)
    ]
    parts: dict[int, _Part] = {}
    total = sum(len(task.rows) for task in tasks)
    for number, part in processes.run(_explained, tasks, jobs):
        parts[number] = part
        if progress is not None:
            progress(sum(len(one.ids) for one in parts.values()), total)
    ordered = [parts[number] for number in range(len(tasks))]
    maps: dict[Path, dict[str, tuple[AttentionMap, ...]]] = {folder: {} for folder in folders}
    for task, part in zip(tasks, ordered, strict=True):
        maps[task.folder].update(zip(part.ids, part.maps, strict=True))
    folds: dict[tuple[int, ...], list[dict[str, tuple[AttentionMap, ...]]]] = {}
    for folder, target in zip(folders, targets, strict=True):
        folds.setdefault(target.rows, []).append(maps[folder])
    return ExplanationResults(
        model=targets[0].predictor.settings.title,
        fold_runs=len(targets),
        clips=total,
        speakers=len({name for part in ordered for name in part.speakers} - {None}),
        draws=draws,
        seed=seed,
        shares=tuple(SHARES),
        deletion=tuple(_deletion(ordered)),
        uniform=_uniform(ordered),
        agreement=tuple(agreement(list(folds.values()), seed)),
        entropy=tuple(entropies(list(maps.values()))),
        reservations=reservations_of(targets),
    )


def _check_attends(target: EvaluationTarget, corpus: PreparedCorpus) -> None:
    if target.predictor.exported:
        raise EmohopError(
            "an exported model has no gradients to compare its attention with: give the model "
            "folder that it was made from"
        )
    if not target.predictor.attention_maps([corpus[target.rows[0]]])[0]:
        raise EmohopError(
            f"{target.predictor.settings.title} has no attention weights over steps, so there is "
            f"nothing to check: take a model that has, {names_where('attends')}"
        )


def _explained(task: _Task) -> _Part:
    """One batch of a fold run's clips, in a process of its own perhaps."""
    corpus = open_prepared(task.corpus)
    predictor = Predictor.load(task.folder).adapted(corpus)
    rows = [corpus[i] for i in task.rows]
    batch = predictor.preprocessor.batch(rows)
    stacks = {m: predictor.settings.encoder(m).stack_frames for m in batch.sequences}
    if batch.classes is None:
        raise ValueError("the clips of a prepared corpus have classes")
    return _Part(
        batch.ids,
        tuple(row.speaker for row in rows),
        batch.classes.numpy(),
        curves_of(predictor.network, batch, stacks, task.draws, task.seed),
        tuple(predictor.attention_maps(rows)),
    )


def _deletion(parts: Sequence[_Part]) -> list[Deletion]:
    """Curves and the areas under them, of the clips that have a step to remove."""
    speakers = np.array([name for part in parts for name in part.speakers], dtype=object)
    found = []
    for target in parts[0].curves.likely:
        steps = np.concatenate([part.curves.steps[target] for part in parts])
        some = steps > 0
        if not some.any():
            continue
        likely, right = (
            np.concatenate([curves[target] for curves in sides], axis=-1)[..., some]
            for sides in (
                [part.curves.likely for part in parts],
                [part.curves.right for part in parts],
            )
        )
        areas = (likely[:, 1:] + likely[:, :-1]).sum(1) / 2 / (len(SHARES) - 1)
        area = dict(zip(ORDERS, areas, strict=True))
        who = speakers[some].tolist()
        curves = {
            order: DeletionCurve(
                **dict(_area(area[order], who)),
                probability=tuple(likely[number].mean(-1).tolist()),
                accuracy=tuple(right[number].mean(-1).tolist()),
            )
            for number, order in enumerate(ORDERS)
        }
        differences = {
            f"{one}-{other}": _area(area[one] - area[other], who)
            for one, other in (("attention", "random"), ("gradient", "random"),
                               ("attention", "gradient"))
        }  # fmt: skip
        found.append(
            Deletion(
                target=target,
                clips=int(some.sum()),
                steps=float(steps[some].mean()),
                curves=curves,
                differences=differences,
            )
        )
    return found


def _area(values: NDArray[np.float64], speakers: Sequence[str | None]) -> Area:
    """The mean of clips' areas, and its interval where there are speakers to draw."""
    interval = None
    if _drawable(speakers):
        interval = mean_interval(values, speakers)
    return Area(area=float(values.mean()), interval_95=interval)


def _uniform(parts: Sequence[_Part]) -> Uniform:
    """What changes when every step is attended to alike."""
    true = np.concatenate([part.classes for part in parts])
    before, after = (
        np.concatenate(tables)
        for tables in ([p.curves.before for p in parts], [p.curves.uniform for p in parts])
    )
    speakers = [name for part in parts for name in part.speakers]
    scores = {"trained": metrics(true, before), "uniform": metrics(true, after)}
    first, second = before.argmax(1), after.argmax(1)
    intervals: dict[str, Interval] = {}
    if _drawable(speakers):
        gaps = paired_differences(true, first, second, speakers, before.shape[1])
        intervals = {name: (gap.low, gap.high) for name, gap in gaps.items()}
    kept = {
        name: UniformScore(
            trained=scores["trained"][name],
            uniform=scores["uniform"][name],
            change=scores["uniform"][name] - scores["trained"][name],
            interval_95=intervals.get(name),
        )
        for name in ("accuracy", "balanced_accuracy")
    }
    return Uniform(
        **kept,
        agreement=float((first == second).mean()),
        distance=float(np.abs(before - after).sum(1).mean() / 2),
    )


def _drawable(speakers: Iterable[str | None]) -> bool:
    names = set(speakers)
    return None not in names and len(names) > 1
