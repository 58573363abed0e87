"""Training a pretrained encoder further on one fold's training part, for use as features.

The encoder's states are averaged over a clip and classified by one linear layer. That layer is
dropped in the end: `emohop prepare` computes features with the encoder that is written.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

import emohop
from emohop import corpora
from emohop.clips import Clip, LabelSet, Modality
from emohop.config import FinetuningSettings, TrainingSettings
from emohop.content import Content, hash_samples, hash_transcript
from emohop.corpora.dialogs import with_turns_before
from emohop.errors import EmohopError, MediaError
from emohop.evaluation.metrics import metrics
from emohop.evaluation.splits import Fold, Metadata, default_protocol, make_folds
from emohop.features.audio import waveform_16k
from emohop.features.text import Text
from emohop.features.trainable import ADAPTABLE, Adapting, Record, load_adapting, read_record
from emohop.files import write_text
from emohop.learned import ClipHashes, LearnedClips
from emohop.media import read_audio_spans
from emohop.storage.locks import locked
from emohop.training.batches import BucketSampler, loader
from emohop.training.clipping import Clipper
from emohop.training.fold_run import Epoch
from emohop.training.lightning_module import History, Learner
from emohop.training.loop import run_epochs
from emohop.training.loss import Objective

PROGRESS = "progress"
"""The folder of what a killed run goes on from, until the encoder is written."""
PLAN = "plan.json"
SHOWN = ("accuracy", "balanced_accuracy", "f1_macro", "f1_weighted")


@dataclass(frozen=True, slots=True)
class _Items:
    """A batch: texts or waveforms, and their class numbers [items]."""

    items: Sequence[Any]
    classes: Tensor

    def to(self, device: torch.device) -> _Items:
        """The same with the class numbers there."""
        return _Items(self.items, self.classes.to(device))


@dataclass(frozen=True)
class _Part(Dataset[_Items]):
    """Clips to learn from or to be judged by; an index is a list of positions among them."""

    ids: tuple[str, ...]
    items: Sequence[Any]
    classes: NDArray[np.int64]
    steps: NDArray[np.int64]

    def __getitem__(self, positions: Sequence[int]) -> _Items:
        return _Items([self.items[i] for i in positions], torch.from_numpy(self.classes[positions]))


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
    report: Callable[[Epoch], None] | None = None,
    **reading: Any,
) -> Record:
    """Train the encoder `name` further on corpus `corpus` in folder `source`; write it to `out`.

    It learns from the training part of one fold, and its best epoch is chosen on that fold's dev
    part. Test is looked at once, at the end, and nothing depends on it. `context` turns are read
    before each text. A killed call is taken up by the same call, and gives the same encoder; on a
    finished folder nothing is done. `reading` goes to the corpus reader.

    Raises:
        EmohopError: `out` holds something else, there is no such encoder or fold, or a clip's
            audio cannot be read.
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
        if (done := _finished(out, said)) is not None:  # by another, since
            return done
        _begin(out / PROGRESS, json.dumps(said, sort_keys=True))
        items, contents = _items(clips, modality)
        facts = _facts_of(clips, label_set, [content.recording for content in contents])
        chosen = make_folds(protocol, facts, groups=groups)[fold]
        parts = _parts(clips, items, label_set, chosen, adapting)
        history = History(out / PROGRESS / "history.csv", report)
        classes, where = len(label_set.labels), adapting.device
        module = Finetuning(adapting, settings, parts["train"], classes, seed, history.count)
        run_epochs(
            module,
            history,
            loader(parts["train"], module.sampler),
            module.batches(parts["dev"]),
            out / PROGRESS,
            epochs=settings.epochs,
            monitor=settings.monitor,
            device=where,
        )
        module.to(where)  # Lightning leaves it on the CPU
        scores = {part: module.scores(parts[part]) for part in ("dev", "test")}
        adapting.save(out)
        ids, speakers = [clip.id for clip in clips], [clip.speaker for clip in clips]
        hashes = ClipHashes.of(corpus, ids, speakers, contents)
        rows = [part.tolist() for part in (chosen.train, chosen.dev, chosen.test)]
        learned, before = LearnedClips.of(hashes, rows), read_record(name)
        record = Record(
            corpus=corpus,
            learned=learned if before is None else learned.beside(before.learned),
            facts={
                **said,
                "emohop": emohop.__version__,
                "epochs": history.epochs,
                "scores": scores,
            },
        )
        record.write(out)
        shutil.rmtree(out / PROGRESS)
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


def _facts_of(
    clips: Sequence[Clip], labels: LabelSet, recordings: Sequence[int | None] | None = None
) -> Metadata:
    """Facts of clips by name; copies of a recording are known once the clips are read."""

    def facts(name: str) -> list[Any]:
        if name == "recording":
            return [None] * len(clips) if recordings is None else list(recordings)
        if name in ("audio_hash", "video_hash"):
            return list(recordings or [None] * len(clips))
        if name == "text_hash":
            return [hash_transcript(clip.transcript) for clip in clips]
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
    if record is not None:
        shutil.rmtree(out / PROGRESS, ignore_errors=True)  # of a call that was killed in the end
    fresh = record is None and out.is_dir() and not (out / PROGRESS).exists()
    if fresh and any(not path.name.startswith(".") for path in out.iterdir()):
        raise EmohopError(f"{out} exists and was not begun by finetune: choose a new folder")
    return record


def _begin(progress: Path, plan: str) -> None:
    """Note what is being made; EmohopError where something else was begun."""
    held = progress / PLAN
    if not held.exists():
        progress.mkdir(exist_ok=True)
        write_text(held, plan)
    elif held.read_text("utf-8") != plan:
        raise EmohopError(
            f"{progress.parent} was begun with other settings or data: choose a new folder"
        )


def _parts(
    clips: Sequence[Clip], items: Sequence[Any], labels: LabelSet, fold: Fold, adapting: Adapting
) -> dict[str, _Part]:
    """The clips of train, dev and test."""
    parts = {}
    for name, rows in (("train", fold.train), ("dev", fold.dev), ("test", fold.test)):
        chosen = [clips[row] for row in rows]
        mine = [items[row] for row in rows]
        numbers = [labels.labels.index(str(labels.class_of(clip.label))) for clip in chosen]
        parts[name] = _Part(
            ids=tuple(clip.id for clip in chosen),
            items=mine,
            classes=np.array(numbers, np.int64),
            steps=np.array(adapting.lengths(mine), np.int64),
        )
    return parts


def _items(clips: Sequence[Clip], modality: Modality) -> tuple[list[Any], list[Content]]:
    """What the encoder reads of each clip, and what the clip holds as far as it is read."""
    texts = [hash_transcript(clip.transcript) for clip in clips]
    if modality is Modality.TEXT:
        items = [Text(clip.transcript or "", clip.previous_turns) for clip in clips]
        return list(items), [Content(text=text) for text in texts]
    heard = _waveforms(clips)
    contents = [Content(audio, text) for (_, audio), text in zip(heard, texts, strict=True)]
    return [waveform for waveform, _ in heard], contents


def _waveforms(clips: Sequence[Clip]) -> list[tuple[NDArray[np.float32], int | None]]:
    """Waveforms of clips at 16 kHz and the hashes of what was decoded, each file decoded once.

    EmohopError for a file that is broken.
    """
    files: dict[Path, list[int]] = {}
    spans = [clip.audio for clip in clips if clip.audio is not None]
    for i, span in enumerate(spans):
        files.setdefault(span.path, []).append(i)
    found: dict[int, tuple[NDArray[np.float32], int | None]] = {}
    for path, members in files.items():
        try:
            for k, waveform in read_audio_spans([spans[i] for i in members]):
                if isinstance(waveform, MediaError):
                    raise waveform
                samples, rate, _ = waveform
                found[members[k]] = waveform_16k(samples, rate), hash_samples(samples, rate)
        except (MediaError, OSError) as error:
            reason = getattr(error, "strerror", None) or error
            raise EmohopError(
                f"{clips[members[0]].id}: {path} cannot be heard ({reason}): mend it, or take it "
                "out of the corpus"
            ) from None
    return [found[i] for i in range(len(spans))]


class Finetuning(Learner):
    """An encoder and its classifier in training."""

    strict_loading = False  # checkpoints hold what is trained, and not the encoder below it

    def __init__(
        self, adapting: Adapting, settings: FinetuningSettings, train: _Part, classes: int,
        seed: int, epoch: Callable[[], int],
    ) -> None:  # fmt: skip
        """Train what is open of `adapting`, and a linear layer over `classes` upon it."""
        super().__init__(seed, epoch)
        self.adapting, self.settings = adapting, settings
        self.encoder = adapting.encoder.pretrained.model
        self.head = nn.Linear(adapting.size, classes)
        counts = torch.from_numpy(np.bincount(train.classes, minlength=classes))
        self.objective = Objective(TrainingSettings(class_weights=settings.class_weights), counts)
        self.sampler = BucketSampler(train.steps, settings.batch_size, seed, epoch)
        self.clipper = Clipper(self, "global", settings.gradient_clip)
        self.to(adapting.device)

    def judged(self, batch: _Items) -> tuple[Tensor, Tensor]:
        """As `Learner` has it."""
        return self.head(self.adapting.vectors(batch.items)), batch.classes

    def training_step(self, batch: _Items, batch_idx: int) -> Tensor:
        """Mean loss of a batch."""
        del batch_idx
        vectors = nn.functional.dropout(self.adapting.vectors(batch.items), self.settings.dropout)
        loss = self.objective(self.head(vectors), batch.classes)
        return self.keep_loss(loss, len(batch.items))

    def on_train_epoch_start(self) -> None:
        """Dropout in the layers that are trained, and in no other."""
        self.adapting.train()

    def on_validation_model_eval(self) -> None:
        """Dropout nowhere."""
        self.adapting.train(mode=False)

    on_validation_model_train = on_train_epoch_start

    def configure_optimizers(self) -> Any:
        """AdamW, its rate rising and then falling in lines."""
        settings = self.settings
        optimizer = torch.optim.AdamW(
            [p for p in self.parameters() if p.requires_grad],
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
        )
        steps = len(self.sampler) * settings.epochs
        rise = max(1, round(settings.warmup * steps))
        rate = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda n: min((n + 1) / rise, (steps - n) / max(1, steps - rise))
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": rate, "interval": "step"},
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave out what does not change."""
        trained = {name for name, p in self.named_parameters() if p.requires_grad}
        state = checkpoint["state_dict"]
        checkpoint["state_dict"] = {name: state[name] for name in state if name in trained}

    def batches(self, part: _Part) -> DataLoader[_Items]:
        """All of a part, the longest clips first."""
        order = np.argsort(part.steps, kind="stable")[::-1].tolist()
        size = self.settings.batch_size
        return loader(part, [order[at : at + size] for at in range(0, len(order), size)])

    def scores(self, part: _Part) -> dict[str, float]:
        """Scores of the classifier on a part, by name."""
        self.adapting.train(mode=False)
        with torch.no_grad():
            judged = [self.judged(batch.to(self.device)) for batch in self.batches(part)]
        logits, classes = (torch.cat(found).cpu().numpy() for found in zip(*judged, strict=True))
        found = metrics(classes, softmax(logits, axis=1))
        return {name: float(found[name]) for name in SHOWN}
