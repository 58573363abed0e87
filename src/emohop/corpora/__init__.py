"""Corpora: one reader for each, found by name; its module is imported when it is used."""

from __future__ import annotations

from emohop.corpora.reading import check, class_set, read

__all__ = ["check", "class_set", "read"]
