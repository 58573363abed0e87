"""`explanation.json`: checks of a model's attention, as docs/explaining.md tells of them."""

from __future__ import annotations

from typing import ClassVar, Literal

from emohop.clips import Modality
from emohop.documents import Block, Document
from emohop.evaluation.reservations import Reservation
from emohop.evaluation.run_files import Interval


class Area(Block):
    """An area under deletion curves, or a difference of two."""

    area: float
    interval_95: Interval | None
    """Over speakers; null where there are not two that are known."""


class DeletionCurve(Area):
    """What is left of the first answer as a share of the steps goes."""

    probability: tuple[float, ...]
    accuracy: tuple[float, ...]


class Deletion(Block):
    """Curves of one modality's steps, by the order in which they are removed."""

    target: str
    """A modality, or all of them together."""
    clips: int
    steps: float
    """Steps of a clip, in the mean."""
    curves: dict[str, DeletionCurve]
    differences: dict[str, Area]


class UniformScore(Block):
    """A score as trained and with every step attended to alike."""

    trained: float
    uniform: float
    change: float
    interval_95: Interval | None


class Uniform(Block):
    """What changes when every step is attended to alike."""

    accuracy: UniformScore
    balanced_accuracy: UniformScore
    agreement: float
    """The share of clips whose label stays."""
    distance: float
    """The total variation distance of the probabilities."""


class Agreement(Block):
    """How alike two seeds' weights are; `hop` is null for all hops of a modality together."""

    hop: int | None
    target: Modality
    pairs: int
    spearman: float
    shuffled: float
    shuffled_95: Interval


class Entropy(Block):
    """How spread a hop's weights are: 1 is uniform, 0 one step only."""

    hop: int | None
    target: Modality
    clips: int
    """Those with two steps or more."""
    mean: float
    std: float


class ExplanationResults(Document):
    """`explanation.json`, as `emohop explain --out` writes it."""

    remedy: ClassVar[str] = "run `emohop explain` again"

    version: Literal[2] = 2
    model: str
    fold_runs: int
    clips: int
    speakers: int
    draws: int
    """Random orders that attention was compared with."""
    seed: int
    shares: tuple[float, ...]
    """The shares of steps that are removed, of each curve."""
    deletion: tuple[Deletion, ...]
    uniform: Uniform
    agreement: tuple[Agreement, ...]
    entropy: tuple[Entropy, ...]
    reservations: tuple[Reservation, ...] = ()
    """What has to be said of these numbers."""
