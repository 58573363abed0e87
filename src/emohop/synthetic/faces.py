"""Drawn faces for the synthetic corpus: a person by speaker, an expression by class.

A portrait is drawn once for each combination that a video needs and then reused, so that a frame
costs no more than copying it to its place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from emohop.clips import Gender
from emohop.synthetic.plan import generator

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

Plane = npt.NDArray[np.uint8]
Point = tuple[float, float]
Colour = tuple[int, int, int]

WIDTH, HEIGHT = 272, 304  # of a portrait, in pixels
LEVELS = 3  # an expression grows from 0 (neutral) to this
MOUTHS = 3  # the mouth opens from 0 to this while speaking
TILTS = (-1, 0, 1)
TILT_DEGREES = 2.5

_SUPERSAMPLING = 2
_CENTRE: Point = (WIDTH / 2, HEIGHT / 2 - 4)


@dataclass(frozen=True, slots=True)
class Expression:
    """A face's departure from rest; 0 is rest throughout, lengths are in pixels."""

    brow_raise: float = 0.0
    brow_inner: float = 0.0
    """The inner ends of the brows against the outer: below 0 a frown, above 0 grief."""
    brow_skew: float = 0.0
    """One brow up, the other down."""
    eye_open: float = 0.0
    """Added to the height of the eyes."""
    mouth_curve: float = 0.0
    """The corners of the mouth: up is above 0."""
    mouth_width: float = 0.0
    mouth_open: float = 0.0
    mouth_skew: float = 0.0
    """One corner up, the other down."""


EXPRESSIONS: Mapping[str, Expression] = {
    "neu": Expression(),
    "ang": Expression(-7, -19, 0, -2, -10, 2, 12, 0),
    "hap": Expression(3, 0, 0, -4, 18, 13, 0, 0),
    "exc": Expression(13, 2, 0, 4, 17, 15, 22, 0),
    "sad": Expression(4, 17, 0, -4, -17, -6, 0, 0),
    "fru": Expression(-3, -6, 11, -4, -3, -2, -2, 14),
    "sur": Expression(19, 3, 0, 7, -1, -17, 30, 0),
}


@dataclass(frozen=True, slots=True)
class Person:
    """What a speaker looks like; lengths in pixels."""

    skin: Colour
    hair: Colour
    shirt: Colour
    wall: Colour
    face_width: float
    face_height: float
    eye_distance: float
    brow_width: float
    mouth_width: float
    long_hair: bool
    fringe: float
    """Where the hair ends above the brows, as a share of half the face's height."""
    bias: Expression
    """What the face shows at rest."""
    liveliness: float
    """How strongly the face shows anything."""
    markers: bool = False


@dataclass(frozen=True, slots=True)
class Pose:
    """One portrait of a person: the expression `label` at `level`, and what the head is doing."""

    label: str = "neu"
    level: int = 0
    mouth: int = 0
    blink: bool = False
    tilt: int = 0


@dataclass(frozen=True, slots=True)
class Portrait:
    """A drawing in the colours of video: BT.601, limited range, 4:2:0."""

    luma: Plane
    blue: Plane
    red: Plane


def person(session: int, gender: Gender, seed: int, *, markers: bool = False) -> Person:
    """The speaker of a session, the same in all of its dialogs."""
    random = generator(seed, "person", session, gender)
    tone = random.uniform(0.5, 1.0)
    skin = (int(235 * tone), int(190 * tone), int(158 * tone))
    hairs = ((28, 22, 20), (70, 44, 26), (130, 84, 40), (150, 60, 30), (180, 160, 110))
    bias = Expression(*(float(random.normal(0, 0.6)) for _ in range(8)))
    return Person(
        skin=skin,
        hair=hairs[int(random.integers(len(hairs)))],
        shirt=_colour(random, 40, 190),
        wall=_colour(random, 105, 150),
        face_width=float(random.uniform(58, 65)),
        face_height=float(random.uniform(78, 85)),
        eye_distance=float(random.uniform(27, 30)),
        brow_width=float(random.uniform(5, 7)) * (0.8 if gender == "F" else 1.1),
        mouth_width=float(random.uniform(23, 27)),
        long_hair=bool(random.random() < (0.85 if gender == "F" else 0.1)),
        fringe=float(random.uniform(0.72, 0.84)),
        bias=bias,
        liveliness=float(random.uniform(0.9, 1.1)),
        markers=markers,
    )


def draw(who: Person, pose: Pose) -> Portrait:
    """A portrait `[HEIGHT, WIDTH]`, antialiased, on the person's own wall."""
    from PIL import Image, ImageDraw

    size = (WIDTH * _SUPERSAMPLING, HEIGHT * _SUPERSAMPLING)
    image = Image.new("RGB", size, who.wall)
    _paint(_Pen(ImageDraw.Draw(image), pose.tilt * TILT_DEGREES), who, pose)
    planes = image.reduce(_SUPERSAMPLING).convert("YCbCr").split()
    luma, blue, red = (np.asarray(plane, np.float32) for plane in planes)
    return Portrait(np.rint(16 + luma * (219 / 255)).astype(np.uint8), _chroma(blue), _chroma(red))


def _chroma(plane: npt.NDArray[np.float32]) -> Plane:
    halved = (plane[::2, ::2] + plane[1::2, ::2] + plane[::2, 1::2] + plane[1::2, 1::2]) / 4
    return np.rint(128 + (halved - 128) * (224 / 255)).astype(np.uint8)


def _colour(random: np.random.Generator, low: int, high: int) -> Colour:
    red, green, blue = (int(value) for value in random.integers(low, high, 3))
    return red, green, blue


class _Pen:
    """Draws in portrait pixels around the centre of the face, y upwards, turned by the tilt."""

    def __init__(self, canvas: ImageDraw, degrees: float) -> None:
        self._canvas = canvas
        self._cosine = float(np.cos(np.radians(degrees)))
        self._sine = float(np.sin(np.radians(degrees)))

    def _place(self, points: Sequence[Point]) -> list[Point]:
        cosine, sine, scale = self._cosine, self._sine, _SUPERSAMPLING
        return [
            (
                scale * (_CENTRE[0] + x * cosine - y * sine),
                scale * (_CENTRE[1] - x * sine - y * cosine),
            )
            for x, y in points
        ]

    def shape(self, points: Sequence[Point], colour: Colour) -> None:
        self._canvas.polygon(self._place(points), fill=colour)

    def line(self, points: Sequence[Point], colour: Colour, width: float) -> None:
        scaled = max(round(width * _SUPERSAMPLING), 1)
        self._canvas.line(self._place(points), fill=colour, width=scaled, joint="curve")

    def ellipse(
        self,
        centre: Point,
        radii: Point,
        colour: Colour,
        *,
        degrees: tuple[float, float] = (0.0, 360.0),
    ) -> None:
        angles = np.radians(np.linspace(*degrees, 40))
        xs, ys = centre[0] + radii[0] * np.cos(angles), centre[1] + radii[1] * np.sin(angles)
        self.shape(list(zip(xs.tolist(), ys.tolist(), strict=True)), colour)


def _paint(pen: _Pen, who: Person, pose: Pose) -> None:
    amount = who.liveliness * pose.level / LEVELS
    pairs = zip(astuple(EXPRESSIONS[pose.label]), astuple(who.bias), strict=True)
    face = Expression(*(amount * shown + rest for shown, rest in pairs))
    wide, high = who.face_width, who.face_height
    dark = _darker(who.skin, 0.78)
    if who.long_hair:
        pen.ellipse((0, -18), (wide * 1.28, high * 1.2), who.hair)
    pen.ellipse((0, -high - 66), (wide * 1.75, 74), who.shirt)
    pen.shape([(-24, -50), (24, -50), (28, -high - 18), (-28, -high - 18)], dark)
    pen.ellipse((0, 10), (wide * 1.1, high * 1.06), who.hair)
    for side in (-1, 1):
        pen.ellipse((side * wide, -4), (9, 16), dark)
    pen.ellipse((0, 0), (wide, high), who.skin)
    low = float(np.degrees(np.arcsin((who.fringe * high - 10) / (high * 1.06))))
    pen.ellipse((0, 10), (wide * 1.1, high * 1.06), who.hair, degrees=(low, 180 - low))
    for side in (-1, 1):
        _paint_eye(pen, who, face, side, blink=pose.blink)
    pen.line([(-2, 14), (-7, -16), (5, -18)], dark, 2.5)
    _paint_mouth(pen, who, face, pose.mouth)
    if who.markers:
        for x, y in ((0, 44), (-26, 44), (26, 44), (-40, -14), (40, -14), (-24, -62), (24, -62)):
            pen.ellipse((x, y), (2.5, 2.5), (245, 245, 245))


def _paint_eye(pen: _Pen, who: Person, face: Expression, side: int, *, blink: bool) -> None:
    x, y = side * who.eye_distance, 14.0
    height = 1.2 if blink else max(7.5 + face.eye_open, 2.0)
    ink = _darker(who.hair, 0.6)
    pen.ellipse((x, y), (13, height + 1.5), ink)
    if not blink:
        pen.ellipse((x, y), (12, height), (240, 240, 236))
        pen.ellipse((x, y), (5.5, min(height, 5.5)), (44, 36, 32))
    middle = 31 + face.brow_raise + side * face.brow_skew
    inner, outer = middle + face.brow_inner / 2, middle - face.brow_inner / 2
    brow = [(x - side * 15, inner), (x, middle + 2.5), (x + side * 16, outer - 1)]
    pen.line(brow, ink, who.brow_width)


def _paint_mouth(pen: _Pen, who: Person, face: Expression, mouth: int) -> None:
    half = max(who.mouth_width + face.mouth_width, 8.0)
    gap = max(face.mouth_open + 5.0 * mouth, 0.0)
    across = np.linspace(-1, 1, 15)
    # A parabola through the corners, its middle at y = -40; the skew leans it.
    curve = -40 + face.mouth_curve * (across**2 - 0.4) + face.mouth_skew * across
    opening = gap * (1 - across**2)
    upper = list(zip((half * across).tolist(), (curve + 0.35 * opening).tolist(), strict=True))
    lower = list(zip((half * across).tolist(), (curve - 0.65 * opening).tolist(), strict=True))
    lips = (min(who.skin[0], 190), int(who.skin[1] * 0.45), int(who.skin[2] * 0.5))
    if gap > 1:
        pen.shape(upper + lower[::-1], (60, 16, 20))
        if gap > 6:
            teeth = [(x, y - min(gap * 0.3, 5)) for x, y in upper[3:-3]]
            pen.shape(upper[3:-3] + teeth[::-1], (238, 238, 232))
    pen.line(upper, lips, 4)
    pen.line(lower, lips, 4)


def _darker(colour: Colour, factor: float) -> Colour:
    red, green, blue = (int(value * factor) for value in colour)
    return red, green, blue
