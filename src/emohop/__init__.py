"""Speech emotion recognition from voice, words and face by attentive modality hopping."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from emohop.errors import EmohopError

if TYPE_CHECKING:
    from emohop.prediction import Predictor

__version__ = "0.1.0"
__all__ = ["EmohopError", "__version__", "load"]


def load(folder: str | Path) -> Predictor:
    """The trained model in a model folder, such as `RUN/fold-0/seed-0/model`."""
    from emohop.prediction import Predictor

    return Predictor.load(folder)
