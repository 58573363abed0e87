"""Two processes at once on one folder, as often as is asked: `python -m tests.races WHAT FOLDER`.

Everything is imported first, and the two are forked from here, so that they meet.
"""

from __future__ import annotations

import importlib
import multiprocessing
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from emohop.clips import Modality
from emohop.config import FeatureSettings, FinetuningSettings
from emohop.errors import EmohopError
from emohop.features.language import load_language_encoder
from emohop.preparation import prepare
from emohop.recipes import make_recipe
from emohop.storage.joining import join
from emohop.training import fitting  # noqa: F401  loaded before the fork
from emohop.training.experiment import Experiment, make_experiment, train_rows
from emohop.training.finetuning import finetune
from emohop.training.run import train
from emohop.training.tuning import tune

TRIES = 10
SMALL = ["training.max_epochs=1", "folds=[0]", "model.name=are", "model.audio.hidden=4"]


def preparing(root: Path, out: Path, which: int) -> None:
    """The same corpus, with and without prosody's place in it: two settings."""
    text = None if which else "words"
    features = FeatureSettings(video=None, prosody=False, text=text)
    prepare("folder", root / "source", out, features=features)


def training(root: Path, out: Path, which: int) -> None:
    """Two recipes."""
    train(root / "a", out, make_recipe("demo", [*SMALL, f"seeds=[{which}]", f"fold_seed={which}"]))


def training_rows(root: Path, out: Path, which: int) -> None:
    """Two experiments of two rows, of which one is called alike."""
    rows = {"training.learning_rate": ["0.001", f"0.00{2 + which}"]}
    wanted = make_experiment("demo", [*SMALL, f"fold_seed={which}"], vary=rows)
    assert isinstance(wanted, Experiment)
    train_rows(root / "a", out, wanted)


def joining(root: Path, out: Path, which: int) -> None:
    """Two corpora, in one order and in the other."""
    parts = [root / "a", root / "b"]
    join(parts[::-1] if which else parts, [], out)


def tuning(root: Path, out: Path, which: int) -> None:
    """Two searches."""
    tune(root / "a", out, make_recipe("demo", [*SMALL, f"fold_seed={which}"]), trials=1)


def finetuning(root: Path, out: Path, which: int) -> None:
    """One model by two seeds."""
    settings = FinetuningSettings(epochs=1)
    name = str(root / "language")
    finetune(
        "folder", root / "source", out, Modality.TEXT, name, settings, seed=which, device="cpu"
    )


WHAT: dict[str, Callable[[Path, Path, int], None]] = {
    "prepare": preparing,
    "train": training,
    "rows": training_rows,
    "join": joining,
    "tune": tuning,
    "finetune": finetuning,
}


def attempt(what: str, root: Path, out: Path, which: int, at: float, said: Any) -> None:
    """One of the two: says "done", or the line of its error."""
    time.sleep(max(0.0, at - time.time()))
    try:
        WHAT[what](root, out, which)
    except EmohopError as error:
        said.put((which, str(error)))
    else:
        said.put((which, "done"))


def main(what: str, root: Path) -> None:
    """A line a try: what either said, the folder's own number between them."""
    if what == "prepare":
        preparing(root, root / "warm", 0)  # what is loaded late is not loaded twenty times
    elif what == "tune":
        importlib.import_module("optuna")
    elif what == "finetune":
        load_language_encoder(str(root / "language"), device="cpu")
    context = multiprocessing.get_context("fork")
    for number in range(TRIES):
        said = context.Queue()
        at = time.time() + 0.05
        out = root / f"{what}-{number}"
        both = [
            context.Process(target=attempt, args=(what, root, out, which, at, said))
            for which in (0, 1)
        ]
        for process in both:
            process.start()
        answers = dict(said.get(timeout=120) for _ in both)
        for process in both:
            process.join()
        print(number, answers[0], answers[1], sep="\t", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
