"""Models without recurrence: each modality's steps are pooled to a vector, a linear layer decides.

What is left when order does not count; over the frames of a pretrained encoder, which has read the
order already, that is little (docs/results.md).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from emohop.clips import Modality
from emohop.config import EncoderSettings, ModelSettings
from emohop.model_config import InputDims
from emohop.models.attention import levelled
from emohop.models.batch import Batch, Hop, Output
from emohop.models.encoder import InputLayer
from emohop.models.kernels import dropout
from emohop.models.linear import draw_normal
from emohop.models.missing import Absent
from emohop.models.padded import Layout

VARIANCE_FLOOR = 1e-5
"""Added to variances before the root, whose slope has no end at 0."""


class Statistics(nn.Module):
    """The mean and the standard deviation of each number over a clip's steps.

    Dropout takes whole numbers of a clip's vector away.
    """

    def __init__(self, settings: EncoderSettings, size: int) -> None:
        """Pool rows of `size` numbers."""
        super().__init__()
        self.share, self.size = settings.dropout, 2 * size

    def forward(
        self, rows: Tensor, layout: Layout, modality: Modality
    ) -> tuple[Tensor, Hop | None]:
        """Vectors [batch, 2 size], 0 for a clip without a step."""
        del modality
        equal = layout.valid / layout.lengths.clamp(min=1)[:, None]
        return dropout(statistics(layout.pad(rows), equal), self.share, self.training), None


class SelfAttention(nn.Module):
    """Statistics of steps that count for more where a learned query finds them telling.

    h_t = relu(W x_t + a), u_t = tanh(V h_t + b), weights w = softmax over a clip's steps of q·u_t
    (Safari, India and Hernando 2020; Lin et al. 2017), and of h the mean and the standard deviation
    under these weights (attentive statistics pooling, Okabe, Koshinaka and Shinoda 2018).
    """

    def __init__(self, settings: EncoderSettings, size: int) -> None:
        """Pool rows of `size` numbers, projected to `settings.hidden`."""
        super().__init__()
        hidden = settings.hidden
        self.settings, self.size = settings, 2 * hidden
        self.input, self.key = nn.Linear(size, hidden), nn.Linear(hidden, hidden)
        self.query = nn.Parameter(torch.empty(hidden).uniform_(-1 / hidden, 1 / hidden))

    def forward(
        self, rows: Tensor, layout: Layout, modality: Modality
    ) -> tuple[Tensor, Hop | None]:
        """Vectors [batch, 2 hidden], and the weights as a hop whose query is the same for all."""
        rows = dropout(rows, self.settings.dropout, self.training)
        rows = torch.relu(self.input(rows))
        scores = levelled(torch.tanh(self.key(rows)) @ self.query)
        padded = layout.pad(scores[..., None])[..., 0].masked_fill(~layout.valid, -torch.inf)
        weights = torch.where(layout.valid, torch.softmax(padded, dim=-1), 0.0)
        vector = statistics(layout.pad(rows), weights)
        context = vector[:, : vector.shape[1] // 2]
        hop = Hop(modality, self.query.expand(vector.shape[0], -1), weights, context)
        return dropout(vector, self.settings.output_dropout, self.training), hop


class StatisticsPooling(nn.Module):
    """Each modality's statistics, a linear classifier.

    The classifier starts near 0: as in a linear probe the problem is convex, and large first
    weights over so many numbers would only be noise to unlearn.
    """

    pool: type[Statistics] | type[SelfAttention] = Statistics

    def __init__(self, settings: ModelSettings, sizes: InputDims) -> None:
        """Build for one modality or more."""
        super().__init__()
        self.modalities = settings.uses
        self.steps, self.pools = nn.ModuleDict(), nn.ModuleDict()
        widths = {}
        for m in settings.uses:
            steps = InputLayer.of(settings, sizes, m)
            pool = self.pool(settings.encoder(m), steps.size)
            self.steps[m.value], self.pools[m.value] = steps, pool
            widths[m] = pool.size
        self.prosody = sizes.prosody if settings.prosody and Modality.AUDIO in widths else 0
        if self.prosody:
            widths[Modality.AUDIO] += self.prosody
        self.absent = Absent(widths) if settings.missing_modality == "learned" else None
        self.classify = nn.Linear(sum(widths.values()), sizes.classes)
        draw_normal(self.classify.weight)
        nn.init.zeros_(self.classify.bias)

    def forward(self, batch: Batch) -> Output:
        """Logits [batch, classes], and with attention a hop for each modality."""
        vectors, hops = [], []
        for m in self.modalities:
            rows, layout = self.steps[m.value](batch.sequences[m], batch.lengths[m])
            vector, hop = self.pools[m.value](rows, layout, m)
            if m is Modality.AUDIO and self.prosody and batch.prosody is not None:
                vector = torch.cat([vector, batch.prosody], dim=-1)
            vectors.append(vector if self.absent is None else self.absent(m, vector, batch))
            hops += [hop] if hop is not None else []
        return Output(self.classify(torch.cat(vectors, dim=-1)), tuple(hops))


class AttentivePooling(StatisticsPooling):
    """Each modality's statistics under self-attention, a linear classifier."""

    pool = SelfAttention


def statistics(steps: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean and standard deviation of steps [batch, time, size], [batch, 2 size].

    Weights [batch, time] sum to 1, or are all 0, where both come out 0.
    """
    mean = torch.einsum("bt,btd->bd", weights, steps)
    apart = steps - mean[:, None]
    variance = torch.einsum("bt,btd->bd", weights, apart * apart)
    some = weights.sum(1, keepdim=True) > 0
    deviation = torch.where(some, (variance + VARIANCE_FLOOR).sqrt(), 0.0)
    return torch.cat([mean, deviation], dim=-1)
