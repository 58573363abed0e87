"""Training a pretrained encoder further on one fold's training part, for use as features.

The encoder's states are averaged over a clip and classified by one linear layer. That layer is
dropped in the end: `emohop prepare` computes features with the encoder that is written.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import emohop
from emohop import corpora
from emohop.clips import Clip, LabelSet, Modality
from emohop.config import FinetuningSettings, TrainingSettings
from emohop.corpora.dialogs import with_turns_before
from emohop.errors import DAMAGED, EmohopError, MediaError, brief
from emohop.evaluation.metrics import metrics
from emohop.evaluation.splits import Fold, Metadata, default_protocol, make_folds
from emohop.features.audio import sound_16k
from emohop.features.pretrained import line_of
from emohop.features.text import Text
from emohop.features.trainable import ADAPTABLE, Adapting, Record, load_adapting, read_record
from emohop.files import replacing
from emohop.media import read_audio_spans
from emohop.storage.locks import locked
from emohop.training.batches import BucketSampler
from emohop.training.loss import Objective

PROGRESS = "progress.pt"
"""After each epoch, until the encoder is written: what a killed run goes on from."""
SHOWN = ("accuracy", "balanced_accuracy", "f1_macro", "f1_weighted")

Line = Mapping[str, float]
"""Of one epoch: its number, the mean loss and the scores of dev."""


@dataclass(frozen=True, slots=True)
class _Part:
    """Clips to learn from or to be judged by."""

    ids: tuple[str, ...]
    items: Sequence[Any]
    classes: NDArray[np.int64]
    steps: NDArray[np.int64]


def finetune(
    corpus: str,
    source: str | Path,
    out: str | Path,
    modality: Modality,
    name: str,
    settings: FinetuningSettings | None = None,
    *,
    labels: str | None = None,
    context: int = 0,
    protocol: str | None = None,
    groups: int | None = None,
    fold: int = 0,
    seed: int = 0,
    device: str = "auto",
    report: Callable[[Line], None] | None = None,
    **reading: Any,
) -> Record:
    """Train the encoder `name` further on corpus `corpus` in folder `source`; write it to `out`.

    It learns from the training part of one fold, and its best epoch is chosen on that fold's dev
    part. Test is looked at once, at the end, and nothing depends on it. `context` turns are read
    before each text. A killed call is taken up by the same call, and gives the same encoder; on a
    finished folder nothing is done. `reading` goes to the corpus reader.

    Raises:
        EmohopError: `out` holds something else, there is no such encoder or fold, or a clip's
            sound cannot be read.
    """
    settings, out = settings or FinetuningSettings(), Path(out)
    if modality not in ADAPTABLE:
        raise EmohopError(f"no {modality} encoder can be finetuned: name one of audio or text")
    clips, label_set = _clips(corpus, Path(source), modality, labels, context, reading)
    facts = _facts_of(clips, label_set)
    protocol = protocol or default_protocol(facts)
    folds = make_folds(protocol, facts, groups=groups)
    if not 0 <= fold < len(folds):
        raise EmohopError(f"no fold {fold}: protocol {protocol} has 0..{len(folds) - 1}")
    torch.manual_seed(seed)  # of the updates and the classifier, drawn in this order
    adapting = load_adapting(modality, name, settings, device, context=context > 0)
    said = {
        "encoder": name, "fingerprint": adapting.encoder.pretrained.fingerprint(),
        "modality": modality.value, "class_set": label_set.name, "labels": list(label_set.labels),
        "context": context, "protocol": protocol, "groups": groups, "fold": fold, "seed": seed,
        "settings": settings.model_dump(mode="json"), "clips": _digest(clips),
    }  # fmt: skip
    if (done := _finished(out, said)) is not None:
        return done
    out.mkdir(parents=True, exist_ok=True)
    with locked(out):
        parts = _parts(clips, label_set, folds[fold], modality, adapting)
        run = _Run(adapting, settings, parts["train"], len(label_set.labels), seed)
        history = run.fit(parts, out / PROGRESS, json.dumps(said, sort_keys=True), report)
        scores = {part: run.scores(parts[part]) for part in ("dev", "test")}
        adapting.save(out)
        record = Record(
            corpus=corpus,
            train=parts["train"].ids,
            dev=parts["dev"].ids,
            facts={**said, "emohop": emohop.__version__, "epochs": history, "scores": scores},
        )
        record.write(out)
        (out / PROGRESS).unlink()
    return record


def _clips(
    corpus: str,
    source: Path,
    modality: Modality,
    labels: str | None,
    context: int,
    reading: Mapping[str, Any],
) -> tuple[list[Clip], LabelSet]:
    """The clips of the class set that have the modality, and the set."""
    if context and modality is not Modality.TEXT:
        raise EmohopError("context is of text: leave it out")
    everything = corpora.read(corpus, source.absolute(), **reading)
    label_set = corpora.class_set(corpus, labels, everything)
    if context:
        everything = with_turns_before(everything, context)
    known = [clip for clip in everything if label_set.class_of(clip.label) is not None]
    lost = "transcript" if modality is Modality.TEXT else "audio"
    clips = [clip for clip in known if getattr(clip, lost) is not None]
    if not clips:
        raise EmohopError(f"{source}: none of {len(known)} clips of {label_set.name} has a {lost}")
    return clips, label_set


def _facts_of(clips: Sequence[Clip], labels: LabelSet) -> Metadata:
    def facts(name: str) -> list[Any]:
        if name == "label":
            return [labels.class_of(clip.label) for clip in clips]
        return [getattr(clip, name) for clip in clips]

    return facts


def _digest(clips: Sequence[Clip]) -> str:
    """SHA-256 of what decides the folds and what is read of texts."""
    facts = [
        [c.id, c.label, c.speaker, c.session, c.split, c.transcript, *c.previous_turns]
        for c in clips
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _finished(out: Path, said: Mapping[str, Any]) -> Record | None:
    """The record of the encoder asked for, if it is finished; EmohopError for anything else."""
    record = read_record(out)
    if record is not None and any(record.facts.get(key) != said[key] for key in said):
        raise EmohopError(f"{out} holds a model with other settings or data: choose a new folder")
    fresh = record is None and out.is_dir() and not (out / PROGRESS).exists()
    if fresh and any(not path.name.startswith(".") for path in out.iterdir()):
        raise EmohopError(f"{out} exists and was not begun by finetune: choose a new folder")
    return record


def _parts(
    clips: Sequence[Clip], labels: LabelSet, fold: Fold, modality: Modality, adapting: Adapting
) -> dict[str, _Part]:
    """The clips of train, dev and test, read."""
    parts = {}
    for name, rows in (("train", fold.train), ("dev", fold.dev), ("test", fold.test)):
        chosen = [clips[row] for row in rows]
        items: list[Any] = [Text(clip.transcript or "", clip.previous_turns) for clip in chosen]
        if modality is Modality.AUDIO:
            items = _sounds(chosen)
        numbers = [labels.labels.index(str(labels.class_of(clip.label))) for clip in chosen]
        parts[name] = _Part(
            ids=tuple(clip.id for clip in chosen),
            items=items,
            classes=np.array(numbers, np.int64),
            steps=np.array(adapting.lengths(items), np.int64),
        )
    return parts


def _sounds(clips: Sequence[Clip]) -> list[NDArray[np.float32]]:
    """The sounds of clips at 16 kHz, each file decoded once; EmohopError for one that is broken."""
    files: dict[Path, list[int]] = {}
    spans = [clip.audio for clip in clips if clip.audio is not None]
    for i, span in enumerate(spans):
        files.setdefault(span.path, []).append(i)
    found: dict[int, NDArray[np.float32]] = {}
    for path, members in files.items():
        try:
            for k, sound in read_audio_spans([spans[i] for i in members]):
                if isinstance(sound, MediaError):
                    raise sound
                found[members[k]] = sound_16k(*sound)
        except (MediaError, OSError) as error:
            reason = getattr(error, "strerror", None) or error
            raise EmohopError(
                f"{clips[members[0]].id}: {path} cannot be heard ({reason}): mend it, or take it "
                "out of the corpus"
            ) from None
    return [found[i] for i in range(len(spans))]


class _Run:
    """An encoder and its classifier in training."""

    def __init__(
        self, adapting: Adapting, settings: FinetuningSettings, train: _Part, classes: int,
        seed: int,
    ) -> None:  # fmt: skip
        self.adapting, self.settings, self.seed = adapting, settings, seed
        device = next(adapting.encoder.network.parameters()).device
        self.head = nn.Linear(adapting.size, classes).to(device)
        trained = [*adapting.parameters.values(), *self.head.parameters()]
        self.optimizer = torch.optim.AdamW(
            trained, lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        counts = torch.from_numpy(np.bincount(train.classes, minlength=classes))
        self.loss = Objective(TrainingSettings(class_weights=settings.class_weights), counts)
        self.epoch = 0
        self.sampler = BucketSampler(train.steps, settings.batch_size, seed, lambda: self.epoch)
        steps = len(self.sampler) * settings.epochs
        rise = max(1, round(settings.warmup * steps))
        self.rate = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda n: min((n + 1) / rise, (steps - n) / max(1, steps - rise))
        )

    def fit(
        self,
        parts: Mapping[str, _Part],
        progress: Path,
        plan: str,
        report: Callable[[Line], None] | None,
    ) -> list[dict[str, float]]:
        """Go through the epochs that are left and take the best one's weights; the epochs."""
        history, best = self._resume(progress, plan)
        while len(history) < self.settings.epochs:
            self.epoch = len(history)
            # dropout is a function of the seed and the epoch, for a run that is taken up
            torch.manual_seed(self.seed * 100_003 + self.epoch + 1)
            loss = self._pass(parts["train"])
            scores = self.scores(parts["dev"])
            history.append({"epoch": self.epoch + 1, "loss": loss, **scores})
            wanted = [line[self.settings.monitor] for line in history]
            if wanted.index(max(wanted)) == len(history) - 1:
                best = {k: v.detach().clone() for k, v in self._weights().items()}
            with replacing(progress) as file:
                torch.save(
                    {
                        "plan": plan, "history": history, "best": best,
                        "weights": self._weights(), "optimizer": self.optimizer.state_dict(),
                        "rate": self.rate.state_dict(),
                    },
                    file,
                )  # fmt: skip
            if report is not None:
                report(history[-1])
        self._take(best)
        return history

    def scores(self, part: _Part) -> dict[str, float]:
        """Scores of the classifier on a part, by name."""
        found = metrics(part.classes, self._probabilities(part))
        return {name: float(found[name]) for name in SHOWN}

    def _pass(self, part: _Part) -> float:
        """Train on every clip once; the mean loss."""
        self.adapting.train()
        total = 0.0
        for chosen in self.sampler:
            classes = torch.from_numpy(part.classes[chosen]).to(self.head.weight.device)
            loss = self.loss(self._logits(part, chosen, self.settings.dropout), classes)
            self.optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(
                [p for group in self.optimizer.param_groups for p in group["params"]],
                self.settings.gradient_clip,
            )
            self.optimizer.step()
            self.rate.step()
            total += float(loss.detach()) * len(chosen)
        return total / len(part.ids)

    def _logits(self, part: _Part, chosen: Sequence[int], dropout: float) -> Tensor:
        vectors = self.adapting.vectors([part.items[i] for i in chosen])
        logits: Tensor = self.head(nn.functional.dropout(vectors, dropout, training=dropout > 0))
        return logits

    def _probabilities(self, part: _Part) -> NDArray[np.float64]:
        self.adapting.train(mode=False)
        found = np.empty((len(part.ids), self.head.out_features))
        order = np.argsort(part.steps, kind="stable")[::-1]
        for at in range(0, len(order), self.settings.batch_size):
            chosen = order[at : at + self.settings.batch_size]
            with torch.no_grad():
                logits = self._logits(part, chosen.tolist(), 0.0).double()
            found[chosen] = torch.softmax(logits, dim=1).cpu().numpy()
        return found

    def _weights(self) -> dict[str, Tensor]:
        head = {f"head.{k}": v for k, v in self.head.state_dict().items()}
        return {**{k: p.data for k, p in self.adapting.parameters.items()}, **head}

    def _take(self, weights: Mapping[str, Tensor]) -> None:
        for name, here in self._weights().items():
            here.copy_(weights[name])

    def _resume(
        self, progress: Path, plan: str
    ) -> tuple[list[dict[str, float]], dict[str, Tensor]]:
        """The epochs that an earlier call went through, and the best one's weights."""
        if not progress.exists():
            return [], {}
        try:
            held = torch.load(progress, map_location=self.head.weight.device, weights_only=True)
            if held["plan"] == plan:
                self._take(held["weights"])
                self.optimizer.load_state_dict(held["optimizer"])
                self.rate.load_state_dict(held["rate"])
                return list(held["history"]), dict(held["best"])
        except (*DAMAGED, UnpicklingError, RuntimeError, OSError, EOFError) as error:
            said = brief(line_of(error))
            raise EmohopError(f"{progress} is damaged ({said}): delete its folder") from None
        raise EmohopError(
            f"{progress.parent} was begun with other settings or data: choose a new folder"
        )
