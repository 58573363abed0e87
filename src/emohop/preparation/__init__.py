"""A corpus folder becomes a prepared corpus."""

from __future__ import annotations

from emohop.preparation.prepare_corpus import (
    COPIES,
    NOTES,
    PROBLEMS,
    Preparation,
    compare,
    prepare,
)
from emohop.preparation.work import Running

__all__ = ["COPIES", "NOTES", "PROBLEMS", "Preparation", "Running", "compare", "prepare"]
