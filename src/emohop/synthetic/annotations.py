"""The label and transcription files of the synthetic corpus, with the oddities of the true ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from emohop.clips import Modality
from emohop.synthetic.plan import CONFUSED, DialogPlan, TurnPlan, generator

HEADER = "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]"
RATERS = ("E2", "E3", "E4")
CATEGORIES: Mapping[str, str] = {
    "ang": "Anger",
    "hap": "Happiness",
    "exc": "Excited",
    "sad": "Sadness",
    "fru": "Frustration",
    "sur": "Surprise",
    "neu": "Neutral",
    "fea": "Fear",
    "dis": "Disgust",
    "oth": "Other",
}
# Valence, activation and dominance from 1 to 5.
_ATTRIBUTES: Mapping[str, tuple[float, float, float]] = {
    "ang": (1.7, 4.0, 4.0),
    "hap": (4.2, 3.2, 3.1),
    "exc": (4.1, 3.9, 3.4),
    "sad": (2.0, 2.2, 2.4),
    "fru": (2.2, 3.0, 3.1),
    "sur": (3.1, 3.5, 2.8),
    "neu": (3.0, 2.6, 2.9),
    "fea": (2.1, 3.3, 2.2),
    "dis": (1.9, 3.1, 3.2),
    "oth": (2.8, 2.9, 2.9),
    "xxx": (2.9, 2.9, 2.9),
}
_COMMENTS = ("curious", "sarcastic", "impatient", "tired", "mild")


@dataclass(frozen=True, slots=True)
class TimedTurn:
    """A turn with its place in the dialog, in seconds with at most four decimals."""

    turn: TurnPlan
    start: float
    end: float


def votes(label: str, random: np.random.Generator) -> list[tuple[str, ...]]:
    """The categories that each of `RATERS` gives, such that `label` is what most of them say.

    For `xxx` no category has more votes than all others.
    """
    if label == "xxx":
        chosen = random.choice([name for name in CATEGORIES if name != "oth"], 3, replace=False)
        return [(str(name),) for name in chosen]
    near = CONFUSED[Modality.TEXT].get(label, ("neu", "fru"))
    second = str(random.choice(near))
    case = random.random()
    if case < 0.4:
        given: list[tuple[str, ...]] = [(label,), (label,), (label,)]
    elif case < 0.75:
        given = [(label,), (label,), (second,)]
    else:
        given = [(label,), (label, second), (label,)]
    return [given[place] for place in random.permutation(len(given))]


def evaluation_file(plan: DialogPlan, timed: Sequence[TimedTurn]) -> str:
    """The EmoEvaluation file: one actor's turns, then the other's, unlike the transcription."""
    lines = [HEADER, ""]
    for place, timed_turn in enumerate(sorted(timed, key=lambda t: (t.turn.gender, t.start))):
        lines += [*_block(plan, timed_turn, place), ""]
    return "\n".join(lines) + "\n"


def _block(plan: DialogPlan, timed: TimedTurn, place: int) -> list[str]:
    turn = timed.turn
    random = generator(plan.seed, "votes", turn.name)
    categories, attributes = [], []
    for rater, labels in zip(RATERS, votes(turn.label, random), strict=True):
        said = " ".join(f"{CATEGORIES[label]};" for label in labels)
        comment = str(random.choice(_COMMENTS)) if random.random() < 0.1 else ""
        categories.append(f"C-{rater}:\t{said}\t({comment})")
    rated = np.array([_rate(turn.label, random) for _ in RATERS[1:]], float)
    dominance = [f"dom  {int(value)};" for value in rated[:, 2]]
    means = rated.mean(axis=0)
    if place % 11 == 1:  # dom is missing in a few lines, in two ways
        dominance[1] = "dom  ;" if (place + plan.number) % 2 else ""
        means[2] = rated[0, 2]
    for rater, (valence, activation, _), dom in zip(RATERS[1:], rated, dominance, strict=True):
        values = f"val {int(valence)}; act {int(activation)}; {dom}".rstrip()
        attributes.append(f"A-{rater}:\t{values}\t()")
    if random.random() < 0.7 or place == 0:  # the actor's own rating, which counts for nothing
        own = turn.label if turn.label in CATEGORIES else "neu"
        mine = _rate(turn.label, random)
        categories.append(f"C-{turn.gender}1:\t{CATEGORIES[own]};\t()")
        values = f"val {mine[0]}; act {mine[1]}; dom  {mine[2]};"
        attributes.append(f"A-{turn.gender}1:\t{values}\t()")
    average = ", ".join(f"{value:.4f}" for value in means)
    span = f"[{timed.start:.4f} - {timed.end:.4f}]"
    return [f"{span}\t{turn.name}\t{turn.label}\t[{average}]", *categories, *attributes]


def _rate(label: str, random: np.random.Generator) -> tuple[int, int, int]:
    noisy = np.array(_ATTRIBUTES[label]) + random.normal(0, 0.4, 3)
    valence, activation, dominance = np.clip(np.rint(noisy), 1, 5).astype(int).tolist()
    return valence, activation, dominance


def transcription_file(plan: DialogPlan, timed: Sequence[TimedTurn]) -> bytes:
    """The transcription by end of turn, with lines that are not labelled utterances.

    Every second dialog's bytes are Latin-1, the others' UTF-8; each has an accented letter.
    """
    lines = [
        f"{t.turn.name} [{t.start:08.4f}-{t.end:08.4f}]: {t.turn.transcript}"
        for t in sorted(timed, key=lambda t: t.end)
    ]
    for place, line in enumerate(_unlabelled(plan, timed)):
        lines.insert(min(3 * (place + 1), len(lines)), line)
    return ("\n".join(lines) + "\n").encode("latin-1" if plan.number % 2 else "utf-8")


def _unlabelled(plan: DialogPlan, timed: Sequence[TimedTurn]) -> list[str]:
    """Murmurs without a label: `_FXX0` and `_MXX0`, one empty, and a name that comes twice."""
    first, last = timed[0], timed[-1]
    listener = "M" if first.turn.gender == "F" else "F"

    def murmur(during: TimedTurn, text: str) -> str:
        span = f"[{during.start + 0.2:08.4f}-{during.start + 0.6:08.4f}]"
        return f"{plan.name}_{listener}XX0 {span}:{text}"

    kinds: tuple[list[str], ...] = (
        [murmur(first, " Mmhmm."), "M: sorry"],
        [murmur(first, " Yeah."), murmur(last, " Uh huh.")],
        [murmur(last, "")],
        [],
    )
    return kinds[plan.number % len(kinds)]
