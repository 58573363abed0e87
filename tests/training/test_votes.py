"""Training on raters' votes, from a corpus's own files to the scores of a run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from emohop.config import FeatureSettings
from emohop.errors import EmohopError
from emohop.evaluation.results import read_predictions
from emohop.evaluation.run_folder import METRICS, PREDICTIONS
from emohop.preparation import prepare
from emohop.recipes import make_recipe
from emohop.storage import open_prepared
from emohop.training.run import train
from tests.prepared import write_prepared

WORDS = FeatureSettings(audio=None, video=None, prosody=False)
CLASSES = {
    "Anger": "ang",
    "Happiness": "hap",
    "Excited": "hap",
    "Neutral state": "neu",
    "Neutral": "neu",
    "Sadness": "sad",
}
"""The words of the synthetic corpus's raters for the four classes."""
RECIPE = ("model.name=tre", "training.max_epochs=2", "training.soft_labels=true", "folds=[0]")


def test_votes_are_trained_on_and_scored(synthetic_corpus: Path, tmp_path: Path) -> None:
    prepare("iemocap", synthetic_corpus, tmp_path / "words", features=WORDS, labels="iemocap-4")
    corpus = open_prepared(tmp_path / "words")
    labels = corpus.manifest.labels
    shares = {}
    for row, votes in zip(corpus, corpus.votes(), strict=True):
        expected = np.zeros(len(labels))
        for vote in votes:
            for word in vote["categories"]:
                if word in CLASSES:
                    expected[labels.index(CLASSES[word])] += 1 / len(vote["categories"])
        expected /= max(expected.sum(), 1)
        np.testing.assert_allclose(row.arrays["raters"], expected, atol=1e-6)
        shares[row.id] = expected
    train(tmp_path / "words", tmp_path / "run", make_recipe("demo", RECIPE))
    fold_run = tmp_path / "run/fold-0/seed-0"
    scores = json.loads((fold_run / METRICS).read_text("utf-8"))
    predictions = read_predictions(fold_run / PREDICTIONS)
    for split in ("dev", "test"):
        part = predictions.part(split)
        pairs = [
            (shares[name], found)
            for name, found in zip(part.id, part.probabilities, strict=True)
            if shares[name].any()
        ]
        assert len(pairs) > 1
        kl = [sum(q * np.log(q / p) for q, p in zip(*pair, strict=True) if q) for pair in pairs]
        assert scores[split]["votes_kl"] == pytest.approx(np.mean(kl), rel=1e-4)
        assert 0 < scores[split]["votes_js"] < np.log(2)
    labelled = tmp_path / "labelled"
    train(
        tmp_path / "words", labelled, make_recipe("demo", [*RECIPE, "training.soft_labels=false"])
    )
    other = json.loads((labelled / "fold-0/seed-0" / METRICS).read_text("utf-8"))
    assert other["test"]["votes_kl"] != scores["test"]["votes_kl"]


def test_a_corpus_without_votes_is_refused(tmp_path: Path) -> None:
    prepared = write_prepared(tmp_path / "prepared")
    with pytest.raises(EmohopError, match=r"soft_labels = true: .* holds no raters' votes"):
        train(prepared, tmp_path / "run", make_recipe("demo", RECIPE))
