"""Every setting, its default and its unit: the only place with defaults.

`--set model.audio.hidden=100` names a field by its path. Unknown names are refused with the nearest
known one. `recipes` reads settings from YAML.
"""

from __future__ import annotations

from emohop.config.features import (
    AudioFeatures,
    FeatureSettings,
    ModalityFeatures,
    TextFeatures,
    VideoFeatures,
)
from emohop.config.models import (
    EncoderSettings,
    ModelSettings,
    TextEncoderSettings,
    VideoEncoderSettings,
)
from emohop.config.recipe import EXPERIMENT_KEYS, Recipe, recipe_for_fold
from emohop.config.serving import ServingSettings
from emohop.config.settings import checked, flattened, put, settings_of
from emohop.config.training import FinetuningSettings, Standardisation, TrainingSettings

__all__ = [
    "EXPERIMENT_KEYS",
    "AudioFeatures",
    "EncoderSettings",
    "FeatureSettings",
    "FinetuningSettings",
    "ModalityFeatures",
    "ModelSettings",
    "Recipe",
    "ServingSettings",
    "Standardisation",
    "TextEncoderSettings",
    "TextFeatures",
    "TrainingSettings",
    "VideoEncoderSettings",
    "VideoFeatures",
    "checked",
    "flattened",
    "put",
    "recipe_for_fold",
    "settings_of",
]
