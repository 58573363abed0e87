"""Models scored on words as they are heard."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from emohop.cli import app
from emohop.corpora import read
from emohop.errors import EmohopError
from emohop.features.transcription import Heard
from emohop.recipes import make_recipe
from emohop.robustness import asr
from emohop.robustness.asr import evaluate_heard, file_of
from emohop.storage import open_prepared
from emohop.training.run import train
from tests.prediction.conftest import films, model, prepared  # noqa: F401  (fixtures)


class Deaf:
    """A recogniser that hears the same words in every clip, and counts how often it is asked."""

    asked = 0

    def __init__(self, name: str, device: str) -> None:
        self.name, self.device = name, device

    def __call__(self, waveform: NDArray[np.float32]) -> list[Heard]:
        assert len(waveform) > 1000
        Deaf.asked += 1
        return [Heard("No", 0.0, 0.1), Heard("way!", 0.1, 0.2)]


@pytest.fixture(autouse=True)
def deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    asr._transcriber.cache_clear()
    monkeypatch.setattr(asr, "Transcriber", Deaf)
    Deaf.asked = 0


def test_words_as_heard(model: Path, prepared: Path, films: Path, tmp_path: Path) -> None:  # noqa: F811
    corpus = open_prepared(prepared)
    run = model.parents[2]
    result = evaluate_heard(run, corpus, films, "deaf", heard=tmp_path / "heard.csv")
    clean, heard = result.conditions
    assert (clean.name, heard.name) == ("clean", "asr:deaf")
    assert result.clips == Deaf.asked == 6
    # two clips each of 5 + 2 + 3 words; the two of "No way!" are right
    assert heard.wer == pytest.approx((5 + 0 + 3) / 10)
    lines = list(csv.DictReader((tmp_path / "heard.csv").read_text().splitlines()))
    assert {line["heard"] for line in lines} == {"No way!"}
    again = evaluate_heard(run, corpus, films, "deaf", heard=tmp_path / "heard.csv")
    assert again == result
    assert Deaf.asked == 6
    evaluate_heard(run, corpus, films, "other", heard=tmp_path / "heard.csv")
    assert Deaf.asked == 12


def test_right_words_change_nothing(
    model: Path,  # noqa: F811
    prepared: Path,  # noqa: F811
    films: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    lines = ["id,recogniser,file,heard"]
    for clip in read("folder", films):
        lines.append(f'{clip.id},mine,{file_of(clip)},"{clip.transcript}"')
    (tmp_path / "heard.csv").write_text("\n".join(lines) + "\n")
    corpus = open_prepared(prepared)
    result = evaluate_heard(model, corpus, films, "mine", heard=tmp_path / "heard.csv")
    clean, heard = result.conditions
    assert Deaf.asked == 0
    assert heard.metrics == clean.metrics
    assert heard.wer == 0


def test_what_cannot_be(model: Path, prepared: Path, films: Path, tmp_path: Path) -> None:  # noqa: F811
    corpus = open_prepared(prepared)
    (tmp_path / "few.csv").write_text("\n".join(films.read_text().splitlines()[:2]) + "\n")
    (tmp_path / "0.mp4").write_bytes((films.parent / "0.mp4").read_bytes())
    with pytest.raises(EmohopError, match="lacks 5 of 6 prepared clips"):
        evaluate_heard(model, corpus, tmp_path / "few.csv", "deaf")
    (tmp_path / "heard.csv").write_text("id,text\na,b\n")
    with pytest.raises(EmohopError, match=r"heard\.csv is damaged"):
        evaluate_heard(model, corpus, films, "deaf", heard=tmp_path / "heard.csv")
    small = ["model.name=are", "training.max_epochs=1", "folds=[0]", "model.audio.hidden=4"]
    train(prepared, tmp_path / "run", make_recipe("default", small))
    with pytest.raises(EmohopError, match="has no text input"):
        evaluate_heard(tmp_path / "run", corpus, films, "deaf")


def test_the_command(model: Path, prepared: Path, films: Path) -> None:  # noqa: F811
    run = model.parents[2]
    words = ["evaluate", str(run), str(prepared), "--asr", "deaf"]
    said = CliRunner().invoke(app, [*words, "--source", str(films), "--jobs", "1"])
    assert said.exit_code == 0, said.output
    assert "asr:deaf" in said.output
    assert "word error rate of deaf: 0.800" in said.output
    assert (run / "heard.csv").exists()
    said = CliRunner().invoke(app, words)
    assert said.exit_code == 1
    assert "--asr needs --source" in said.output
