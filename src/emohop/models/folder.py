"""A model folder: `weights.safetensors` and `model.json`, which together rebuild the model.

Of an exported model, `model.onnx` stands in the weights' place. Nothing in a model folder can run
code: weights are plain tensors, a graph knows onnxruntime's own operations alone, everything else
is JSON.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from emohop.clips import Modality
from emohop.config import ModelSettings
from emohop.errors import EmohopError, brief
from emohop.files import replacing, sha256
from emohop.learned import LEARNED, LearnedClips
from emohop.model_config import MODEL_CONFIG, InputDims, ModelConfig
from emohop.models import build
from emohop.models.onnx_network import OnnxNetwork

WEIGHTS = "weights.safetensors"
GRAPH = "model.onnx"
_MOST_LAYERS = 1000  # or hops or blocks: each is built before its weights are looked for


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """The files of a trained or exported model.

    Example:
        >>> folder = ModelFolder(Path("run/fold-0/seed-0/model"))
        >>> network = folder.network(folder.config())
    """

    path: Path

    @property
    def config_file(self) -> Path:
        """`model.json`, which makes a folder a model folder."""
        return self.path / MODEL_CONFIG

    @property
    def weights_file(self) -> Path:
        """`weights.safetensors`; an exported model has none."""
        return self.path / WEIGHTS

    @property
    def graph_file(self) -> Path:
        """`model.onnx`, of an exported model."""
        return self.path / GRAPH

    @property
    def exported(self) -> bool:
        """Whether it holds a graph in the place of weights."""
        return self.graph_file.exists()

    @property
    def learned_file(self) -> Path:
        """`learned.safetensors`: hashes of the clips that it learned from."""
        return self.path / LEARNED

    def learned(self, config: ModelConfig) -> LearnedClips:
        """The clips that the model learned from.

        EmohopError when it does not say, or its file is missing, damaged or another model's.
        """
        again = "nothing can test this model: copy its folder anew or train it again"
        if config.learned is None:
            raise EmohopError(
                f"{self.path} does not say which clips it was trained on (a model of an older "
                "emohop): it predicts, but to test it train it again, or look with --include-seen"
            )
        try:
            return LearnedClips.from_bytes(self.learned_file.read_bytes(), config.learned)
        except FileNotFoundError:
            raise EmohopError(
                f"{self.path} has no {LEARNED}, the hashes of its clips: {again}"
            ) from None
        except ValueError as error:
            raise EmohopError(f"{self.learned_file} cannot be used ({error}): {again}") from None

    def config(self) -> ModelConfig:
        """What `model.json` says; EmohopError when it is missing, damaged or of another version."""
        if not self.config_file.is_file():
            raise EmohopError(
                f"{self.path} is not a model folder, it has no {MODEL_CONFIG}: give a folder like "
                "RUN/fold-0/seed-0/model"
            )
        return ModelConfig.read(self.config_file)

    def network(self, config: ModelConfig) -> nn.Module:
        """The network, in evaluation mode.

        EmohopError when the weights, or the graph, are not those that `config` tells of.
        """
        if self.exported:
            return OnnxNetwork.load(self.graph_file, config.model, config.preprocessor.sizes)
        return self.weighted(config.model, config.preprocessor.sizes)

    def weighted(self, settings: ModelSettings, sizes: InputDims) -> nn.Module:
        """The network of these settings with the folder's weights, in evaluation mode.

        It is built without memory for its weights and then given those of the file, so that sizes
        that are not the file's cost nothing. EmohopError when settings, sizes and weights differ.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        path = self.weights_file
        layers = (settings.encoder(m).layers for m in settings.uses)
        if max(settings.hops, settings.blocks, *layers) > _MOST_LAYERS:
            hint = f"more than {_MOST_LAYERS} hops, blocks or layers: is it whole?"
            raise EmohopError(f"{self.config_file}: {hint}")
        try:
            weights = load_file(path)
            largest = sum(tensor.numel() for tensor in weights.values())
            for size in _dimensions(settings, sizes):
                if not 0 < size <= largest:
                    raise ValueError(
                        f"{MODEL_CONFIG} says {brief(size)} where the weights are {largest} numbers"
                    )
            with torch.device("meta"):
                network = build(settings, sizes)
            network.load_state_dict(weights, assign=True)
            for name, tensor in weights.items():
                if tensor.dtype != torch.float32 or not torch.isfinite(tensor).all():
                    raise ValueError(f"{name} is not of finite float32 numbers")
        except FileNotFoundError:
            raise EmohopError(f"{self.path} has no {WEIGHTS}") from None
        except (SafetensorError, RuntimeError, ValueError) as error:
            raise EmohopError(
                f"{path} does not hold this model's weights: {brief(error)}"
            ) from None
        return network.eval()

    def fingerprint(self) -> str:
        """The checksum of the weights, or of the graph, as hexadecimal digits."""
        path = self.graph_file if self.exported else self.weights_file
        try:
            return sha256(path)
        except FileNotFoundError:
            raise EmohopError(f"{self.path} has no {path.name}") from None

    def write(
        self, network: nn.Module, config: ModelConfig, learned: LearnedClips | None = None
    ) -> None:
        """Put a trained network, its config and what it learned from in place."""
        self.path.mkdir(parents=True, exist_ok=True)
        self.write_weights(network)
        self._write_config(config, learned)

    def _write_config(self, config: ModelConfig, learned: LearnedClips | None) -> None:
        if learned is not None:
            config = config.model_copy(update={"learned": learned.write(self.path)})
        config.write(self.config_file)

    def write_weights(self, network: nn.Module) -> None:
        """Put a network's weights in place, in the order of their names."""
        from safetensors.torch import save as to_bytes

        tensors = sorted(network.state_dict().items())
        weights = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors}
        with replacing(self.weights_file) as file:
            file.write(to_bytes(weights))

    def check_free_for_export(self) -> None:
        """EmohopError unless it is new, empty, or an export that may be written anew."""
        if not self.path.exists():
            return
        if not self.path.is_dir():
            raise EmohopError(f"{self.path} is a file: give a new folder")
        if others := {path.name for path in self.path.iterdir()} - {GRAPH, LEARNED, MODEL_CONFIG}:
            raise EmohopError(f"{self.path} holds {min(others)}: give a new or empty folder")

    def write_exported(
        self, graph: bytes, config: ModelConfig, learned: LearnedClips | None = None
    ) -> None:
        """Put an exported model's graph, its config and what it learned from in place."""
        self.path.mkdir(parents=True, exist_ok=True)
        with replacing(self.graph_file) as file:
            file.write(graph)
        self._write_config(config, learned)


def _dimensions(settings: ModelSettings, sizes: InputDims) -> list[int]:
    """Numbers that are each a side of some weight, or a factor of one."""
    encoders = [settings.encoder(m) for m in settings.uses]
    numbers = [sizes.classes, *sizes.steps.values(), *(e.stack_frames for e in encoders)]
    has = settings.spec.has
    numbers += [e.hidden for e in encoders if has("hidden") or e.residual]
    numbers += sizes.layers.values()
    if has("width"):
        numbers.append(settings.width)
    if has("rank"):
        numbers.append(settings.rank)
    if Modality.TEXT in settings.uses and not sizes.text_states:
        numbers.append(settings.text.embedding)
    return numbers if not settings.prosody else [*numbers, sizes.prosody]
