from __future__ import annotations

import pytest

from tests.prediction.conftest import films, model, prepared  # noqa: F401  (fixtures)

pytest.importorskip("fastapi")
pytest.importorskip("prometheus_client")
