"""Pretrained encoders: how much audio, text and frame one core turns into features in a second.

    python benchmarks/encoders.py --audio WHISPER --text MINILM --video MOBILENET --meld MELD

Models are folders or names, as `emohop prepare` takes them. Waveforms of 4 s are noise, whose
content changes nothing about the work; texts are MELD's test sentences (without --meld, of 11
words); frames are noise of 224 x 224. What is compared takes turns in one process with one
thread, and medians of the rounds are printed, with the ratio to the first.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from emohop import corpora
from emohop.clips import Modality
from emohop.config import AudioFeatures, VideoFeatures
from emohop.features import language, speech
from emohop.features.encoding import load_encoder
from emohop.features.speech import FILL_SAMPLES
from emohop.features.text import Text

SECONDS, RATE = 4, 16_000
Work = Callable[[], object]


def take_turns(
    title: str, amount: float, unit: str, works: Mapping[str, Work], rounds: int
) -> None:
    """Print a Markdown table of amounts per second."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        work()
    for _ in range(rounds):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            taken[name].append(time.perf_counter() - start)
    print(f"\n| {title} | {unit} | ratio |\n|---|---|---|")
    first = statistics.median(next(iter(taken.values())))
    for name, seconds in taken.items():
        median = statistics.median(seconds)
        print(f"| {name} | {amount / median:.1f} | {first / median:.2f} |")


def waveforms(name: str, rounds: int) -> None:
    """Batch sizes; Whisper over what there is against Whisper over 30 s."""
    chance = np.random.default_rng(0)
    clips = [
        (0.05 * chance.standard_normal(SECONDS * RATE - n * 37)).astype(np.float32)
        for n in range(16)
    ]
    encoder = speech.load_speech_encoder(name)
    works: dict[str, Work] = {}
    for batch in (1, 4, 8, 16):

        def work(batch: int = batch) -> None:
            encoder._batch = batch * SECONDS
            encoder(clips)

        works[f"batches of {batch}"] = work
    if encoder.pretrained.model.config.model_type == "whisper":
        padded = [np.pad(clip, (0, 30 * RATE - len(clip))) for clip in clips[:4]]
        works["filled to 30 s, one at a time"] = lambda: [encoder([clip]) for clip in padded * 4]
    amount = sum(map(len, clips)) / RATE
    take_turns(f"audio, {Path(name).name}", amount, "seconds a second", works, rounds)
    filled = sum(-(-len(clip) // FILL_SAMPLES) * FILL_SAMPLES for clip in clips)
    print(f"\nfilled up to half seconds: {1 - amount * RATE / filled:.1%} of what is read")


def texts(name: str, meld: Path | None, rounds: int) -> None:
    """Batch sizes, in the order of the corpus by shards of 32, and by 256."""
    said = ["I never thought that you would come here so early."] * 512
    if meld is not None:
        clips = [clip for clip in corpora.read("meld", meld) if clip.split == "test"]
        said = [str(clip.transcript) for clip in clips][:512]
    encoder = language.load_language_encoder(name)
    works: dict[str, Work] = {}
    for batch, shard in ((1, 32), (8, 32), (32, 32), (32, 256)):

        def work(batch: int = batch, shard: int = shard) -> None:
            language.BATCH_TEXTS = batch
            for first in range(0, len(said), shard):
                encoder([Text(text) for text in said[first : first + shard]])

        works[f"batches of {batch}, {shard} texts given at once"] = work
    take_turns(f"text, {Path(name).name}", len(said), "texts a second", works, rounds)


def frames(name: str, rounds: int) -> None:
    """Clips of twelve frames, given one by one and together."""
    chance = np.random.default_rng(0)
    clips = [chance.integers(0, 256, (12, 224, 224, 3)).astype(np.uint8) for _ in range(8)]
    encoder = load_encoder(Modality.VIDEO, VideoFeatures(encoder=name), "cpu", None)
    works: dict[str, Work] = {
        "a clip of 12 at a time": lambda: [encoder.encode([clip]) for clip in clips],
        "8 clips together": lambda: encoder.encode(clips),
    }
    take_turns(f"frames, {Path(name).name}", 96, "frames per second", works, rounds)


def cached(name: str, rounds: int) -> None:
    """The same waveforms again, without and with a cache."""
    chance = np.random.default_rng(0)
    clips: list[NDArray[np.float32]] = [
        (0.05 * chance.standard_normal(SECONDS * RATE)).astype(np.float32) for _ in range(16)
    ]
    settings = AudioFeatures(encoder=name)
    with tempfile.TemporaryDirectory() as folder:
        plain = load_encoder(Modality.AUDIO, settings, "cpu", None)
        kept = load_encoder(Modality.AUDIO, settings, "cpu", folder)
        works: dict[str, Work] = {
            "computed": lambda: plain.encode(clips),
            "from the cache": lambda: kept.encode(clips),
        }
        amount = len(clips) * SECONDS
        take_turns(f"cache, {Path(name).name}", amount, "seconds a second", works, rounds)


def main() -> None:
    """Print a table for each encoder that was named."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--audio")
    parser.add_argument("--text")
    parser.add_argument("--video")
    parser.add_argument("--meld", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.audio:
        waveforms(arguments.audio, arguments.rounds)
        cached(arguments.audio, arguments.rounds)
    if arguments.text:
        texts(arguments.text, arguments.meld, arguments.rounds)
    if arguments.video:
        frames(arguments.video, arguments.rounds)


if __name__ == "__main__":
    main()
