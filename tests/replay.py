"""Replay golden files of the original programs and compare every number that they hold.

    python tests/replay.py FILE.npz …

A golden file holds the inputs, variables and results of one of the original's models for one
batch, and its variables after three optimiser steps. The model is built from the file's own
`meta`, given the file's variables, and run; the largest difference of each group of keys is
printed. Exit status 1 when one is over its tolerance.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from emohop.clips import Modality
from emohop.config import ModelSettings, TrainingSettings
from emohop.errors import EmohopError
from emohop.model_config import InputDims
from emohop.models import build
from emohop.models.batch import Batch, Output
from emohop.models.kernels import Ragged
from emohop.models.published import load_published, published_variables
from emohop.registry.models import MODELS
from emohop.training.adam import make_optimizer
from emohop.training.clipping import Clipper
from emohop.training.loss import mean_loss

Arrays = Mapping[str, NDArray[Any]]
A, T, V = Modality.AUDIO, Modality.TEXT, Modality.VIDEO
CLOSE = (1e-5, 2e-6)
"""Relative and absolute tolerance of results and gradients (golden/README.md)."""
AFTER_STEP = (0.0, 5e-5)
"""Of variables after a step, where a gradient near 0 decides the sign of a whole step."""
LOSS_AFTER_STEP = (1e-4, 5e-5)
NOT_COMPARED = ("in", "inB", "var", "gradidx", "meta")
EMBEDDING = "embed_layer/embed_matrix"


@dataclass(frozen=True)
class Compared:
    """One key of a golden file: ours beside the original's."""

    key: str
    largest: float
    """Largest absolute difference."""
    share: float
    """Largest difference as a share of what is tolerated; over 1 is a failure."""

    @property
    def group(self) -> str:
        return self.key.split("/")[0].rstrip("0123456789")


def replay(path: Path) -> list[Compared]:
    """Compare every result in a golden file; EmohopError when it is not one."""
    golden = _read(path)
    meta = json.loads(str(golden["meta"]))
    model, training, sizes = _settings(meta)
    network = build(model, sizes).eval()
    variables = {k[4:]: v for k, v in golden.items() if k.startswith("var/")}
    load_published(network, model, variables)
    first, second = _batch(golden, "in", model), _batch(golden, "inB", model)
    ours: dict[str, NDArray[Any]] = {}
    clipper = Clipper(network, training.gradient_clip_mode, training.gradient_clip)
    optimizer = make_optimizer(network, training)
    losses = []
    for step, batch in enumerate((first, second, first), 1):
        optimizer.zero_grad()
        with Watch(network, batch) as watch:
            output = network(batch)
            loss = mean_loss(output.logits, _classes(batch), training.loss)
            losses.append(loss.item())
            loss.backward()
        if step == 1:
            ours |= watch.results(output, loss, training, model)
            ours |= _named("grad", model, network, gradients=True)
        clipper.apply()
        if step == 1:
            ours |= _named("clip", model, network, gradients=True)
        optimizer.step()
        ours |= _named(f"step{step}", model, network)
    with torch.no_grad():
        losses.append(mean_loss(network(first).logits, _classes(first), training.loss).item())
    ours["lossseq"] = np.array(losses)
    return list(_compare(golden, ours))


class Watch:
    """What passes through a network that its output does not tell."""

    def __init__(self, network: torch.nn.Module, batch: Batch) -> None:
        self.network, self.batch = network, batch
        self.encoded: dict[Modality, Any] = {}
        self.classified = torch.empty(0)
        self.words: Tensor | None = None

    def __enter__(self) -> Watch:
        encoders = self.network.get_submodule("encoders")
        classify = self.network.get_submodule("classify")
        self.hooks = [
            encoders.register_forward_hook(lambda _, __, out: self.encoded.update(out)),
            classify.register_forward_pre_hook(
                lambda _, args: setattr(self, "classified", args[0])
            ),
        ]
        for module in self.network.modules():
            if isinstance(module, torch.nn.Embedding):
                self.hooks.append(module.register_forward_hook(self._keep_words))
        return self

    def _keep_words(self, module: torch.nn.Module, args: Any, output: Tensor) -> None:
        output.retain_grad()
        self.words = output

    def __exit__(self, *_: object) -> None:
        for hook in self.hooks:
            hook.remove()

    def results(
        self, output: Output, loss: Tensor, training: TrainingSettings, model: ModelSettings
    ) -> dict[str, NDArray[Any]]:
        """By the names of the golden file."""
        classes = _classes(self.batch)
        found: dict[str, Tensor] = {
            "out/batch_pred": output.logits,
            "out/loss": loss,
            "out/final_encoder": self.classified,
            "out/batch_loss": _single_losses(output.logits, classes, training.loss),
        }
        for modality, encoded in self.encoded.items():
            found[f"enc/{modality}/outputs"] = encoded.outputs
            found[f"enc/{modality}/state"] = encoded.state
            final = encoded.state
            if modality is A and model.prosody and self.batch.prosody is not None:
                final = torch.cat([final, self.batch.prosody], dim=-1)
            found[f"enc/{modality}/final"] = final
        for number, hop in enumerate(output.hops, 1):
            # over a clip without a step the original attends evenly over the padding
            steps = hop.weights.shape[1]
            empty = (self.batch.lengths[hop.target] == 0)[:, None]
            weights = torch.where(empty, 1 / steps, hop.weights)
            found[f"hop{number}/query"] = found["attn/query"] = hop.query
            found[f"hop{number}/attn"] = found["attn/weights"] = weights
            found[f"hop{number}/context"] = hop.context
        if self.words is not None and self.words.grad is not None:
            lengths, steps = self.batch.lengths[T], self.batch.sequences[T].shape[1]
            padded = Ragged(lengths, steps).pad(self.words.grad)
            found[f"gradvals/{EMBEDDING}"] = padded.flatten(0, 1)
        return {name: tensor.detach().numpy() for name, tensor in found.items()}


def _classes(batch: Batch) -> Tensor:
    assert batch.classes is not None
    return batch.classes


def _single_losses(logits: Tensor, classes: Tensor, kind: str) -> Tensor:
    if kind == "softmax":
        return torch.nn.functional.cross_entropy(logits, classes, reduction="none")
    one_hot = torch.nn.functional.one_hot(classes, logits.shape[1]).to(logits.dtype)
    return torch.nn.functional.binary_cross_entropy_with_logits(logits, one_hot, reduction="none")


def _read(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            golden = {name: file[name] for name in file.files}
    except (OSError, ValueError) as error:
        raise EmohopError(f"{path} cannot be read: {error}") from None
    if "meta" not in golden:
        raise EmohopError(f"{path} has no meta: it is not a golden file")
    return golden


def _settings(meta: Mapping[str, Any]) -> tuple[ModelSettings, TrainingSettings, InputDims]:
    """The model, the training rule and the sizes that a file's meta tells of."""
    if unknown := [name for name in ("attn_audio", "attn_video") if meta.get(name)]:
        raise EmohopError(f"{meta['name']}: {unknown[0]} is an attention that is not reproduced")
    release = "hop" in meta
    names = (A, T, V)[: len(meta["hidden"])]
    encoders = {
        m.value: {
            "hidden": hidden,
            "layers": meta.get("layers", 1),
            "bidirectional": bool(meta.get("bi", 0)),
            "residual": bool(meta.get("residual", False)),
            "dropout": 0.0,
            **({"embedding": meta["embed"]} if m is T else {}),
        }
        for m, hidden in zip(names, meta["hidden"], strict=True)
    }
    name = "amh" if release else meta["kind"].lower()
    model = ModelSettings.model_validate(
        {
            "name": name,
            "hops": meta.get("hop", 1),
            "modalities": None if MODELS[name].only else names,
            "reset_after": False,
            "align_backward": False,
            "shared_bias": not release,
            "prosody": not release and meta["kind"] != "TRE",
            **encoders,
        }
    )
    training = TrainingSettings(
        learning_rate=meta["lr"],
        epsilon_hat=True,
        loss="softmax" if release else "sigmoid",
        gradient_clip_mode="variable" if release else "value",
        gradient_clip=1.0 if release else 10.0,
    )
    steps = {A: meta["n_audio"], T: meta["vocab"], V: meta.get("n_video", 0)}
    prosody = meta.get("n_prosody", 0) if model.prosody else 0
    sizes = InputDims(meta["n_category"], {m: steps[m] for m in names}, prosody)
    return model, training, sizes


def _batch(golden: Arrays, name: str, model: ModelSettings) -> Batch:
    steps, lengths = {}, {}
    for m in model.uses:
        array = torch.from_numpy(golden[f"{name}/{m}"])
        steps[m] = array.long() if m is T else array
        lengths[m] = torch.from_numpy(golden[f"{name}/seq_{m}"]).long().clamp(max=array.shape[1])
    labels = torch.from_numpy(golden[f"{name}/labels"])
    prosody = torch.from_numpy(golden[f"{name}/prosody"]) if model.prosody else None
    return Batch(("",) * len(labels), steps, lengths, prosody, labels.argmax(1))


def _named(
    group: str, model: ModelSettings, network: torch.nn.Module, *, gradients: bool = False
) -> dict[str, NDArray[Any]]:
    """The network's weights or their gradients, under the original's names."""
    parameters = dict(network.named_parameters())
    if gradients:
        # what no result depends on has no gradient here, and a gradient of 0 in the original
        tensors = {
            n: torch.zeros_like(p) if p.grad is None else p.grad for n, p in parameters.items()
        }
    else:
        tensors = {n: p.detach() for n, p in parameters.items()}
    named = published_variables(model, tensors)
    return {f"{group}/{name}": values for name, values in named.items()}


def _compare(golden: Arrays, ours: Arrays) -> Iterator[Compared]:
    for key, theirs in golden.items():
        group = key.split("/")[0]
        if group in NOT_COMPARED:
            continue
        if key not in ours:
            raise EmohopError(f"{key} has nothing to be compared with")
        if ours[key].shape != theirs.shape:
            raise EmohopError(f"{key} is {theirs.shape}, ours is {ours[key].shape}")
        relative, absolute = AFTER_STEP if group.startswith("step") else CLOSE
        if group == "lossseq":
            relative, absolute = LOSS_AFTER_STEP
        difference = np.abs(ours[key].astype(np.float64) - theirs)
        share = difference / (absolute + relative * np.abs(theirs))
        # NaN on either side is not agreement
        worst = float(np.where(np.isnan(share), np.inf, share).max(initial=0.0))
        yield Compared(key, float(difference.max(initial=0.0)), worst)


def main(paths: list[str]) -> int:
    """Print a table for each file; 1 when a number is over its tolerance or a file is none."""
    if not paths:
        print("usage: python tests/replay.py FILE.npz …", file=sys.stderr)
        return 2
    status = 0
    for path in paths:
        try:
            compared = replay(Path(path))
        except (EmohopError, KeyError) as error:
            print(f"error: {path}: {error}", file=sys.stderr)
            status = 1
            continue
        print(path)
        for group in dict.fromkeys(one.group for one in compared):
            part = [one for one in compared if one.group == group]
            worst = max(part, key=lambda one: one.share)
            verdict = "ok" if worst.share <= 1 else "OVER"
            largest = max(one.largest for one in part)
            print(
                f"  {group:9} {len(part):4} keys  largest difference {largest:.1e}  "
                f"{worst.share:7.1%} of what is tolerated  {verdict}  ({worst.key})"
            )
            status = max(status, int(worst.share > 1))
    return status


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
