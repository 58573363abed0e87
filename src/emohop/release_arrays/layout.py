"""What reading and writing the folder share: names, numbers of classes, a folder put in place."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from emohop import corpora
from emohop.clips import LabelSet

DICTIONARY = "dic.pkl"
EMBEDDING = "W_embedding.npy"
AUDIO, PROSODY = "audio_mfcc", "audio_prosody"
TEXT, VIDEO, LABEL = "nlp_trans", "video", "label"
VIDEO_LENGTH, AUDIO_LENGTH, AUDIO_LENGTH_2018 = "video_seqN", "audio_seqN", "seqN"
ARRAYS = (AUDIO, PROSODY, TEXT, VIDEO, LABEL, VIDEO_LENGTH, AUDIO_LENGTH, AUDIO_LENGTH_2018)

CLIPS_AT_ONCE = 64
"""Clips that are in memory together."""


def release_labels() -> dict[int, LabelSet]:
    """The class sets of the two programs by their number of classes; class i has label i.

    The releases number their labels nowhere. Seven are in the order of the published table
    (angry, excited, happy, sad, frustrated, surprise, neutral), four in that of the predecessor.
    """
    sets = (corpora.class_set("iemocap", name) for name in ("iemocap-7", "iemocap-4"))
    return {len(labels.labels): labels for labels in sets}


def file_name(split: str, array: str) -> str:
    """`train_audio_mfcc.npy`."""
    return f"{split}_{array}.npy"


def chunks(count: int) -> Iterator[range]:
    """Rows 0..count-1 in pieces of CLIPS_AT_ONCE."""
    for first in range(0, count, CLIPS_AT_ONCE):
        yield range(first, min(first + CLIPS_AT_ONCE, count))


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A folder to fill that takes the place of `path`, absent or empty, when the block ends well.

    Nothing is left when the block raises, and what a killed call left is swept up by the next.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        if path.exists():
            path.rmdir()
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
