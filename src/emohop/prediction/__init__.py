"""A trained model's answers: of a clip, a recording, a stream."""

from __future__ import annotations

from emohop.prediction.attention_maps import AttentionMap
from emohop.prediction.inputs import Source
from emohop.prediction.predictor import Predictor
from emohop.prediction.schema import Hop, Prediction, Word
from emohop.prediction.streaming import Stream, Update

__all__ = ["AttentionMap", "Hop", "Prediction", "Predictor", "Source", "Stream", "Update", "Word"]
