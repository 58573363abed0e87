"""An encoder over a clip whose end is not there yet: what it has read is not read again."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from emohop.clips import Modality
from emohop.models.batch import Encoded
from emohop.models.encoder import Encoders, RecurrentEncoder
from emohop.models.kernels import Ragged


class GrowingEncoder:
    """An encoder that reads forwards, its outputs so far, and the states after them.

    Steps that may still change are read anew each time, as is a stack of steps that is not full.
    """

    def __init__(self, encoder: RecurrentEncoder) -> None:
        """Begin a clip."""
        self._encoder, self._done = encoder, 0
        self._rows = torch.zeros(0, encoder.output_size)
        self._states = encoder.gru.start()

    @classmethod
    def of(cls, network: nn.Module, modality: Modality) -> GrowingEncoder | None:
        """One for a modality of a network; None where the network's encoder cannot go on.

        It can if it is a GRU that reads forwards only.
        """
        encoders = getattr(network, "encoders", None)
        if not isinstance(encoders, Encoders) or modality not in encoders.modalities:
            return None
        encoder = encoders.encoders[modality.value]
        if not isinstance(encoder, RecurrentEncoder) or encoder.gru.backward_stack is not None:
            return None
        return cls(encoder)

    @torch.inference_mode()
    def __call__(self, steps: Tensor, final: int) -> Encoded:
        """What the encoder makes of float [1, time, size]; equal to the encoder's but for rounding.

        The steps that were final in an earlier call are not looked at; the first `final` of these
        will be the same in every later one.
        """
        time, stack = steps.shape[1], self._encoder.steps.stack
        whole = final // stack * stack
        if whole > self._done:
            more, self._states = self._read(steps[:, self._done : whole])
            self._rows, self._done = torch.cat([self._rows, more]), whole
        rows, states = self._rows, self._states
        if time > whole:
            more, states = self._read(steps[:, whole:])
            rows = torch.cat([rows, more])
        ragged = Ragged(torch.tensor([len(rows)]), len(rows))
        return Encoded(rows, ragged, states[-1])

    def _read(self, steps: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Outputs [rows, size] of more steps, and each layer's state [1, size] after them."""
        rows, _ = self._encoder.steps(steps, torch.tensor([steps.shape[1]]))
        return self._encoder.gru.continued(rows, self._states)
