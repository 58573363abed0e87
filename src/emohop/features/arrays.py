"""The arrays that a clip's features are: which modality each belongs to, and its shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from emohop.clips import Modality
from emohop.model_config import STATES

Arrays = Mapping[str, NDArray[Any]]
"""Arrays of one clip by the names of `ARRAYS`."""

PROSODY = "prosody"
FACE = "face"


@dataclass(frozen=True, slots=True)
class ArrayKind:
    """An array of a clip: float32 [steps, size], float32 [size], or words [steps]."""

    modality: Modality
    shape: Literal["steps", "vector", "words"] = "steps"
    half: bool = False
    """Stored as float16 where the settings say so."""

    def empty(self, size: int) -> NDArray[Any]:
        """What a clip without the modality has: no steps, no words, a vector of zeros."""
        if self.shape == "words":
            return np.empty(0, np.str_)
        return np.zeros((0, size) if self.shape == "steps" else (size,), np.float32)


ARRAYS: Mapping[str, ArrayKind] = MappingProxyType(
    {
        "audio": ArrayKind(Modality.AUDIO, half=True),
        PROSODY: ArrayKind(Modality.AUDIO, "vector"),
        "text": ArrayKind(Modality.TEXT, "words"),
        STATES: ArrayKind(Modality.TEXT, half=True),
        "video": ArrayKind(Modality.VIDEO, half=True),
        FACE: ArrayKind(Modality.VIDEO),
    }
)
"""Every array by its name in a prepared corpus, the main one of each modality first."""


def arrays_of(modality: Modality) -> tuple[str, ...]:
    """The names of the arrays that a modality may have."""
    return tuple(name for name, kind in ARRAYS.items() if kind.modality is modality)


def empty_arrays(modality: Modality, sizes: Mapping[str, int]) -> Arrays:
    """The arrays of a clip that lacks a modality, of those in `sizes` and of its words."""
    return {
        name: ARRAYS[name].empty(sizes.get(name, 0))
        for name in arrays_of(modality)
        if name in sizes or ARRAYS[name].shape == "words"
    }
