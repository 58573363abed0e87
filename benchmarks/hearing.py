"""Speech recognition: how many words are wrong, and how long it takes.

python benchmarks/hearing.py CORPUS FOLDER WHISPER... [--every 12]

Every so many clips of the corpus are heard, and compared with its transcripts, in one thread; where
there are several recognisers, each clip by one after the other.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import torch

from emohop import corpora
from emohop.evaluation.word_errors import word_error_rate
from emohop.features.audio import waveform_16k
from emohop.features.transcription import Transcriber
from emohop.media import read_audio


def main() -> None:
    """Hear every so many clips of a corpus and compare with what it says of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus")
    parser.add_argument("folder", type=Path)
    parser.add_argument("whisper", nargs="+")
    parser.add_argument("--every", type=int, default=12)
    options = parser.parse_args()
    torch.set_num_threads(1)
    transcribers = [Transcriber(name, "cpu") for name in options.whisper]
    pairs: dict[str, list[tuple[str, str]]] = {one.name: [] for one in transcribers}
    taken: dict[str, list[float]] = {one.name: [] for one in transcribers}
    for clip in corpora.read(options.corpus, options.folder)[:: options.every]:
        if clip.audio is None or clip.transcript is None:
            continue
        waveform = waveform_16k(*read_audio(clip.audio)[:2])
        for transcriber in transcribers:
            begun = time.perf_counter()
            heard = transcriber(waveform)
            taken[transcriber.name].append(time.perf_counter() - begun)
            said = " ".join(one.word for one in heard)
            pairs[transcriber.name].append((clip.transcript, said))
    for name, found in pairs.items():
        print(
            f"{name}, {len(found)} clips: word error rate {word_error_rate(found):.3f}, median "
            f"{statistics.median(taken[name]):.2f} s a clip"
        )


if __name__ == "__main__":
    main()
