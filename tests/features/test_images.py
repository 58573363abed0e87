from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from emohop.clips import Modality
from emohop.errors import EmohopError, MissingExtraError
from emohop.features.images import HogEncoder, ImageEncoder, fused, load_image_encoder
from emohop.features.preprocessing import Preprocessing
from emohop.features.pretrained import Layers, load

SHARED = Path(__file__).parents[2] / "../shared"
CONFIG = {
    "do_resize": True,
    "size": {"shortest_edge": 224},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5, 0.25, 0.0],
    "image_std": [0.5, 0.25, 2.0],
    "resample": 3,
}


@pytest.fixture(autouse=True)
def _no_cache() -> Iterator[None]:
    load_image_encoder.cache_clear()
    yield
    load_image_encoder.cache_clear()


def crops(frames: int, seed: int = 0) -> NDArray[np.uint8]:
    """Smooth coloured blobs, each frame another."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (frames, 7, 7, 3)).astype(np.uint8)
    return np.repeat(np.repeat(coarse, 32, 1), 32, 2)


def one(encoder: ImageEncoder, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The vectors of one clip."""
    (vectors,) = encoder([images])
    return vectors


def save_resnet(folder: Path, config: dict[str, Any] | None = None) -> str:
    import torch
    from transformers import ResNetConfig, ResNetModel

    torch.manual_seed(0)
    small = ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", num_channels=3
    )
    ResNetModel(small).eval().save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(config or CONFIG))
    return str(folder)


def face(mouth: int, eyes: int = 8) -> NDArray[np.uint8]:
    """A drawn face whose mouth is bent by so many pixels."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (224, 224), (90, 110, 130))
    draw = ImageDraw.Draw(image)
    draw.ellipse((42, 22, 182, 202), fill=(205, 170, 150))
    for x in (82, 142):
        draw.ellipse((x - 12, 90 - eyes, x + 12, 90 + eyes), fill=(250, 250, 250))
    draw.line([(80, 160 - mouth), (112, 160), (144, 160 - mouth)], fill=(120, 30, 40), width=6)
    return np.asarray(image)


def test_hog_is_one_vector_a_frame() -> None:
    encoder = HogEncoder()
    vectors = one(encoder, crops(5))
    assert encoder.name == "hog"
    assert encoder.size == 512
    assert vectors.shape == (5, 512)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-4)
    np.testing.assert_array_equal(one(encoder, crops(5)), vectors)
    np.testing.assert_array_equal(one(encoder, crops(5)[3:4])[0], vectors[3])
    assert one(encoder, crops(0)).shape == (0, 512)


def test_hog_sees_the_expression_and_not_the_light() -> None:
    encoder = HogEncoder()
    smile, frown = face(14), face(-14)
    dim = (smile * 0.7 + 5).astype(np.uint8)
    vectors = one(encoder, np.stack([smile, frown, face(0, eyes=16), dim]))
    light = np.linalg.norm(vectors[0] - vectors[3])
    assert light < 0.05
    for other in (vectors[1], vectors[2]):
        assert np.linalg.norm(vectors[0] - other) > 0.2
    assert not one(encoder, np.full((1, 224, 224, 3), 80, np.uint8)).any()


def test_hog_directions() -> None:
    """Upright stripes have their gradients in one orientation, lying ones in another."""
    stripes = np.zeros((224, 224, 3), np.uint8)
    stripes[:, np.arange(224) // 14 % 2 == 0] = 255
    encoder = HogEncoder()
    upright, lying = one(encoder, np.stack([stripes, stripes.transpose(1, 0, 2)]))
    by_direction = upright.reshape(-1, 8).sum(axis=0)
    assert by_direction.max() > 0.95 * by_direction.sum()
    assert by_direction.argmax() != lying.reshape(-1, 8).sum(axis=0).argmax()


def test_preprocessing_by_hand() -> None:
    pixels = np.zeros((1, 224, 224, 3), np.uint8)
    pixels[0, 2, 3] = (255, 51, 102)
    got = Preprocessing.from_config(CONFIG)(pixels)
    assert got.shape == (1, 3, 224, 224)
    assert got.dtype == np.float32
    # (1 - .5) / .5, (.2 - .25) / .25, (.4 - 0) / 2; and black elsewhere
    np.testing.assert_allclose(got[0, :, 2, 3], [1.0, -0.2, 0.2], atol=1e-6)
    np.testing.assert_allclose(got[0, :, 3, 2], [-1.0, -1.0, 0.0], atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "side"),
    [
        ({"size": 192}, (192, 192)),
        ({"size": {"height": 96, "width": 128}}, (96, 128)),
        ({"size": {"shortest_edge": 256}, "do_center_crop": True, "crop_size": 224}, (224, 224)),
        (
            {"size": 256, "do_center_crop": True, "crop_size": {"height": 240, "width": 240}},
            (240, 240),
        ),
    ],
)
def test_the_input_size_of_a_model(changes: dict[str, Any], side: tuple[int, int]) -> None:
    preprocessing = Preprocessing.from_config({**CONFIG, **changes, "do_normalize": False})
    pixels = np.full((2, 224, 224, 3), 51, np.uint8)
    got = preprocessing(pixels)
    assert got.shape == (2, 3, *side)
    np.testing.assert_allclose(got, 0.2, atol=1e-6)


def test_numbers_that_are_not_rescaled() -> None:
    config = {**CONFIG, "do_rescale": False, "do_normalize": False}
    pixels = crops(1)
    got = Preprocessing.from_config(config)(pixels)
    np.testing.assert_array_equal(got, pixels.transpose(0, 3, 1, 2))


def test_a_model_from_a_folder_against_torch(tmp_path: Path) -> None:
    import torch
    from transformers import ResNetModel

    name = save_resnet(tmp_path)
    encoder = load_image_encoder(name)
    assert encoder is load_image_encoder(name)
    assert (encoder.name, encoder.size) == (name, 16)
    got = one(encoder, crops(3))
    assert got.shape == (3, 16)
    assert got.dtype == np.float32

    pixels = torch.tensor(crops(3)).permute(0, 3, 1, 2) / 255
    mean, std = torch.tensor([[0.5, 0.25, 0.0], [0.5, 0.25, 2.0]]).view(2, 1, 3, 1, 1)
    with torch.inference_mode():
        maps = ResNetModel.from_pretrained(tmp_path).eval()((pixels - mean) / std)
    np.testing.assert_allclose(got, maps.last_hidden_state.mean((2, 3)), atol=1e-5)


def test_a_frame_does_not_depend_on_its_neighbours(tmp_path: Path) -> None:
    encoder = load_image_encoder(save_resnet(tmp_path))
    frames = crops(37)
    together = one(encoder, frames)
    alone = np.concatenate([one(encoder, frames[i : i + 1]) for i in range(37)])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    order = np.random.default_rng(1).permutation(37)
    np.testing.assert_allclose(one(encoder, frames[order]), together[order], atol=1e-5)
    assert np.abs(together[0] - together[1]).max() > 1e-3
    assert one(encoder, frames[:0]).shape == (0, 16)


def test_a_pooler_without_weights_is_not_used(tmp_path: Path) -> None:
    """A vision transformer for classification has no pooler; a random one would mean nothing."""
    import torch
    from transformers import ViTConfig, ViTForImageClassification

    torch.manual_seed(0)
    small = ViTConfig(
        hidden_size=12,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=32,
        patch_size=16,
    )
    ViTForImageClassification(small).eval().save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({**CONFIG, "size": 32}))
    first = one(load_image_encoder(str(tmp_path)), crops(2))
    load_image_encoder.cache_clear()
    torch.manual_seed(1)
    np.testing.assert_array_equal(one(load_image_encoder(str(tmp_path)), crops(2)), first)
    assert first.shape == (2, 12)


def test_loading_is_silent(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    name = save_resnet(tmp_path)
    capfd.readouterr()
    load_image_encoder(name)
    assert capfd.readouterr() == ("", "")
    assert logging.get_verbosity() == verbosity
    assert logging.is_progress_bar_enabled()


@pytest.mark.parametrize(
    "name", ["hgo", "", "./nowhere", "/nowhere/at/all", "~/nowhere", "a/b/c", "C:\\models\\net"]
)
def test_no_such_encoder(name: str) -> None:
    with pytest.raises(
        EmohopError, match=r"no video features .*: one of hog, a short name such as"
    ):
        load_image_encoder(name)


def test_an_unreachable_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    import transformers

    asked = []

    def offline(source: str, **arguments: Any) -> None:
        asked.append((source, arguments.get("local_files_only", False)))
        raise OSError("We couldn't connect to the hub.\nMore advice.")

    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", offline)
    with pytest.raises(EmohopError, match="connect to the hub") as caught:
        load_image_encoder("resnet101")
    assert "\n" not in str(caught.value)
    assert asked == [("microsoft/resnet-101", True), ("microsoft/resnet-101", False)]


def test_without_transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'emohop\[encoders\]'"):
        load_image_encoder("resnet101")


def _empty(folder: Path) -> None:
    folder.mkdir(exist_ok=True)


def _no_weights(folder: Path) -> None:
    save_resnet(folder)
    (folder / "model.safetensors").unlink()


def _pickled(folder: Path) -> None:
    import torch
    from safetensors.torch import load_file

    save_resnet(folder)
    weights = load_file(folder / "model.safetensors")
    torch.save(weights, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def _cut(folder: Path) -> None:
    save_resnet(folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])


def _half_the_weights(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    save_resnet(folder)
    weights = load_file(folder / "model.safetensors")
    kept = {key: value for key, value in weights.items() if "stages.1" not in key}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})


def _no_preprocessor(folder: Path) -> None:
    save_resnet(folder)
    (folder / "preprocessor_config.json").unlink()


def _bad_preprocessor(folder: Path) -> None:
    save_resnet(folder, {**CONFIG, "image_std": [1, 0, 1]})


def _no_size(folder: Path) -> None:
    save_resnet(folder, {"image_mean": [0, 0, 0], "image_std": [1, 1, 1]})


def _absurd_size(folder: Path) -> None:
    save_resnet(folder, {**CONFIG, "size": 10**6})


def _words(folder: Path) -> None:
    from transformers import BertConfig, BertModel

    small = BertConfig(
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        vocab_size=20,
    )
    BertModel(small).save_pretrained(folder)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (_empty, "cannot be loaded"),
        (_no_weights, "cannot be loaded"),
        (_pickled, "cannot be loaded"),
        (_cut, "cannot be loaded"),
        (_half_the_weights, "lack"),
        (_no_preprocessor, "cannot be loaded"),
        (_bad_preprocessor, "preprocessor_config.json"),
        (_no_size, "preprocessor_config.json"),
        (_absurd_size, "preprocessor_config.json"),
        (_words, "is not of the kind 'image or video model': it takes input_ids"),
    ],
)
def test_a_folder_that_cannot_be_used(tmp_path: Path, make: Any, says: str) -> None:
    make(tmp_path / "model")
    with pytest.raises(EmohopError) as caught:
        load_image_encoder(str(tmp_path / "model"))
    assert says in str(caught.value)
    assert str(tmp_path / "model") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_mobilenet_on_a_real_face() -> None:
    folder = SHARED / "models/mobilenet_v2"
    film = SHARED / "corpora/ravdess/Actor_01/01-01-01-01-01-01-01.mp4"
    if not (folder.is_dir() and film.is_file()):
        pytest.skip("the shared model or video is not here")
    from emohop.clips import Span
    from emohop.errors import MediaError
    from emohop.features.video import crops_of

    ((_, faces),) = crops_of([Span(film)], 3)
    assert not isinstance(faces, MediaError)
    encoder = load_image_encoder(str(folder.resolve()))
    vectors = one(encoder, faces.frames)
    assert vectors.shape == (len(faces.frames), 1280) == (10, 1280)
    assert np.isfinite(vectors).all()

    def likeness(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    (noise,) = one(encoder, crops(1))
    assert likeness(vectors[0], vectors[5]) > 0.8 > likeness(vectors[0], noise)


def test_importing_loads_no_library() -> None:
    import subprocess

    code = (
        "import sys, emohop.features.images, emohop.features.video;"
        "print({'torch', 'transformers', 'skimage', 'PIL', 'av'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def images_of(side: int, frames: int = 5) -> NDArray[np.uint8]:
    return crops(frames)[:, :side, :side]


def saved(folder: Path, model: Any, side: int) -> str:
    """A tiny model's folder, with a preprocessing of frames of `side` pixels."""
    model.eval().save_pretrained(folder)
    config = {**CONFIG, "size": {"height": side, "width": side}}
    (folder / "preprocessor_config.json").write_text(json.dumps(config))
    return str(folder)


def tiny(name: str) -> tuple[Any, int]:
    """A random model of a family, and the side of its input."""
    import torch
    import transformers

    hf: Any = transformers

    torch.manual_seed(0)
    vit: dict[str, Any] = {"hidden_size": 8, "num_hidden_layers": 3, "num_attention_heads": 2,
           "intermediate_size": 16, "image_size": 32, "patch_size": 16}  # fmt: skip
    makers = {
        "vit": lambda: hf.ViTModel(hf.ViTConfig(**vit)),
        "dinov2": lambda: hf.Dinov2Model(hf.Dinov2Config(**{**vit, "mlp_ratio": 2})),
        "clip": lambda: hf.CLIPModel(
            hf.CLIPConfig(
                text_config={
                    "hidden_size": 8,
                    "num_hidden_layers": 1,
                    "num_attention_heads": 2,
                    "intermediate_size": 8,
                    "vocab_size": 20,
                },
                vision_config=vit,
                projection_dim=4,
            )
        ),
        "convnext": lambda: hf.ConvNextModel(
            hf.ConvNextConfig(hidden_sizes=[4, 8, 12, 16], depths=[1, 1, 1, 1])
        ),
        "mobilenet_v2": lambda: hf.MobileNetV2Model(hf.MobileNetV2Config(depth_multiplier=0.25)),
        "videomae": lambda: hf.VideoMAEModel(
            hf.VideoMAEConfig(**vit, num_frames=4, tubelet_size=2, use_mean_pooling=False)
        ),
    }
    return makers[name](), 32


@pytest.mark.parametrize("family", ["vit", "dinov2", "clip", "convnext", "mobilenet_v2"])
def test_families_against_transformers(tmp_path: Path, family: str) -> None:
    import torch

    model, side = tiny(family)
    encoder = load_image_encoder(saved(tmp_path, model, side))
    images = images_of(side)
    got = one(encoder, images)
    pixels = torch.from_numpy(Preprocessing.from_config({**CONFIG, "size": side})(images))
    with torch.inference_mode():
        net = model.vision_model if family == "clip" else model
        expected = net(pixel_values=pixels).pooler_output.flatten(1)
    np.testing.assert_allclose(got, expected, atol=2e-5)
    assert got.shape == (5, encoder.size)


def test_layers_of_a_vision_transformer(tmp_path: Path) -> None:
    import torch

    model, side = tiny("vit")
    folder = saved(tmp_path, model, side)
    images = images_of(side)
    pixels = torch.from_numpy(Preprocessing.from_config({**CONFIG, "size": side})(images))
    with torch.inference_mode():
        output = model.eval()(pixel_values=pixels, output_hidden_states=True)
    means = [state.mean(1).numpy() for state in output.hidden_states]
    pooled = output.pooler_output.numpy()
    second = one(load_image_encoder(folder, Layers("2")), images)
    np.testing.assert_allclose(second, means[2], atol=1e-5)
    every = load_image_encoder(folder, Layers("all"))
    assert (every.layers, every.size) == (4, 8)
    np.testing.assert_allclose(
        one(every, images), np.concatenate([*means[:3], pooled], axis=1), atol=1e-5
    )
    last_two = one(load_image_encoder(folder, Layers("mean-2")), images)
    np.testing.assert_allclose(last_two, (means[2] + pooled) / 2, atol=1e-5)
    with pytest.raises(EmohopError, match=r"layer 4: .* to 3"):
        load_image_encoder(folder, Layers("4"))


def test_layers_of_different_sizes(tmp_path: Path) -> None:
    folder = saved(tmp_path, *tiny("convnext"))
    with pytest.raises(EmohopError, match=r"4, 8, 12, 16 numbers and cannot be put together"):
        load_image_encoder(folder, Layers("all"))
    assert one(load_image_encoder(folder, Layers("1")), images_of(32)).shape == (5, 4)


@pytest.mark.parametrize(("frames", "steps"), [(1, 1), (4, 2), (5, 3), (11, 6)])
def test_a_video_model_reads_windows(tmp_path: Path, frames: int, steps: int) -> None:
    import torch

    model, side = tiny("videomae")
    encoder = load_image_encoder(saved(tmp_path, model, side))
    images = images_of(side, frames)
    got = one(encoder, images)
    assert got.shape == (steps, 8)
    # the last window, filled up by its last frame
    first = (frames - 1) // 4 * 4
    window = images[[min(first + k, frames - 1) for k in range(4)]]
    pixels = torch.from_numpy(Preprocessing.from_config({**CONFIG, "size": side})(window))
    with torch.inference_mode():
        tokens = model.eval()(pixel_values=pixels[None]).last_hidden_state[0]
    expected = tokens.reshape(2, 4, 8).mean(1)[: steps - first // 2]
    np.testing.assert_allclose(got[first // 2 :], expected, atol=1e-5)


def test_the_fingerprint_is_of_the_weights_as_stored(tmp_path: Path) -> None:
    """Folding and another order in memory change how a model runs, not what it is."""
    folder = saved(tmp_path, *tiny("mobilenet_v2"))
    encoder = load_image_encoder(folder)
    assert encoder.pretrained is not None
    assert encoder.pretrained.fingerprint() == load(Modality.VIDEO, folder).fingerprint()


def test_clips_share_batches_and_keep_their_own(tmp_path: Path) -> None:
    encoder = load_image_encoder(saved(tmp_path, *tiny("mobilenet_v2")))
    clips = [images_of(32, 3), images_of(32, 1), images_of(32, 7)]
    together = encoder(clips)
    assert [len(vectors) for vectors in together] == [3, 1, 7]
    for clip, vectors in zip(clips, together, strict=True):
        np.testing.assert_allclose(one(encoder, clip), vectors, atol=1e-5)


def test_a_image_of_one_pixel(tmp_path: Path) -> None:
    encoder = load_image_encoder(saved(tmp_path, *tiny("vit")))
    vectors = one(encoder, np.full((1, 1, 1, 3), 200, np.uint8))
    assert vectors.shape == (1, 8)
    assert np.isfinite(vectors).all()
    assert np.isfinite(one(HogEncoder(), np.zeros((1, 1, 1, 3), np.uint8))).all()


def test_batch_norm_becomes_part_of_convolutions() -> None:
    import torch
    from torch import nn

    torch.manual_seed(0)
    network: Any = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.BatchNorm2d(4)
    )
    for norm in (network[1], network[3]):
        nn.init.uniform_(norm.weight, 0.5, 2.0)
        norm.running_mean.uniform_(-1, 1)
        norm.running_var.uniform_(0.5, 2)
    network.eval()
    images = torch.randn(2, 3, 8, 8)
    expected = network(images)
    merged = fused(network)
    assert isinstance(merged[1], nn.Identity)
    assert isinstance(merged[3], nn.BatchNorm2d)  # what follows a relu cannot move
    torch.testing.assert_close(merged(images), expected)
