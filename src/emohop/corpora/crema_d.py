"""CREMA-D: 91 actors speak twelve sentences in six emotions, filmed from the front.

Open Database License: https://github.com/CheyneyComputerScience/CREMA-D

    AudioWAV/<actor>_<sentence>_<EMOTION>_<level>.wav
    VideoFlash/<actor>_<sentence>_<EMOTION>_<level>.flv
    VideoDemographics.csv                                   sex and age of the actors
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

from emohop.clips import Clip, Gender, LabelSet, Span
from emohop.corpora.checks import check_clips
from emohop.corpora.files import (
    AUDIO_ENDINGS,
    VIDEO_ENDINGS,
    by_stem,
    corpus_folder,
    media_files,
    not_this_corpus,
    read_text,
)
from emohop.corpora.report import CheckReport
from emohop.errors import CorpusError

SENTENCES = {
    "IEO": "It's eleven o'clock.",
    "TIE": "That is exactly what happened.",
    "IOM": "I'm on my way to the meeting.",
    "IWW": "I wonder what this is about.",
    "TAI": "The airplane is almost full.",
    "MTI": "Maybe tomorrow it will be cold.",
    "IWL": "I would like a new alarm clock.",
    "ITH": "I think I have a doctor's appointment.",
    "DFA": "Don't forget a jacket.",
    "ITS": "I think I've seen this before.",
    "TSI": "The surface is slick.",
    "WSI": "We'll stop in a couple of minutes.",
}
EMOTIONS = ("ANG", "DIS", "FEA", "HAP", "NEU", "SAD")
CLASS_SETS = (
    LabelSet("crema-d-6", EMOTIONS),
    LabelSet("crema-d-4", ("ANG", "HAP", "NEU", "SAD")),
)

_NAME = re.compile(
    rf"(?P<actor>1\d{{3}})_(?P<sentence>{'|'.join(SENTENCES)})_(?P<emotion>{'|'.join(EMOTIONS)})"
    r"_(?:XX|X|LO|MD|HI)"
)
_AUDIO, _VIDEO, _PEOPLE = "AudioWAV", "VideoFlash", "VideoDemographics.csv"
_EXPECTED = f"{_AUDIO}/1001_DFA_ANG_XX.wav and others, {_VIDEO} beside it for video"
_GENDERS: dict[str, Gender] = {"male": "M", "female": "F"}
_KNOWN_BAD = {"1076_MTI_SAD_XX": "the release's own file holds no speech"}

# A complete copy.
_COMPLETE = {
    **dict.fromkeys(EMOTIONS, 1271),
    "NEU": 1087,
    "clips": 7442,
    "speakers": 91,
}


def read(folder: str | Path) -> list[Clip]:
    """Every clip below `folder`, by name, with its audio, its video or both. Media are not opened.

    Raises:
        CorpusError: the folder is not CREMA-D, or the table of actors is not in its form.
    """
    folder = corpus_folder(folder, "the folder of CREMA-D that holds AudioWAV")
    genders = _genders(folder / _PEOPLE)
    audios, videos = _named(folder / _AUDIO, AUDIO_ENDINGS), _named(folder / _VIDEO, VIDEO_ENDINGS)
    if not audios and not videos:
        raise not_this_corpus(folder, "CREMA-D", _EXPECTED)
    return [_clip(name, audios, videos, genders) for name in sorted({*audios, *videos})]


def _named(folder: Path, kinds: tuple[str, ...]) -> dict[str, Path]:
    if not folder.is_dir():
        return {}
    return by_stem(path for path in media_files(folder, *kinds) if _NAME.fullmatch(path.stem))


def _clip(
    name: str, audios: dict[str, Path], videos: dict[str, Path], genders: dict[str, Gender]
) -> Clip:
    actor, sentence, emotion, _ = name.split("_")
    return Clip(
        id=name,
        label=emotion,
        speaker=actor,
        gender=genders.get(actor),
        scripted=True,
        transcript=SENTENCES[sentence],
        audio=Span(audios[name]) if name in audios else None,
        video=Span(videos[name]) if name in videos else None,
    )


def _genders(path: Path) -> dict[str, Gender]:
    """The actors' sex; nobody's where there is no table."""
    if not path.is_file():
        return {}
    found = {}
    for number, row in enumerate(csv.DictReader(read_text(path).splitlines()), 2):
        gender = _GENDERS.get((row.get("Sex") or "").strip().lower())
        if gender is None or not row.get("ActorID"):
            raise CorpusError(f"{path}:{number}: expected ActorID and Sex (Male or Female)")
        found[row["ActorID"].strip()] = gender
    return found


def check(folder: str | Path, *, frames_folder: Path | None = None) -> CheckReport:
    """Look at every file's header, and compare with a complete copy.

    Raises:
        CorpusError: as for `read`, or the frames cannot be written.
    """
    clips = read(folder)
    notes = [] if any(c.gender for c in clips) else [f"{_PEOPLE} is missing: genders are unknown"]
    return check_clips(
        "crema-d",
        folder,
        clips,
        class_sets=CLASS_SETS,
        expected=_COMPLETE,
        known_bad=_KNOWN_BAD,
        notes=notes,
        frames_folder=frames_folder,
    )
