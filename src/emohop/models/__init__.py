"""The family of models, built by name from settings and sizes."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from emohop.clips import MODALITIES, Modality
from emohop.config import ModelSettings
from emohop.errors import EmohopError
from emohop.models.baselines import SingleEncoder
from emohop.models.encoder import Sizes
from emohop.models.hopping import ModalityHopping

MODELS: dict[str, type[ModalityHopping] | type[SingleEncoder]] = {
    "amh": ModalityHopping,
    "are": SingleEncoder,
    "tre": SingleEncoder,
    "vre": SingleEncoder,
}


def build(settings: ModelSettings, sizes: Sizes) -> nn.Module:
    """A network with fresh weights, drawn from torch's global generator.

    Raises EmohopError when the settings do not fit each other or the data.
    """
    uses = settings.uses
    if settings.name == "amh" and len(uses) < 2:
        alone = {Modality.AUDIO: "are", Modality.TEXT: "tre", Modality.VIDEO: "vre"}
        hint = ", ".join(f"{name} sees {m} alone" for m, name in alone.items())
        raise EmohopError(f"amh hops between two or three of {_names(MODALITIES)}: {hint}")
    missing = [m for m in uses if m not in sizes.steps]
    if missing:
        raise EmohopError(
            f"{settings.title} needs {_names(missing)}, which the corpus was prepared without: "
            f"it has {_names(sizes.steps)}"
        )
    if settings.prosody and not sizes.prosody:
        raise EmohopError("model.prosody is on, but the corpus was prepared without prosody")
    return MODELS[settings.name](settings, sizes)


def _names(modalities: Iterable[Modality]) -> str:
    return ", ".join(str(m) for m in modalities)
