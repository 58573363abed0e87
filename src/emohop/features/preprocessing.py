"""What an image model wants its frames to be made of: size, scale, mean and deviation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_SIDE_PIXELS = 1024  # of a model's input


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
