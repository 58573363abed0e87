"""Fitting one fold run of an experiment under Lightning, scoring it and writing its files."""

from __future__ import annotations

import logging
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from torch import nn

import emohop
from emohop.clips import Modality
from emohop.config import Recipe, TrainingSettings
from emohop.evaluation.calibration import fit_temperature
from emohop.evaluation.metrics import vote_divergences
from emohop.evaluation.results import Predictions, write_fold_run
from emohop.evaluation.run_folder import FoldRunFolder
from emohop.evaluation.splits import Fold
from emohop.features.glove import read_glove
from emohop.features.text import UNKNOWN, embedding_matrix
from emohop.model_config import Calibration, ModelConfig, TrainedOn
from emohop.models import build
from emohop.models.folder import ModelFolder
from emohop.models.inference import BATCH_SIZE
from emohop.preprocessor import Preprocessor
from emohop.scoring import score_fold
from emohop.storage import PreparedCorpus, open_prepared
from emohop.storage.shards import RATERS
from emohop.training.batches import Balanced, BucketSampler, Clips, InOrder, WithReplacement, loader
from emohop.training.fold_run import Epoch, FoldRun
from emohop.training.lightning_module import History, Patience, Training
from emohop.training.loss import Objective
from emohop.training.trackers import finish_trackers, make_trackers


def fit(fold_run: FoldRun) -> None:
    """Train, keep the best epoch by its dev score, score dev and test, write the files."""
    corpus, fold = open_prepared(fold_run.prepared), fold_run.fold
    report, loggers = fold_run.report, make_trackers(fold_run, corpus)
    network, preprocessor = fit_network(
        corpus,
        fold_run.recipe,
        fold.train.tolist(),
        fold.dev.tolist(),
        fold_run.seed,
        fold_run.folder,
        None if report is None else lambda line: report(fold_run, line),
        loggers,
    )
    _finish(fold_run, corpus, network, preprocessor, loggers)


def fit_network(
    corpus: PreparedCorpus,
    recipe: Recipe,
    train_rows: Sequence[int],
    dev_rows: Sequence[int],
    seed: int,
    folder: Path,
    report: Callable[[Epoch], None] | None = None,
    loggers: Sequence[Logger] = (),
) -> tuple[nn.Module, Preprocessor]:
    """The network at its best epoch by the dev score, on the CPU, and how rows become its batches.

    No other row of the corpus is looked at. History and checkpoints go to `folder`, and a call
    that was stopped is taken up from there; `report` is called with each epoch's line.
    """
    settings = recipe.training
    files = FoldRunFolder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    preprocessor = Preprocessor.fit(corpus, train_rows, recipe)
    torch.manual_seed(seed)
    network = build(recipe.model, preprocessor.sizes)
    _start_from_glove(network, preprocessor, recipe, corpus)
    history = History(files.history_file, report)
    train, dev = Clips(corpus, train_rows, preprocessor), Clips(corpus, dev_rows, preprocessor)
    counts = np.bincount(train.classes(), minlength=preprocessor.sizes.classes)
    objective = Objective(settings, torch.from_numpy(counts))
    module = Training(network, settings, objective, seed, history.count)
    chance = (settings.batch_size, seed, history.count)
    sampler: BucketSampler | Balanced | WithReplacement
    if settings.sampling == "epochs":
        sampler = BucketSampler(train.steps(), *chance)
    elif settings.sampling == "balanced":
        sampler = Balanced(train.classes(), *chance)
    else:
        sampler = WithReplacement(len(train), *chance)
    with _quiet():
        trainer = _trainer(folder, settings, history, len(sampler), loggers)
        last = files.checkpoints_folder / "last.ckpt"
        try:
            trainer.fit(
                module,
                loader(train, sampler),
                loader(dev, InOrder(len(dev), BATCH_SIZE)),
                ckpt_path=last if last.exists() else None,
                weights_only=True,
            )
        except SystemExit:  # what Lightning makes of Ctrl-C, which it also switches off
            signal.signal(signal.SIGINT, signal.default_int_handler)
            raise KeyboardInterrupt from None
        finally:
            module.clipper.close()
    _load_best(module, files.checkpoints_folder / "best.ckpt")
    return network.cpu(), preprocessor


def _trainer(
    folder: Path,
    settings: TrainingSettings,
    history: History,
    steps: int,
    loggers: Sequence[Logger],
) -> Trainer:
    """Lightning's loop over epochs of `steps` steps, with the best and the last one kept."""
    score = f"dev_{settings.monitor}"
    mode = "min" if settings.monitor == "loss" else "max"
    limits = [settings.max_epochs, settings.max_steps and max(1, settings.max_steps // steps)]
    checkpoint = partial(
        ModelCheckpoint, save_on_train_epoch_end=True, enable_version_counter=False
    )
    checkpoints = FoldRunFolder(folder).checkpoints_folder
    return Trainer(
        max_epochs=min((limit for limit in limits if limit is not None), default=-1),
        accelerator="auto",
        devices=1,
        precision="bf16-mixed" if settings.precision == "bfloat16" else "32-true",
        callbacks=[
            history,
            Patience(score, mode=mode, patience=settings.patience, check_on_train_epoch_end=True),
            checkpoint(checkpoints, "best", monitor=score, mode=mode),
            checkpoint(checkpoints, "last"),
        ],
        logger=[TensorBoardLogger(folder, name="", version="tensorboard"), *loggers],
        log_every_n_steps=1,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def _start_from_glove(
    network: nn.Module, preprocessor: Preprocessor, recipe: Recipe, corpus: PreparedCorpus
) -> None:
    """Overwrite the word vectors by those of the file that the recipe names, or the corpus's."""
    glove, vocabulary = recipe.model.text.glove, preprocessor.vocabulary
    if vocabulary is None or glove == "random":
        return
    size = recipe.model.text.embedding
    if glove is not None:
        vectors = read_glove(glove, vocabulary.tokens, dim=size)
        matrix = embedding_matrix(vocabulary, vectors, size, seed=0)
    elif corpus.word_vectors is not None:
        words, rows = corpus.word_vectors
        matrix = embedding_matrix(vocabulary, dict(zip(words, rows, strict=True)), size, seed=0)
        matrix[words.index(UNKNOWN)] = rows[words.index(UNKNOWN)]  # not drawn, as beside a file
    else:
        return
    weight = network.get_parameter(f"encoders.encoders.{Modality.TEXT}.steps.embedding.weight")
    with torch.no_grad():
        weight.copy_(torch.from_numpy(matrix))


def _load_best(module: Training, path: Path) -> None:
    state = torch.load(path, map_location="cpu", weights_only=True)
    module.load_state_dict(state["state_dict"])


def _finish(
    fold_run: FoldRun,
    corpus: PreparedCorpus,
    network: nn.Module,
    preprocessor: Preprocessor,
    loggers: Sequence[Logger],
) -> None:
    """Write the model folder, then predictions and metrics of dev and test."""
    predictions = score_fold(corpus, fold_run.fold, network, preprocessor)
    dev = predictions.part("dev")
    temperature = fit_temperature(dev.probabilities, dev.true_numbers)
    config = ModelConfig(
        emohop=emohop.__version__,
        model=fold_run.recipe.model,
        preprocessor=preprocessor.to_config(),
        calibration=Calibration(temperature=temperature),
        recipe=fold_run.recipe,
        corpus=TrainedOn(
            name=corpus.manifest.corpus,
            class_set=corpus.manifest.class_set,
            fingerprint=corpus.manifest.fingerprint,
        ),
        fold=fold_run.fold.index,
        seed=fold_run.seed,
    )
    ModelFolder(fold_run.files.model_folder).write(network, config)
    found = write_fold_run(
        fold_run.folder, predictions, _divergences(corpus, fold_run.fold, predictions)
    )
    finish_trackers(loggers, found)


def _divergences(
    corpus: PreparedCorpus, fold: Fold, predictions: Predictions
) -> dict[str, dict[str, float]]:
    """How far dev's and test's probabilities are from the raters' votes, where there are any."""
    if RATERS not in corpus.manifest.sizes:
        return {}
    return {
        split: vote_divergences(
            np.stack([corpus[int(row)].arrays[RATERS] for row in rows]),
            predictions.part(split).probabilities,
        )
        for split, rows in (("dev", fold.dev), ("test", fold.test))
    }


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
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
