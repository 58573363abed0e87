from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.prediction.conftest import films, model, prepared  # noqa: F401  (fixtures)

pytest.importorskip("fastapi")
pytest.importorskip("prometheus_client")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where uploads lie while they are read."""
    before, folder = tempfile.tempdir, tmp_path_factory.mktemp("uploads")
    tempfile.tempdir = str(folder)
    yield folder
    tempfile.tempdir = before
