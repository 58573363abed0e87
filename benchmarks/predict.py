"""Prediction on one core: how long an answer takes, part by part, and from a cold start.

    python benchmarks/predict.py MODEL FILM [--text TEXT] [--rounds 20]

MODEL is a model folder that looks at sound, words and pictures; FILM has all three. The network at
the published sizes is AMH-7 with random weights, on a clip of 5 s with 20 words and 15 pictures.
Everything runs in one thread; parts take turns, and medians are printed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch

import emohop
from emohop.clips import MODALITIES, Modality
from emohop.config import ModelSettings
from emohop.features.audio import mfcc120
from emohop.models import build
from emohop.models.batch import Batch
from emohop.models.encoder import Sizes
from emohop.prediction.sources import source_of_file
from emohop.recipes import make_recipe

SECONDS, WORDS, PICTURES = 5, 20, 15
TOGETHER = 64


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("film", type=Path)
    parser.add_argument("--text", default="Excuse me, do you have your forms?")
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    torch.set_num_threads(1)
    predictor = emohop.load(options.model)
    source = source_of_file(options.film, options.text)
    sound = np.random.default_rng(0).normal(size=SECONDS * 16_000).astype(np.float32) * 0.1
    network, batch, *_ = published()

    def forward() -> None:
        with torch.inference_mode():
            network(batch)

    parts: Mapping[str, Callable[[], object]] = {
        "AMH-7 at published sizes, 5 s": forward,
        "mfcc120 of 5 s": lambda: mfcc120(sound, 16_000),
        f"whole prediction of {options.film.name}": lambda: predictor(options.film, options.text),
    }
    times: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(options.rounds + 1):
        for name, part in parts.items():
            begun = time.perf_counter()
            part()
            times[name].append(1000 * (time.perf_counter() - begun))
    for name, taken in times.items():  # the first time is warming up
        print(f"{name}: median {statistics.median(taken[1:]):.1f} ms, slowest {max(taken[1:]):.1f}")
    begun = time.perf_counter()
    list(predictor.predict([source] * TOGETHER))
    print(f"{TOGETHER} clips together: {TOGETHER / (time.perf_counter() - begun):.1f} clips/s")
    command = [sys.executable, "-m", "emohop", "predict", str(options.model), str(options.film)]
    cold = []
    for _ in range(max(3, options.rounds // 4)):
        begun = time.perf_counter()
        subprocess.run(
            [*command, "--text", options.text, "--json"], check=True, stdout=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        cold.append(time.perf_counter() - begun)
    print(f"emohop predict from a cold start: median {statistics.median(cold):.2f} s")


def published() -> tuple[torch.nn.Module, Batch, ModelSettings, Sizes]:
    """AMH-7 at the published sizes and a clip for it, and what it was built from."""
    settings = make_recipe("published-amh", ["model.hops=7"]).model
    vocabulary = 3000
    sizes = Sizes(
        7,
        {Modality.AUDIO: 120, Modality.TEXT: vocabulary, Modality.VIDEO: 2048},
        35 if settings.prosody else 0,
    )
    steps = {
        Modality.AUDIO: torch.randn(1, 100 * SECONDS, 120),
        Modality.TEXT: torch.randint(2, vocabulary, (1, WORDS)),
        Modality.VIDEO: torch.randn(1, PICTURES, 2048),
    }
    lengths = {m: torch.tensor([steps[m].shape[1]]) for m in MODALITIES}
    prosody = torch.randn(1, 35) if settings.prosody else None
    batch = Batch(("a",), steps, lengths, prosody)
    return build(settings, sizes).eval(), batch, settings, sizes


if __name__ == "__main__":
    main()
