"""Faces: how often one is found in a video, how long it takes, and where it stops being found.

    python benchmarks/faces.py VIDEO

Three frames per second of a video in which one face is always seen; then the same frames turned,
darkened and made small in the corner of a black frame; and frames without a face.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from emohop.features.faces import find_face
from emohop.media import frames_at, probe

Frame = NDArray[np.uint8]


def turned(frame: Frame, degrees: float) -> Frame:
    """A frame turned about its middle."""
    return np.asarray(Image.fromarray(frame).rotate(degrees))


def small(frame: Frame, share: float) -> Frame:
    """A frame of that share of its sides in the corner of a black one."""
    height, width = (round(side * share) for side in frame.shape[:2])
    found = np.zeros_like(frame)
    found[:height, :width] = np.asarray(Image.fromarray(frame).resize((width, height)))
    return found


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("video", type=Path)
    video: Path = parser.parse_args().video
    torch.set_num_threads(1)
    seconds = probe(video).video_end or 1.0
    times = [k / 3 for k in range(int(3 * seconds))]
    frames = [frame for _, frame in frames_at(video, times)]
    chance = np.random.default_rng(0)
    shape = frames[0].shape
    kinds: dict[str, list[Frame]] = {"as they are": frames}
    for degrees in (8, 15, 22, 30):
        kinds[f"turned by {degrees} degrees"] = [turned(p, degrees) for p in frames]
    for share in (0.5, 0.25):
        kinds[f"at {share} of their size"] = [small(p, share) for p in frames]
    for light in (0.25, 0.1):
        kinds[f"at {light} of the light"] = [(p * light).astype(np.uint8) for p in frames]
    kinds["no face: noise"] = [
        chance.integers(0, 256, shape).astype(np.uint8) for _ in range(len(frames))
    ]
    kinds["no face: black"] = [np.zeros(shape, np.uint8)] * len(frames)
    print(f"| {shape[1]} x {shape[0]} pixels | found | ms a frame, median |\n|---|---|---|")
    for name, chosen in kinds.items():
        found, taken = 0, []
        for frame in chosen:
            start = time.perf_counter()
            found += find_face(frame) is not None
            taken.append(time.perf_counter() - start)
        print(f"| {name} | {found} of {len(chosen)} | {1000 * statistics.median(taken):.0f} |")


if __name__ == "__main__":
    main()
