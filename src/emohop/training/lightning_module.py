"""What is trained, under Lightning: loss, optimiser, dev scores, history."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from torch import Tensor, nn

from emohop.config import TrainingSettings
from emohop.errors import EmohopError
from emohop.evaluation.metrics import metrics
from emohop.files import write_text
from emohop.models.batch import Batch
from emohop.models.missing import drop
from emohop.training.adam import make_optimizer
from emohop.training.clipping import Clipper
from emohop.training.fold_run import Epoch
from emohop.training.loss import Loss, Objective, mean_loss


class Learner(LightningModule):
    """What all training has: chance by seed and epoch, dev scored after each, no step on NaN.

    A subclass says what a batch's logits are, and what is made small. Batches move by their `to`.
    """

    clipper: Clipper

    def __init__(self, seed: int, epoch: Callable[[], int], loss: Loss = "softmax") -> None:
        """All chance comes from `seed` and the `epoch` that is asked for; `loss` is dev's."""
        super().__init__()
        self.seed, self.epoch, self.dev_loss = seed, epoch, loss
        self._dev: list[tuple[Tensor, Tensor]] = []

    def judged(self, batch: Any) -> tuple[Tensor, Tensor]:
        """Logits [batch, classes] of a batch and its class numbers [batch]."""
        raise NotImplementedError

    def transfer_batch_to_device(
        self, batch: Any, device: torch.device, dataloader_idx: int
    ) -> Any:
        """Move a batch; Lightning's own way cannot move frozen data classes."""
        del dataloader_idx
        return batch.to(device)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seed dropout at the first batch of an epoch, so that a resumed epoch draws the same."""
        del batch
        if batch_idx == 0:
            state = np.random.SeedSequence([self.seed, self.epoch()]).generate_state(1)
            torch.manual_seed(int(state[0]))

    def keep_loss(self, loss: Tensor, clips: int) -> Tensor:
        """The mean loss of a step, checked and counted into the epoch's."""
        self._check_finite(loss)
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=clips)
        return loss

    def configure_gradient_clipping(self, *_: Any, **__: Any) -> None:
        """Clip between the backward pass and the step."""
        self.clipper.apply()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Keep what is needed to score dev, computed in float32 as every score is."""
        del batch_idx
        with torch.autocast(self.device.type, enabled=False):
            self._dev.append(self.judged(batch))

    def on_validation_epoch_end(self) -> None:
        """Score dev and log it."""
        logits, classes = (torch.cat(part) for part in zip(*self._dev, strict=True))
        self._dev.clear()
        self._check_finite(logits.sum())
        probabilities = torch.softmax(logits, dim=-1).cpu().numpy()
        scores = metrics(classes.cpu().numpy(), probabilities)
        self.log("dev_loss", mean_loss(logits, classes, self.dev_loss))
        self.log_dict({f"dev_{name}": float(x) for name, x in scores.items() if name != "n"})

    def _check_finite(self, number: Tensor) -> None:
        if not torch.isfinite(number):
            raise EmohopError(
                f"training diverged in epoch {self.epoch() + 1}, there is {number.item()} where "
                "numbers were: lower learning_rate"
            )


class Training(Learner):
    """A network's loss, clipping and optimiser as the settings of a recipe have them."""

    def __init__(
        self,
        network: nn.Module,
        settings: TrainingSettings,
        objective: Objective,
        seed: int,
        epoch: Callable[[], int],
    ) -> None:
        """Train `network`; all chance comes from `seed` and the `epoch` that is asked for."""
        super().__init__(seed, epoch, settings.loss)
        self.network, self.settings = network, settings
        self.objective = objective
        self.clipper = Clipper(network, settings.gradient_clip_mode, settings.gradient_clip)

    def judged(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """As `Learner` has it."""
        return self.network(batch).logits, _classes(batch)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Mean loss of a batch."""
        del batch_idx
        if self.settings.modality_dropout:
            batch = drop(batch, self.settings.modality_dropout)
        return self.keep_loss(self._loss(batch), len(batch))

    def _loss(self, batch: Batch) -> Tensor:
        """The loss of a model's output; of one that trains its modalities alone, their mean."""
        output, classes, votes = self.network(batch), _classes(batch), batch.votes
        losses = [
            self.objective(
                logits.float()[there], classes[there], None if votes is None else votes[there]
            )
            for m, logits in output.alone.items()
            if (there := batch.has(m)).any()
        ]
        if not losses:
            return self.objective(output.logits.float(), classes, votes)
        return torch.stack(losses).mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The optimiser over the whole network."""
        return make_optimizer(self.network, self.settings)


class History(Callback):
    """`history.csv`: one line per epoch, rewritten whole, kept in checkpoints."""

    def __init__(self, path: Path, report: Callable[[Epoch], None] | None) -> None:
        """Write to `path`; call `report` with each epoch's line."""
        self.path, self.report = path, report
        self.epochs: list[Epoch] = []

    def count(self) -> int:
        """Epochs done, those before a resumption included."""
        return len(self.epochs)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add the epoch that ends."""
        del pl_module
        values = {name: float(value) for name, value in trainer.callback_metrics.items()}
        loss = values.pop("train_loss")
        self.epochs.append({"epoch": self.count() + 1, "train_loss": loss, **values})
        table = io.StringIO()
        writer = csv.DictWriter(table, list(self.epochs[-1]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.epochs)
        write_text(self.path, table.getvalue())
        if self.report is not None:
            self.report(self.epochs[-1])

    def state_dict(self) -> dict[str, Any]:
        """The lines so far."""
        return {"epochs": self.epochs}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on after these lines."""
        self.epochs = state_dict["epochs"]


class Patience(EarlyStopping):
    """Early stopping that also holds when a run is resumed at the very epoch that stopped it."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop before another epoch when patience ran out in the one that was restored."""
        del pl_module
        if self.wait_count >= self.patience:
            trainer.should_stop = True


def _classes(batch: Batch) -> Tensor:
    if batch.classes is None:
        raise EmohopError("these clips have no labels: they cannot be trained on")
    return batch.classes
