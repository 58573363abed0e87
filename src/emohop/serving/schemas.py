"""What the service is told and answers, as its documentation says it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import models_json_schema

import emohop
from emohop.config import ServingSettings
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


SAMPLE_BYTES: Mapping[str, int] = {"s16le": 2, "f32le": 4}
"""Of one sample of a stream, by its format."""


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


def _form(fields: Mapping[str, Mapping[str, Any]], required: tuple[str, ...] = ()) -> Any:
    """A form for OpenAPI."""
    schema = {"type": "object", "properties": dict(fields), "additionalProperties": False}
    if required:
        schema["required"] = list(required)
    return {
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}
    }


_FILE = {"type": "string", "format": "binary"}
PREDICT_FORM = _form(
    {
        "file": {**_FILE, "description": "Audio or video in any format that FFmpeg reads."},
        "text": {
            "type": "string",
            "description": "What is said; empty: nothing is.",
            "examples": ["Excuse me?"],
        },
        "segments": {
            "type": "string",
            "description": "Cut a recording: `speech`, a number of seconds, or `none`. It is cut "
            "where somebody speaks if it is longer than the model reads, and nothing else is said.",
            "pattern": r"^(speech|none|[0-9]{1,4}(\.[0-9]{1,3})?)$",
            "examples": ["speech"],
        },
    }
)
BATCH_FORM = _form(
    {
        "files": {
            "type": "array",
            "items": _FILE,
            "minItems": 1,
            "description": "Audio or video, each as `file` of /v1/predict is.",
        }
    },
    required=("files",),
)


def asyncapi(settings: ServingSettings) -> dict[str, Any]:
    """The stream, as AsyncAPI describes it."""
    kinds: dict[str, type[BaseModel]] = {
        "begin": Begin,
        "later": Later,
        "answer": StreamAnswer,
        "error": ErrorResponse,
    }
    reference = "#/components/schemas/{model}"
    _, schemas = models_json_schema(
        [(kind, "serialization") for kind in kinds.values()], ref_template=reference
    )
    said = {
        "begin": "The first message: how the audio is, and what is said in it.",
        "later": "What is said in the running segment, or that the stream ends.",
        "answer": "What the model says of the running segment.",
        "error": "What is wrong, in one line; then it is closed.",
    }
    messages: dict[str, Any] = {
        name: {
            "summary": said[name],
            "contentType": "application/json",
            "payload": {"$ref": f"#/components/schemas/{kind.__name__}"},
        }
        for name, kind in kinds.items()
    }
    messages["audio"] = {
        "summary": f"The next samples, one channel, {settings.message_kb:g} KB at most: a binary "
        "message.",
        "contentType": "application/octet-stream",
        "payload": {"type": "string", "format": "binary"},
    }
    here = "#/channels/stream"
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "emohop: audio while it is spoken",
            "version": emohop.__version__,
            "description": "docs/serving.md has clients and the codes with which a stream is "
            "closed.",
        },
        "channels": {
            "stream": {
                "address": "/v1/stream",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
                "bindings": {"ws": {"method": "GET"}},
            }
        },
        "operations": {
            action: {
                "action": action,
                "channel": {"$ref": here},
                "messages": [{"$ref": f"{here}/messages/{name}"} for name in names],
            }
            for action, names in (
                ("receive", ("begin", "audio", "later")),
                ("send", ("answer", "error")),
            )
        },
        "components": {"messages": messages, "schemas": schemas["$defs"]},
    }


TROUBLES: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorResponse, "description": "The form cannot be read."},
    401: {"model": ErrorResponse, "description": "The token is missing or wrong."},
    403: {"model": ErrorResponse, "description": "A web page of elsewhere may not ask."},
    408: {"model": ErrorResponse, "description": "The body came too slowly."},
    413: {"model": ErrorResponse, "description": "The request is too large."},
    415: {"model": ErrorResponse, "description": "The body is not a form."},
    421: {"model": ErrorResponse, "description": "This is no name of the service."},
    422: {"model": ErrorResponse, "description": "The file or the text cannot be used."},
    429: {"model": ErrorResponse, "description": "Too many wait: come again after Retry-After."},
    500: {"model": ErrorResponse, "description": "The process that had the request died."},
    503: {"model": ErrorResponse, "description": "The server starts or ends."},
    504: {"model": ErrorResponse, "description": "The request took too long."},
    507: {"model": ErrorResponse, "description": "The server's disk is full."},
}
