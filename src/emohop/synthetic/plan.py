"""What the synthetic corpus will hold, before any file: who says what, and what each clip shows.

A clip's class is not in one place. Each modality shows it with probability `SHOWN_RATE`, apart
from the others, and otherwise a class that is easily taken for it; and it does so in one stretch of
the clip only, around a centre that the three modalities nearly share.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from emohop.clips import MODALITIES, Gender, Modality
from emohop.synthetic.sentences import TAGS, Sentence, sentence

# How many utterances of each class IEMOCAP has.
PROPORTIONS: Mapping[str, int] = {
    "ang": 1103,
    "hap": 595,
    "exc": 1041,
    "sad": 1084,
    "fru": 1849,
    "sur": 107,
    "neu": 1708,
}
EXTRAS = ("xxx", "fea", "oth", "dis", "xxx", "xxx", "fea", "xxx", "xxx", "xxx")
EXTRA_RATE = 0.05
SESSIONS = 5
FEWEST_CLIPS = 20
CLIPS_FOR_ALL_CLASSES = 100  # from here on every session has every class, the rare sur included
CLIPS_PER_DIALOG = 24

SHOWN_RATE = 0.62
CONFUSED: Mapping[Modality, Mapping[str, tuple[str, ...]]] = {
    # The voice mistakes one kind of arousal for another ...
    Modality.AUDIO: {
        "ang": ("exc", "fru"),
        "hap": ("neu", "exc"),
        "exc": ("ang", "sur"),
        "sad": ("neu", "fru"),
        "fru": ("neu", "ang", "sad"),
        "sur": ("exc", "hap"),
        "neu": ("fru", "sad", "hap"),
    },
    # ... words are often plain ...
    Modality.TEXT: {
        "ang": ("fru", "neu"),
        "hap": ("exc", "neu"),
        "exc": ("hap", "neu"),
        "sad": ("fru", "neu"),
        "fru": ("ang", "sad"),
        "sur": ("neu", "exc"),
        "neu": ("fru", "hap"),
    },
    # ... and the face mistakes neighbours of one valence.
    Modality.VIDEO: {
        "ang": ("fru", "sad"),
        "hap": ("exc", "neu"),
        "exc": ("hap", "sur"),
        "sad": ("neu", "fru"),
        "fru": ("ang", "neu"),
        "sur": ("hap", "neu"),
        "neu": ("sad", "hap", "sur"),
    },
}

# Names as in IEMOCAP, its odd ones included; a small corpus takes the first of each session.
DIALOGS: tuple[tuple[str, ...], ...] = (
    ("Ses01F_impro01", "Ses01M_script01_1", "Ses01M_impro04"),
    ("Ses02F_script01_1", "Ses02M_impro02", "Ses02F_impro08"),
    ("Ses03M_impro05a", "Ses03F_script02_1", "Ses03M_impro08b"),
    ("Ses04M_script01_1", "Ses04F_impro03", "Ses04F_script02_1"),
    ("Ses05M_script01_1b", "Ses05F_impro06", "Ses05M_impro07"),
)

_WIDTH = (0.5, 0.7)  # of the clip
_CENTRE = (0.55, 1.0)  # most often towards the end, as recurrent encoders keep best what is late
_JITTER = 0.06
_STRENGTH = (0.75, 1.1)
_SCRIPT_LINES = 25  # a script has so many sentences for each class
_TAG_RATE = 0.04
_SWITCH_RATE = 0.75
_OVERLAP_RATE = 0.2


@dataclass(frozen=True, slots=True)
class Cue:
    """The stretch of a clip, as fractions, in which one modality shows `label`.

    `strength` is 1 for the ordinary expression of the class.
    """

    label: str
    start: float
    end: float
    strength: float = 1.0


@dataclass(frozen=True, slots=True)
class TurnPlan:
    """An utterance to make. `gap` is seconds after the turn before; below 0 they overlap."""

    name: str
    gender: Gender
    label: str
    words: tuple[str, ...]
    transcript: str
    shown: Mapping[Modality, Cue]
    gap: float


@dataclass(frozen=True, slots=True)
class DialogPlan:
    """A dialog to make, from nothing but this and the seed; `number` counts over the corpus."""

    number: int
    name: str
    seed: int
    turns: tuple[TurnPlan, ...]

    @property
    def session(self) -> int:
        """1 to 5."""
        return int(self.name[4])

    @property
    def wearer(self) -> Gender:
        """The actor with the markers, who sits on the left and is the left sound channel."""
        return "F" if self.name[5] == "F" else "M"

    @property
    def partner(self) -> Gender:
        """The actor without markers, on the right."""
        return "M" if self.wearer == "F" else "F"

    @property
    def scripted(self) -> bool:
        """Whether the sentences come from a script that other sessions speak too."""
        return "_script" in self.name


def generator(*key: int | str) -> np.random.Generator:
    """Random numbers that depend on `key` and nothing else."""
    return np.random.default_rng([k if isinstance(k, int) else zlib.crc32(k.encode()) for k in key])


def make_plan(clips: int, seed: int) -> list[DialogPlan]:
    """The dialogs of a corpus with `clips` clips of the seven classes, and some others besides."""
    cast = _deal(_labels(clips), seed)
    each = min(max(clips // SESSIONS // CLIPS_PER_DIALOG, 1), len(DIALOGS[0]))
    dialogs: list[DialogPlan] = []
    for roles, names in zip(cast, DIALOGS, strict=True):
        for place, name in enumerate(names[:each]):
            dialogs.append(_dialog(len(dialogs), name, roles[place::each], seed))
    return dialogs


def class_counts(clips: int) -> dict[str, int]:
    """How many of `clips` clips go to each class: IEMOCAP's shares by largest remainder.

    From 100 clips on no class has fewer than one clip per session, below that fewer than one.
    """
    whole = sum(PROPORTIONS.values())
    shares = {label: clips * count / whole for label, count in PROPORTIONS.items()}
    counts = {label: int(share) for label, share in shares.items()}
    by_remainder = sorted(shares, key=lambda label: counts[label] - shares[label])
    for label in by_remainder[: clips - sum(counts.values())]:
        counts[label] += 1
    fewest = SESSIONS if clips >= CLIPS_FOR_ALL_CLASSES else 1
    for label, count in counts.items():
        if count < fewest:
            counts[max(counts, key=lambda other: counts[other])] -= fewest - count
            counts[label] = fewest
    return counts


def _labels(clips: int) -> list[str]:
    labels = [label for label, count in class_counts(clips).items() for _ in range(count)]
    extras = max(round(EXTRA_RATE * clips), SESSIONS)
    return labels + [EXTRAS[number % len(EXTRAS)] for number in range(extras)]


def _deal(labels: list[str], seed: int) -> list[list[tuple[str, Gender]]]:
    """Labels to sessions and actors, as evenly as cards, then each session in a random order."""
    cast: list[list[tuple[str, Gender]]] = []
    for session in range(SESSIONS):
        own = labels[session::SESSIONS]
        roles: list[tuple[str, Gender]] = [
            (label, "F" if (place + session) % 2 == 0 else "M") for place, label in enumerate(own)
        ]
        order = generator(seed, "order", session).permutation(len(roles))
        cast.append([roles[place] for place in order])
    return cast


def _dialog(number: int, name: str, roles: list[tuple[str, Gender]], seed: int) -> DialogPlan:
    random = generator(seed, "dialog", name)
    said: dict[Gender, int] = {"F": 0, "M": 0}
    turns: list[TurnPlan] = []
    for place, (label, gender) in enumerate(_taking_turns(roles, random)):
        odd = {0: "colon", 1: "accent"}.get(place, "")
        cues, spoken = _shown(label, name, seed, random, odd)
        tag = (
            TAGS[(number + place) % len(TAGS)] if place == 2 or random.random() < _TAG_RATE else ""
        )
        changed = bool(turns) and turns[-1].gender != gender
        first_change = changed and len({turn.gender for turn in turns}) == 1
        overlaps = first_change or (changed and random.random() < _OVERLAP_RATE)
        gap = -random.uniform(0.15, 0.4) if overlaps else random.uniform(0.1, 0.4)
        mark = "?" if random.random() < 0.1 else "."
        turns.append(
            TurnPlan(
                name=f"{name}_{gender}{said[gender]:03d}",
                gender=gender,
                label=label,
                words=spoken.words,
                transcript=spoken.transcript(tag, mark),
                shown=cues,
                gap=gap,
            )
        )
        said[gender] += 1
    return DialogPlan(number, name, seed, tuple(turns))


def _taking_turns(
    roles: list[tuple[str, Gender]], random: np.random.Generator
) -> list[tuple[str, Gender]]:
    waiting: dict[Gender, list[str]] = {"F": [], "M": []}
    for label, gender in roles:
        waiting[gender].append(label)
    order: list[tuple[str, Gender]] = []
    speaker: Gender = "F" if random.random() < 0.5 else "M"
    while waiting["F"] or waiting["M"]:
        other: Gender = "M" if speaker == "F" else "F"
        switches = bool(order) and random.random() < _SWITCH_RATE
        if (switches and waiting[other]) or not waiting[speaker]:
            speaker = other
        order.append((waiting[speaker].pop(), speaker))
    return order


def _shown(
    label: str, dialog: str, seed: int, random: np.random.Generator, odd: str
) -> tuple[dict[Modality, Cue], Sentence]:
    """What each modality of a clip shows where, and the sentence that is spoken."""
    centre, width = random.uniform(*_CENTRE), random.uniform(*_WIDTH)
    cues: dict[Modality, Cue] = {}
    spoken = Sentence((), 0.0, 0.0)
    for modality in MODALITIES:
        shown = _shown_class(label, modality, random)
        own = float(np.clip(centre + random.normal(0, _JITTER), width / 2, 1 - width / 2))
        start, end = own - width / 2, own + width / 2
        if modality is Modality.TEXT:
            spoken = _sentence(shown, dialog, seed, own, width, random, odd)
            start, end = spoken.start, spoken.end
        cues[modality] = Cue(shown, start, end, random.uniform(*_STRENGTH))
    return cues, spoken


def _shown_class(label: str, modality: Modality, random: np.random.Generator) -> str:
    if label not in PROPORTIONS:  # fea, dis, oth, xxx: nobody agrees, and nothing fits
        return str(random.choice(list(PROPORTIONS)))
    if random.random() < SHOWN_RATE:
        return label
    return str(random.choice(CONFUSED[modality][label]))


def _sentence(
    label: str,
    dialog: str,
    seed: int,
    centre: float,
    width: float,
    random: np.random.Generator,
    odd: str,
) -> Sentence:
    if "_script" not in dialog:
        return sentence(label, centre, width, random, odd=odd)
    # A script is the same in every session: its lines depend on its name, not on the clip.
    script = dialog.split("_")[1].rstrip("ab")
    line = generator(seed, script, label, int(random.integers(_SCRIPT_LINES)))
    return sentence(label, line.uniform(*_CENTRE), line.uniform(*_WIDTH), line, odd=odd)
