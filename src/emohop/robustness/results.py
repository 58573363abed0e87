"""`robustness.json`: test scores on degraded clips, or on recognised words."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from emohop.documents import Block, Document
from emohop.evaluation.reservations import Reservation
from emohop.evaluation.run_files import Interval, Scores


class ConditionScores(Block):
    """The scores of all fold runs' test clips together under one condition."""

    name: str
    """clean, a condition as `--degrade` takes it, or asr:MODEL."""
    metrics: Scores
    interval_95: dict[str, Interval | None]
    """Over speakers; null where they are unknown or one."""
    kind: str = Field(pattern="^[a-z:+]+$")
    """clean, asr, or what the condition changes: noise, words, missing, ..."""
    level: float | None = None
    """How much, in the kind's own unit; null for none or several."""
    source: str | None = None
    """SHA-256 of the files that were degraded: names, sizes, times; null where none were read."""
    wer: float | None = None
    """The word error rate of recognised words."""


class RobustnessResults(Document):
    """`robustness.json`, whether clips were degraded or their words recognised."""

    remedy: ClassVar[str] = "delete it and run `emohop evaluate` with --degrade or --asr again"

    version: Literal[2] = 2
    fingerprint: str
    """SHA-256 of what the numbers depend on: the clips, their features, the weights."""
    clips: int
    """Test clips of all fold runs."""
    conditions: tuple[ConditionScores, ...]
    reservations: tuple[Reservation, ...] = ()
    """What has to be said of these scores."""

    @model_validator(mode="after")
    def _with_clean(self) -> RobustnessResults:
        if "clean" not in (one.name for one in self.conditions):
            raise ValueError("conditions: none is called clean")
        return self

    def ordered(self) -> list[ConditionScores]:
        """The conditions, clean first."""
        return sorted(self.conditions, key=lambda one: one.name != "clean")
