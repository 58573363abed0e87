"""Random batches and small settings for model tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from emohop.clips import Modality
from emohop.config import EncoderSettings, ModelSettings, TextEncoderSettings, VideoEncoderSettings
from emohop.model_config import InputDims
from emohop.models.batch import Batch

SIZES = InputDims(
    classes=7, steps={Modality.AUDIO: 6, Modality.TEXT: 11, Modality.VIDEO: 5}, prosody=4
)


def settings(**changes: object) -> ModelSettings:
    base = ModelSettings(
        audio=EncoderSettings(hidden=8, dropout=0.3),
        text=TextEncoderSettings(hidden=6, embedding=5, dropout=0.3),
        video=VideoEncoderSettings(hidden=7, dropout=0.3),
    )
    return ModelSettings.model_validate({**base.model_dump(), **changes})


def batch(
    lengths: Mapping[Modality, Sequence[int]], seed: int = 0, padding: float = 0.0, extra: int = 0
) -> Batch:
    """Clips of these lengths; padding steps hold `padding`, `extra` of them follow the longest."""
    generator = torch.Generator().manual_seed(seed)
    steps: dict[Modality, torch.Tensor] = {}
    count = 0
    for modality, long in lengths.items():
        count, time = len(long), max(1, *long) + extra
        rows = []
        for n in long:  # drawn clip by clip, so that padding does not change the draw
            if modality is Modality.TEXT:
                row = torch.randint(1, SIZES.steps[modality], (n,), generator=generator)
                rows.append(torch.cat([row, torch.full((time - n,), int(padding))]))
            else:
                row = torch.randn(n, SIZES.steps[modality], generator=generator)
                rows.append(torch.cat([row, torch.full((time - n, row.shape[1]), padding)]))
        steps[modality] = torch.stack(rows)
    return Batch(
        ids=tuple(f"c{i}" for i in range(count)),
        sequences=steps,
        lengths={m: torch.tensor(list(long)) for m, long in lengths.items()},
        prosody=torch.randn(count, SIZES.prosody, generator=generator),
        classes=torch.arange(count) % SIZES.classes,
    )
