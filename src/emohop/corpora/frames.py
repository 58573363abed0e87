"""Sample frames: one frame of each session with the speaker marked, for a person to look at."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from emohop.clips import Clip, Half
from emohop.corpora.report import Problem
from emohop.errors import CorpusError, MediaError

if TYPE_CHECKING:
    from PIL.Image import Image

_MARK = (255, 220, 0)
_MARK_WIDTH = 6  # pixels
_TEXT_HEIGHT = 18  # pixels


def write_sample_frames(
    clips: Iterable[Clip], folder: Path
) -> tuple[list[Path], dict[Path, Problem]]:
    """Write `<session>.png` for each session: the middle of its first clip whose video decodes.

    Returns the files written, and the videos that were tried in vain.

    Raises:
        CorpusError: nothing can be written to `folder`.
    """
    from emohop.media import frames_at

    written: dict[str, Path] = {}
    failed: dict[Path, Problem] = {}
    for clip in clips:
        video, session = clip.video, clip.session or "corpus"
        if video is None or session in written or video.path in failed:
            continue
        end = video.start if video.end is None else video.end
        middle = (video.start + end) / 2
        try:
            _, frame = next(frames_at(video.path, [middle]), (0, None))
        except MediaError as error:
            failed[video.path] = Problem.of(video.path, error)
            continue
        if frame is None:
            failed[video.path] = Problem(video.path, f"no frame at {middle:.2f} s, in {clip.id}")
            continue
        path = folder / f"{session}.png"
        who = {"F": "the woman", "M": "the man", None: "the speaker"}[clip.gender]
        caption = f"{clip.id}: {who} ({clip.speaker or 'unnamed'}) should be marked"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            mark(frame, video.half, caption).save(path)
        except OSError as error:
            raise CorpusError(f"{path}: a sample frame cannot be written: {error}") from None
        written[session] = path
    return list(written.values()), failed


def mark(frame: NDArray[np.uint8], half: Half | None, caption: str) -> Image:
    """A Pillow image of `frame` [height, width, 3] with a border around a half, and a caption."""
    from PIL import Image, ImageDraw, ImageFont

    image = Image.fromarray(frame)
    width, height = image.size
    left = width // 2 if half == "right" else 0
    right = width // 2 if half == "left" else width
    draw = ImageDraw.Draw(image)
    draw.rectangle((left, 0, right - 1, height - 1), outline=_MARK, width=_MARK_WIDTH)
    place = (2 * _MARK_WIDTH, height - 2 * _MARK_WIDTH - _TEXT_HEIGHT)
    font = ImageFont.load_default(size=_TEXT_HEIGHT)
    draw.rectangle(draw.textbbox(place, caption, font=font), fill=(0, 0, 0))
    draw.text(place, caption, fill=_MARK, font=font)
    return image
