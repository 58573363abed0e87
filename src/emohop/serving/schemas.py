"""What the service is told and answers, as its documentation says it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from emohop.media import SAMPLE_RATES_HZ
from emohop.prediction.schema import Prediction


class ErrorResponse(BaseModel):
    """Why there is no answer."""

    error: str = Field(examples=["clip.wav: holds no audio"])


class ClipError(BaseModel):
    """A clip of a recording that was left out."""

    start: float
    """In seconds of the file, as `end`."""
    end: float | None
    error: str


class Answered(BaseModel):
    """The predictions of one file: one, or one for each clip that a recording was cut into."""

    predictions: list[Prediction]
    errors: list[ClipError] = []
    """The clips of which there is none."""


class StreamMessage(BaseModel):
    """What a client says on a stream, beside its audio."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Begin(StreamMessage):
    """The first message."""

    sample_rate: int = Field(ge=SAMPLE_RATES_HZ[0], le=SAMPLE_RATES_HZ[1])
    format: Literal["s16le", "f32le"]
    text: str | None = None
    turns: bool = False
    attention: bool = True
    token: str | None = None


class Later(StreamMessage):
    """Any other message that is not audio."""

    text: str | None = None
    end: bool = False


class StreamAnswer(BaseModel):
    """What a stream is told: a prediction on its running segment."""

    prediction: Prediction
    final: bool
    """Whether the segment ends there."""


class BatchItem(BaseModel):
    """The answer to one of several files."""

    name: str
    predictions: list[Prediction] | None = None
    errors: list[ClipError] = []
    """As in the answer to one file."""
    error: str | None = None


class Batch(BaseModel):
    """The answers to several files, in their order."""

    answers: list[BatchItem]


class Model(BaseModel):
    """What is served."""

    model: str = Field(examples=["amh-7 audio+text+video"])
    labels: list[str] = Field(examples=[["ang", "hap", "neu", "sad"]])
    modalities: list[str] = Field(examples=[["audio", "text", "video"]])
    corpus: str | None = None
    emohop: str | None = None
    """The version that trained it."""
    asr: str | None = None
    """The speech recogniser that hears what no text is given for."""


TROUBLES: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorResponse, "description": "The body is not a form."},
    401: {"model": ErrorResponse, "description": "The token is missing or wrong."},
    415: {"model": ErrorResponse, "description": "The body is not a form."},
    413: {"model": ErrorResponse, "description": "The request is too large."},
    422: {"model": ErrorResponse, "description": "The file or the text cannot be used."},
    429: {"model": ErrorResponse, "description": "Too many wait: come again after Retry-After."},
    500: {"model": ErrorResponse, "description": "The process that had the request died."},
    503: {"model": ErrorResponse, "description": "The server is about to end."},
    504: {"model": ErrorResponse, "description": "The request took too long."},
}
