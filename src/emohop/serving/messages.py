"""What the server and its worker processes say to each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from emohop.clips import Modality

if TYPE_CHECKING:
    from emohop.prediction import Prediction, Predictor


@dataclass(frozen=True)
class Served:
    """A model folder, and what else its processes load."""

    model: Path
    asr: str | None = None
    """The speech recogniser that hears what no text is sent for."""
    encoders: Mapping[Modality, str] = field(default_factory=dict)
    """Where pretrained encoders lie here, if not where they lay when the model was trained."""

    def load(self) -> Predictor:
        """The model, its encoders loaded, in one thread; EmohopError when one cannot be."""
        import torch

        from emohop import load

        torch.set_num_threads(1)
        predictor = replace(load(self.model), encoders=self.encoders)
        predictor.extractor  # noqa: B018  (what is missing is said now)
        return predictor


@dataclass(frozen=True, slots=True)
class PredictRequest:
    """One clip to be predicted; `path` is an upload, `name` what its sender called it."""

    path: Path | None
    name: str
    text: str | None = None
    segments: str | None = None


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why there is no prediction, in one line without paths."""

    reason: str


@dataclass(frozen=True, slots=True)
class Slow:
    """Instead of an answer: a file that takes long to read, and was not read."""


@dataclass(frozen=True, slots=True)
class Work:
    """Requests that a worker reads one by one, and answers together.

    One that would hold up others comes back as `Slow`, unless all are known to be.
    """

    jobs: Mapping[int, PredictRequest]
    """By the numbers of the requests."""
    slow: bool = False


@dataclass(frozen=True, slots=True)
class Done:
    """What a worker says of each request when it has read it, and with the last one of all."""

    answers: Mapping[int, Answer | Slow] = field(default_factory=dict)
    """By the numbers of the requests; of those that are read and wait for others, none yet."""
    worn: bool = False
    """Its memory has grown so much that another should take its place."""


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """What came on a stream: how it begins, audio, what is said, its end, or that nobody is there.

    `value` is a `Begin`, bytes of samples, a text or None.
    """

    stream: int
    event: Literal["begin", "audio", "text", "end", "leave"]
    value: Any = None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A clip of a recording that was left out, in seconds, and why."""

    start: float
    end: float | None
    reason: str


Answer: TypeAlias = "list[Prediction | LeftOut] | Rejection"
"""The prediction of each clip that a recording was cut into, or why there is none."""
