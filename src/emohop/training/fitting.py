"""Fitting one fold run of an experiment, scoring it and writing its files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from torch import nn

import emohop
from emohop.clips import Modality
from emohop.config import Recipe
from emohop.evaluation.calibration import fit_temperature
from emohop.evaluation.metrics import vote_divergences
from emohop.evaluation.results import Predictions, write_fold_run
from emohop.evaluation.run_folder import FoldRunFolder
from emohop.evaluation.splits import Fold
from emohop.features.glove import read_glove
from emohop.features.text import UNKNOWN, embedding_matrix
from emohop.learned import LearnedClips
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
from emohop.training.lightning_module import History, Training
from emohop.training.loop import run_epochs
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
    limits = [settings.max_epochs] if settings.max_epochs is not None else []
    if settings.max_steps is not None:
        limits.append(max(1, settings.max_steps // len(sampler)))
    try:
        run_epochs(
            module,
            history,
            loader(train, sampler),
            loader(dev, InOrder(len(dev), BATCH_SIZE)),
            files.checkpoints_folder,
            epochs=min(limits, default=-1),
            monitor=settings.monitor,
            patience=settings.patience,
            bfloat16=settings.precision == "bfloat16",
            loggers=[TensorBoardLogger(folder, name="", version="tensorboard"), *loggers],
        )
    finally:
        module.clipper.close()
    return network.cpu(), preprocessor


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
    fold = fold_run.fold
    parts = [part.tolist() for part in (fold.train, fold.dev, fold.test)]
    learned = LearnedClips.of(corpus.hashes(), parts)
    ModelFolder(fold_run.files.model_folder).write(network, config, learned)
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
