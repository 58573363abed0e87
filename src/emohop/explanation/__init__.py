"""Whether attention tells what a model goes by."""

from __future__ import annotations

from emohop.explanation.faithfulness import DRAWS, explain

__all__ = ["DRAWS", "explain"]
