"""Pretrained language models: from a text to one vector per word.

BERT, RoBERTa, MiniLM, ModernBERT and their like, with a fast tokenizer. A model reads pieces of
words; a word's vector is the mean of its pieces' hidden states. With context, the turns that were
said before are read in front of a text, and the mean of their pieces' states is joined to each
word's vector.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emohop.clips import Modality
from emohop.config import TextFeatures
from emohop.errors import EmohopError
from emohop.features.arrays import Arrays
from emohop.features.encoder import FeatureEncoder
from emohop.features.pretrained import (
    Layers,
    Pretrained,
    from_cache_or_hub,
    line_of,
    quiet,
    states_of,
)
from emohop.features.pretrained import load as load_pretrained
from emohop.features.text import Text, plain
from emohop.features.windows import Window, windows
from emohop.model_config import STATES

if TYPE_CHECKING:
    import torch

BATCH_TEXTS = 32
ALIKE = 0.8
"""The shortest text of a batch, as a share of its longest: the rest is padding."""
MOST_PIECES = 512
"""Pieces of words read together at most, whatever a model says it can."""
OVERLAP = 4
"""A longer text is read in windows; neighbours share a quarter of one."""

_WORD = re.compile(r"\w+(?:'\w+)*|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Words:
    """The words of a text, str [words], and their vectors, float32 [words, layers·size].

    With context, each layer's part is twice as wide: the word's, then that of the turns before.
    """

    words: NDArray[np.str_]
    vectors: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Piece:
    """What a model reads at once of text number `text`: all of it, or a window."""

    text: int
    ids: list[int]
    at: int
    """Where the text's own pieces begin among `ids`."""
    window: Window

    @property
    def first(self) -> int:
        """The first of its states that is the text's own and kept of this window."""
        return self.at + self.window.first - self.window.start

    @property
    def last(self) -> int:
        """And the one behind the last."""
        return self.at + self.window.last - self.window.start

    @property
    def steps(self) -> int:
        """Its states in all."""
        return len(self.ids)


class LanguageEncoder:
    """A pretrained language model and its tokenizer."""

    any_lengths = True
    """Pieces of all lengths can be read together."""

    def __init__(
        self,
        pretrained: Pretrained,
        tokenizer: Any,
        layers: Layers,
        device: str = "cpu",
        *,
        context: bool = False,
    ) -> None:
        """Wrap a loaded model; with `context`, it reads the turns before a text.

        Raises:
            EmohopError: the model does not give a sequence of vectors, or lacks a layer.
        """
        import torch

        self.name, self.pretrained, self._layers = pretrained.name, pretrained, layers
        self._tokenizer, self._device, self._context = tokenizer, device, context
        model = pretrained.model
        if model.config.is_encoder_decoder:
            model = model.get_encoder()
        self.network = model.to(device)
        whole, alone = tokenizer("a")["input_ids"], self._pieces("a")[0]
        at = next((i for i in range(len(whole)) if whole[i : i + len(alone)] == alone), 0)
        self._front, self._back = whole[:at], whole[at + len(alone) :]
        self._room = _positions(model, tokenizer) - len(self._front) - len(self._back)
        try:
            with torch.inference_mode():
                states = self.states([Piece(0, whole, at, Window(0, 1, 0, 1))])
            count, self.state_size = len(states), int(states[-1].shape[-1])
        except (AttributeError, IndexError, RuntimeError, TypeError, ValueError) as error:
            raise EmohopError(f"{self.name} cannot be used: {line_of(error)}") from error
        self.layers = layers.count(count, self.name)
        self.size = self.state_size * (2 if context else 1)

    def __call__(self, texts: Sequence[Text]) -> list[Words]:
        """The words of texts and their vectors; a text without words has none."""
        import torch

        cleaned = [plain(text.words) for text in texts]
        cut = [self._pieces(text) for text in cleaned]
        read = [
            p
            for i, text in enumerate(texts)
            for p in self._parts(i, cut[i][0], text.previous_turns)
        ]
        vectors: list[list[NDArray[np.float32]]] = [[] for _ in texts]
        found: dict[int, NDArray[np.float32]] = {}
        for chosen in _batches([len(piece.ids) for piece in read]):
            with torch.inference_mode():
                states = self._layers.pick(self.states([read[k] for k in chosen])).float().cpu()
            for k, rows in zip(chosen, states, strict=True):
                found[k] = rows[read[k].first : read[k].last].numpy()
                if self._context:
                    earlier = rows[len(self._front) : read[k].at].numpy()
                    found[k] = self._beside(found[k], earlier)
        for k, piece in enumerate(read):
            vectors[piece.text].append(found[k])
        return [
            self._words(text, spans, parts)
            for text, (_, spans), parts in zip(cleaned, cut, vectors, strict=True)
        ]

    def _beside(
        self, own: NDArray[np.float32], earlier: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """States of a text's own pieces with the mean of those before, 0 where there are none."""
        mean = earlier.mean(axis=0) if len(earlier) else np.zeros(own.shape[1], np.float32)
        shape = (len(own), self.layers, own.shape[1] // self.layers)
        both = [own.reshape(shape), np.broadcast_to(mean.reshape(1, *shape[1:]), shape)]
        return np.concatenate(both, axis=2).reshape(len(own), -1)

    def _pieces(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """The numbers of a text's pieces, and which of its characters each is."""
        read = self._tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        return list(read["input_ids"]), [tuple(span) for span in read["offset_mapping"]]

    def pieces(self, texts: Sequence[Text]) -> list[list[Piece]]:
        """What is read of each text: one piece, several of a long text, none of an empty one."""
        return [
            self._parts(i, self._pieces(plain(text.words))[0], text.previous_turns)
            for i, text in enumerate(texts)
        ]

    def save(self, folder: Path) -> None:
        """Write the model and its tokenizer as a folder that `load_language_encoder` takes."""
        self.pretrained.save(folder)
        self._tokenizer.save_pretrained(folder)

    def _parts(self, number: int, ids: list[int], before: Sequence[str]) -> list[Piece]:
        """What is read of a text: with as much of the turns before it as there is room for."""
        if not ids:
            return []
        room = max(1, self._room)
        parts = []
        for window in windows(len(ids), room, room // OVERLAP):
            earlier: list[int] = []
            for turn in reversed(before if self._context else ()):
                earlier = [*self._pieces(plain(turn))[0], *self._back[:1], *earlier]
            free = room - (window.stop - window.start)
            earlier = earlier[len(earlier) - min(free, len(earlier)) :]
            own = ids[window.start : window.stop]
            whole = [*self._front, *earlier, *own, *self._back]
            parts.append(Piece(number, whole, len(self._front) + len(earlier), window))
        return parts

    def states(self, pieces: Sequence[Piece]) -> Sequence[torch.Tensor]:
        """Every hidden state [pieces, longest, size]."""
        import torch

        longest = max(len(piece.ids) for piece in pieces)
        ids = torch.full((len(pieces), longest), int(self._tokenizer.pad_token_id or 0))
        mask = torch.zeros((len(pieces), longest), dtype=torch.long)
        for row, here, piece in zip(ids, mask, pieces, strict=True):
            row[: len(piece.ids)] = torch.tensor(piece.ids)
            here[: len(piece.ids)] = 1
        output = self.network(
            input_ids=ids.to(self._device),
            attention_mask=mask.to(self._device),
            output_hidden_states=True,
        )
        return states_of(output)

    def _words(
        self, text: str, spans: Sequence[tuple[int, int]], parts: Sequence[NDArray[np.float32]]
    ) -> Words:
        """The mean of the pieces that touch each word; a word of no piece is left out."""
        size = self.layers * self.size
        pieces = np.concatenate([np.empty((0, size), np.float32), *parts])
        starts = np.array([start for start, _ in spans], np.int64)
        stops = np.array([stop for _, stop in spans], np.int64)
        words, vectors = [], []
        for word in _WORD.finditer(text):
            touching = (starts < word.end()) & (stops > word.start())
            if touching.any():
                words.append(word.group())
                vectors.append(pieces[touching].mean(axis=0))
        matrix = np.stack(vectors) if vectors else np.empty((0, size), np.float32)
        return Words(np.array(words, dtype=np.str_), matrix.astype(np.float32))


def _batches(lengths: Sequence[int]) -> list[list[int]]:
    """Numbers of texts that are read together: of about one length, the longest first."""
    batches: list[list[int]] = []
    longest = 0
    for k in sorted(range(len(lengths)), key=lambda k: -lengths[k]):
        if not batches or len(batches[-1]) == BATCH_TEXTS or lengths[k] < ALIKE * longest:
            batches.append([])
            longest = lengths[k]
        batches[-1].append(k)
    return batches


def _positions(model: Any, tokenizer: Any) -> int:
    """How many pieces a model can read at once, those around a text included."""
    said = int(getattr(model.config, "max_position_embeddings", 0) or 0)
    table = getattr(getattr(model, "embeddings", None), "position_embeddings", None)
    padding = getattr(table, "padding_idx", None)
    if padding is not None:  # RoBERTa counts positions from behind the padding's number
        said -= padding + 1
    limits = [n for n in (said, int(tokenizer.model_max_length), MOST_PIECES) if n > 0]
    return min(limits)


def load_language_encoder(
    name: str, layers: Layers | None = None, device: str = "cpu", *, context: bool = False
) -> LanguageEncoder:
    """The language model `name`: a short name, a hub name or a folder; errors as in `load`."""
    pretrained = load_pretrained(Modality.TEXT, name)
    import transformers

    with quiet(transformers):
        tokenizer = from_cache_or_hub(
            f"the tokenizer of {name}",
            pretrained.source,
            transformers.AutoTokenizer.from_pretrained,
            use_fast=True,
        )
    if not tokenizer.is_fast:
        raise EmohopError(f"{name} has no fast tokenizer (tokenizer.json): words have no places")
    return LanguageEncoder(pretrained, tokenizer, layers or Layers(), device, context=context)


def load(settings: TextFeatures, device: str) -> FeatureEncoder:
    """The pretrained language model of settings."""
    model = load_language_encoder(
        settings.encoder, Layers(settings.layer), device, context=settings.context > 0
    )

    def encode(texts: Sequence[Text]) -> list[Arrays]:
        return [{"text": found.words, STATES: found.vectors} for found in model(texts)]

    return FeatureEncoder(encode, model.layers * model.size, model.layers, model.pretrained)
