"""One modality's encoder: steps in, one output per step and a last state out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from emohop.clips import Modality
from emohop.config import EncoderSettings, ModelSettings, TextEncoderSettings
from emohop.model_config import InputDims
from emohop.models.batch import Batch, Encoded
from emohop.models.gru import GRU
from emohop.models.kernels import step_mask
from emohop.models.linear import draw_normal, embedding
from emohop.models.missing import Absent
from emohop.models.padded import Layout, laid_out

PADDING = 0
"""The token number of padding; its word vector is 0 and stays so."""


class LayerMix(nn.Module):
    """The weighted mean of the hidden states that stand side by side in a frame.

    h = scale · Σ_l softmax(w)_l h_l, with weights that start equal and a scale that starts at 1
    (Peters et al. 2018, eq. 1; the frozen encoders of SUPERB, Yang et al. 2021, are used so).
    """

    def __init__(self, layers: int) -> None:
        """Mix so many hidden states."""
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(layers))
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, steps: Tensor) -> Tensor:
        """Steps [..., layers·size], layer after layer, as [..., size]."""
        apart = steps.unflatten(-1, (len(self.weights), -1))
        return torch.einsum("l,...ld->...d", self.scale * torch.softmax(self.weights, 0), apart)


class InputLayer(nn.Module):
    """What comes before any encoder: steps as rows of numbers without padding.

    Word numbers become word vectors, hidden states side by side one of them, frames are stacked,
    and a residual encoder's are projected.

    Example:
        >>> import torch
        >>> dims = emohop.InputDims(7, {emohop.Modality.AUDIO: 120})
        >>> settings = emohop.ModelSettings(name="are")
        >>> layer = emohop.InputLayer.of(settings, dims, emohop.Modality.AUDIO)
        >>> rows, layout = layer(torch.zeros(2, 5, 120), torch.tensor([5, 3]))
        >>> layout.pad(rows).shape
        torch.Size([2, 5, 120])
    """

    def __init__(
        self, settings: EncoderSettings, size: int, layers: int = 1, *, words: bool = True
    ) -> None:
        """Build for frames of `layers` times `size` numbers, or a vocabulary of `size` words."""
        super().__init__()
        self.embedding: nn.Embedding | None = None
        if words and isinstance(settings, TextEncoderSettings):
            self.embedding = embedding(size, settings.embedding, PADDING)
            size = settings.embedding
        self.mix = LayerMix(layers) if layers > 1 else None
        self.stack = settings.stack_frames
        size *= settings.stack_frames
        self.project: nn.Linear | None = None
        if settings.residual:
            self.project = nn.Linear(size, settings.hidden)
            draw_normal(self.project.weight)
            nn.init.zeros_(self.project.bias)
            size = settings.hidden
        self.size = size
        """Numbers in a row."""

    @classmethod
    def of(cls, settings: ModelSettings, sizes: InputDims, modality: Modality) -> InputLayer:
        """The steps of one modality of a model."""
        size, layers = sizes.steps[modality], sizes.layers.get(modality, 1)
        if not settings.mix_layers:
            size, layers = size * layers, 1
        return cls(settings.encoder(modality), size, layers, words=sizes.words(modality))

    def forward(self, steps: Tensor, lengths: Tensor) -> tuple[Tensor, Layout]:
        """Rows float [rows, size] of a padded batch, and how they are laid out.

        Words may come as their vectors already, float [batch, time, embedding].
        """
        if self.stack > 1:
            steps, lengths = stacked(self._vectors(steps), lengths, self.stack)
        layout = laid_out(lengths, steps.shape[1])
        rows = layout.pack(steps)
        if self.stack == 1:
            rows = self._vectors(rows)
        return rows if self.project is None else self.project(rows), layout

    def _vectors(self, steps: Tensor) -> Tensor:
        if self.embedding is not None and not steps.is_floating_point():
            steps = self.embedding(steps)
        return steps if self.mix is None else self.mix(steps)


class RecurrentEncoder(nn.Module):
    """A GRU over the audio or video frames, or over word vectors."""

    def __init__(
        self,
        steps: InputLayer,
        settings: EncoderSettings,
        *,
        reset_after: bool,
        align_backward: bool,
    ) -> None:
        """Build over rows of `steps`."""
        super().__init__()
        self.steps = steps
        self.gru = GRU(steps.size, settings, reset_after=reset_after, align_backward=align_backward)
        self.output_size = self.gru.output_size

    def forward(self, steps: Tensor, lengths: Tensor) -> Encoded:
        """Encode a padded batch; what the padding holds never matters.

        Args:
            steps: float [batch, time, layers·size], or token numbers int64 [batch, time].
            lengths: int64 [batch], from 0 to time.

        Returns:
            Outputs of the valid steps, and states after the last of them, 0 for a clip of
            length 0. Outputs are of stacked steps, ceil(length / stack) of them.
        """
        rows, layout = self.steps(steps, lengths)
        outputs, states = self.gru(rows, layout)
        return Encoded(outputs, layout, states)


def stacked(steps: Tensor, lengths: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Each `count` steps of [batch, time, size] side by side; the last ones are filled with 0."""
    batch, time, size = steps.shape
    valid = step_mask(lengths, time)[..., None]
    most = (time + count - 1) // count
    filled = functional.pad(torch.where(valid, steps, 0.0), (0, 0, 0, most * count - time))
    together = torch.div(lengths + count - 1, count, rounding_mode="floor")
    return filled.reshape(batch, most, size * count), together


class Encoders(nn.Module):
    """The encoders of the modalities that a model uses, and the prosody vector that may join.

    A modality's *vector* is what a model compares and classifies: for audio with prosody joined
    it is the sequence vector (state or context) with the 35 functionals behind it.

    Example:
        >>> audio = emohop.Modality.AUDIO
        >>> dims = emohop.InputDims(7, {audio: 120})
        >>> encoders = emohop.Encoders(emohop.ModelSettings(name="are"), dims, [audio])
        >>> encoders.vector_size(audio)
        200
    """

    def __init__(
        self, settings: ModelSettings, sizes: InputDims, modalities: Sequence[Modality]
    ) -> None:
        """Build one encoder for each of `modalities`."""
        super().__init__()
        self.modalities = tuple(modalities)
        self.prosody = sizes.prosody if settings.prosody and Modality.AUDIO in modalities else 0
        encoders = {
            m: RecurrentEncoder(
                InputLayer.of(settings, sizes, m),
                settings.encoder(m),
                reset_after=settings.reset_after,
                align_backward=settings.align_backward,
            )
            for m in modalities
        }
        self._sizes = {m: encoder.output_size for m, encoder in encoders.items()}
        self.encoders = nn.ModuleDict({m.value: encoder for m, encoder in encoders.items()})
        self.absent: Absent | None = None
        if settings.missing_modality == "learned":
            self.absent = Absent({m: self.vector_size(m) for m in modalities})

    def sequence_size(self, modality: Modality) -> int:
        """Numbers in one output of an encoder."""
        return self._sizes[modality]

    def vector_size(self, modality: Modality) -> int:
        """Numbers in a modality's vector, the joined prosody included."""
        joined = self.prosody if modality is Modality.AUDIO else 0
        return self.sequence_size(modality) + joined

    def forward(self, batch: Batch) -> dict[Modality, Encoded]:
        """Encode every modality of a batch."""
        return {
            m: batch.encoded[m]
            if m in batch.encoded
            else self.encoders[m.value](batch.sequences[m], batch.lengths[m])
            for m in self.modalities
        }

    def vector(self, modality: Modality, sequence: Tensor, batch: Batch) -> Tensor:
        """The modality's vector [batch, vector_size] from a state or context.

        Of a clip that lacks the modality it is the learned one, or 0.
        """
        if modality is Modality.AUDIO and self.prosody and batch.prosody is not None:
            sequence = torch.cat([sequence, batch.prosody], dim=-1)
        return sequence if self.absent is None else self.absent(modality, sequence, batch)
