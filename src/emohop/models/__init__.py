"""The family of models, built by name from settings and sizes."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from torch import nn

from emohop.clips import MODALITIES, Modality
from emohop.config import ALONE, ModelSettings
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

    Raises EmohopError as `check` does.
    """
    check(settings, sizes.steps, prosody=sizes.prosody > 0)
    return MODELS[settings.name](settings, sizes)


def check(settings: ModelSettings, modalities: Collection[Modality], *, prosody: bool) -> None:
    """EmohopError unless the settings fit each other and a corpus with these modalities."""
    uses = settings.uses
    if settings.name == "amh" and len(uses) < 2:
        hint = ", ".join(f"{name} sees {m} alone" for name, m in ALONE.items())
        raise EmohopError(f"amh hops between two or three of {_names(MODALITIES)}: {hint}")
    missing = [m for m in uses if m not in modalities]
    if missing:
        raise EmohopError(
            f"{settings.title} needs {_names(missing)}, which the corpus was prepared without: "
            f"it has {_names(modalities)}"
        )
    if settings.prosody and not prosody:
        raise EmohopError("model.prosody is on, but the corpus was prepared without prosody")


def _names(modalities: Iterable[Modality]) -> str:
    return ", ".join(str(m) for m in modalities)
