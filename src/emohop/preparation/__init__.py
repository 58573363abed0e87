"""A corpus folder becomes a prepared corpus."""

from __future__ import annotations

from emohop.preparation.prepare_corpus import PROBLEMS, Preparation, prepare
from emohop.preparation.work import Running

__all__ = ["PROBLEMS", "Preparation", "Running", "prepare"]
