"""Damage done to clips on purpose: noise, wrong words, blurred or missing frames.

A condition is parts joined by `+`: `noise:10`, `words:0.3+missing:video`. Chance is drawn from the
clip's id, so a clip is damaged alike whatever is done with others.
"""

from __future__ import annotations

import difflib
import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emohop.clips import Modality
from emohop.errors import EmohopError

Samples = NDArray[np.float32]

NOISES = ("noise", "noise:babble")
BABBLERS = 5
"""Clips of other speakers that are summed to a babble."""
SUBSTITUTIONS, DELETIONS = 0.5, 0.25
"""Shares of word errors; the rest are insertions."""

_KINDS: dict[str, tuple[Modality, str]] = {
    "noise": (Modality.AUDIO, "decibels of speech over noise"),
    "noise:babble": (Modality.AUDIO, "decibels of speech over babble"),
    "words": (Modality.TEXT, "a word error rate of 0 to 1"),
    "video:blur": (Modality.VIDEO, "pixels, above 0"),
    "video:drop": (Modality.VIDEO, "a share of frames, 0 to 1"),
    **{f"missing:{m}": (m, "") for m in Modality},
}
_SHARES = ("words", "video:drop")
STANDARD = (
    *(f"noise:{level}" for level in (20, 10, 5, 0)),
    *(f"noise:babble:{level}" for level in (20, 10, 5, 0)),
    *(f"words:{rate}" for rate in (0.1, 0.2, 0.3, 0.5)),
    *(f"video:blur:{pixels}" for pixels in (2, 4, 8)),
    *(f"video:drop:{share}" for share in (0.25, 0.5, 0.75)),
    *(f"missing:{modality}" for modality in Modality),
)
"""What `standard` stands for."""


@dataclass(frozen=True, slots=True)
class Degradation:
    """One kind of damage; `level` is in the kind's own unit, None for a missing modality."""

    kind: str
    level: float | None = None

    @property
    def modality(self) -> Modality:
        """What it is done to."""
        return _KINDS[self.kind][0]

    @property
    def needs_media(self) -> bool:
        """Whether it is done to audio or frames, not to what was made of them."""
        return self.kind in (*NOISES, "video:blur")

    def __str__(self) -> str:
        return self.kind if self.level is None else f"{self.kind}:{self.level:g}"


@dataclass(frozen=True, slots=True)
class Condition:
    """Damages done together; none is `clean`."""

    parts: tuple[Degradation, ...] = ()

    def __str__(self) -> str:
        return "+".join(map(str, self.parts)) or "clean"

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """What is damaged."""
        return tuple(m for m in Modality if any(part.modality is m for part in self.parts))

    @property
    def needs_media(self) -> bool:
        """Whether the corpus's own files are needed."""
        return any(part.needs_media for part in self.parts)


def parse_conditions(
    texts: Sequence[str], given: Sequence[Modality] = tuple(Modality)
) -> list[Condition]:
    """Conditions as typed, several to a text with commas; `standard` is a list of its own.

    `subsets` are all ways to lack some of the modalities of a model, `given`, but not all of them.
    `clean` comes first, whether it was named or not; each comes once.
    """
    lists = {"standard": STANDARD, "subsets": tuple(_subsets(given))}
    names = [name.strip() for text in texts for name in text.split(",")]
    whole = [part for name in names for part in lists.get(name, (name,))]
    found = [Condition(), *(parse_condition(name) for name in whole)]
    return list(dict.fromkeys(found))


def _subsets(given: Sequence[Modality]) -> Iterator[str]:
    for count in range(1, len(given)):
        for lacking in itertools.combinations(given, count):
            yield "+".join(f"missing:{modality}" for modality in lacking)


def parse_condition(text: str) -> Condition:
    """One condition; EmohopError says what is accepted."""
    if text == "clean":
        return Condition()
    parts = tuple(_parse(part) for part in text.split("+"))
    missing = [part.modality for part in parts if part.level is None]
    clash = [part for part in parts if part.level is not None and part.modality in missing]
    kinds = [part.kind for part in parts]
    if clash or len(set(kinds)) < len(kinds):
        raise EmohopError(f"--degrade {text!r}: a modality cannot be damaged so twice")
    return Condition(parts)


def _parse(text: str) -> Degradation:
    if text in _KINDS and not _KINDS[text][1]:
        return Degradation(text)
    kind, _, number = text.rpartition(":")
    if kind not in _KINDS or not _KINDS[kind][1]:
        known = [k if not unit else f"{k}:NUMBER" for k, (_, unit) in _KINDS.items()]
        near = difflib.get_close_matches(text, known, n=1, cutoff=0.0)[0]
        raise EmohopError(
            f"--degrade {text!r}: did you mean {near}? "
            f"({', '.join(known)}, clean, standard, subsets)"
        )
    try:
        level = float(number)
    except ValueError:
        level = float("nan")
    good = np.isfinite(level) and (
        0 <= level <= 1 if kind in _SHARES else level > 0 if kind == "video:blur" else True
    )
    if not good:
        raise EmohopError(f"--degrade {text!r}: {kind} takes {_KINDS[kind][1]}")
    return Degradation(kind, level)


def chance(*names: object) -> np.random.Generator:
    """A generator that depends on these names alone."""
    digest = hashlib.sha256("\0".join(map(str, names)).encode()).digest()
    return np.random.default_rng(list(digest))


def add_noise(speech: Samples, noise: NDArray[np.floating], decibels: float) -> Samples:
    """Speech [n] with noise [n], scaled so that 10 log10 of their powers' ratio is `decibels`.

    Powers are means of squares over the whole clip. Silence, and silent noise, change nothing.
    """
    speech_power = float(np.mean(np.square(speech, dtype=np.float64))) if len(speech) else 0.0
    noise_power = float(np.mean(np.square(noise, dtype=np.float64))) if len(noise) else 0.0
    if speech_power == 0 or noise_power == 0:
        return speech
    scale = np.sqrt(speech_power / noise_power / 10 ** (decibels / 10))
    mixed: Samples = (speech + scale * noise).astype(np.float32)
    return mixed


def white_noise(length: int, clip: str) -> NDArray[np.float64]:
    """Gaussian noise [length] of one clip."""
    return chance("noise", clip).standard_normal(length)


def babble(length: int, voices: Sequence[Samples]) -> NDArray[np.float64]:
    """Voices at one power each, repeated or cut to `length`, summed."""
    total = np.zeros(length)
    for voice in voices:
        power = float(np.mean(np.square(voice, dtype=np.float64))) if len(voice) else 0.0
        if power > 0:
            total += np.resize(voice, length) / np.sqrt(power)
    return total


def wrong_words(words: Sequence[str], rate: float, known: Sequence[str], clip: str) -> list[str]:
    """Words with errors at `rate` a word: half other words, a quarter lost, a quarter put in.

    Other words are drawn from `known`. At rate 1 each word has one error. A word put in beside a
    lost one counts as one error when words are aligned: 0.48 is measured where 0.5 is asked for.
    """
    generator = chance("words", clip)
    result: list[str] = []
    for word in words:
        wrong, which, choice = generator.random(3)
        other = known[int(choice * len(known))] if known else word
        if wrong >= rate:
            result.append(word)
        elif which < SUBSTITUTIONS:
            result.append(other)
        elif which >= SUBSTITUTIONS + DELETIONS:
            result += [word, other]
    return result


def blurred(frames: NDArray[np.uint8], sigma: float) -> NDArray[np.uint8]:
    """Frames [n, height, width, 3] under a Gaussian of `sigma` pixels, edges repeated."""
    from scipy.ndimage import gaussian_filter

    soft = [
        gaussian_filter(frame.astype(np.float32), (sigma, sigma, 0), mode="nearest")
        for frame in frames
    ]
    return np.rint(np.stack(soft)).astype(np.uint8) if soft else frames


def kept_frames(count: int, share: float, clip: str) -> NDArray[np.int64]:
    """Numbers of the frames that stay when each is lost with probability `share`."""
    return np.flatnonzero(chance("drop", clip).random(count) >= share)
