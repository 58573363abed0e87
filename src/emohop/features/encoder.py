"""What a feature encoder is: many items of one modality in, each one's arrays out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from emohop.errors import MediaError
from emohop.features.arrays import Arrays
from emohop.features.pretrained import Pretrained

Frames = NDArray[np.float32]


class FramewiseFeature(Protocol):
    """A feature of audio in two steps, of which the first sees each frame alone."""

    @property
    def size(self) -> int:
        """Numbers in a frame, differences included."""

    @property
    def frames(self) -> Callable[[Frames], Frames]:
        """Audio at 16 kHz [samples], a frame or more, to [frames, size / 3]."""

    @property
    def differences(self) -> Callable[[Frames], Frames]:
        """Such frames to [frames, size]."""


@dataclass(frozen=True)
class FeatureEncoder:
    """What a modality's settings stand for.

    `encode` takes waveforms float32 [samples] at 16 kHz, `text.Text`s or frames uint8
    [n, side, side, 3], and gives each one's arrays, or a MediaError where there can be none.

    Example:
        >>> import numpy as np
        >>> def loudness(clips):
        ...     return [{"audio": abs(c[: len(c) // 160 * 160]).reshape(-1, 160)} for c in clips]
        >>> encoder = emohop.FeatureEncoder(loudness, width=160, steps_per_second=100)
        >>> encoder.encode([np.zeros(16_000, np.float32)])[0]["audio"].shape
        (100, 160)
    """

    encode: Callable[[Sequence[Any]], Sequence[Arrays | MediaError]]
    width: int
    """Numbers in a step as it is stored; 0 for words."""
    layers: int = 1
    """Hidden states that stand side by side in these."""
    pretrained: Pretrained | None = None
    steps_per_second: float = 0.0
    """Of audio."""
    framewise: FramewiseFeature | None = None
    """How audio is computed as it arrives, where each frame is seen alone."""
    version: str | None = None
    """What tells a plug-in's encoder from others of its name: a version, a checksum."""

    @cached_property
    def fingerprint(self) -> str | None:
        """Of the pretrained model; a plug-in's version; None for our own features."""
        return self.version if self.pretrained is None else self.pretrained.fingerprint()
