"""A linear probe by scikit-learn, beside which a model that was trained should not look bad.

    python benchmarks/probe.py PREPARED --groups 5

Logistic regression over the mean and the standard deviation of each clip's audio features, on the
folds of protocol speaker: trained on the training part, and on training and dev parts together;
with each speaker's own statistics; and on each hidden state by itself, where all were prepared.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from emohop.evaluation.splits import make_folds
from emohop.storage import PreparedCorpus, open_prepared

Vectors = NDArray[np.float32]


def pooled(corpus: PreparedCorpus) -> Vectors:
    """Mean and deviation of each clip's frames, float32 [clips, 2, numbers in a frame]."""
    return np.stack([np.stack([row.audio.mean(0), row.audio.std(0)]) for row in corpus])


def own(vectors: Vectors, speakers: list[str]) -> Vectors:
    """Zero mean and unit variance over each speaker's clips."""
    found: Vectors = vectors.copy()
    names = np.array(speakers)
    for name in set(speakers):
        clips = vectors[names == name]
        found[names == name] = (clips - clips.mean(0)) / (clips.std(0) + 1e-6)
    return found


def probe(corpus: PreparedCorpus, vectors: Vectors, groups: int, strength: float) -> str:
    """Mean balanced accuracy over folds, without and with the dev part in training."""
    labels = np.array(corpus.metadata("label"))
    flat = vectors.reshape(len(vectors), -1)
    scores: dict[bool, list[float]] = {False: [], True: []}
    for fold in make_folds("speaker", corpus.metadata, 0, groups):
        for with_dev, taken in scores.items():
            train = np.concatenate([fold.train, fold.dev]) if with_dev else fold.train
            model = make_pipeline(
                StandardScaler(), LogisticRegression(C=strength, max_iter=500)
            ).fit(flat[train], labels[train])
            said = model.predict(flat[fold.test])
            taken.append(balanced_accuracy_score(labels[fold.test], said))
    return " | ".join(
        f"{np.mean(taken):.3f} ± {np.std(taken, ddof=1):.3f}" for taken in scores.values()
    )


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("prepared", type=Path)
    parser.add_argument("--groups", type=int, default=5)
    parser.add_argument("--strength", type=float, default=0.01, help="C of the regression")
    arguments = parser.parse_args()
    corpus = open_prepared(arguments.prepared)
    vectors, speakers = pooled(corpus), corpus.metadata("speaker")
    layers = corpus.manifest.layers.get("audio", 1)
    rows = {"all": vectors, "all, each speaker's own statistics": own(vectors, speakers)}
    if layers > 1:
        apart = vectors.reshape(len(vectors), 2, layers, -1)
        rows |= {f"layer {k}": apart[:, :, k] for k in range(layers)}
    print("| numbers | UA, trained on train | UA, on train and dev |\n|---|---|---|")
    for name, chosen in rows.items():
        found = probe(corpus, chosen, arguments.groups, arguments.strength)
        print(f"| {name} | {found} |", flush=True)


if __name__ == "__main__":
    main()
