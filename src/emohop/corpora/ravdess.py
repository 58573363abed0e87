"""RAVDESS: 24 actors speak and sing two sentences in eight emotions, filmed from the front.

Free for research under CC BY-NC-SA 4.0: https://zenodo.org/records/1188976

    Actor_{01..24}/<modality>-<channel>-<emotion>-<intensity>-<statement>-<repetition>-<actor>.wav

Modality 01 is audio and video, 02 video alone, 03 audio alone. The files of one performance
differ in it only: they are one clip here, whose name is the other six numbers.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

from emohop.clips import Clip, LabelSet, Span
from emohop.corpora.checks import check_clips
from emohop.corpora.files import (
    AUDIO_ENDINGS,
    VIDEO_ENDINGS,
    corpus_folder,
    media_files,
    not_this_corpus,
    same_clip,
)
from emohop.corpora.report import CheckReport
from emohop.errors import CorpusError

Channel = Literal["speech", "song", "both"]
CHANNELS: tuple[Channel, ...] = get_args(Channel)

EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
STATEMENTS = ("Kids are talking by the door.", "Dogs are sitting by the door.")
ACTORS = 24
_AUDIO_AND_VIDEO, _VIDEO, _AUDIO = "01", "02", "03"
_NAME = re.compile(
    r"(?P<modality>0[123])-(?P<rest>(?P<channel>0[12])-(?P<emotion>0[1-8])-(?P<intensity>0[12])"
    r"-(?P<statement>0[12])-0[12]-(?P<actor>0[1-9]|1\d|2[0-4]))"
)
_EXPECTED = "Actor_01 … Actor_24 with files like 03-01-06-01-02-01-12.wav"
_CHANNEL_OF = {"01": "speech", "02": "song"}

CLASS_SETS = (
    LabelSet("ravdess-8", EMOTIONS),
    LabelSet("ravdess-7", tuple(e for e in EMOTIONS if e != "calm"), {"calm": "neutral"}),
    LabelSet("ravdess-6", EMOTIONS[:6]),  # those that are sung
)

# A complete copy: clips of each emotion, by channel. Actor 18 does not sing.
_COMPLETE: Mapping[str, Mapping[str, int]] = {
    "speech": {"neutral": 96, **dict.fromkeys(EMOTIONS[1:], 192)},
    "song": {"neutral": 92, **dict.fromkeys(EMOTIONS[1:6], 184)},
}


def read(folder: str | Path, channel: Channel = "speech") -> list[Clip]:
    """Every performance below `folder`, by actor and name.

    `channel` is speech, song or both. Audio is taken from the audio file where there is one,
    video from the file with both. Actors with odd numbers are men. Media are not opened.

    Raises:
        CorpusError: the folder is not RAVDESS, or holds nothing of that channel.
    """
    channels = _channels(channel)
    folder = corpus_folder(folder, "the folder of RAVDESS's actors")
    files: dict[str, dict[str, Path]] = {}
    for path in media_files(folder, *AUDIO_ENDINGS, *VIDEO_ENDINGS):
        name = _NAME.fullmatch(path.stem)
        if name is None:
            continue
        kinds = files.setdefault(name["rest"], {})
        if name["modality"] in kinds:
            raise same_clip(path, kinds[name["modality"]])
        kinds[name["modality"]] = path
    if not files:
        raise not_this_corpus(folder, "RAVDESS", _EXPECTED)
    clips = [_clip(rest, kinds) for rest, kinds in files.items() if rest[:2] in channels]
    if not clips:
        held = "song" if channel == "speech" else "speech"
        raise CorpusError(f"{folder} holds {held} only: give --channel {held}")
    return sorted(clips, key=lambda clip: (clip.speaker or "", clip.id))


def _channels(channel: str) -> list[str]:
    if channel not in CHANNELS:
        raise CorpusError(f"unknown channel: {channel!r}: give {', '.join(CHANNELS)}")
    return [number for number, name in _CHANNEL_OF.items() if channel in (name, "both")]


def _clip(rest: str, kinds: Mapping[str, Path]) -> Clip:
    _, emotion, _, statement, _, actor = rest.split("-")
    audio = kinds.get(_AUDIO, kinds.get(_AUDIO_AND_VIDEO))
    video = kinds.get(_AUDIO_AND_VIDEO, kinds.get(_VIDEO))
    return Clip(
        id=rest,
        label=EMOTIONS[int(emotion) - 1],
        speaker=f"Actor_{actor}",
        gender="M" if int(actor) % 2 else "F",
        scripted=True,
        transcript=STATEMENTS[int(statement) - 1],
        audio=None if audio is None else Span(audio),
        video=None if video is None else Span(video),
    )


def check(
    folder: str | Path, *, frames_folder: Path | None = None, channel: Channel = "speech"
) -> CheckReport:
    """Look at every file's header, and compare with a complete copy of speech, song or both.

    Raises:
        CorpusError: as for `read`, or the frames cannot be written.
    """
    clips = read(folder, channel)
    complete: Counter[str] = Counter()
    for name in ("speech", "song"):
        if channel in (name, "both"):
            complete.update(_COMPLETE[name])
    expected = {**complete, "clips": complete.total()}
    expected["speakers"] = ACTORS - 1 if channel == "song" else ACTORS
    return check_clips(
        "ravdess",
        folder,
        clips,
        class_sets=CLASS_SETS,
        expected=expected,
        frames_folder=frames_folder,
    )
