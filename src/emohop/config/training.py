"""How networks are fitted, and pretrained encoders trained further."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from emohop.config.settings import Settings

Standardisation = Literal["global", "train_speaker", "per_speaker", "none"]


class TrainingSettings(Settings):
    """How the network is fitted. Everything is chosen on dev, never on test."""

    batch_size: int = Field(default=64, ge=1)
    """Clips in a step."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """Of Adam."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Of AdamW; 0 is plain Adam."""
    epsilon_hat: bool = False
    """TensorFlow's form of Adam; it differs where gradients are smaller than 1e-6."""
    loss: Literal["softmax", "sigmoid", "focal"] = "softmax"
    """Cross entropy of the softmax, of each class's sigmoid as in the 2018 programs, or focal,
    which counts clips that are right already for less."""
    focal_gamma: float = Field(default=2.0, ge=0)
    """Focusing parameter gamma of the focal loss."""
    class_weights: Literal["none", "balanced"] = "none"
    """Weights of the classes in the loss: all 1, or balanced, n / (k n_c) by the training part."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share of each target that is spread evenly over the classes."""
    soft_labels: bool = False
    """Train for the shares of the raters' votes (IEMOCAP) in place of the label."""
    gradient_clip_mode: Literal["global", "variable", "value"] = "global"
    """What gradient_clip limits: the norm of the whole gradient, that of each variable's, or each
    number (the last two as TensorFlow does, word vectors by the rows that were looked up)."""
    gradient_clip: float = Field(default=1.0, ge=0)
    """The limit; 0 does not clip."""
    sampling: Literal["epochs", "balanced", "replacement"] = "epochs"
    """Every clip once in an epoch; as many drawn so that all classes are alike; or, as in the
    original, rounds of int(0.3 n / batch_size) + 1 steps of clips drawn with replacement."""
    max_epochs: int | None = Field(default=100, ge=1)
    """Epochs at most; None leaves it to max_steps and patience."""
    max_steps: int | None = Field(default=None, ge=1)
    """Steps at most, in whole epochs: as many as fit, but one at least."""
    patience: int = Field(default=12, ge=1)
    """Epochs in a row without a better dev score after which training stops."""
    monitor: Literal[
        "accuracy",
        "balanced_accuracy",
        "f1_macro",
        "f1_weighted",
        "precision_macro",
        "precision_weighted",
        "loss",
    ] = "balanced_accuracy"
    """The dev score that chooses the best epoch: the highest, the lowest for loss."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the matrix products in training; scores are always computed in float32."""
    modality_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Chance with which a training clip loses each of its modalities, but never the last one."""
    standardise: Standardisation = "global"
    """Zero mean and unit variance by statistics of the training part (global), of each of its
    speakers (train_speaker; global for others), of each speaker's own clips, test speakers
    included, without labels (per_speaker); or none."""
    vocabulary: int | None = Field(default=None, ge=1)
    """Most frequent training words kept; None keeps all."""


class FinetuningSettings(Settings):
    """How a pretrained encoder is trained further. The best epoch is chosen on dev."""

    last_layers: int | None = Field(default=2, ge=1)
    """Transformer layers that change, counted from the last; None is all of them."""
    lora_rank: int | None = Field(default=None, ge=1)
    """Rank of low-rank updates (LoRA, Hu et al. 2021) of these layers' matrices, which are trained
    in their place and added in the end; None trains the layers themselves."""
    epochs: int = Field(default=4, ge=1)
    """Times that every training clip is seen."""
    batch_size: int = Field(default=32, ge=1)
    """Clips in a step."""
    learning_rate: float = Field(default=1e-4, gt=0)
    """The highest, of AdamW: it rises over `warmup` and falls to 0 in a line."""
    warmup: float = Field(default=0.1, ge=0, lt=1)
    """The share of all steps in which it rises."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Of AdamW."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Before the classifier, and before low-rank updates."""
    gradient_clip: float = Field(default=1.0, gt=0)
    """The largest norm of a gradient."""
    class_weights: Literal["none", "balanced"] = "none"
    """As in training."""
    monitor: Literal["accuracy", "balanced_accuracy", "f1_macro", "f1_weighted"] = (
        "balanced_accuracy"
    )
    """The dev score that chooses the best epoch."""
