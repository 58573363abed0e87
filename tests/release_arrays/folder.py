"""A small folder of the 2019 release (or of 2018), written without emohop."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np

CLIPS = {"train": 70, "dev": 5, "test": 6}
WORDS = 12
VECTOR = 4


def write_folder(
    folder: Path,
    *,
    classes: int = 7,
    of_2018: bool = False,
    audio: tuple[int, int] = (9, 6),
    video: tuple[int, int] = (5, 8),
) -> Path:
    """Arrays of `audio` and `video` (steps, numbers), with NaN wherever no frame is valid."""
    rng = np.random.default_rng(1)
    folder.mkdir(parents=True)
    matrix = rng.normal(size=(WORDS, VECTOR)).astype(np.float32)
    matrix[0] = 0
    np.save(folder / "W_embedding.npy", matrix)
    words = {"_PAD_": 0, "_UNK_": 1, **{f"w{i}": i for i in range(2, WORDS)}}
    words["naïve"] = words.pop("w3")
    (folder / "dic.pkl").write_bytes(pickle.dumps(words, protocol=2))
    for split, clips in CLIPS.items():
        labels = rng.permutation(np.arange(clips) % classes)
        np.save(folder / f"{split}_label.npy", labels.astype(np.int64))
        text = rng.integers(1, WORDS, (clips, 7))
        text[:, 1:][np.arange(6) >= rng.integers(0, 7, clips)[:, None]] = 0
        text[0], text[1], text[2] = 0, 3, [4, 0, 5, 0, 0, 0, 0]  # no word, no padding, a gap
        np.save(folder / f"{split}_nlp_trans.npy", text)
        prosody = rng.normal(size=(clips, 35)).astype(np.float32)
        np.save(folder / f"{split}_audio_prosody.npy", prosody)
        names = {"audio_mfcc": ("seqN" if of_2018 else "audio_seqN", audio)}
        if not of_2018:
            names["video"] = ("video_seqN", video)
        for name, (length_name, (steps, size)) in names.items():
            lengths = rng.integers(0, steps + 3, clips)
            lengths[:3] = 0, steps, steps + 5  # none, all, more than are stored
            array = rng.normal(size=(clips, steps, size)).astype(np.float32)
            array[np.arange(steps) >= lengths[:, None]] = np.nan
            np.save(folder / f"{split}_{name}.npy", array)
            np.save(folder / f"{split}_{length_name}.npy", lengths)
    return folder
