"""Faces: how often one is found in a film, how long it takes, and where it stops being found.

    python benchmarks/faces.py FILM

Three pictures a second of a film in which one face is always seen; then the same pictures turned,
darkened and made small in the corner of a black frame; and pictures without a face.
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

Picture = NDArray[np.uint8]


def turned(picture: Picture, degrees: float) -> Picture:
    """A picture turned about its middle."""
    return np.asarray(Image.fromarray(picture).rotate(degrees))


def small(picture: Picture, share: float) -> Picture:
    """A picture of that share of its sides in the corner of a black one."""
    height, width = (round(side * share) for side in picture.shape[:2])
    found = np.zeros_like(picture)
    found[:height, :width] = np.asarray(Image.fromarray(picture).resize((width, height)))
    return found


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("film", type=Path)
    film: Path = parser.parse_args().film
    torch.set_num_threads(1)
    seconds = probe(film).video_duration or 1.0
    times = [k / 3 for k in range(int(3 * seconds))]
    pictures = [picture for _, picture in frames_at(film, times)]
    chance = np.random.default_rng(0)
    shape = pictures[0].shape
    kinds: dict[str, list[Picture]] = {"as they are": pictures}
    for degrees in (8, 15, 22, 30):
        kinds[f"turned by {degrees} degrees"] = [turned(p, degrees) for p in pictures]
    for share in (0.5, 0.25):
        kinds[f"at {share} of their size"] = [small(p, share) for p in pictures]
    for light in (0.25, 0.1):
        kinds[f"at {light} of the light"] = [(p * light).astype(np.uint8) for p in pictures]
    kinds["no face: noise"] = [
        chance.integers(0, 256, shape).astype(np.uint8) for _ in range(len(pictures))
    ]
    kinds["no face: black"] = [np.zeros(shape, np.uint8)] * len(pictures)
    print(f"| {shape[1]} x {shape[0]} pixels | found | ms a picture, median |\n|---|---|---|")
    for name, chosen in kinds.items():
        found, taken = 0, []
        for picture in chosen:
            start = time.perf_counter()
            found += find_face(picture) is not None
            taken.append(time.perf_counter() - start)
        print(f"| {name} | {found} of {len(chosen)} | {1000 * statistics.median(taken):.0f} |")


if __name__ == "__main__":
    main()
