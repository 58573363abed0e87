"""The dialog videos of the synthetic corpus: two actors side by side, as an MPEG-4 AVI."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt

from emohop.synthetic.faces import (
    HEIGHT,
    LEVELS,
    MOUTHS,
    WIDTH,
    Person,
    Plane,
    Portrait,
    Pose,
    draw,
)

FRAME_WIDTH, FRAME_HEIGHT = 720, 480
HALF_WIDTH = FRAME_WIDTH // 2
BAND = (100, 380)  # rows of the frame; above and below it is black, as in IEMOCAP
# Half of IEMOCAP's 30000/1001: features look three times a second, and drawing costs time.
FRAMES_PER_SECOND = Fraction(15000, 1001)
FRAMES_PER_KEY_FRAME = 60
QUANTISER = 4
RAMP_SECONDS = 0.15  # in which a face comes and goes
_LOOK_SECONDS = 0.12  # for which a head stands still and a mouth keeps its opening


@dataclass(frozen=True, slots=True)
class Showing:
    """An expression of an actor from `start` to `end` seconds, growing to `level`."""

    label: str
    start: float
    end: float
    level: int = LEVELS
    tilt: int = 0


@dataclass(frozen=True, slots=True)
class Actor:
    """What one half of a video shows. `loudness` is the voice at each video frame, 0 to 1."""

    person: Person
    showings: Sequence[Showing]
    loudness: npt.NDArray[np.float64]
    sway: npt.NDArray[np.int64]
    """How far the head is right of and below its place at each frame `[frames, 2]`, in pixels."""
    blinks: npt.NDArray[np.bool_]


def frame_count(seconds: float) -> int:
    """Enough frames for a video of at least `seconds`."""
    return int(np.ceil(seconds * float(FRAMES_PER_SECOND))) + 1


def frame_times(frames: int) -> npt.NDArray[np.float64]:
    """When each frame begins, in seconds."""
    return np.arange(frames) / float(FRAMES_PER_SECOND)


def sway(frames: int, random: np.random.Generator) -> npt.NDArray[np.int64]:
    """Head movement `[frames, 2]` in whole chroma pixels: slow, idle, never far."""
    times = frame_times(frames)
    path = np.zeros((frames, 2))
    for axis, reach in enumerate((5.0, 3.0)):
        for _ in range(3):
            frequency, phase = random.uniform(0.05, 0.5), random.uniform(0, 2 * np.pi)
            path[:, axis] += reach / 3 * np.sin(2 * np.pi * frequency * times + phase)
    path += random.uniform(-4, 4, size=2) * (1, 0.5)  # where the actor sits
    return 2 * np.rint(path / 2).astype(np.int64)


def blinks(frames: int, random: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Eyes closed for two frames every few seconds."""
    closed = np.zeros(frames, bool)
    starts = np.cumsum(random.uniform(25, 70, size=frames // 25 + 1)).astype(int)
    for start in starts[starts < frames]:
        closed[start : start + 2] = True
    return closed


def write_video(path: Path, left: Actor, right: Actor, frames: int) -> None:
    """Write an AVI of `frames` frames; one frame is in memory at a time."""
    import av

    frame = _Frame()
    sides = (_Side(left, 0), _Side(right, HALF_WIDTH))
    for side in sides:
        side.paint_wall(frame)
    with av.open(str(path), "w", format="avi", options={"fflags": "+bitexact"}) as video:
        stream = video.add_stream("mpeg4", rate=FRAMES_PER_SECOND)
        stream.width, stream.height, stream.pix_fmt = FRAME_WIDTH, FRAME_HEIGHT, "yuv420p"
        quantiser = str(QUANTISER)
        stream.options = {"flags": "+bitexact", "qmin": quantiser, "qmax": quantiser}
        stream.codec_context.thread_count = 1  # the same bytes on any machine
        stream.codec_context.gop_size = FRAMES_PER_KEY_FRAME
        for number in range(frames):
            for side in sides:
                side.paint(frame, number)
            video.mux(stream.encode(av.VideoFrame.from_ndarray(frame.whole, format="yuv420p")))
        video.mux(stream.encode())


def poses(actor: Actor, frames: int) -> list[Pose]:
    """What an actor's face does at each frame."""
    times = frame_times(frames)
    labels, levels, tilts = ["neu"] * frames, np.zeros(frames, int), np.zeros(frames, int)
    for showing in actor.showings:
        first, last = np.searchsorted(times, (showing.start, showing.end))
        for number in range(first, last):
            edge = min(times[number] - showing.start, showing.end - times[number])
            labels[number] = showing.label
            levels[number] = min(showing.level, 1 + int(LEVELS * edge / RAMP_SECONDS))
            tilts[number] = showing.tilt
    held = max(round(_LOOK_SECONDS * float(FRAMES_PER_SECOND)), 1)
    mouths = np.clip(np.ceil(actor.loudness * MOUTHS - 0.5), 0, MOUTHS).astype(int)
    return [
        Pose(
            labels[number] if levels[number] and labels[number] != "neu" else "neu",
            int(levels[number]) if labels[number] != "neu" else 0,
            int(mouths[number - number % held]),
            bool(actor.blinks[number]),
            int(tilts[number]),
        )
        for number in range(frames)
    ]


class _Frame:
    """A frame in 4:2:0, at first black: `whole` is what the encoder takes, the planes are views."""

    def __init__(self) -> None:
        self.whole = np.full((FRAME_HEIGHT * 3 // 2, FRAME_WIDTH), 128, np.uint8)
        self.luma: Plane = self.whole[:FRAME_HEIGHT]
        self.luma[:] = 16
        halved = (FRAME_HEIGHT // 2, FRAME_WIDTH // 2)
        self.blue: Plane = self.whole[FRAME_HEIGHT : FRAME_HEIGHT * 5 // 4].reshape(halved)
        self.red: Plane = self.whole[FRAME_HEIGHT * 5 // 4 :].reshape(halved)


class _Side:
    """Paints one actor into a frame, when something has changed."""

    def __init__(self, actor: Actor, left: int) -> None:
        self._actor = actor
        self._left = left
        self._poses = poses(actor, len(actor.loudness))
        self._portraits: dict[Pose, Portrait] = {}
        self._painted: tuple[Pose, int, int] | None = None

    def paint_wall(self, frame: _Frame) -> None:
        """Fill the actor's half with the wall, whose colour a portrait has in its corner."""
        wall = self._portrait(Pose())
        columns = slice(self._left, self._left + HALF_WIDTH)
        frame.luma[slice(*BAND), columns] = wall.luma[0, 0]
        columns = slice(self._left // 2, (self._left + HALF_WIDTH) // 2)
        rows = slice(BAND[0] // 2, BAND[1] // 2)
        frame.blue[rows, columns] = wall.blue[0, 0]
        frame.red[rows, columns] = wall.red[0, 0]

    def paint(self, frame: _Frame, number: int) -> None:
        """Copy the portrait of frame `number` to its place.

        A portrait is higher than the band by more than heads sway, and its sides are wall.
        """
        right, down = (int(pixels) for pixels in self._actor.sway[number])
        pose = self._poses[number]
        if self._painted == (pose, right, down):
            return
        self._painted = (pose, right, down)
        portrait = self._portrait(pose)
        column = self._left + (HALF_WIDTH - WIDTH) // 2 + right
        high = BAND[1] - BAND[0]
        top = (HEIGHT - high) // 2 - down
        frame.luma[slice(*BAND), column : column + WIDTH] = portrait.luma[top : top + high]
        column, high, top = column // 2, high // 2, top // 2
        place = (slice(BAND[0] // 2, BAND[1] // 2), slice(column, column + WIDTH // 2))
        frame.blue[place] = portrait.blue[top : top + high]
        frame.red[place] = portrait.red[top : top + high]

    def _portrait(self, pose: Pose) -> Portrait:
        if pose not in self._portraits:
            self._portraits[pose] = draw(self._actor.person, pose)
        return self._portraits[pose]
