"""onnxruntime as this project uses it: it reports to nobody."""

from __future__ import annotations

import os
from typing import Any

from emohop.errors import MissingExtraError

TELEMETRY_OFF = "ORT_DISABLE_TELEMETRY"
"""The variable that keeps onnxruntime from sending, and from writing an id into the temporary
folder; it is read when it is imported."""


def import_onnxruntime(what: str, extra: str) -> Any:
    """The module onnxruntime; MissingExtraError, which names what it is for, where it is not.

    A program that has set the variable otherwise, or imported onnxruntime before, is left alone.
    """
    os.environ.setdefault(TELEMETRY_OFF, "1")
    try:
        import onnxruntime
    except ImportError:
        raise MissingExtraError(what, extra) from None
    return onnxruntime
