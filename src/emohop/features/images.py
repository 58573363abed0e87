"""Image encoders: from crops of a face to one vector per frame, or a few frames of a video.

`hog` needs no weights. ResNet, MobileNetV2, ConvNeXt, ViT, DINOv2, CLIP and their like give a
vector per frame, whatever its neighbours; video models such as VideoMAE read windows of frames
and give a vector for each tubelet of them.
"""

from __future__ import annotations

import copy
import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from emohop.clips import Modality
from emohop.config import VideoFeatures
from emohop.errors import EmohopError
from emohop.features.arrays import Arrays
from emohop.features.encoder import FeatureEncoder
from emohop.features.preprocessing import Preprocessing
from emohop.features.pretrained import Layers, Pretrained, line_of, load

if TYPE_CHECKING:
    from torch import Tensor

BATCH_FRAMES = {"cpu": 4, "cuda": 64}
"""Frames that go through a model together: more than a few are slower on a CPU, whose caches they
leave (benchmarks/encoders.py)."""

HOG_SIDE_PIXELS = 112
HOG_CELLS = 8  # a side
HOG_ORIENTATIONS = 8


Crops = NDArray[np.uint8]
Vectors = NDArray[np.float32]


class ImageEncoder(Protocol):
    """What turns the frames of clips, each uint8 `[frames, height, width, 3]`, into vectors."""

    @property
    def name(self) -> str:
        """What it was asked for by."""

    @property
    def size(self) -> int:
        """The length of a vector of one hidden state."""

    @property
    def layers(self) -> int:
        """Hidden states that are kept side by side."""

    @property
    def pretrained(self) -> Pretrained | None:
        """The model behind it, if there is one."""

    def __call__(self, clips: Sequence[Crops]) -> list[Vectors]:
        """Each clip's vectors, float32 `[steps, layers·size]`."""


@functools.cache
def load_image_encoder(
    name: str, layers: Layers | None = None, device: str = "cpu"
) -> ImageEncoder:
    """A Hugging Face model by short name, hub name or local folder.

    Loaded once in a process.

    Raises:
        EmohopError: there is no such model, or it is not an image model.
        MissingExtraError: the model needs transformers, which is not installed.
    """
    pretrained = load(Modality.VIDEO, name)
    try:
        preprocessing = Preprocessing.from_config(pretrained.preprocessing)
    except (KeyError, TypeError, ValueError) as error:
        raise EmohopError(
            f"the preprocessor_config.json of {name} cannot be used: {error!r}"
        ) from None
    kind = TubeletEncoder if hasattr(pretrained.model.config, "tubelet_size") else FrameEncoder
    try:
        return kind(pretrained, preprocessing, layers or Layers(), device)
    except (AttributeError, IndexError, RuntimeError, TypeError, ValueError) as error:
        raise EmohopError(
            f"{name} is not an image model that gives one vector: {line_of(error)}"
        ) from error


def load_pretrained(settings: VideoFeatures, device: str) -> FeatureEncoder:
    """The pretrained image or video model of settings."""
    return _encoder(load_image_encoder(settings.encoder, Layers(settings.layer), device))


def load_hog(settings: VideoFeatures, device: str) -> FeatureEncoder:
    """The encoder `hog` of settings."""
    del settings, device
    return _encoder(HogEncoder())


def _encoder(model: ImageEncoder) -> FeatureEncoder:
    def encode(clips: Sequence[Crops]) -> list[Arrays]:
        return [{"video": vectors} for vectors in model(clips)]

    return FeatureEncoder(encode, model.layers * model.size, model.layers, model.pretrained)


@dataclass(frozen=True)
class HogEncoder:
    """Histograms of oriented gradients (Dalal and Triggs 2005) of the grey crop, no weights.

    All cells form one block, so that brightness and contrast of the whole face drop out while
    empty cells stay empty.
    """

    name: str = "hog"
    size: int = HOG_CELLS * HOG_CELLS * HOG_ORIENTATIONS
    layers: int = 1
    pretrained: None = None

    def __call__(self, clips: Sequence[Crops]) -> list[Vectors]:
        """The histograms `[frames, size]`, each of length 1 (0 for a flat frame)."""
        return [self._histograms(crops) for crops in clips]

    def _histograms(self, crops: Crops) -> Vectors:
        from skimage.feature import hog

        vectors = np.empty((len(crops), self.size), np.float32)
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


class _Network:
    """A model of transformers with its preprocessing, in float32."""

    def __init__(
        self, pretrained: Pretrained, preprocessing: Preprocessing, layers: Layers, device: str
    ) -> None:
        """Wrap a loaded model; EmohopError when it lacks a layer."""
        self.name, self.pretrained, self._layers = pretrained.name, pretrained, layers
        self._preprocessing, self._device = preprocessing, device
        self._batch = BATCH_FRAMES.get(device.partition(":")[0], BATCH_FRAMES["cpu"])
        network = fused(copy.deepcopy(pretrained.model))
        self._model = network.to(device)
        states = self._states(np.zeros((self.frames, *preprocessing.side, 3), np.uint8))
        self.layers = layers.count(len(states), self.name)
        sizes = {int(state.shape[-1]) for state in states}
        if len(sizes) > 1 and not (layers.choice == "last" or layers.choice.isdigit()):
            raise EmohopError(
                f"layer {layers.choice}: the hidden states of {self.name} have "
                f"{', '.join(map(str, sorted(sizes)))} numbers and cannot be put together: last "
                "or a number is accepted"
            )
        self.size = int(layers.pick(states).shape[-1]) // self.layers

    frames = 1
    """Read together at least."""

    def _states(self, crops: Crops) -> Sequence[Tensor]:
        """Every hidden state as vectors `[steps, size]` of frames `[frames, h, w, 3]`."""
        raise NotImplementedError

    def _pixels(self, crops: Crops) -> Tensor:
        import torch

        return torch.from_numpy(self._preprocessing(crops)).to(self._device)

    def _vectors(self, crops: Crops) -> Vectors:
        import torch

        with torch.inference_mode():
            chosen = self._layers.pick(self._states(crops))
        return np.asarray(chosen.float().cpu().numpy())


class FrameEncoder(_Network):
    """A model of single frames."""

    def __init__(
        self, pretrained: Pretrained, preprocessing: Preprocessing, layers: Layers, device: str
    ) -> None:
        """Wrap a loaded model; EmohopError when it lacks a layer."""
        import torch

        pretrained.model.to(memory_format=torch.channels_last)  # convolutions are faster so
        super().__init__(pretrained, preprocessing, layers, device)

    def __call__(self, clips: Sequence[Crops]) -> list[Vectors]:
        """The vectors `[frames, layers·size]` of each clip; batches go across clips."""
        crops = np.concatenate(clips)
        parts = [np.empty((0, self.layers * self.size), np.float32)]
        for i in range(0, len(crops), self._batch):
            parts.append(self._vectors(crops[i : i + self._batch]))
        ends = np.cumsum([len(frames) for frames in clips])[:-1]
        return np.split(np.concatenate(parts), ends)

    def _states(self, crops: Crops) -> Sequence[Tensor]:
        import torch

        every = self._layers.choice != "last"
        with torch.inference_mode():
            pixels = self._pixels(crops).to(memory_format=torch.channels_last)
            output = self._model(pixel_values=pixels, output_hidden_states=every)
        states = [_mean(state) for state in output.hidden_states[:-1]] if every else []
        return [*states, self._last(output)]

    def _last(self, output: Any) -> Tensor:
        """What the model's pooler gives, or the mean of its output over places."""
        pooled: Tensor | None = getattr(output, "pooler_output", None)
        if pooled is not None and self.pretrained.pooler:
            return pooled.flatten(1)
        return _mean(output.last_hidden_state)


class TubeletEncoder(_Network):
    """A model of several frames in a row, such as VideoMAE.

    It reads windows of its own number of frames; the last one is filled up by its last frame. A
    vector is the mean of a tubelet's patches: with tubelets of two frames there are half as many
    steps as frames.
    """

    def __init__(
        self, pretrained: Pretrained, preprocessing: Preprocessing, layers: Layers, device: str
    ) -> None:
        """Wrap a loaded model; EmohopError when it lacks a layer or is of another kind."""
        config = pretrained.model.config
        if config.model_type != "videomae":
            raise EmohopError(
                f"{pretrained.name} is a video model of type {config.model_type}: videomae is "
                "accepted, and image models"
            )
        self.frames, self._tubelet = int(config.num_frames), int(config.tubelet_size)
        super().__init__(pretrained, preprocessing, layers, device)

    def __call__(self, clips: Sequence[Crops]) -> list[Vectors]:
        """The vectors `[tubelets, layers·size]` of each clip."""
        return [self._clip(crops) for crops in clips]

    def _clip(self, crops: Crops) -> Vectors:
        parts = [np.empty((0, self.layers * self.size), np.float32)]
        for first in range(0, len(crops), self.frames):
            window = crops[first : first + self.frames]
            steps = math.ceil(len(window) / self._tubelet)
            fill = np.repeat(window[-1:], self.frames - len(window), axis=0)
            parts.append(self._vectors(np.concatenate([window, fill]))[:steps])
        return np.concatenate(parts)

    def _states(self, crops: Crops) -> Sequence[Tensor]:
        import torch

        with torch.inference_mode():
            output = self._model(pixel_values=self._pixels(crops)[None], output_hidden_states=True)
        steps = self.frames // self._tubelet
        states = [*output.hidden_states[:-1], output.last_hidden_state]
        return [state[0].unflatten(0, (steps, -1)).mean(1) for state in states]


def fused(model: Any) -> Any:
    """The model with each batch norm made part of the convolution just before it, in place."""
    from torch import nn
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    for module in model.modules():
        for (first, conv), (second, norm) in itertools.pairwise(list(module.named_children())):
            pair = isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
            if pair and conv.out_channels == norm.num_features:
                setattr(module, first, fuse_conv_bn_eval(conv, norm))
                setattr(module, second, nn.Identity())
    return model


def _mean(state: Tensor) -> Tensor:
    """The mean over tokens `[frames, tokens, size]` or places `[frames, size, h, w]`."""
    return state.mean(1) if state.ndim == 3 else state.mean((2, 3))
