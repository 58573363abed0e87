"""RAVDESS speech paired with MELD sentences of the same class: real signals to compare fusion on.

    python benchmarks/pairing.py RAVDESS MELD OUT
    emohop prepare folder OUT/clips.csv PREPARED --allow-outside --video none --audio … --text …
    emohop train PREPARED RUNS --protocol speaker --groups 5 …

The pairing is artificial: nobody ever said these words in these voices. What it can show is how
models join two real signals, neither of which is made; what it cannot is how emotion in a voice
goes with emotion in words. Every sentence is used once, so that folds over actors keep sentences
apart too. Calm has no class in MELD and is left out; which sentence goes with which clip is drawn.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np

from emohop import corpora
from emohop.files import csv_text, write_text

SAME = {
    "neutral": "neutral",
    "happy": "joy",
    "sad": "sadness",
    "angry": "anger",
    "fearful": "fear",
    "disgust": "disgust",
    "surprised": "surprise",
}
"""RAVDESS's classes and MELD's."""
FEWEST_WORDS = 3


def main() -> None:
    """Write OUT/clips.csv."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("ravdess", type=Path)
    parser.add_argument("meld", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    sentences: dict[str, list[str]] = {}
    for clip in corpora.read("meld", arguments.meld):
        text = clip.transcript or ""
        if len(text.split()) >= FEWEST_WORDS:
            sentences.setdefault(str(clip.label), []).append(text)
    chance = np.random.default_rng(arguments.seed)
    for label in sorted(sentences):
        sentences[label] = sorted(set(sentences[label]))
        chance.shuffle(sentences[label])
    arguments.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for clip in corpora.read("ravdess", arguments.ravdess):
        if clip.label in SAME and clip.audio is not None:
            path = os.path.relpath(clip.audio.path, arguments.out)
            words = sentences[SAME[clip.label]].pop()
            rows.append((path, clip.id, clip.label, clip.speaker, clip.gender, words))
    header = ("path", "id", "label", "speaker", "gender", "transcript")
    write_text(arguments.out / "clips.csv", csv_text(header, rows))
    print(f"{arguments.out / 'clips.csv'}: {len(rows)} clips")


if __name__ == "__main__":
    main()
