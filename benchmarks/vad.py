"""Finding speech: WebRTC's detector beside Silero's, in noise and music.

python benchmarks/vad.py CORPUS FOLDER [--every 24]

Every so many clips of the corpus stand between two silences of 1.5 s, clean and under white noise,
babble of other clips and made music (chords with a beat) at several ratios. A frame of 30 ms is
speech where the clean clip, smoothed over 0.3 s as the detectors' flags are, is within 35 dB of its
95th percentile. Printed are the shares of frames that are missed and wrongly taken, and the seconds
that an hour of audio takes in one thread, both detectors by turns. Silero's ONNX model comes with
faster-whisper (extra `faster`).
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emohop import corpora
from emohop.features.audio import SAMPLE_RATE_HZ, waveform_16k
from emohop.media import read_audio

FRAME_SAMPLES = SAMPLE_RATE_HZ * 30 // 1000
AROUND_FRAMES = 10
STRICTNESS = 2  # of WebRTC's, 0 to 3: what emohop used before
SILENCE_SECONDS = 1.5
SPEECH_DB = 35.0
RATIOS_DB = (20, 10, 5, 0)
SILERO_SAMPLES = 512
Waveform = NDArray[np.float32]
Flags = NDArray[np.bool_]


def smooth(flags: Flags) -> Flags:
    """The majority of the frames around each."""
    width = 2 * (AROUND_FRAMES // 2) + 1
    return np.asarray(np.convolve(flags, np.ones(width) / width, "same") > 0.5)


def reference(clean: Waveform) -> Flags:
    """Frames in which the clean clip speaks."""
    frames = clean[: len(clean) // FRAME_SAMPLES * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES)
    levels = 10 * np.log10(np.maximum(np.square(frames).mean(axis=1), 1e-12))
    return smooth(levels > np.percentile(levels, 95) - SPEECH_DB)


def webrtc(waveform: Waveform) -> Flags:
    """Frames in which WebRTC's detector hears speech, as `features.vad` asks it."""
    import webrtcvad

    detector = webrtcvad.Vad(STRICTNESS)
    whole = waveform[: len(waveform) // FRAME_SAMPLES * FRAME_SAMPLES]
    data = (np.clip(whole, -1, 1) * 32767).astype("<i2").reshape(-1, FRAME_SAMPLES)
    return smooth(np.array([detector.is_speech(frame.tobytes(), SAMPLE_RATE_HZ) for frame in data]))


def silero(waveform: Waveform) -> Flags:
    """The same by Silero's model, whose steps of 32 ms become frames of 30."""
    from faster_whisper.vad import get_vad_model

    padded = np.pad(waveform, (0, -len(waveform) % SILERO_SAMPLES))
    speech = np.ravel(get_vad_model()(padded)) > 0.5
    middles = (np.arange(len(waveform) // FRAME_SAMPLES) + 0.5) * FRAME_SAMPLES
    return smooth(speech[(middles / SILERO_SAMPLES).astype(int)])


DETECTORS: dict[str, Callable[[Waveform], Flags]] = {"webrtc": webrtc, "silero": silero}


def music(samples: int, rng: np.random.Generator) -> Waveform:
    """Chords of harmonics that change every half second, with a beat of noise."""
    times = np.arange(samples) / SAMPLE_RATE_HZ
    found = np.zeros(samples)
    for chord in range(int(times[-1] * 2) + 1):
        here = (times * 2).astype(int) == chord
        for note in 110 * 2 ** (rng.choice(24, 3, replace=False) / 12):
            for harmonic in range(1, 6):
                found[here] += np.sin(2 * np.pi * note * harmonic * times[here]) / harmonic
        beat = times - chord / 2
        found += here * (beat < 0.05) * rng.normal(size=samples)
    return found.astype(np.float32)


def mixtures(
    clean: Waveform, others: Sequence[Waveform], rng: np.random.Generator
) -> dict[str, Waveform]:
    """The clip clean, and under each kind of noise at each ratio to its own level."""
    babble = sum(np.resize(one, len(clean)) for one in others)
    noises = {
        "white": rng.normal(size=len(clean)),
        "babble": np.asarray(babble),
        "music": music(len(clean), rng),
    }
    loud = np.sqrt(np.mean(np.square(clean[np.abs(clean) > 0])))
    made = {"clean": clean}
    for name, noise in noises.items():
        for ratio in RATIOS_DB:
            scale = loud / np.sqrt(np.mean(np.square(noise))) / 10 ** (ratio / 20)
            made[f"{name} {ratio} dB"] = (clean + scale * noise).astype(np.float32)
    return made


def main() -> None:
    """Print a table of errors, and the time that each takes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--every", type=int, default=24)
    options = parser.parse_args()
    clips = [c for c in corpora.read(options.corpus, options.folder) if c.audio is not None]
    silence = np.zeros(round(SILENCE_SECONDS * SAMPLE_RATE_HZ), np.float32)
    waveforms = []
    for clip in clips[:: options.every]:
        if clip.audio is not None:
            waveform = waveform_16k(*read_audio(clip.audio)[:2])
            waveforms.append(np.concatenate([silence, waveform, silence]))
    rng = np.random.default_rng(0)
    wrong: dict[str, dict[str, list[tuple[float, float]]]] = {}
    taken: dict[str, list[float]] = {name: [] for name in DETECTORS}
    for number, clean in enumerate(waveforms):
        true = reference(clean)
        others = [waveforms[(number + k) % len(waveforms)] for k in (1, 2, 3, 4)]
        for kind, waveform in mixtures(clean, others, rng).items():
            for name, detector in DETECTORS.items():
                begun = time.perf_counter()
                found = detector(waveform)[: len(true)]
                hours = len(waveform) / SAMPLE_RATE_HZ / 3600
                taken[name].append((time.perf_counter() - begun) / hours)
                missed, false = (true & ~found).mean(), (found & ~true).mean()
                wrong.setdefault(kind, {}).setdefault(name, []).append((missed, false))
    names = list(DETECTORS)
    print("| " + " | ".join(["audio", *(f"{n}: missed + wrongly taken, %" for n in names)]) + " |")
    print("|---|" + "---:|" * len(names))
    for kind, found_by in wrong.items():
        cells = []
        for name in names:
            missed, false = np.mean(found_by[name], axis=0) * 100
            cells.append(f"{missed:.1f} + {false:.1f} = {missed + false:.1f}")
        print(f"| {kind} | " + " | ".join(cells) + " |")
    for name in names:
        print(f"{name}: median {statistics.median(taken[name][1:]):.1f} s for an hour of audio")


if __name__ == "__main__":
    main()
