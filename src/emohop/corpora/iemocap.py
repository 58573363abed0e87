"""IEMOCAP: two actors in a dialog, five sessions, twelve hours, filmed side by side.

Licensed by the University of Southern California on request: https://sail.usc.edu/iemocap/

    IEMOCAP_full_release/Session{1..5}/
        dialog/EmoEvaluation/<dialog>.txt           labels and ratings
        dialog/transcriptions/<dialog>.txt          transcripts
        dialog/avi/DivX/<dialog>.avi                both actors side by side
        sentences/wav/<dialog>/<utterance>.wav      audio

`Ses01F_impro01_M003` is session 1; F is the actor who wears the markers in this dialog, and M, the
letter before the number, the actor who speaks. The speaker is therefore `Ses01M`. To take `Ses01F`
gives both actors of a dialog one name and puts an actor's clips on both sides of a split.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from emohop.clips import Clip, Gender, Half, LabelSet, Span
from emohop.corpora.files import corpus_folder, not_this_corpus, read_text
from emohop.corpora.iemocap_text import LabelledTurn, parse_evaluation, parse_transcription
from emohop.errors import CorpusError, brief

Seating = Literal["marker-left", "woman-left"]
SEATINGS: tuple[Seating, ...] = get_args(Seating)

RELEASE = "IEMOCAP_full_release"
SESSIONS = ("Session1", "Session2", "Session3", "Session4", "Session5")

# Not by position: `Ses03M_impro05a` and `Ses05M_script01_1b` are a letter longer than the rest.
_DIALOG = r"(?P<session>Ses0[1-5])(?P<wearer>[FM])_(?P<kind>impro\d\d|script\d\d_\d)[a-z]?"
DIALOG = re.compile(_DIALOG)
UTTERANCE = re.compile(rf"(?P<dialog>{_DIALOG})_(?P<speaker>[FM])\d{{3}}")

CLASS_SETS = (
    LabelSet("iemocap-7", ("ang", "exc", "hap", "sad", "fru", "sur", "neu")),
    LabelSet("iemocap-4", ("ang", "hap", "sad", "neu"), {"exc": "hap"}),
    LabelSet("iemocap-4-noexc", ("ang", "hap", "sad", "neu")),
    LabelSet("iemocap-6", ("hap", "sad", "neu", "ang", "exc", "fru")),
)


RATED: Mapping[str, str] = {
    "neutral": "neu",
    "neutral state": "neu",
    "happiness": "hap",
    "excited": "exc",
    "sadness": "sad",
    "anger": "ang",
    "frustration": "fru",
    "fear": "fea",
    "surprise": "sur",
    "disgust": "dis",
    "other": "oth",
}
"""The raters' words for categories and the labels that they stand for."""


@dataclass(frozen=True, slots=True)
class Dialog:
    """Where the files of one dialog are or should be; only `evaluation` is known to exist."""

    name: str
    session: Path

    @property
    def wearer(self) -> Gender:
        """Who wears the markers."""
        name = DIALOG.fullmatch(self.name)
        return "F" if name is not None and name["wearer"] == "F" else "M"

    @property
    def evaluation(self) -> Path:
        """The labels."""
        return self.session / "dialog" / "EmoEvaluation" / f"{self.name}.txt"

    @property
    def transcription(self) -> Path:
        """The words."""
        return self.session / "dialog" / "transcriptions" / f"{self.name}.txt"

    @property
    def video(self) -> Path:
        """The video of both actors."""
        return self.session / "dialog" / "avi" / "DivX" / f"{self.name}.avi"

    def audio(self, utterance: str) -> Path:
        """The audio of one utterance."""
        return self.session / "sentences" / "wav" / self.name / f"{utterance}.wav"


def read(folder: str | Path, seating: Seating = "marker-left") -> list[Clip]:
    """Every labelled utterance below `folder`, by dialog, then start, then name.

    `folder` is the release folder or the one above it, with any of its sessions. Clips keep the
    corpus's label codes (`xxx`: no majority), the raw transcript with its tags (None without a
    line), one vote for each rater, and the mean attributes from 1 to 5. Media are not opened and
    may be missing: `emohop check` counts them. `seating` says who sits on the left of the video.

    Raises:
        CorpusError: the folder is not IEMOCAP, or a label file is not in its form.
    """
    seating = checked_seating(seating)
    dialogs = find_dialogs(folder)
    clips = [clip for dialog in dialogs for clip in read_dialog(dialog, seating)]
    if not clips:
        raise CorpusError(
            f"{folder}: {len(dialogs)} EmoEvaluation files hold no labelled utterance"
        )
    return in_order(clips)


def in_order(clips: Iterable[Clip]) -> list[Clip]:
    """Clips by dialog, then start, then name: the corpus's files do not agree on an order."""
    return sorted(clips, key=lambda clip: (clip.dialog or "", clip.start, clip.id))


def find_sessions(folder: str | Path) -> list[Path]:
    """The session folders that hold labels, in order; CorpusError when there is none."""
    folder = corpus_folder(folder, f"the folder {RELEASE} of IEMOCAP")
    for root in (folder, folder / RELEASE):
        found = [s for n in SESSIONS if ((s := root / n) / "dialog" / "EmoEvaluation").is_dir()]
        if found:
            return found
    expected = "Session1 ... Session5 with dialog/EmoEvaluation in each"
    if folder.resolve().name in SESSIONS:
        raise CorpusError(
            f"{folder} is one session: give the folder above it (expected {expected})"
        )
    raise not_this_corpus(folder, "IEMOCAP", expected)


def find_dialogs(folder: str | Path) -> list[Dialog]:
    """The dialogs that have a label file, by name; other files beside them are passed over."""
    dialogs = []
    for session in find_sessions(folder):
        for path in (session / "dialog" / "EmoEvaluation").glob("*.txt"):
            name = DIALOG.fullmatch(path.stem)
            if name is None:
                continue
            if name["session"][-1] != session.name[-1]:
                raise CorpusError(f"{path}: a dialog of {name['session']} does not belong here")
            dialogs.append(Dialog(path.stem, session))
    return sorted(dialogs, key=lambda dialog: dialog.name)


def read_dialog(dialog: Dialog, seating: Seating = "marker-left") -> list[Clip]:
    """The labelled utterances of one dialog, in the order of its label file."""
    words: dict[str, str] = {}
    if dialog.transcription.is_file():
        words = parse_transcription(read_text(dialog.transcription))
    turns = parse_evaluation(read_text(dialog.evaluation), dialog.evaluation)
    seen: dict[str, int] = {}
    for turn in turns:
        if turn.name in seen:
            first = seen[turn.name]
            where = f"{dialog.evaluation}:{turn.line}"
            raise CorpusError(f"{where}: {brief(turn.name)} was there before, on line {first}")
        seen[turn.name] = turn.line
    return [_clip(dialog, turn, words.get(turn.name), seating) for turn in turns]


def _clip(dialog: Dialog, turn: LabelledTurn, transcript: str | None, seating: Seating) -> Clip:
    name = UTTERANCE.fullmatch(turn.name)
    if name is None or name["dialog"] != dialog.name:
        where = f"{dialog.evaluation}:{turn.line}"
        expected = f"{dialog.name}_F000 or {dialog.name}_M000"
        raise CorpusError(
            f"{where}: {brief(turn.name)} is not an utterance of this dialog ({expected})"
        )
    gender: Gender = "F" if name["speaker"] == "F" else "M"
    half = half_of(gender, dialog.wearer, seating)
    return Clip(
        id=turn.name,
        label=turn.label,
        speaker=f"{name['session']}{gender}",
        gender=gender,
        session=name["session"],
        dialog=dialog.name,
        scripted=name["kind"].startswith("script"),
        transcript=transcript,
        start=turn.start,
        end=turn.end,
        votes=turn.votes,
        valence=turn.valence,
        activation=turn.activation,
        dominance=turn.dominance,
        audio=Span(dialog.audio(turn.name)),
        video=Span(dialog.video, turn.start, turn.end, half),
    )


def half_of(speaker: Gender, wearer: Gender, seating: Seating) -> Half:
    """The half of the video that shows the speaker. Parsers disagree on who sits on the left."""
    left = wearer if seating == "marker-left" else "F"
    return "left" if speaker == left else "right"


def checked_seating(seating: str) -> Seating:
    """`seating` itself, or CorpusError when there is no such one."""
    for known in SEATINGS:
        if seating == known:
            return known
    raise CorpusError(f"unknown seating: {seating!r}: give {' or '.join(SEATINGS)}")
