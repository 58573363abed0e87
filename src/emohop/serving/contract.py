"""What the service answers, as its OpenAPI says it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from emohop.prediction.answers import Prediction


class Trouble(BaseModel):
    """Why there is no answer."""

    error: str = Field(examples=["clip.wav: holds no sound"])


class Answered(BaseModel):
    """The predictions of one file: one, or one for each clip that a recording was cut into."""

    predictions: list[Prediction]


class BatchItem(BaseModel):
    """The answer to one of several files."""

    name: str
    predictions: list[Prediction] | None = None
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
    400: {"model": Trouble, "description": "The body is no form."},
    401: {"model": Trouble, "description": "The token is missing or wrong."},
    413: {"model": Trouble, "description": "The request is too large."},
    422: {"model": Trouble, "description": "The file or the text cannot be used."},
    429: {"model": Trouble, "description": "Too many wait: come again after Retry-After."},
    500: {"model": Trouble, "description": "The process that had the request died."},
    503: {"model": Trouble, "description": "The server is about to end."},
    504: {"model": Trouble, "description": "The request took too long."},
}
