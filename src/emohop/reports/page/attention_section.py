"""The part of a report that shows attention weights in chosen test clips."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from emohop import load
from emohop.clips import Clip, Modality
from emohop.errors import EmohopError
from emohop.evaluation.runs import Run
from emohop.prediction.attention_maps import hops_of
from emohop.prediction.schema import ATTENTION_NOTE
from emohop.registry.models import MODELS, names_where
from emohop.reports.figures.attention import attention
from emohop.reports.figures.clip_media import seen_in_corpus
from emohop.reports.page.sections import SCORES, Plot, Section
from emohop.robustness.media import source_clips
from emohop.storage import open_prepared

CLIPS = 3


def attention_section(
    runs: Sequence[Run],
    prepared: str | Path | None,
    source: str | Path | None,
    clips: Sequence[str],
) -> Section | None:
    """Hops of the best run that attends, in `clips` or in a few telling ones."""
    hopping = [run for run in runs if MODELS[run.recipe["model"]["name"]].attends]
    if prepared is None or not hopping:
        if clips:
            raise EmohopError(
                f"--clips needs --prepared, and a run with attention: {names_where('attends')}"
            )
        return None
    corpus = open_prepared(prepared)
    run = max(hopping, key=lambda one: float(one.results.pooled[SCORES[1]]))
    if corpus.manifest.fingerprint != run.results.fingerprint:
        raise EmohopError(f"{prepared} is not the prepared corpus that {run.folder} was trained on")
    chosen = [_tested(run, name) for name in clips] or _telling(run)
    rows = {name: i for i, name in enumerate(corpus.metadata("id"))}
    media: dict[str, Clip] = {}
    if source is not None:
        numbers = [rows[name] for name, _ in chosen]
        clips_there = source_clips(corpus, Path(source), numbers)
        media = {clip.id: clip for clip in clips_there}
    made = []
    for number, (name, place) in enumerate(chosen):
        fold_run = run.fold_runs[place]
        predictor = load(fold_run.files.model_folder).adapted(corpus)
        row = corpus[rows[name]]
        (maps,) = predictor.attention_maps([row])
        test = fold_run.predictions.part("test")
        at = test.id.index(name)
        sure = float(test.probabilities[at].max())
        said = f"{name}: {test.label[at]}, predicted {test.predicted[at]} ({100 * sure:.0f} %)"
        words = (
            f"; words: {' '.join(row.text.tolist())}"
            if Modality.TEXT in predictor.preprocessor.max_length
            else ""
        )
        peaks = ", ".join(
            f"hop {k} {one.target} entropy {one.entropy:.2f}" for k, one in enumerate(maps, 1)
        )
        shown = seen_in_corpus(row, predictor, media.get(name))
        draw = attention(hops_of(maps, row, predictor.stacks, None), shown)
        made.append(Plot(f"attention-{number + 1}", f"{said}. {peaks}", f"{said}{words}", draw))
    return Section(
        "attention",
        "Where each hop looks",
        f"{run.title}, test clips. Bars: the weights of a hop over what it attends to, the highest "
        "drawn full; dotted is where all would be if attention were uniform. Entropy: 1 is "
        f"uniform, 0 one step. {ATTENTION_NOTE}",
        plots=tuple(made),
    )


def _tested(run: Run, name: str) -> tuple[str, int]:
    """The first fold run that tests a clip."""
    ids: list[str] = []
    for place, fold_run in enumerate(run.fold_runs):
        tested = fold_run.predictions.part("test").id
        if name in tested:
            return name, place
        ids += tested
    near = difflib.get_close_matches(name, ids, n=1, cutoff=0.0)[0]
    raise EmohopError(f"clip {name} is tested in no fold run of {run.folder}: did you mean {near}?")


def _telling(run: Run) -> list[tuple[str, int]]:
    """Of the first fold run: the surest right clip, the surest wrong one, the least sure one."""
    test = run.fold_runs[0].predictions.part("test")
    sure = test.probabilities.max(axis=1)
    right = np.array([a == b for a, b in zip(test.label, test.predicted, strict=True)])
    chosen = [int(np.argmin(sure))]
    for mask in (~right, right):
        if mask.any():
            chosen.insert(0, int(np.flatnonzero(mask)[np.argmax(sure[mask])]))
    return [(test.id[i], 0) for i in dict.fromkeys(chosen)][:CLIPS]
