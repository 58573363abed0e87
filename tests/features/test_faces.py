"""Faces are found in a photograph, whatever its size, light and place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from emohop.clips import Clip, Span
from emohop.config import FeatureSettings
from emohop.errors import MediaError
from emohop.features.extraction import Extractor
from emohop.features.faces import MARGIN, around, find_face
from emohop.features.video import crop, crops_of, face_crop

FACE = 224.0, 115.0  # the middle of the astronaut's face: x, y
FILM = Path(__file__).parents[2] / "../shared/corpora/ravdess/Actor_01/01-01-01-01-01-01-01.mp4"


@pytest.fixture(scope="module")
def astronaut() -> NDArray[np.uint8]:
    """A photograph of Eileen Collins, which comes with scikit-image: 512 x 512, one face."""
    from skimage import data

    photograph: Any = data.astronaut
    return np.asarray(photograph(), dtype=np.uint8)


def holds(box: tuple[float, float, float], x: float, y: float) -> bool:
    left, top, side = box
    return left < x < left + side and top < y < top + side


def test_a_face_is_found(astronaut: NDArray[np.uint8]) -> None:
    face = find_face(astronaut)
    assert face is not None
    assert holds(face, *FACE)
    assert 70 < face[2] < 170


@pytest.mark.parametrize("scale", [0.6, 2.0])
def test_in_images_of_any_size(astronaut: NDArray[np.uint8], scale: float) -> None:
    size = round(512 * scale)
    face = find_face(np.asarray(Image.fromarray(astronaut).resize((size, size))))
    assert face is not None
    assert holds(face, FACE[0] * scale, FACE[1] * scale)


def test_in_the_dark_and_aslant(astronaut: NDArray[np.uint8]) -> None:
    assert find_face((astronaut * 0.3).astype(np.uint8)) is not None
    turned = Image.fromarray(astronaut).rotate(8, center=FACE)
    face = find_face(np.asarray(turned))
    assert face is not None
    assert holds(face, *FACE)


def test_the_largest_of_two(astronaut: NDArray[np.uint8]) -> None:
    small = np.asarray(Image.fromarray(astronaut).resize((300, 300)))
    both = np.zeros((512, 830, 3), np.uint8)
    both[:300, :300], both[:, 318:] = small, astronaut
    face = find_face(both)
    assert face is not None
    assert holds(face, 318 + FACE[0], FACE[1])


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((1, 1, 3), np.uint8),
        np.zeros((480, 640, 3), np.uint8),
        np.full((30, 3000, 3), 127, np.uint8),
        np.random.default_rng(0).integers(0, 256, (240, 320, 3)).astype(np.uint8),
    ],
    ids=["a pixel", "black", "a stripe", "noise"],
)
def test_where_there_is_none(image: NDArray[np.uint8]) -> None:
    assert find_face(image) is None
    shown, found = face_crop(image, None, 32)
    assert not found
    np.testing.assert_array_equal(shown, crop(image, None, 32))


def test_the_crop_is_a_square_inside_the_image(astronaut: NDArray[np.uint8]) -> None:
    shown, found = face_crop(astronaut, None, 64)
    assert found
    assert shown.shape == (64, 64, 3)
    face = find_face(astronaut)
    assert face is not None
    left, top, side = face
    wide = side * MARGIN
    corner = (left - (wide - side) / 2, top - (wide - side) / 2)
    middle = astronaut[round(corner[1] + wide / 2), round(corner[0] + wide / 2)]
    np.testing.assert_allclose(shown[32, 32], middle, atol=30)
    # a face at the edge: the square is moved, not filled up
    assert around((500.0, 500.0, 60.0), astronaut, 16).shape == (16, 16, 3)
    assert around((0.0, 0.0, 5000.0), astronaut, 16).shape == (16, 16, 3)


def test_the_speakers_half_alone_is_searched(astronaut: NDArray[np.uint8]) -> None:
    frame = np.zeros((512, 1024, 3), np.uint8)
    frame[:, 512:] = astronaut
    assert face_crop(frame, "right", 32)[1]
    assert not face_crop(frame, "left", 32)[1]


def test_images_and_flags_of_a_video(
    astronaut: NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A video of three frames, of which the second has no face."""
    import av

    path = tmp_path / "film.mp4"
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("mpeg4", rate=3)
        stream.width, stream.height, stream.pix_fmt = 512, 512, "yuv420p"
        for image in (astronaut, np.zeros_like(astronaut), astronaut):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        out.mux(stream.encode())
    ((_, cropped),) = crops_of([Span(path, 0.0, 1.0)], 3, face=True)
    assert not isinstance(cropped, MediaError)
    assert cropped.found.tolist() == [True, False, True]
    ((_, centres),) = crops_of([Span(path, 0.0, 1.0)], 3)
    assert not isinstance(centres, MediaError)
    np.testing.assert_array_equal(centres.frames[1], cropped.frames[1])
    assert np.abs(centres.frames[0].astype(int) - cropped.frames[0]).mean() > 10

    settings = FeatureSettings(audio=None, text=None, video={"encoder": "hog", "crop": "face"})
    extract = Extractor(settings)
    assert extract.sizes == {"video": 512, "face": 1}
    arrays = extract(Clip("x", video=Span(path, 0.0, 1.0)))
    assert arrays["face"].tolist() == [[1.0], [0.0], [1.0]]
    assert arrays["face"].dtype == np.float32
    assert arrays["video"].shape == (3, 512)


def test_a_real_video() -> None:
    if not FILM.is_file():
        pytest.skip("the shared video is not here")
    ((_, cropped),) = crops_of([Span(FILM.resolve())], 3, face=True)
    assert not isinstance(cropped, MediaError)
    assert cropped.found.all()


def test_prepared_flags(astronaut: NDArray[np.uint8], tmp_path: Path) -> None:
    """`prepare --crop face` keeps the flags, and `check` counts them."""
    from typer.testing import CliRunner

    from emohop.cli import app
    from emohop.storage import open_prepared

    import av  # isort: skip

    for label in ("happy", "sad"):
        (tmp_path / "mine" / label).mkdir(parents=True)
        path = tmp_path / "mine" / label / "a.mp4"
        with av.open(str(path), "w") as out:
            stream: Any = out.add_stream("mpeg4", rate=3)
            stream.width, stream.height, stream.pix_fmt = 512, 512, "yuv420p"
            for image in (astronaut, np.zeros_like(astronaut)):
                out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            out.mux(stream.encode())
    out_folder = tmp_path / "prepared"
    done = CliRunner().invoke(
        app,
        ["prepare", "folder", str(tmp_path / "mine"), str(out_folder), "--audio", "none", "--text",
         "none", "--video", "hog", "--crop", "face", "--jobs", "1"],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    manifest = json.loads((out_folder / "manifest.json").read_text())
    assert manifest["sizes"] == {"video": 512, "face": 1}
    rows = open_prepared(out_folder)
    assert rows[0]["face"].tolist() == [[1.0], [0.0]]
    said = CliRunner().invoke(app, ["check", str(out_folder)])
    assert "a face was found in 2 of 4 frames" in said.output
