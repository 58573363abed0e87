"""Speech recognition: how many words are wrong, and how long it takes.

python benchmarks/hearing.py CORPUS FOLDER WHISPER [--every 12]

Every so many clips of the corpus are heard, and compared with its transcripts, in one thread.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import torch

from emohop import corpora
from emohop.evaluation.word_errors import word_error_rate
from emohop.features.audio import sound_16k
from emohop.features.transcription import Transcriber
from emohop.media import read_audio


def main() -> None:
    """Hear every so many clips of a corpus and compare with what it says of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus")
    parser.add_argument("folder", type=Path)
    parser.add_argument("whisper")
    parser.add_argument("--every", type=int, default=12)
    options = parser.parse_args()
    torch.set_num_threads(1)
    transcriber = Transcriber(options.whisper, "cpu")
    pairs, taken = [], []
    for clip in corpora.read(options.corpus, options.folder)[:: options.every]:
        if clip.sound is None or clip.transcript is None:
            continue
        sound = sound_16k(*read_audio(clip.sound))
        begun = time.perf_counter()
        heard = transcriber(sound)
        taken.append(time.perf_counter() - begun)
        pairs.append((clip.transcript, " ".join(one.word for one in heard)))
    print(
        f"{len(pairs)} clips: word error rate {word_error_rate(pairs):.3f}, median "
        f"{statistics.median(taken):.2f} s a clip"
    )


if __name__ == "__main__":
    main()
