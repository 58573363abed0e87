"""Twelve waveforms of two labels, prepared without frames and words; a shard holds four."""

from __future__ import annotations

from pathlib import Path

from emohop.config import FeatureSettings
from emohop.preparation import Preparation, prepare

SOUND = FeatureSettings(video=None, prosody=False, text=None)
CLIPS = 12


def run(source: Path, out: Path | str, **options: object) -> Preparation:
    return prepare("folder", source, out, features=SOUND, **options)  # type: ignore[arg-type]


def spoil(source: Path, *numbers: int) -> None:
    for number in numbers:
        label = ("angry", "calm")[number % 2]
        (source / label / f"{number:02d}.wav").write_bytes(b"RIFF, but no audio")
