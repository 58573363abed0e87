"""What trained models are worth on degraded clips and on recognised words."""

from __future__ import annotations

from emohop.robustness.evaluation import evaluate_damaged, modalities_of
from emohop.robustness.results import ConditionScores, RobustnessResults

__all__ = ["ConditionScores", "RobustnessResults", "evaluate_damaged", "modalities_of"]
