"""Prediction on one core: how long an answer takes, part by part, and from a cold start.

    python benchmarks/predict.py MODEL VIDEO [--text TEXT] [--rounds 20]
    python benchmarks/predict.py --stream [--audio ENCODER] [--rounds 20]

MODEL is a model folder that takes audio, text and video; VIDEO has all three. The network at
the published sizes is AMH-7 with random weights, on a clip of 5 s with 20 words and 15 frames.
Everything runs in one thread; parts take turns, and medians are printed.

With `--stream`, what each half second of a stream takes: the network at the published sizes, on
noise and 20 words, once with what the stream knows already and once with all of it computed anew.
"""

from __future__ import annotations

import argparse
import gc
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
from emohop.config import AudioFeatures, FeatureSettings, ModelSettings, Recipe
from emohop.features.audio import AUDIO_FEATURES, mfcc120
from emohop.features.encoding import load_encoder
from emohop.features.standardisation import Standardiser
from emohop.features.text import Vocabulary
from emohop.model_config import Calibration, InputDims, ModelConfig, TrainedOn
from emohop.models import build
from emohop.models.batch import Batch
from emohop.prediction import Predictor
from emohop.prediction.inputs import source_of_file
from emohop.preprocessor import Preprocessor
from emohop.recipes import make_recipe

SECONDS, WORDS, FRAMES = 5, 20, 15
TOGETHER = 64


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("video", type=Path, nargs="?")
    parser.add_argument("--stream", action="store_true")
    parser.add_argument("--audio", default="mfcc120", help="of --stream: any that prepare takes")
    parser.add_argument("--text", default="Excuse me, do you have your forms?")
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.stream:
        streams(options.audio, options.rounds)
        return
    if options.video is None:
        parser.error("MODEL and VIDEO, or --stream")
    predictor = emohop.load(options.model)
    source = source_of_file(options.video, options.text)
    waveform = np.random.default_rng(0).normal(size=SECONDS * 16_000).astype(np.float32) * 0.1
    network, batch, *_ = published()

    def forward() -> None:
        with torch.inference_mode():
            network(batch)

    parts: Mapping[str, Callable[[], object]] = {
        "AMH-7 at published sizes, 5 s": forward,
        "mfcc120 of 5 s": lambda: mfcc120(waveform, 16_000),
        f"whole prediction of {options.video.name}": lambda: predictor(options.video, options.text),
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
    command = [sys.executable, "-m", "emohop", "predict", str(options.model), str(options.video)]
    cold = []
    for _ in range(max(3, options.rounds // 4)):
        begun = time.perf_counter()
        subprocess.run(
            [*command, "--text", options.text, "--json"], check=True, stdout=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        cold.append(time.perf_counter() - begun)
    print(f"emohop predict from a cold start: median {statistics.median(cold):.2f} s")


def published() -> tuple[torch.nn.Module, Batch, ModelSettings, InputDims]:
    """AMH-7 at the published sizes and a clip for it, and what it was built from."""
    settings = make_recipe("published-amh", ["model.hops=7"]).model
    vocabulary = 3000
    sizes = InputDims(
        7,
        {Modality.AUDIO: 120, Modality.TEXT: vocabulary, Modality.VIDEO: 2048},
        35 if settings.prosody else 0,
    )
    steps = {
        Modality.AUDIO: torch.randn(1, 100 * SECONDS, 120),
        Modality.TEXT: torch.randint(2, vocabulary, (1, WORDS)),
        Modality.VIDEO: torch.randn(1, FRAMES, 2048),
    }
    lengths = {m: torch.tensor([steps[m].shape[1]]) for m in MODALITIES}
    prosody = torch.randn(1, 35) if settings.prosody else None
    batch = Batch(("a",), steps, lengths, prosody)
    return build(settings, sizes).eval(), batch, settings, sizes


def streams(audio: str, rounds: int) -> None:
    """Streams of several lengths: the work of each half second."""
    cases = {"7.5 s": (7.5, 750, False)}
    if audio in AUDIO_FEATURES:
        cases["60 s in segments of 7.5 s"] = (60.0, 750, False)
        cases["60 s as one segment"] = (60.0, 6000, False)
        cases["7.5 s with prosody"] = (7.5, 750, True)
    for name, (seconds, steps, prosody) in cases.items():
        predictor = whole(audio, steps, prosody=prosody)
        gc.collect()
        gc.freeze()  # as the service does
        advanced: list[float] = []
        anew: list[float] = []
        for _ in range(max(1, round(rounds * 7.5 / seconds)) + 1):
            found = streamed(predictor, seconds)
            advanced += [one for one, _ in found]
            anew += [other for _, other in found]
        first = len(found)  # the first round is warming up
        for kind, times in (("advanced", advanced[first:]), ("anew", anew[first:])):
            print(
                f"{audio}, {name}, {kind}: {len(times)} updates, median "
                f"{statistics.median(times):.1f} ms, p99 {np.quantile(times, 0.99):.1f}, "
                f"largest {max(times):.1f}"
            )


def streamed(predictor: Predictor, seconds: float) -> list[tuple[float, float]]:
    """Milliseconds of each update, by the stream and by a prediction on all of its segment."""
    waveform = (
        np.random.default_rng(0).normal(size=round(seconds * 16_000)).astype(np.float32) * 0.1
    )
    text = " ".join(["way"] * WORDS)
    stream, found = predictor.stream(text), []
    for at in range(0, len(waveform), 8000):
        begun = time.perf_counter()
        updates = stream.add(waveform[at : at + 8000])
        said = time.perf_counter()
        if not updates:
            continue
        start = round(updates[-1].prediction.start * 16_000)
        end = round((updates[-1].prediction.end or 0) * 16_000)
        again = time.perf_counter()
        predictor(waveform[start:end], text)
        found.append((1000 * (said - begun), 1000 * (time.perf_counter() - again)))
        if updates[-1].final:
            stream.say(text)
    return found


def whole(audio: str, steps: int, *, prosody: bool) -> Predictor:
    """AMH-7 at the published sizes as a predictor, its weights random."""
    changes = ["model.hops=7", f"model.audio.max_length={steps}", f"model.prosody={prosody}"]
    settings = make_recipe("published-amh", changes).model
    features = FeatureSettings(audio=audio, video="hog", prosody=prosody)
    encoder = load_encoder(Modality.AUDIO, AudioFeatures(encoder=audio), "cpu", None)
    vocabulary = Vocabulary.build([["way"], *([f"word{n}"] for n in range(3000))])
    layers = {Modality.AUDIO: encoder.layers} if encoder.layers > 1 else {}
    width = encoder.width // encoder.layers
    sizes = InputDims(
        7,
        {Modality.AUDIO: width, Modality.TEXT: len(vocabulary), Modality.VIDEO: 2048},
        35 if prosody else 0,
        layers,
    )
    preprocessor = Preprocessor(
        labels=tuple("abcdefg"),
        features=features,
        sizes=sizes,
        max_length={m: settings.encoder(m).max_length for m in MODALITIES},
        standardiser=Standardiser("none"),
        vocabulary=vocabulary,
        encoders={Modality.AUDIO: encoder.fingerprint} if encoder.fingerprint else {},
    )
    config = ModelConfig(
        emohop=emohop.__version__,
        model=settings,
        preprocessor=preprocessor.to_config(),
        calibration=Calibration(temperature=1.0),
        recipe=Recipe(model=settings),
        corpus=TrainedOn(name="made", fingerprint="0" * 64),
        fold=0,
        seed=0,
    )
    return Predictor(build(settings, sizes).eval(), preprocessor, config, device="cpu")


if __name__ == "__main__":
    main()
