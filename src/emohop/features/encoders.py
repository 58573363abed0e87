"""Image encoders: from crops of a face to one vector a frame."""

from __future__ import annotations

import functools
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from emohop.errors import EmohopError, MissingExtraError

if TYPE_CHECKING:
    from torch import Tensor

HUB_NAMES = {"resnet101": "microsoft/resnet-101"}  # the paper's encoder
BATCH_FRAMES = 16
MAX_SIDE_PIXELS = 1024  # of a model's input

HOG_SIDE_PIXELS = 112
HOG_CELLS = 8  # a side
HOG_ORIENTATIONS = 8


class ImageEncoder(Protocol):
    """What turns crops uint8 `[frames, height, width, 3]` into float32 `[frames, dim]`."""

    @property
    def name(self) -> str:
        """What it was asked for by."""

    @property
    def dim(self) -> int:
        """The length of a frame's vector."""

    def __call__(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The vectors of crops; a frame's vector does not depend on its neighbours."""


@functools.cache
def load_image_encoder(name: str) -> ImageEncoder:
    """The encoder `hog`, `resnet101`, or a Hugging Face image model by hub name or local folder.

    Loaded once in a process. Code from a hub is never run and weights are read from safetensors
    files only.

    Raises:
        EmohopError: there is no such model, or it is not an image model.
        MissingExtraError: the model needs transformers, which is not installed.
    """
    if name == "hog":
        return HogEncoder()
    source = HUB_NAMES.get(name, name)
    folder = Path(source).expanduser()
    if source and folder.is_dir():
        source = str(folder)
    elif source.startswith((".", "~", "/")) or source.count("/") != 1 or "\\" in source:
        raise EmohopError(
            f"no image encoder {name!r}: hog, resnet101, a hub name owner/model or a folder that"
            " holds a model"
        )
    return _load_hugging_face(name, source)


@dataclass(frozen=True)
class HogEncoder:
    """Histograms of oriented gradients (Dalal and Triggs 2005) of the grey crop, no weights.

    All cells form one block, so that brightness and contrast of the whole face drop out while
    empty cells stay empty.
    """

    name: str = "hog"
    dim: int = HOG_CELLS * HOG_CELLS * HOG_ORIENTATIONS

    def __call__(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The histograms `[frames, dim]`, each of length 1 (0 for a flat picture)."""
        from skimage.feature import hog

        vectors = np.empty((len(crops), self.dim), np.float32)
        for i, crop in enumerate(crops):
            vectors[i] = hog(
                _grey(crop, HOG_SIDE_PIXELS),
                orientations=HOG_ORIENTATIONS,
                pixels_per_cell=(HOG_SIDE_PIXELS // HOG_CELLS,) * 2,
                cells_per_block=(HOG_CELLS, HOG_CELLS),
                block_norm="L2-Hys",
            )
        return vectors


def _grey(crop: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    from PIL import Image

    return np.asarray(Image.fromarray(crop).convert("L").resize((side, side), Image.Resampling.BOX))


@dataclass(frozen=True)
class Preprocessing:
    """What a model's preprocessor_config.json asks for, applied to a crop of any size."""

    side: tuple[int, int]  # height, width
    resample: int  # Pillow's number of the filter
    scale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Preprocessing:
        """Read a preprocessor_config.json; KeyError, TypeError or ValueError if it is none."""
        size = config["crop_size"] if _on(config, "do_center_crop") else config["size"]
        if not isinstance(size, Mapping):
            size = {"shortest_edge": size}
        if "height" in size:
            side = int(size["height"]), int(size["width"])
        else:
            side = int(size["shortest_edge"]), int(size["shortest_edge"])
        if not all(1 <= s <= MAX_SIDE_PIXELS for s in side):
            raise ValueError(f"an input of {side[0]}x{side[1]} pixels")
        normalize = config.get("do_normalize", True)
        mean = tuple(float(v) for v in config["image_mean"]) if normalize else (0.0, 0.0, 0.0)
        std = tuple(float(v) for v in config["image_std"]) if normalize else (1.0, 1.0, 1.0)
        if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
            raise ValueError("image_mean and image_std are not three numbers each")
        rescale = config.get("do_rescale", True)
        scale = float(config.get("rescale_factor", 1 / 255)) if rescale else 1.0
        return cls(side, int(config.get("resample", 2)), scale, mean, std)

    def __call__(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Crops uint8 `[frames, h, w, 3]` as the model's input, float32 `[frames, 3, H, W]`."""
        from PIL import Image

        if crops.shape[1:3] != self.side:
            size, resample = self.side[::-1], Image.Resampling(self.resample)
            images = [Image.fromarray(crop).resize(size, resample) for crop in crops]
            crops = np.stack([np.asarray(image) for image in images])
        scaled = crops.astype(np.float32) * np.float32(self.scale)
        normal = (scaled - np.asarray(self.mean, np.float32)) / np.asarray(self.std, np.float32)
        return np.ascontiguousarray(normal.transpose(0, 3, 1, 2), dtype=np.float32)


def _on(config: Mapping[str, Any], switch: str) -> bool:
    return bool(config.get(switch, False)) and config.get("crop_size") is not None


class HuggingFaceEncoder:
    """A pretrained image model of transformers, evaluated in float32 on the CPU."""

    def __init__(self, name: str, model: Any, preprocessing: Preprocessing, pooler: bool) -> None:
        """Wrap a loaded model; `pooler` says that its pooler, if any, has trained weights."""
        self.name, self._model, self._preprocessing = name, model, preprocessing
        self._pooler = pooler
        self.dim = int(self(np.zeros((1, *preprocessing.side, 3), np.uint8)).shape[1])

    def __call__(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The pooled outputs `[frames, dim]` of crops uint8 `[frames, height, width, 3]`."""
        import torch

        vectors = [np.empty((0, getattr(self, "dim", 0)), np.float32)] if not len(crops) else []
        with torch.inference_mode():
            for i in range(0, len(crops), BATCH_FRAMES):
                pixels = torch.from_numpy(self._preprocessing(crops[i : i + BATCH_FRAMES]))
                pooled = self._pooled(self._model(pixel_values=pixels))
                vectors.append(pooled.float().numpy())
        return np.concatenate(vectors)

    def _pooled(self, output: Any) -> Tensor:
        pooled: Tensor | None = getattr(output, "pooler_output", None) if self._pooler else None
        if pooled is not None:
            return pooled.flatten(1)
        hidden: Tensor = output.last_hidden_state  # [frames, tokens, dim] or [frames, dim, h, w]
        return hidden.mean(1) if hidden.ndim == 3 else hidden.mean((2, 3))


def _load_hugging_face(name: str, source: str) -> HuggingFaceEncoder:
    try:
        import transformers
    except ImportError:
        raise MissingExtraError(f"the image model {name}", "encoders") from None

    with _quiet(transformers):
        model, found = _from_cache_or_hub(
            name,
            source,
            transformers.AutoModel.from_pretrained,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
        )
        takes = getattr(model, "main_input_name", "nothing")
        if takes != "pixel_values":
            raise EmohopError(f"{name} is no image model: it takes {takes}")
        read = transformers.ImageProcessingMixin.get_image_processor_dict
        config, _ = _from_cache_or_hub(name, source, read)
    try:
        preprocessing = Preprocessing.from_config(config)
    except (KeyError, TypeError, ValueError) as error:
        raise EmohopError(
            f"the preprocessor_config.json of {name} cannot be used: {error!r}"
        ) from None
    # A pooler that the file has no weights for is random: its output would mean nothing.
    missing = sorted(found["missing_keys"])
    lacking = [key for key in missing if not key.startswith("pooler.")]
    if lacking:
        raise EmohopError(f"the weights of {name} lack {len(lacking)} tensors, {lacking[0]} first")
    try:
        return HuggingFaceEncoder(name, model.float().eval(), preprocessing, pooler=not missing)
    except (AttributeError, IndexError, RuntimeError, TypeError, ValueError) as error:
        raise EmohopError(
            f"{name} is no image model that gives one vector: {_line(error)}"
        ) from error


def _from_cache_or_hub(name: str, source: str, read: Callable[..., Any], **arguments: Any) -> Any:
    """What `read` loads from a folder or the cache, and only else from the hub, which may be slow.

    transformers lets errors of many libraries through; all of them are the model's.
    """
    try:
        return read(source, local_files_only=True, **arguments)
    except Exception as error:
        if Path(source).is_dir():
            raise EmohopError(f"the image model {name} cannot be loaded: {_line(error)}") from error
    try:
        return read(source, **arguments)
    except Exception as error:
        raise EmohopError(
            f"the image model {name} cannot be loaded: {_line(error)} Check its name, or download"
            " it and give the folder; hog needs no weights."
        ) from error


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """No progress bars, no advice, no warnings of transformers inside."""
    log = transformers.utils.logging
    verbosity, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    hub = logging.getLogger("huggingface_hub")
    hub_level = hub.level
    hub.setLevel(logging.CRITICAL)
    log.set_verbosity(log.CRITICAL)
    log.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        hub.setLevel(hub_level)
        log.set_verbosity(verbosity)
        if bars:
            log.enable_progress_bar()


def _line(error: Exception) -> str:
    """An error's first line."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), repr(error))
