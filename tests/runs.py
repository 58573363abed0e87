"""Run folders from made predictions, written by the library's own writers, without training."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from emohop.clips import Modality
from emohop.config import FeatureSettings, Recipe
from emohop.evaluation.reservations import Reservation
from emohop.evaluation.results import Predictions, write_fold_run
from emohop.evaluation.run_files import RunInfo, RunResults
from emohop.evaluation.run_folder import CLIPS, HISTORY, INFO, RECIPE, RESULTS
from emohop.evaluation.splits import LEAKS
from emohop.evaluation.summary import FoldRunResult, summarise
from emohop.model_config import (
    MODEL_CONFIG,
    Calibration,
    InputDims,
    ModelConfig,
    Normalisation,
    PreprocessorConfig,
    TrainedOn,
)
from emohop.recipes import make_recipe

LABELS = ("ang", "hap", "sad")
SESSIONS = ("Ses01", "Ses02", "Ses03", "Ses04", "Ses05")


def clip_facts(clips: int) -> list[dict[str, str]]:
    """Clips of two speakers a session, five sessions."""
    facts = []
    for i in range(clips):
        session = SESSIONS[i * len(SESSIONS) // clips]
        gender = "FM"[i % 2]
        facts.append(
            {
                "id": f"{session}_{i:03d}",
                "speaker": session + gender,
                "gender": gender,
                "session": session,
                "dialog": f"{session}_d",
                "scripted": str(i % 3 == 0),
                "label": LABELS[i % len(LABELS)],
                "start": str(float(i)),
                "end": str(i + 2.5),
            }
        )
    return facts


def predictions(
    facts: Sequence[dict[str, str]], fold: int, skill: float, seed: int, *, speakers: bool = True
) -> Predictions:
    """Dev and test of a session fold; the higher the `skill`, the more are right."""
    rng = np.random.default_rng([fold, seed, int(skill * 1000)])
    parts = []
    for split, place in (("dev", (fold + 1) % len(SESSIONS)), ("test", fold)):
        clips = [clip for clip in facts if clip["session"] == SESSIONS[place]]
        true = np.array([LABELS.index(clip["label"]) for clip in clips])
        logits = rng.normal(size=(len(clips), len(LABELS))) * 1.5
        logits[np.arange(len(clips)), true] += skill
        powers = np.exp(logits)
        table = powers / powers.sum(axis=1, keepdims=True)
        who = [clip["speaker"] if speakers else None for clip in clips]
        ids = [clip["id"] for clip in clips]
        parts.append(Predictions.of(split, ids, who, true, table, LABELS))
    return parts[0] + parts[1]


def write_run(
    folder: Path,
    *,
    skill: float = 1.0,
    clips: int = 60,
    folds: Sequence[int] = range(5),
    seeds: Sequence[int] = (0,),
    settings: Sequence[str] = (),
    protocol: str = "session",
    class_set: str = "made-3",
    speakers: bool = True,
    epochs: int = 6,
) -> Path:
    """A whole run folder of `len(folds) × len(seeds)` fold runs."""
    facts = clip_facts(clips)
    recipe = make_recipe("demo", [*settings, f"protocol={protocol}"])
    fold_runs = []
    for fold in folds:
        for seed in seeds:
            fold_run = folder / f"fold-{fold}" / f"seed-{seed}"
            said = predictions(facts, fold, skill, seed, speakers=speakers)
            write_fold_run(fold_run, said)
            result = FoldRunResult.of(fold, seed, SESSIONS[fold], said)
            fold_runs.append(result)
            _write_history(fold_run / HISTORY, epochs, result.dev)
            (fold_run / "model").mkdir()
            config = _model_config(recipe, result.temperature, fold, seed)
            config.write(fold_run / "model" / MODEL_CONFIG)
    info = RunInfo(
        emohop="0.1.0",
        data="prepared",
        corpus="made",
        class_set=class_set,
        fingerprint="f" * 64,
        clips_fingerprint=f"{clips:0<64}",
    )
    info.write(folder / INFO)
    results = RunResults(
        **dict(summarise(fold_runs, protocol, class_set, LABELS)),
        model=recipe.model.title,
        corpus=info.corpus,
        fingerprint=info.fingerprint,
        clips_fingerprint=info.clips_fingerprint,
        emohop=info.emohop,
    )
    results.write(folder / RESULTS)
    (folder / RECIPE).write_text(yaml.safe_dump(recipe.model_dump(mode="json")), "utf-8")
    with (folder / CLIPS).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(facts[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(facts)
    return folder


def _model_config(recipe: Recipe, temperature: float, fold: int, seed: int) -> ModelConfig:
    """What the model folder of a fold run says, of a network that nobody built."""
    sizes = InputDims(len(LABELS), dict.fromkeys(recipe.model.uses, 2))
    return ModelConfig(
        emohop="0.1.0",
        model=recipe.model,
        preprocessor=PreprocessorConfig(
            labels=LABELS,
            features=FeatureSettings(),
            sizes=sizes,
            max_length={m: recipe.model.encoder(m).max_length for m in recipe.model.uses},
            normalisation=Normalisation(kind="none"),
            vocabulary=("_PAD_", "_UNK_") if Modality.TEXT in recipe.model.uses else None,
        ),
        calibration=Calibration(temperature=temperature),
        recipe=recipe,
        corpus=TrainedOn(name="made", fingerprint="f" * 64),
        fold=fold,
        seed=seed,
    )


def _write_history(path: Path, epochs: int, dev: dict[str, Any]) -> None:
    """Scores that rise to those of `dev` at the last epoch but one."""
    scores = [name for name in dev if name != "n"]
    lines = [["epoch", "train_loss", "dev_loss", *(f"dev_{name}" for name in scores)]]
    for epoch in range(1, epochs + 1):
        share = 1.0 if epoch == epochs - 1 else min(0.9, epoch / epochs)
        losses = [f"{2.0 - 1.2 * epoch / epochs}", f"{2.1 - epoch / epochs}"]
        lines.append([str(epoch), *losses, *(str(dev[name] * share) for name in scores)])
    path.write_text("\n".join(",".join(line) for line in lines) + "\n")


RANDOM = [Reservation(kind="protocol", text=LEAKS["random"]).model_dump()]
"""What the results of protocol random say of themselves."""


def edit_results(folder: Path, **changes: object) -> None:
    """Put values over those of a run's `results.json`."""
    path = folder / RESULTS
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
