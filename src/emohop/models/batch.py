"""A batch of clips as tensors, and what a model says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from emohop.clips import Modality
from emohop.models.padded import Layout


@dataclass(frozen=True, slots=True)
class Encoded:
    """Outputs float [rows, size] as `layout` lays them out, states float [batch, size]."""

    rows: Tensor
    layout: Layout
    state: Tensor

    @property
    def outputs(self) -> Tensor:
        """The outputs padded, [batch, time, size], 0 beyond each clip's length."""
        return self.layout.pad(self.rows)


@dataclass(frozen=True, slots=True)
class Batch:
    """Clips of different lengths, padded with 0.

    `sequences` maps audio and video to float32 [batch, time, size] and text to int64 [batch, time];
    `lengths` maps each modality to int64 [batch]. `prosody` is float32 [batch, 35] or None,
    `classes` int64 [batch] or None. `present` says which clips have a modality at all, bool
    [batch]; one that it does not name is there in every clip. `votes` are the raters' by class,
    float32 [batch, classes], or None. `ids` are the clips' names. Of a modality that `encoded`
    names, a model with encoders takes that in place of what its encoder would make of the sequence.

    Example:
        >>> import torch
        >>> frames, lengths = torch.zeros(2, 5, 120), torch.tensor([5, 3])
        >>> len(emohop.Batch(("a", "b"), {"audio": frames}, {"audio": lengths}))
        2
    """

    ids: tuple[str, ...]
    sequences: Mapping[Modality, Tensor]
    lengths: Mapping[Modality, Tensor]
    prosody: Tensor | None = None
    classes: Tensor | None = None
    present: Mapping[Modality, Tensor] = field(default_factory=dict)
    votes: Tensor | None = None
    encoded: Mapping[Modality, Encoded] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def has(self, modality: Modality) -> Tensor:
        """Which clips have a modality, bool [batch]."""
        present = self.present.get(modality)
        if present is None:
            return torch.ones_like(self.lengths[modality], dtype=torch.bool)
        return present

    def without(self, absent: Mapping[Modality, Tensor]) -> Batch:
        """The batch of clips that lack more: each modality of `absent` where it is true."""
        lengths = {
            m: n.masked_fill(absent[m], 0) if m in absent else n for m, n in self.lengths.items()
        }
        present = {**self.present, **{m: self.has(m) & ~mask for m, mask in absent.items()}}
        prosody = self.prosody
        if prosody is not None and Modality.AUDIO in absent:
            prosody = prosody.masked_fill(absent[Modality.AUDIO][:, None], 0.0)
        return replace(self, lengths=lengths, present=present, prosody=prosody, encoded={})

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        return Batch(
            self.ids,
            {m: t.to(device) for m, t in self.sequences.items()},
            {m: t.to(device) for m, t in self.lengths.items()},
            None if self.prosody is None else self.prosody.to(device),
            None if self.classes is None else self.classes.to(device),
            {m: t.to(device) for m, t in self.present.items()},
            None if self.votes is None else self.votes.to(device),
        )


@dataclass(frozen=True, slots=True)
class Hop:
    """One hop: the modality attended to and what came of it.

    `weights` is float [batch, time] (0 for a clip without a step), `query` and `context` are
    float [batch, size of the target's outputs].

    Example:
        >>> import torch
        >>> weights = torch.tensor([[0.25, 0.75]])
        >>> hop = emohop.Hop(emohop.Modality.AUDIO, torch.zeros(1, 4), weights, torch.zeros(1, 4))
        >>> hop.target
        <Modality.AUDIO: 'audio'>
    """

    target: Modality
    query: Tensor
    weights: Tensor
    context: Tensor


@dataclass(frozen=True, slots=True)
class Output:
    """Logits, float [batch, classes], and the hops in their order (none for most models).

    `alone` has the logits of each modality by itself, for a model that trains these.

    Example:
        >>> import torch
        >>> emohop.Output(torch.zeros(2, 7)).hops
        ()
    """

    logits: Tensor
    hops: tuple[Hop, ...] = ()
    alone: Mapping[Modality, Tensor] = field(default_factory=dict)
