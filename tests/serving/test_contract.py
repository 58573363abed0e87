"""What is asked at random is answered as the OpenAPI says."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

schemathesis = pytest.importorskip("schemathesis")

from schemathesis.checks import CHECKS  # noqa: E402
from schemathesis.generation import GenerationMode  # noqa: E402

from emohop.config import ServingSettings  # noqa: E402
from tests.serving.running import serve  # noqa: E402

READING = ["GET /v1/model", "GET /healthz", "GET /readyz"]
ASKING = ["POST /v1/predict", "POST /v1/predict/batch"]
POSITIVE, NEGATIVE = GenerationMode.POSITIVE, GenerationMode.NEGATIVE
NOT_PROMISED = {
    # bytes that are a file to the OpenAPI may be no audio and no video
    "POST /v1/predict": ["positive_data_acceptance"],
    # and such a file of several has an error of its own in an answer of status 200
    "POST /v1/predict/batch": ["positive_data_acceptance", "negative_data_rejection"],
}


@pytest.fixture(scope="module")
def schema(model: Path) -> Iterator[Any]:
    running = serve(model, ServingSettings(upload_mb=2, text_characters=500))
    gc.collect()  # while pytest parses what is imported here, CPython 3.11 must not collect
    gc.disable()
    try:
        schema = schemathesis.openapi.from_url(next(running) + "openapi.json")
    finally:
        gc.enable()
    yield schema
    next(running, None)


@pytest.mark.parametrize(
    ("operation", "mode"),
    [*((one, POSITIVE) for one in READING + ASKING), *((one, NEGATIVE) for one in ASKING)],
)
def test_any_request(schema: Any, operation: str, mode: GenerationMode) -> None:
    found = {one.label: one for one in (result.ok() for result in schema.get_all_operations())}
    assert set(found) == {*READING, *ASKING}
    excluded = CHECKS.get_by_names(NOT_PROMISED.get(operation, []))

    @given(case=found[operation].as_strategy(generation_mode=mode))
    @settings(max_examples=25, derandomize=True, suppress_health_check=list(HealthCheck))
    def answered(case: Any) -> None:
        case.call_and_validate(excluded_checks=excluded)

    answered()
