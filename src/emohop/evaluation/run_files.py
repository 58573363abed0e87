"""The JSON files of a run folder, typed: `run.json`, `metrics.json`, `results.json`."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from emohop.documents import Block, Document
from emohop.evaluation.metrics import SCORES
from emohop.evaluation.reservations import Reservation

_AGAIN = "run its `emohop train` again to finish it"

Interval = tuple[float, float]
"""The two ends of a 95 % interval."""


def _has_scores(values: dict[str, int | float]) -> dict[str, int | float]:
    for name in ("n", *SCORES, "ece"):
        if name not in values:
            raise ValueError(f"{name} is missing")
    return values


Scores = Annotated[dict[str, int | float], AfterValidator(_has_scores)]
"""Scores of clips by name: n, the six of `metrics.SCORES`, ece, and votes_kl and votes_js where
raters' votes are known (docs/evaluation.md)."""


class RunInfo(Document):
    """`run.json`: the prepared corpus that a run belongs to."""

    remedy: ClassVar[str] = "choose a new run folder"

    version: Literal[1] = 1
    emohop: str
    """The version of emohop that began it."""
    data: str
    """The name of the prepared corpus's folder."""
    corpus: str
    """The corpus that was prepared."""
    class_set: str
    fingerprint: str
    """Of the prepared corpus's manifest."""
    clips_fingerprint: str
    """SHA-256 of `clips.csv`: equal for runs on the same clips, whatever their features."""


class FoldRunMetrics(Document):
    """`metrics.json`: the scores of one fold and seed."""

    remedy: ClassVar[str] = _AGAIN

    version: Literal[1] = 1
    dev: Scores
    test: Scores


class FoldRunScores(Block):
    """One fold and seed in `results.json`."""

    fold: int = Field(ge=0)
    seed: int = Field(ge=0)
    name: str
    """What the fold tests: a session, a speaker, or test."""
    dev: Scores
    test: Scores


class CalibrationScores(Block):
    """How far confidence is from accuracy."""

    temperature: float
    """The mean of those fitted on each fold's dev part."""
    ece: float
    """The expected calibration error of the pooled test predictions."""
    ece_calibrated: float
    """The same with each fold run's temperature."""


class VoteScores(Block):
    """The mean divergence of test predictions from the raters' votes, in nats."""

    kl: float
    js: float


class RunSummary(Block):
    """The scores of `results.json`: each fold run's, and those of the test part over all."""

    protocol: str
    class_set: str
    labels: tuple[str, ...]
    """The classes, in the order of the confusion matrices."""
    folds: tuple[int, ...]
    seeds: tuple[int, ...]
    speakers: int
    """Those that are known, of all test clips."""
    fold_runs: tuple[FoldRunScores, ...]
    mean: dict[str, float]
    """Of the fold runs' test scores."""
    std: dict[str, float | None]
    """Their standard deviation (n - 1 in the divisor); null for one fold run."""
    pooled: Scores
    """Of the test predictions of all fold runs together."""
    interval_95: dict[str, Interval | None]
    """Of `pooled`, over speakers; null where speakers are unknown or one."""
    calibration: CalibrationScores


class RunResults(RunSummary, Document):
    """`results.json`: what a run's complete fold runs come to.

    Example:
        >>> results = emohop.RunResults.read(Path("demo/runs/amh/results.json"))
        >>> results.model
        'amh-3 audio+text+video'
    """

    remedy: ClassVar[str] = _AGAIN

    version: Literal[3] = 3
    model: str
    """The model's title."""
    corpus: str
    votes: VoteScores | None = None
    """Null unless every test part has raters' votes."""
    reservations: tuple[Reservation, ...] = ()
    """What has to be said beside every number."""
    fingerprint: str
    clips_fingerprint: str
    emohop: str
    """The version of emohop that trained it."""
