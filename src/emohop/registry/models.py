"""The models: networks that classify a clip from what its modalities' encoders give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from emohop.clips import MODALITIES, Modality
from emohop.registry.core import Reference, Registry


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model: what it takes, what it gives, which settings are its own.

    `build(settings, dims)` takes `config.ModelSettings` and `model_config.InputDims` and gives a
    `torch.nn.Module` from `models.batch.Batch` to `models.batch.Output`.

    Example:
        >>> emohop.MODELS["sap"].attends
        True
    """

    name: str
    build: Reference
    inputs: str
    """What it takes, in a few words."""
    summary: str
    """One line of what it computes."""
    paper: str = ""
    modalities: tuple[Modality, ...] = MODALITIES
    """Those that it takes when none are chosen."""
    least: int = 2
    """The fewest modalities that it takes."""
    most: int = 3
    """The most modalities that it takes."""
    attends: bool = False
    """Whether its output has attention weights over a clip's steps, as `Output.hops`."""
    order: tuple[Modality, ...] = ()
    """The order in which it attends to modalities where none is chosen; empty if order is
    nothing to it."""
    options: tuple[str, ...] = ()
    """Those of `SPECIFIC` that it has."""
    extra: Mapping[str, bool | int | float | str] = field(default_factory=dict)
    """Settings that it has beside those of `ModelSettings`, and their defaults: `model.extra.*`."""

    @property
    def only(self) -> Modality | None:
        """The one modality that it takes; None if there is a choice."""
        return self.modalities[0] if self.most == 1 else None

    def has(self, setting: str) -> bool:
        """Whether a setting of the model, by its name below `model`, is one of its own."""
        if setting == "modalities":
            return self.only is None
        if setting == "order":
            return bool(self.order)
        return setting not in SPECIFIC or setting in self.options


SPECIFIC = ("hops", "width", "rank", "heads", "blocks", "hidden")
"""Settings that some models have and others lack; `hidden` is that of each modality's encoder."""

_HOP_ORDER = (Modality.VIDEO, Modality.AUDIO, Modality.TEXT)
# audio queries text and video, text queries video
_PAIR_ORDER = (Modality.VIDEO, Modality.TEXT, Modality.AUDIO)
_PAIR = (Modality.AUDIO, Modality.TEXT)
_SINGLE = "emohop.models.baselines:SingleEncoder"

MODELS: Registry[ModelSpec] = Registry(
    "model",
    "emohop.models",
    (
        ModelSpec(
            "amh",
            "emohop.models.hopping:ModalityHopping",
            "two or three modalities, any number of hops",
            "each hop's query is made of the other vectors by a projection of its own; the context "
            "replaces the target's vector; all vectors → linear",
            "Yoon, Dey, Lee and Jung 2020",
            attends=True,
            order=_HOP_ORDER,
            options=("hops", "hidden"),
        ),
        ModelSpec(
            "mha",
            "emohop.models.hopping:MultiHop",
            "an ordered pair, any number of hops",
            "one last state attends over the other's outputs, what was found attends back, and so "
            "on; both vectors → linear",
            "Yoon, Byun, Dey and Jung 2019",
            modalities=_PAIR,
            most=2,
            attends=True,
            order=_PAIR_ORDER,
            options=("hops", "hidden"),
        ),
        ModelSpec(
            "mdrea",
            "emohop.models.hopping:DualAttention",
            "an ordered pair",
            "one vector, projected, attends over the other's outputs; context and query → linear",
            "Yoon, Byun and Jung 2018",
            modalities=_PAIR,
            most=2,
            attends=True,
            order=_PAIR_ORDER,
            options=("hidden",),
        ),
        ModelSpec(
            "mdre",
            "emohop.models.baselines:DualEncoder",
            "two or three modalities",
            "each vector → linear to half its size; all halves → linear",
            "Yoon, Byun and Jung 2018",
            options=("hidden",),
        ),
        *(
            ModelSpec(
                name,
                _SINGLE,
                f"{modality} alone",
                "last state → linear",
                paper,
                modalities=(modality,),
                least=1,
                most=1,
                options=("hidden",),
            )
            for name, modality, paper in (
                ("are", Modality.AUDIO, "Yoon, Byun and Jung 2018"),
                ("tre", Modality.TEXT, "Yoon, Byun and Jung 2018"),
                ("vre", Modality.VIDEO, "our name, beside the papers' ARE and TRE"),
            )
        ),
        ModelSpec(
            "stats",
            "emohop.models.pooling:StatisticsPooling",
            "one to three modalities",
            "mean and standard deviation of each number over the steps, no GRU → linear",
            least=1,
        ),
        ModelSpec(
            "sap",
            "emohop.models.pooling:AttentivePooling",
            "one to three modalities",
            "the same under the weights of self-attention over projected steps, no GRU → linear",
            "Safari, India and Hernando 2020; Okabe, Koshinaka and Shinoda 2018",
            least=1,
            attends=True,
            options=("hidden",),
        ),
        ModelSpec(
            "late",
            "emohop.models.late:LateFusion",
            "two or three modalities",
            "each last state → linear → softmax, each trained alone; the mean of the probabilities",
            options=("hidden",),
        ),
        ModelSpec(
            "gated",
            "emohop.models.gated:GatedFusion",
            "two or three modalities",
            "gated multimodal units: h = Σ σ(U_m v) ⊙ tanh(W_m v_m) → linear",
            "Arevalo, Solorio, Montes-y-Gómez and González 2017",
            options=("width", "hidden"),
        ),
        ModelSpec(
            "lmf",
            "emohop.models.low_rank:LowRankFusion",
            "two or three modalities",
            "low-rank tensor fusion: h = Σ_r w_r ⊙_m (W_m^r [v_m; 1]) + b → linear",
            "Liu et al. 2018, eq. 5",
            options=("width", "rank", "hidden"),
        ),
        ModelSpec(
            "mult",
            "emohop.models.cross_modal:CrossModal",
            "two or three modalities",
            "cross-modal transformer blocks between each two, self-attention, mean over steps → "
            "linear",
            "Tsai et al. 2019, made small",
            options=("width", "heads", "blocks"),
        ),
    ),
)


def names_where(condition: str) -> str:
    """The names of the shipped models that have a setting or attend, as a list in prose.

    `condition` is `attends`, or a setting as for `ModelSpec.has`.
    """
    found = [
        spec.name
        for spec in MODELS.shipped.values()
        if (spec.attends if condition == "attends" else spec.has(condition))
    ]
    return ", ".join(found)
