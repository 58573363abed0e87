"""EmoDB, the Berlin database: ten actors speak ten German sentences in seven emotions.

Free to use: http://emodb.bilderbar.info

    wav/<speaker 2><text 3><emotion letter><version>.wav      03a01Wa.wav
"""

from __future__ import annotations

import re
from pathlib import Path

from emohop.clips import Clip, Gender, LabelSet, Span
from emohop.corpora.checks import check_clips
from emohop.corpora.files import (
    AUDIO_ENDINGS,
    by_stem,
    corpus_folder,
    media_files,
    not_this_corpus,
)
from emohop.corpora.report import CheckReport

EMOTIONS = {
    "W": "anger",
    "L": "boredom",
    "E": "disgust",
    "A": "fear",
    "F": "happiness",
    "T": "sadness",
    "N": "neutral",
}
"""By the first letter of the German word, which is the sixth of a name."""
SENTENCES = {
    "a01": "Der Lappen liegt auf dem Eisschrank.",
    "a02": "Das will sie am Mittwoch abgeben.",
    "a04": "Heute abend könnte ich es ihm sagen.",
    "a05": "Das schwarze Stück Papier befindet sich da oben neben dem Holzstück.",
    "a07": "In sieben Stunden wird es soweit sein.",
    "b01": "Was sind denn das für Tüten, die da unter dem Tisch stehen?",
    "b02": "Sie haben es gerade hochgetragen und jetzt gehen sie wieder runter.",
    "b03": "An den Wochenenden bin ich jetzt immer nach Hause gefahren und habe Agnes besucht.",
    "b09": "Ich will das eben wegbringen und dann mit Karl was trinken gehen.",
    "b10": "Die wird auf dem Platz sein, wo wir sie immer hinlegen.",
}
MEN = ("03", "10", "11", "12", "15")
WOMEN = ("08", "09", "13", "14", "16")
CLASS_SETS = (
    LabelSet("emodb-7", tuple(EMOTIONS.values())),
    LabelSet("emodb-4", ("anger", "happiness", "sadness", "neutral")),
)

_NAME = re.compile(
    rf"(?P<speaker>{'|'.join(sorted((*MEN, *WOMEN)))})(?P<text>{'|'.join(SENTENCES)})"
    rf"(?P<emotion>[{''.join(EMOTIONS)}])[a-f]"
)

# A complete copy.
_COMPLETE = {
    "anger": 127,
    "boredom": 81,
    "disgust": 46,
    "fear": 69,
    "happiness": 71,
    "sadness": 62,
    "neutral": 79,
    "clips": 535,
    "speakers": 10,
}


def read(folder: str | Path) -> list[Clip]:
    """Every clip in `folder` or its sub-folder `wav`, by name. Media are not opened.

    Raises:
        CorpusError: the folder is not EmoDB.
    """
    folder = corpus_folder(folder, "the folder of EmoDB that holds wav")
    where = folder / "wav" if (folder / "wav").is_dir() else folder
    files = by_stem(p for p in media_files(where, *AUDIO_ENDINGS) if _NAME.fullmatch(p.stem))
    clips = [
        _clip(name, path)
        for stem, path in files.items()
        if (name := _NAME.fullmatch(stem)) is not None
    ]
    if not clips:
        raise not_this_corpus(folder, "EmoDB", "wav/03a01Wa.wav and others")
    return clips


def _clip(name: re.Match[str], path: Path) -> Clip:
    gender: Gender = "M" if name["speaker"] in MEN else "F"
    return Clip(
        id=path.stem,
        label=EMOTIONS[name["emotion"]],
        speaker=name["speaker"],
        gender=gender,
        scripted=True,
        transcript=SENTENCES[name["text"]],
        audio=Span(path),
    )


def check(folder: str | Path, *, frames_folder: Path | None = None) -> CheckReport:
    """Look at every file's header, and compare with a complete copy.

    Raises:
        CorpusError: as for `read`.
    """
    return check_clips(
        "emodb",
        folder,
        read(folder),
        class_sets=CLASS_SETS,
        expected=_COMPLETE,
        frames_folder=frames_folder,
    )
