"""What trained models are worth on degraded clips and on recognised words."""

from __future__ import annotations

from emohop.robustness.evaluation import (
    ROBUSTNESS,
    evaluate_damaged,
    modalities_of,
    read_robustness,
)

__all__ = ["ROBUSTNESS", "evaluate_damaged", "modalities_of", "read_robustness"]
