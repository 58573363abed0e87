"""A network from its settings and sizes, by the registry of models."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from torch import nn

from emohop.clips import Modality
from emohop.config import ModelSettings
from emohop.errors import EmohopError
from emohop.model_config import InputDims
from emohop.registry.core import resolve
from emohop.registry.models import MODELS, ModelSpec


def build(settings: ModelSettings, sizes: InputDims) -> nn.Module:
    """A network with fresh weights, drawn from torch's global generator.

    Raises EmohopError as `check` does.

    Example:
        >>> dims = emohop.InputDims(7, {"audio": 120, "text": 50, "video": 2048})
        >>> network = emohop.build_model(emohop.ModelSettings(hops=3), dims)
    """
    check(settings, sizes.steps, prosody=sizes.prosody > 0)
    network: nn.Module = resolve(settings.spec.build)(settings, sizes)
    return network


def check(settings: ModelSettings, modalities: Collection[Modality], *, prosody: bool) -> None:
    """EmohopError unless the settings fit each other and a corpus with these modalities."""
    check_settings(settings)
    missing = [m for m in settings.uses if m not in modalities]
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


def check_settings(settings: ModelSettings) -> None:
    """EmohopError unless the settings are such as the model has, and fit each other."""
    spec, uses = settings.spec, settings.uses
    if spec.only is not None:
        _check_single(settings, spec, spec.only)
    if len(uses) < spec.least:
        hint = ", ".join(f"{name} takes {m} alone" for m, name in _single().items())
        raise EmohopError(
            f"{spec.name} needs two modalities or more, not {_names(uses)} alone: {hint}"
        )
    if len(uses) > spec.most:
        raise EmohopError(
            f"{spec.name} is between two modalities, not {_names(uses)}: choose with "
            "model.modalities=audio,text"
        )
    if settings.order not in (None, (spec.only,)) and not spec.has("order"):
        raise EmohopError(
            f"model.order = {_names(settings.order)}, but {spec.name} does not attend to one "
            "modality after another: choose what it takes with model.modalities"
        )
    if set(settings.attended) != set(uses):
        raise EmohopError(
            f"model.order = {_names(settings.attended)} is not an order of what {spec.name} takes: "
            f"{_names(uses)}"
        )
    for key in settings.extra:
        if key not in spec.extra:
            known = ", ".join(f"model.extra.{name}" for name in spec.extra) or "no such settings"
            raise EmohopError(f"unknown setting model.extra.{key}: {spec.name} has {known}")


def _check_single(settings: ModelSettings, spec: ModelSpec, only: Modality) -> None:
    for key in ("modalities", "order"):
        chosen = getattr(settings, key)
        if chosen not in (None, (only,)):
            single = _single().get(chosen[0]) if len(chosen) == 1 else None
            hint = f"{single} takes {chosen[0]} alone" if single else "amh takes two or three"
            raise EmohopError(
                f"model.{key} = {_names(chosen)}, but {spec.name} takes {only} alone: {hint}"
            )


def _single() -> dict[Modality, str]:
    """The shipped model that takes each modality alone."""
    specs = MODELS.shipped.values()
    return {spec.only: spec.name for spec in specs if spec.only is not None}


def _names(modalities: Iterable[Modality]) -> str:
    return ", ".join(str(m) for m in modalities)
