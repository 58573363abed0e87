"""Where the face is in a frame, and the square around it.

The detector is scikit-image's cascade of local binary patterns (Liao et al. 2007), which comes with
its weights. It finds upright faces that look into the camera, up to some 15 degrees aslant; what it
does not find is shown by the centre of the frame instead, and said so.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

SEARCH_PIXELS = 200
"""The shorter side of the frame that is searched; larger ones are made smaller."""
SMALLEST = 0.15
"""Of that side: the smallest face that is looked for."""
MARGIN = 1.4
"""The crop's side in sides of the face that was found."""
MOST_ASPECT = 8
"""Longer frames are not searched: they do not show people."""

Frame = NDArray[np.uint8]
Box = tuple[float, float, float]
"""Left, top and side of a square, in pixels."""


def find_face(frame: Frame) -> Box | None:
    """The largest face in a frame uint8 `[height, width, 3]`; None where none is found."""
    from PIL import Image

    height, width = frame.shape[:2]
    shorter, longer = min(height, width), max(height, width)
    smallest = round(SMALLEST * SEARCH_PIXELS)
    if shorter < smallest or longer > MOST_ASPECT * shorter:
        return None
    scale = min(1.0, SEARCH_PIXELS / shorter)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    grey = np.asarray(Image.fromarray(frame).convert("L").resize(size))
    found = _cascade().detect_multi_scale(
        grey,
        scale_factor=1.2,
        step_ratio=1,
        min_size=(smallest, smallest),
        max_size=(min(size), min(size)),
    )
    if not found:
        return None
    largest = max(found, key=lambda face: (face["width"], -face["r"], -face["c"]))
    return largest["c"] / scale, largest["r"] / scale, largest["width"] / scale


def around(face: Box, frame: Frame, size: int) -> Frame:
    """The square around a face with its margin, inside the frame, `[size, size, 3]`."""
    from PIL import Image

    left, top, side = face
    height, width = frame.shape[:2]
    wanted = min(side * MARGIN, height, width)
    x = min(max(0.0, left + (side - wanted) / 2), width - wanted)
    y = min(max(0.0, top + (side - wanted) / 2), height - wanted)
    image = Image.fromarray(np.ascontiguousarray(frame))
    box = (x, y, x + wanted, y + wanted)
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC, box=box))


@cache
def _cascade() -> Any:
    from skimage import data
    from skimage.feature import Cascade

    weights: Any = data.lbp_frontal_face_cascade_filename
    return Cascade(weights())
