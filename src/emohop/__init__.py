"""Speech emotion recognition from voice, words and face by attentive modality hopping.

Everything that users import is here (docs/api.md lists it); it is loaded when it is first used, so
that `import emohop` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emohop.errors import EmohopError

if TYPE_CHECKING:
    from emohop.clips import Clip, LabelSet, Modality, Span
    from emohop.config import FeatureSettings, ModelSettings, Recipe
    from emohop.corpora import check as check_corpus
    from emohop.corpora import read as read_corpus
    from emohop.evaluation.run_files import RunResults
    from emohop.features.encoder import FeatureEncoder
    from emohop.model_config import InputDims
    from emohop.models import build as build_model
    from emohop.models.batch import Batch, Hop, Output
    from emohop.models.encoder import Encoders, InputLayer
    from emohop.models.published import load_published
    from emohop.prediction import Prediction, Predictor
    from emohop.preparation import prepare
    from emohop.recipes import make_recipe
    from emohop.registry.corpora import CORPORA, CorpusSpec
    from emohop.registry.features import FEATURES, FeatureSpec
    from emohop.registry.models import MODELS, ModelSpec
    from emohop.storage import PreparedCorpus, open_prepared
    from emohop.training.run import train

__version__ = "0.1.0"
__all__ = [
    "CORPORA",
    "FEATURES",
    "MODELS",
    "Batch",
    "Clip",
    "CorpusSpec",
    "EmohopError",
    "Encoders",
    "FeatureEncoder",
    "FeatureSettings",
    "FeatureSpec",
    "Hop",
    "InputDims",
    "InputLayer",
    "LabelSet",
    "Modality",
    "ModelSettings",
    "ModelSpec",
    "Output",
    "Prediction",
    "Predictor",
    "PreparedCorpus",
    "Recipe",
    "RunResults",
    "Span",
    "__version__",
    "build_model",
    "check_corpus",
    "load",
    "load_published",
    "make_recipe",
    "open_prepared",
    "prepare",
    "read_corpus",
    "train",
]

_HOMES = {
    "clips": ("Clip", "LabelSet", "Modality", "Span"),
    "config": ("FeatureSettings", "ModelSettings", "Recipe"),
    "corpora": ("check_corpus", "read_corpus"),
    "evaluation.run_files": ("RunResults",),
    "features.encoder": ("FeatureEncoder",),
    "model_config": ("InputDims",),
    "models": ("build_model",),
    "models.batch": ("Batch", "Hop", "Output"),
    "models.encoder": ("Encoders", "InputLayer"),
    "models.published": ("load_published",),
    "prediction": ("Prediction", "Predictor"),
    "preparation": ("prepare",),
    "recipes": ("make_recipe",),
    "registry.corpora": ("CORPORA", "CorpusSpec"),
    "registry.features": ("FEATURES", "FeatureSpec"),
    "registry.models": ("MODELS", "ModelSpec"),
    "storage": ("PreparedCorpus", "open_prepared"),
    "training.run": ("train",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}
_CALLED_THERE = {"build_model": "build", "check_corpus": "check", "read_corpus": "read"}


def load(folder: str | Path) -> Predictor:
    """The trained model in a model folder, such as `RUN/fold-0/seed-0/model`.

    Raises:
        EmohopError: the folder is not a model folder, is damaged or newer, or needs a plug-in.

    Example:
        >>> model = emohop.load("demo/runs/amh/fold-1/seed-0/model")
        >>> model.settings.title
        'amh-3 audio+text+video'
    """
    from emohop.prediction import Predictor

    return Predictor.load(folder)


def __getattr__(name: str) -> Any:
    """What is imported late, by its name here."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'emohop' has no attribute {name!r}")
    found = getattr(import_module(f"emohop.{_HOME_OF[name]}"), _CALLED_THERE.get(name, name))
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
