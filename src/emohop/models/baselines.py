"""The models that attentive modality hopping is compared with."""

from __future__ import annotations

from torch import nn

from emohop.config import ModelSettings
from emohop.models.batch import Batch, Output
from emohop.models.encoder import Encoders, Sizes


class SingleEncoder(nn.Module):
    """One modality: the encoder's last state, a linear classifier.

    On audio this is the audio recurrent encoder (ARE; with `prosody`, its state and the prosody
    vector are joined), on text the text recurrent encoder (TRE) of Yoon, Byun and Jung 2018.
    """

    def __init__(self, settings: ModelSettings, sizes: Sizes) -> None:
        """Build for the modality that the model's name stands for."""
        super().__init__()
        (self.modality,) = settings.uses
        self.encoders = Encoders(settings, sizes, settings.uses)
        self.classify = nn.Linear(self.encoders.vector_size(self.modality), sizes.classes)

    def forward(self, batch: Batch) -> Output:
        """Logits [batch, classes]."""
        state = self.encoders(batch)[self.modality].state
        return Output(self.classify(self.encoders.vector(self.modality, state, batch)))
