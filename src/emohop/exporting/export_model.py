"""A trained model as an ONNX graph that runs without torch, or here in the place of the weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import emohop
from emohop.config import ModelSettings
from emohop.errors import EmohopError
from emohop.exporting.graph import OPSET, graph_of, random_batch
from emohop.exporting.int8 import as_int8
from emohop.model_config import ExportedWith, InputDims
from emohop.models.batch import Batch
from emohop.models.folder import ModelFolder
from emohop.models.inference import probabilities
from emohop.models.onnx_network import OnnxNetwork
from emohop.prediction import Predictor

TOLERANCE = 1e-4
"""By how much a probability may differ from torch's in float32."""
CHECKED_BATCHES, CHECKED_CLIPS = 8, 8
LONGEST_CHECKED = 400
"""Steps of the longest random clips."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What came of an export.

    On `clips` random ones, no probability differs from torch's by more than `difference`, and
    `others` of them got another label.
    """

    clips: int
    difference: float
    others: int
    size: int
    """Bytes of the graph."""


def export(model: str | Path, out: str | Path, *, int8: bool = False) -> Exported:
    """Write a model folder whose network is an ONNX graph, checked on random clips.

    `out` is read by `emohop.load` and every command as the model itself is; the graph alone can
    be run by any ONNX runtime. Raises EmohopError when `out` holds something else, or the graph's
    answers are not the network's; nothing is written then.
    """
    folder = ModelFolder(Path(out))
    predictor = Predictor.load(model)
    if predictor.exported:
        raise EmohopError(f"{model} is exported already: give the model that it was made from")
    folder.check_free_for_export()
    settings, sizes = predictor.settings, predictor.preprocessor.sizes
    graph = graph_of(predictor.network, settings, sizes)
    if int8:
        graph = as_int8(graph)
    for name, value in _told(predictor).items():
        graph.metadata_props.add(key=name, value=value)
    graph.producer_name, graph.producer_version = "emohop", emohop.__version__
    content: bytes = graph.SerializeToString()
    done = _checked(predictor, OnnxNetwork(content), len(content))
    if not int8 and done.difference > TOLERANCE:
        raise EmohopError(
            f"the graph's probabilities differ from the network's by {done.difference:.2g}: "
            "nothing was written; please report this with the versions of torch and onnxruntime"
        )
    exported = ExportedWith(opset=OPSET, int8=int8, torch=str(torch.__version__))
    config = predictor.config.model_copy(update={"exported": exported})
    learned = predictor.learned if config.learned is not None else None
    folder.write_exported(content, config, learned)
    return done


def _told(predictor: Predictor) -> dict[str, str]:
    """What the graph says of itself to who has nothing else."""
    return {
        "model": predictor.settings.title,
        "labels": " ".join(predictor.preprocessor.labels),
        "temperature": repr(predictor.temperature),
    }


def _checked(predictor: Predictor, network: OnnxNetwork, size: int) -> Exported:
    """Compare probabilities on random clips of all lengths."""
    batches = list(_random_batches(predictor.settings, predictor.preprocessor.sizes))
    ours, theirs = (probabilities(one, batches) for one in (predictor.network, network))
    return Exported(
        clips=len(ours),
        difference=float(np.abs(ours - theirs).max()),
        others=int((_labels(ours) != _labels(theirs)).sum()),
        size=size,
    )


def _random_batches(settings: ModelSettings, sizes: InputDims) -> Iterator[Batch]:
    """Clips of random lengths, from none to as many steps as the model reads or a few hundred."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(CHECKED_BATCHES):
        lengths = {}
        for m in settings.uses:
            longest = min(settings.encoder(m).max_length, LONGEST_CHECKED)
            drawn = torch.randint(0, longest + 1, (CHECKED_CLIPS,), generator=generator)
            lengths[m] = [longest, 0, 1, *drawn.tolist()][:CHECKED_CLIPS]
        yield random_batch(settings, sizes, lengths, generator)


def _labels(probabilities: NDArray[Any]) -> NDArray[Any]:
    labels: NDArray[Any] = probabilities.argmax(axis=1)
    return labels
