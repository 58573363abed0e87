"""The one training loop: epochs under Lightning, dev scored after each, the best one kept.

A fold run and the finetuning of an encoder both go through it. A call that was killed is taken up
from its last finished epoch by the same call, and ends with the same weights.
"""

from __future__ import annotations

import logging
import signal
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import Logger
from torch.utils.data import DataLoader

from emohop.errors import DAMAGED, EmohopError, brief
from emohop.training.lightning_module import History, Learner, Patience

BEST, LAST = "best", "last"
"""The checkpoints of a loop: of the best epoch by dev, and of the last that was finished."""


def run_epochs(
    module: Learner,
    history: History,
    train: DataLoader[Any],
    dev: DataLoader[Any],
    checkpoints: Path,
    *,
    epochs: int,
    monitor: str,
    patience: int | None = None,
    bfloat16: bool = False,
    device: torch.device | None = None,
    loggers: Sequence[Logger] = (),
) -> None:
    """Train `module` for `epochs` (-1: until `patience` runs out) and take the best one's weights.

    Best is by the score `monitor` of dev; ties go to the earlier. `history` is kept in the folder
    `checkpoints` with the weights, and goes on from there. `device` None takes a GPU that is there.

    Raises:
        EmohopError: the checkpoint of an earlier call is damaged, or training diverged.
    """
    score, mode = f"dev_{monitor}", "min" if monitor == "loss" else "max"
    keep = partial(ModelCheckpoint, save_on_train_epoch_end=True, enable_version_counter=False)
    callbacks = [
        history,
        keep(checkpoints, BEST, monitor=score, mode=mode),
        keep(checkpoints, LAST),
    ]
    if patience is not None:
        stop = Patience(score, mode=mode, patience=patience, check_on_train_epoch_end=True)
        callbacks.insert(1, stop)
    last = checkpoints / f"{LAST}.ckpt"
    if last.exists():
        _read(last)
    with _quiet():
        trainer = Trainer(
            max_epochs=epochs,
            accelerator="auto" if device is None else device.type,
            devices=1 if device is None or device.index is None else [device.index],
            precision="bf16-mixed" if bfloat16 else "32-true",
            callbacks=callbacks,
            logger=list(loggers) or False,
            log_every_n_steps=1,
            num_sanity_val_steps=0,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        try:
            trainer.fit(
                module, train, dev, ckpt_path=last if last.exists() else None, weights_only=True
            )
        except SystemExit:  # what Lightning makes of Ctrl-C, which it also switches off
            signal.signal(signal.SIGINT, signal.default_int_handler)
            raise KeyboardInterrupt from None
    best = _read(checkpoints / f"{BEST}.ckpt")
    module.load_state_dict(best["state_dict"], strict=module.strict_loading)


def _read(checkpoint: Path) -> Any:
    """What a checkpoint holds, mapped from its file; EmohopError for one that is damaged."""
    try:
        return torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
    except (*DAMAGED, UnpicklingError, RuntimeError, OSError, EOFError) as error:
        said = brief(str(error).partition("\n")[0])
        raise EmohopError(
            f"{checkpoint} is damaged ({said}): delete {checkpoint.parent} to begin anew"
        ) from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Lightning's advertising and its advice on loader processes, which we do not want."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*does not have many workers.*")
            warnings.filterwarnings("ignore", ".*exists and is not empty.*")
            warnings.filterwarnings("ignore", ".*LeafSpec.*")
            warnings.filterwarnings("ignore", ".*in eval mode at the start of training.*")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
