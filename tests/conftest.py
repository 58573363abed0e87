"""Fixtures that several test files share."""

from __future__ import annotations

import os
import signal
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is loaded, here and in subprocesses

import pytest
from hypothesis import HealthCheck, settings

# A job in the background, or under nohup, ignores SIGINT, and so does whatever it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# a busy machine is not a failure
settings.register_profile("quiet", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("quiet")


@pytest.fixture(scope="session")
def synthetic_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small synthetic corpus in IEMOCAP's layout. Copy it before you change it."""
    from emohop.synthetic import synthesize

    folder = tmp_path_factory.mktemp("made") / "corpus"
    synthesize(folder, clips=30, seed=1)
    return folder
