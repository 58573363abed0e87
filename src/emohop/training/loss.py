"""Training losses."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from emohop.config import TrainingSettings
from emohop.errors import EmohopError

Loss = Literal["softmax", "sigmoid", "focal"]


class Objective:
    """The loss of a training step: its kind, class weights, label smoothing and what is aimed at.

    `softmax` is the cross entropy of the softmax; `focal` scales the part of each class by
    (1 - p)^gamma (Lin, Goyal, Girshick, He and Dollár 2017), so that easy clips count for little;
    `sigmoid` is the loss of the 2018 programs. With class weights the mean over a batch is the
    weighted one: Σ w_i loss_i / Σ w_i. Smoothing mixes the target with the even distribution.
    """

    def __init__(self, settings: TrainingSettings, counts: Tensor) -> None:
        """Build for a training part with `counts` clips of each class, [classes].

        Raises EmohopError for settings that have no meaning together.
        """
        self.kind, self.gamma = settings.loss, settings.focal_gamma
        self.smoothing, self.votes = settings.label_smoothing, settings.soft_labels
        self.weights: Tensor | None = None
        if settings.class_weights == "balanced":
            self.weights = balanced_weights(counts)
        if self.weights is not None and settings.sampling == "balanced":
            raise EmohopError(
                "class_weights=balanced and sampling=balanced even classes out twice: take one"
            )
        unusual = self.votes or self.smoothing > 0 or self.weights is not None
        self.plain = not unusual and self.kind != "focal"
        if self.kind == "sigmoid" and unusual:
            raise EmohopError(
                "training.loss = sigmoid is the loss of the 2018 programs: class_weights, "
                "label_smoothing and soft_labels go with softmax or focal"
            )

    def __call__(self, logits: Tensor, classes: Tensor, votes: Tensor | None = None) -> Tensor:
        """The mean loss of logits [batch, classes] against class numbers [batch], or votes.

        Votes are shares [batch, classes]; where they are all 0, the class counts.
        """
        if self.plain:
            return mean_loss(logits, classes, self.kind)
        target = functional.one_hot(classes, logits.shape[1]).to(logits.dtype)
        if self.votes and votes is not None:
            some = votes.sum(1, keepdim=True) > 0
            target = torch.where(some, votes.to(logits.dtype), target)
        smooth = (1 - self.smoothing) * target + self.smoothing / logits.shape[1]
        if self.weights is not None:
            weights = self.weights.to(logits)
            target, smooth = target * weights, smooth * weights
        log_probs = torch.log_softmax(logits, dim=-1)
        losses = -smooth * log_probs
        if self.kind == "focal":
            missing = 1 - log_probs.exp()  # not 0, where a power below 1 has no gradient
            losses = losses * missing.clamp(min=torch.finfo(missing.dtype).eps) ** self.gamma
        return losses.sum() / target.sum()


def balanced_weights(counts: Tensor) -> Tensor:
    """N / (k n_c) of `counts` n_c over k classes, float32 [classes], as scikit-learn has it.

    A class without clips has the weight of one clip.
    """
    some = counts.clamp(min=1)
    return (counts.sum() / (len(counts) * some)).float()


def mean_loss(logits: Tensor, classes: Tensor, kind: Loss) -> Tensor:
    """The plain mean loss of logits [batch, classes] against class numbers [batch].

    `softmax` is the cross entropy of the softmax, mean over the batch. `sigmoid`, the loss of the
    2018 programs, is the cross entropy of each class's sigmoid against one-hot labels, mean over
    batch and classes. Dev is scored by these, whatever training weighs: for `focal`, by `softmax`.
    """
    if kind != "sigmoid":
        return functional.cross_entropy(logits, classes)
    one_hot = functional.one_hot(classes, logits.shape[1]).to(logits.dtype)
    return functional.binary_cross_entropy_with_logits(logits, one_hot)
