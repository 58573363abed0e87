"""A pretrained encoder that is trained further: its last layers, or low-rank updates of them.

What comes of it is a folder like any other model's, with a record of the clips that it has seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from emohop.clips import Modality
from emohop.config import FinetuningSettings
from emohop.documents import Document
from emohop.errors import EmohopError, MissingExtraError
from emohop.features.encoding import device_of
from emohop.features.language import LanguageEncoder, load_language_encoder
from emohop.features.pretrained import quiet
from emohop.features.speech import SpeechEncoder, load_speech_encoder
from emohop.learned import LEARNED, LearnedClips, LearnedFile

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

RECORD = "emohop.json"
ADAPTABLE = (Modality.AUDIO, Modality.TEXT)
"""The modalities whose encoders can be trained further."""


class RecordFile(Document):
    """`emohop.json` in a finetuned encoder's folder."""

    remedy: ClassVar[str] = "finetune the model again"

    version: Literal[2] = 2
    corpus: str
    learned: LearnedFile
    """The file of hashes of the clips that it has seen."""
    facts: dict[str, Any]
    """Where it came from, its fold, settings and scores: for people."""


@dataclass(frozen=True, slots=True)
class Record:
    """What an encoder was trained on, and how well it did there. Written last to its folder."""

    corpus: str
    learned: LearnedClips
    """The clips that it was trained on, and those that its best epoch was chosen on."""
    facts: Mapping[str, Any]

    def write(self, folder: Path) -> None:
        """Put it into an encoder's folder."""
        told = self.learned.write(folder)
        RecordFile(corpus=self.corpus, learned=told, facts=dict(self.facts)).write(folder / RECORD)


def read_record(folder: str | Path) -> Record | None:
    """The record of an encoder that emohop trained; None for any other folder or name.

    Raises EmohopError when it is damaged: what the encoder has seen would be unknown.
    """
    path = Path(folder) / RECORD
    if not path.is_file():
        return None
    told = RecordFile.read(path)
    try:
        learned = LearnedClips.from_bytes((Path(folder) / LEARNED).read_bytes(), told.learned)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise EmohopError(
            f"{Path(folder) / LEARNED} cannot be used ({reason}), so what the encoder has seen is "
            "unknown: finetune the model again"
        ) from None
    return Record(told.corpus, learned, told.facts)


class Adapting:
    """An encoder, of which `parameters` are to be trained and nothing else."""

    def __init__(
        self, encoder: LanguageEncoder | SpeechEncoder, last: int | None, lora: int | None,
        dropout: float = 0.0,
    ) -> None:  # fmt: skip
        """Open the last `last` layers of an encoder for training (None: all of them).

        With `lora`, their matrices are left as they are and get low-rank updates, with `dropout`
        before each. Raises EmohopError when it has fewer layers.
        """
        self.encoder, self.size = encoder, encoder.state_size
        layers = _transformer_layers(encoder.network, encoder.name)
        if last is not None and last > len(layers):
            raise EmohopError(f"last_layers = {last}: {encoder.name} has {len(layers)} layers")
        self._layers = layers[-(last or len(layers)) :]
        whole = encoder.pretrained.model.eval().requires_grad_(False)
        self._lora: Any = None
        if lora is None:
            for layer in self._layers:
                layer.requires_grad_(True)
        else:
            self._lora = _low_rank(whole, self._layers, lora, dropout)
        self.parameters = {k: p for k, p in whole.named_parameters() if p.requires_grad}

    @property
    def device(self) -> torch.device:
        """Where the encoder is."""
        found: torch.device = next(self.encoder.network.parameters()).device
        return found

    def train(self, mode: bool = True) -> None:
        """Switch dropout on, in the layers that are trained, or off."""
        for layer in self._layers:
            layer.train(mode)

    def lengths(self, items: Sequence[Any]) -> list[int]:
        """Steps of each `Text` or waveform [samples]; 0 where there is nothing to read."""
        return [sum(p.steps for p in self.encoder.pieces([item])[0]) for item in items]

    def vectors(self, items: Sequence[Any]) -> Tensor:
        """The mean of each item's own states, [items, size]; 0 for one without any."""
        import torch

        device = self.device
        total = torch.zeros(len(items), self.size, device=device)
        count = torch.zeros(len(items), 1, device=device)
        groups: dict[int, list[tuple[int, Any]]] = {}
        read: Sequence[Sequence[Any]] = self.encoder.pieces(items)
        for i, pieces in enumerate(read):
            for piece in pieces:
                key = 0 if self.encoder.any_lengths else piece.steps
                groups.setdefault(key, []).append((i, piece))
        for members in groups.values():
            states = self.encoder.states([piece for _, piece in members])[-1]
            own = torch.zeros(states.shape[:2])
            for row, (_, piece) in zip(own, members, strict=True):
                row[piece.first : piece.last] = 1
            own, at = own.to(device), torch.tensor([i for i, _ in members], device=device)
            total = total.index_add(0, at, (own.unsqueeze(1) @ states).squeeze(1))
            count = count.index_add(0, at, own.sum(1, keepdim=True))
        return total / count.clamp(min=1)

    def save(self, folder: Path) -> None:
        """Write the encoder as a folder that `load_encoder` takes, updates added to its matrices.

        Nothing can be trained afterwards.
        """
        if self._lora is not None:
            self._lora.merge_and_unload()
        self.encoder.pretrained.model.requires_grad_(False)
        self.encoder.save(folder)


def load_adapting(
    modality: Modality, name: str, settings: FinetuningSettings, device: str, *, context: bool
) -> Adapting:
    """The encoder `name`, open for training as the settings say, on a device.

    Raises:
        EmohopError: there is no such encoder or device, or it has fewer layers.
        MissingExtraError: transformers, or peft for LoRA, is not installed.
    """
    encoder: LanguageEncoder | SpeechEncoder
    if modality is Modality.TEXT:
        encoder = load_language_encoder(name, device=device_of(device), context=context)
    else:
        encoder = load_speech_encoder(name, device=device_of(device))
    return Adapting(encoder, settings.last_layers, settings.lora_rank, settings.dropout)


def _transformer_layers(network: Any, name: str) -> list[nn.Module]:
    """The layers of a transformer, the first first: the heaviest list of as many as it says."""
    from torch import nn

    count = getattr(network.config, "num_hidden_layers", 0)
    heaviest, most = [], 0
    for found in network.modules():
        if isinstance(found, nn.ModuleList) and len(found) == count:
            weights = sum(p.numel() for p in found.parameters())
            if weights > most:
                heaviest, most = list(found), weights
    if not heaviest:
        raise EmohopError(f"{name} cannot be finetuned: its layers are nowhere to be found")
    return heaviest


def _low_rank(whole: nn.Module, layers: Sequence[nn.Module], rank: int, dropout: float) -> Any:
    """Put low-rank updates, twice as strong as they are, beside the matrices of layers."""
    from torch import nn

    try:
        import peft
    except ImportError:
        raise MissingExtraError("lora", "lora") from None

    inside = {id(m) for layer in layers for m in layer.modules() if isinstance(m, nn.Linear)}
    names = [name for name, module in whole.named_modules() if id(module) in inside]
    config = peft.LoraConfig(
        r=rank, lora_alpha=2 * rank, lora_dropout=dropout, target_modules=names
    )
    import transformers

    with quiet(transformers):
        return peft.get_peft_model(whole, config)
