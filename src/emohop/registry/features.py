"""The feature encoders: what turns a clip's audio, text or video into numbers."""

from __future__ import annotations

from dataclasses import dataclass

from emohop.clips import Modality
from emohop.registry.core import Reference, Registry


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """A feature encoder, or a family of pretrained ones.

    `load(settings, device)` takes the settings of its modality (`config.AudioFeatures`, say) and a
    device that is there, and gives a `features.encoding.FeatureEncoder`.

    Example:
        >>> emohop.FEATURES["hog"].options
        ('crop', 'frames_per_second')
    """

    name: str
    modality: Modality
    load: Reference
    summary: str
    """One line of what it computes."""
    paper: str = ""
    options: tuple[str, ...] = ()
    """The settings of its modality that it has, beside its name."""
    family: bool = False
    """A pretrained model by short name, hub name or folder; `name` stands for all of them."""


_FRAMES = ("crop", "frames_per_second")

FEATURES: Registry[FeatureSpec] = Registry(
    "feature encoder",
    "emohop.features",
    (
        FeatureSpec(
            "mfcc120",
            Modality.AUDIO,
            "emohop.features.audio:load_mfcc120",
            "Kaldi MFCC with 40 coefficients and both differences, a frame every 10 ms",
            "Yoon et al. 2020",
        ),
        FeatureSpec(
            "mfcc39",
            Modality.AUDIO,
            "emohop.features.audio:load_mfcc39",
            "openSMILE's MFCC_E_D_A: 12 coefficients, energy and both differences",
            "Yoon et al. 2018",
        ),
        FeatureSpec(
            "speech model",
            Modality.AUDIO,
            "emohop.features.speech:load",
            "hidden states of a Hugging Face speech model",
            options=("layer", "pool"),
            family=True,
        ),
        FeatureSpec(
            "words",
            Modality.TEXT,
            "emohop.features.text:load_words",
            "lower-case tokens, whose vectors are trained with the model",
            options=("context",),
        ),
        FeatureSpec(
            "language model",
            Modality.TEXT,
            "emohop.features.language:load",
            "hidden states of a Hugging Face language model, a vector per word",
            options=("layer", "context"),
            family=True,
        ),
        FeatureSpec(
            "hog",
            Modality.VIDEO,
            "emohop.features.images:load_hog",
            "histograms of oriented gradients, without weights",
            "Dalal and Triggs 2005",
            options=_FRAMES,
        ),
        FeatureSpec(
            "image or video model",
            Modality.VIDEO,
            "emohop.features.images:load_pretrained",
            "a Hugging Face image or video model, a vector per frame or stretch of frames",
            options=("layer", *_FRAMES),
            family=True,
        ),
    ),
)


def feature_names(modality: Modality) -> tuple[str, ...]:
    """The encoders of a modality that ship and have a name of their own."""
    specs = FEATURES.shipped.values()
    return tuple(s.name for s in specs if s.modality is modality and not s.family)


def family_of(modality: Modality) -> FeatureSpec:
    """The pretrained encoders of a modality."""
    (found,) = (s for s in FEATURES.shipped.values() if s.modality is modality and s.family)
    return found
