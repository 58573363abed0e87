"""Fixtures that the tests of preparing share."""

from __future__ import annotations

from pathlib import Path

import pytest

from emohop.preparation import plan
from tests.corpora.tree import write_wave
from tests.preparation.twelve import CLIPS


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve waveforms of two labels; a shard holds four."""
    monkeypatch.setattr(plan, "CLIPS_PER_SHARD", (4, 4))
    for number in range(CLIPS):
        label = ("angry", "calm")[number % 2]
        write_wave(tmp_path / "source" / label / f"{number:02d}.wav", 0.2 + number / 100)
    return tmp_path / "source"
