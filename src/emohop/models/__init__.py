"""The family of models, built by name from settings and sizes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from torch import nn

from emohop.clips import Modality
from emohop.config import ALONE, PAIRED, POOLED, ModelSettings
from emohop.errors import EmohopError
from emohop.model_config import Sizes
from emohop.models.baselines import DualEncoder, SingleEncoder
from emohop.models.cross_modal import CrossModal
from emohop.models.gated import GatedFusion
from emohop.models.hopping import DualAttention, ModalityHopping, MultiHop
from emohop.models.late import LateFusion
from emohop.models.low_rank import LowRankFusion
from emohop.models.pooling import AttentivePooling, StatisticsPooling

MODELS: dict[str, Callable[[ModelSettings, Sizes], nn.Module]] = {
    "amh": ModalityHopping,
    "mha": MultiHop,
    "mdrea": DualAttention,
    "mdre": DualEncoder,
    "are": SingleEncoder,
    "tre": SingleEncoder,
    "vre": SingleEncoder,
    "stats": StatisticsPooling,
    "sap": AttentivePooling,
    "gated": GatedFusion,
    "lmf": LowRankFusion,
    "mult": CrossModal,
    "late": LateFusion,
}


def build(settings: ModelSettings, sizes: Sizes) -> nn.Module:
    """A network with fresh weights, drawn from torch's global generator.

    Raises EmohopError as `check` does.
    """
    check(settings, sizes.steps, prosody=sizes.prosody > 0)
    return MODELS[settings.name](settings, sizes)


def check(settings: ModelSettings, modalities: Collection[Modality], *, prosody: bool) -> None:
    """EmohopError unless the settings fit each other and a corpus with these modalities."""
    name, uses = settings.name, settings.uses
    if name not in (*ALONE, *POOLED) and len(uses) < 2:
        hint = ", ".join(f"{alone} sees {m} alone" for alone, m in ALONE.items())
        raise EmohopError(f"{name} needs two modalities or more, not {_names(uses)} alone: {hint}")
    if name in PAIRED and len(uses) > 2:
        raise EmohopError(
            f"{name} is between two modalities, not {_names(uses)}: choose with "
            "model.modalities=audio,text"
        )
    if set(settings.attended) != set(uses):
        raise EmohopError(
            f"model.order = {_names(settings.attended)} is not an order of what {name} looks at: "
            f"{_names(uses)}"
        )
    missing = [m for m in uses if m not in modalities]
    if missing:
        raise EmohopError(
            f"{settings.title} needs {_names(missing)}, which the corpus was prepared without: "
            f"it has {_names(modalities)}"
        )
    if settings.prosody and not prosody:
        raise EmohopError(
            "model.prosody is on, but the corpus was prepared without prosody: prepare it with "
            "--prosody, or set model.prosody=false"
        )


def _names(modalities: Iterable[Modality]) -> str:
    return ", ".join(str(m) for m in modalities)
