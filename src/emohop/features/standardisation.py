"""Zero mean and unit variance, by statistics of the training part alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emohop import model_config
from emohop.config import Standardisation
from emohop.errors import EmohopError
from emohop.model_config import Normalisation

SMALLEST_DEVIATION = 1e-6
"""A feature that varies less is only centred: dividing by it would blow up rounding."""

Moments = Mapping[str, tuple[NDArray[np.float32], NDArray[np.float32]]]
"""Mean and standard deviation of every feature, float32 [features], by array name."""


@dataclass(frozen=True)
class Standardiser:
    """Feature statistics of the training part.

    `global` uses those of all training clips. `speaker` uses a training speaker's own; any other
    speaker, those of dev and test included, gets the global ones, so that nothing is ever fitted
    outside the training part. `per_speaker` does: every speaker of the corpus that is read gets the
    statistics of all of their clips, which takes no labels, but many clips of a speaker. `none`
    leaves arrays as they are.
    """

    kind: Standardisation
    overall: Moments = field(default_factory=dict)
    speakers: Mapping[str, Moments] = field(default_factory=dict)

    @classmethod
    def fit(
        cls,
        kind: Standardisation,
        rows: Iterable[tuple[str, str | None, Mapping[str, NDArray[Any]]]],
        names: Iterable[str],
    ) -> Standardiser:
        """Statistics of the arrays `names` over training rows (id, speaker, arrays).

        Arrays are float [features] or [steps, features]; a clip may lack some. EmohopError names
        a clip whose array holds NaN or infinity (of `none` a batch says so).
        """
        if kind == "none":
            return cls(kind)  # nothing is to be read for it
        names = tuple(names)
        sums: dict[str | None, dict[str, _Sums]] = {}
        for clip, speaker, arrays in rows:
            of_speaker = sums.setdefault(speaker, {})
            for name in names:
                if name not in arrays:  # the clip lacks it
                    continue
                array = np.atleast_2d(arrays[name]).astype(np.float64)
                if not np.isfinite(array).all():
                    raise EmohopError(
                        f"clip {clip}: its {name} holds NaN or infinity: prepare the corpus again"
                    )
                of_speaker.setdefault(name, _Sums()).add(array)
        total: dict[str, _Sums] = {name: _Sums() for name in names}
        for of_speaker in sums.values():
            for name, part in of_speaker.items():
                total[name].join(part)
        overall = {name: part.moments() for name, part in total.items()}
        if kind in ("global", "per_speaker"):
            return cls(kind, overall)
        speakers = {
            speaker: {name: part.moments() for name, part in of_speaker.items()}
            for speaker, of_speaker in sums.items()
            if speaker is not None
        }
        return cls(kind, overall, speakers)

    def adapted(
        self,
        rows: Iterable[tuple[str, str | None, Mapping[str, NDArray[Any]]]],
        names: Iterable[str],
    ) -> Standardiser:
        """An `per_speaker` standardiser that knows the speakers of these rows, of whatever part."""
        return replace(self, speakers=Standardiser.fit("train_speaker", rows, names).speakers)

    def __call__(
        self, name: str, array: NDArray[np.float32], speaker: str | None
    ) -> NDArray[np.float32]:
        """`array` standardised, float32 of the same shape."""
        if self.kind == "none":
            return array
        own = self.speakers.get(speaker or "", self.overall)
        mean, deviation = own.get(name) or self.overall[name]
        return (array - mean) / deviation

    def to_config(self) -> Normalisation:
        """The statistics for `model.json`; `from_config` gives back equal numbers.

        Of `per_speaker`, each corpus's speakers have their own: they are left out.
        """
        speakers = {} if self.kind == "per_speaker" else self.speakers
        return Normalisation(
            kind=self.kind,
            overall=_to_config(self.overall),
            speakers={speaker: _to_config(moments) for speaker, moments in speakers.items()},
        )

    @classmethod
    def from_config(cls, config: Normalisation) -> Standardiser:
        """The inverse of `to_config`."""
        speakers = {name: _from_config(moments) for name, moments in config.speakers.items()}
        return cls(config.kind, _from_config(config.overall), speakers)


class _Sums:
    """Running count, mean and sum of squared deviations (Chan, Golub and LeVeque 1983)."""

    def __init__(self) -> None:
        self.count = 0
        self.mean: NDArray[np.float64] = np.zeros(1)
        self.squares: NDArray[np.float64] = np.zeros(1)

    def add(self, steps: NDArray[np.float64]) -> None:
        if not len(steps):
            return
        part = _Sums()
        part.count, part.mean = len(steps), steps.mean(axis=0)
        part.squares = ((steps - part.mean) ** 2).sum(axis=0)
        self.join(part)

    def join(self, other: _Sums) -> None:
        if not other.count:
            return
        total = self.count + other.count
        apart = other.mean - self.mean
        self.squares = self.squares + other.squares + apart**2 * (self.count * other.count / total)
        self.mean = self.mean + apart * (other.count / total)
        self.count = total

    def moments(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        deviation = np.sqrt(self.squares / max(self.count, 1))
        deviation = np.where(deviation < SMALLEST_DEVIATION, 1.0, deviation)
        return self.mean.astype(np.float32), deviation.astype(np.float32)


def _to_config(moments: Moments) -> dict[str, model_config.Moments]:
    # str() of a float32 is its shortest form, which reads back as the same float32
    return {
        name: model_config.Moments(
            mean=tuple(float(str(x)) for x in mean), std=tuple(float(str(x)) for x in deviation)
        )
        for name, (mean, deviation) in moments.items()
    }


def _from_config(moments: Mapping[str, model_config.Moments]) -> Moments:
    return {
        name: (np.array(m.mean, np.float32), np.array(m.std, np.float32))
        for name, m in moments.items()
    }
