"""Media files for tests: videos whose frames say their own number, and waveforms."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

BITS = 12
BLOCK = 16  # pixels a side: large enough to survive any codec
WIDTH, HEIGHT = BITS * BLOCK, 3 * BLOCK
NTSC = Fraction(30000, 1001)


def numbered(k: int, width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.uint8]:
    """A frame whose blocks are the bits of k; the rest is grey with a little movement."""
    image = np.full((height, width, 3), 90 + k % 7, np.uint8)
    for bit in range(BITS):
        left = bit * BLOCK
        image[BLOCK : 2 * BLOCK, left : left + BLOCK] = 235 if k >> bit & 1 else 20
    return image


def number_of(image: NDArray[np.uint8]) -> int:
    """The k of `numbered(k)` after a codec."""
    middle = image[BLOCK : 2 * BLOCK, :WIDTH].astype(float).mean(axis=2)
    blocks = middle.reshape(BLOCK, BITS, BLOCK).mean(axis=(0, 2))
    assert ((blocks < 70) | (blocks > 180)).all(), blocks
    return sum(1 << bit for bit, value in enumerate(blocks) if value > 128)


def write_video(
    path: Path,
    images: Iterable[NDArray[np.uint8]],
    rate: Fraction = NTSC,
    codec: str = "mpeg4",
    stamps: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    waveform: NDArray[np.float32] | None = None,
    options: dict[str, str] | None = None,
    gop: int = 12,
    title: str | None = None,
) -> Path:
    """Encode frames, and mono audio at 16 kHz, into the container that the name asks for.

    `stamps` are the frames' time stamps in units of `time_base` (default: one a frame).
    """
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV has no {codec}")
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream(codec, rate=rate, options=options or {})
        stream.codec_context.gop_size = gop
        stream.pix_fmt = "yuv420p"
        if title is not None:
            out.metadata["title"] = stream.metadata["title"] = title
        if time_base is not None:
            stream.codec_context.time_base = time_base
        voice: Any = out.add_stream("aac", rate=16_000) if waveform is not None else None
        for k, image in enumerate(images):
            if k == 0:
                stream.height, stream.width = image.shape[:2]
            frame: Any = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = k if stamps is None else stamps[k]
            frame.time_base = time_base or 1 / rate
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        if voice is not None and waveform is not None:
            tone: Any = av.AudioFrame.from_ndarray(waveform[None], format="fltp", layout="mono")
            tone.sample_rate, tone.pts = 16_000, 0
            out.mux(voice.encode(tone))
            out.mux(voice.encode(None))
    return path


def numbered_video(path: Path, frames: int, **options: Any) -> Path:
    """A video of `numbered` frames 0, 1, 2 ..."""
    return write_video(path, (numbered(k) for k in range(frames)), **options)


def tone(seconds: float, rate: int = 16_000) -> NDArray[np.float32]:
    """A sine, `[samples]`."""
    return np.asarray(0.5 * np.sin(np.arange(round(seconds * rate)) * 0.1), np.float32)
