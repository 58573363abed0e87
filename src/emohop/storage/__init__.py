"""Prepared corpora on disk."""

from __future__ import annotations

from emohop.storage.prepared import PreparedCorpus, open_prepared
from emohop.storage.reader import Row

__all__ = ["PreparedCorpus", "Row", "open_prepared"]
