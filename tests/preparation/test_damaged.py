"""Corpora with damaged media, and of several sample rates."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

import emohop
from emohop.cli import app
from emohop.config import FeatureSettings
from emohop.features.audio import resample, waveform_16k
from emohop.preparation import NOTES, PROBLEMS, prepare
from tests.media.kinds import changed, hole, plain_mp3

AUDIO = FeatureSettings(text=None, video=None, prosody=False)


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """A whole clip, one that is silent, one of 8 kHz and one that is damaged."""
    folder = tmp_path / "clips"
    for label in ("calm", "angry"):
        (folder / label).mkdir(parents=True)
    hiss = np.random.default_rng(0).normal(0, 0.1, 48_000).astype(np.float32)
    soundfile.write(folder / "calm/whole.wav", hiss, 16_000)
    soundfile.write(folder / "calm/silent.wav", np.zeros(16_000), 16_000)
    soundfile.write(folder / "angry/call.wav", resample(hiss, 16_000, 8_000), 8_000)
    changed(plain_mp3, hole(0.4, 0.45))(folder / "angry/bad.mp3")
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_damage_is_a_problem_unless_it_is_repaired(clips: Path, tmp_path: Path) -> None:
    strict = prepare("folder", clips, tmp_path / "strict", features=AUDIO, allow_failures=True)
    (problem,) = rows(tmp_path / "strict" / PROBLEMS)
    assert problem["id"] == "angry/bad"
    assert "damaged audio" in problem["reason"]
    assert strict.manifest.clips == 3
    repair = AUDIO.model_copy(update={"repair": True})
    done = prepare("folder", clips, tmp_path / "repaired", features=repair)
    assert (done.manifest.clips, done.problems) == (4, ())
    noted = {row["id"]: row["note"] for row in rows(tmp_path / "repaired" / NOTES)}
    assert set(noted) == {"angry/bad", "calm/silent"}
    assert "damaged audio" in noted["angry/bad"] or "no audio from" in noted["angry/bad"]
    assert noted["calm/silent"].startswith("audio: silence")
    corpus = emohop.open_prepared(tmp_path / "repaired")
    kept = dict(zip(corpus.metadata("id"), corpus.metadata("notes"), strict=True))
    assert kept["calm/whole"] == []
    again = prepare("folder", clips, tmp_path / "repaired", features=repair)
    assert (again.computed, again.notes, again.sample_rates) == (0, done.notes, done.sample_rates)


def test_sample_rates_are_shown_and_brought_to_one(clips: Path, tmp_path: Path) -> None:
    (clips / "angry/bad.mp3").unlink()
    run = CliRunner().invoke
    checked = run(app, ["check", "folder", str(clips)])
    assert "8000 Hz 1, 16000 Hz 2 files" in checked.output
    words = ["prepare", "folder", str(clips), "--text", "none", "--video", "none", "--no-prosody"]
    done = run(app, [*words, str(tmp_path / "own"), "--jobs", "1"])
    assert "sample rates: 8000 Hz 1, 16000 Hz 2 clips; --bandwidth 8000" in done.output
    assert "noted calm/silent: audio: silence" in done.output
    done = run(app, [*words, str(tmp_path / "one"), "--jobs", "1", "--bandwidth", "8k"])
    assert done.exit_code == 0, done.output
    assert "sample rates: 8000 Hz 1, 16000 Hz 2 clips\n" in done.output
    found = {}
    for name in ("own", "one"):
        corpus = emohop.open_prepared(tmp_path / name)
        found[name] = {row.id: row.audio for row in corpus}

    def apart(name: str) -> float:
        """How far a cepstrum of one hiss is from that of it at the other rate."""
        return abs(float(found[name]["angry/call"][150, 1] - found[name]["calm/whole"][150, 1]))

    assert apart("own") > 5
    assert apart("one") < 1
    assert run(app, [*words, str(tmp_path / "x"), "--bandwidth", "narrow"]).exit_code == 1
    assert run(app, [*words, str(tmp_path / "x"), "--bandwidth", "96k"]).exit_code == 1


def test_bandwidth_is_that_of_the_lower_rate() -> None:
    tone = np.sin(2 * np.pi * 6000 * np.arange(16_000) / 16_000).astype(np.float32)
    narrow = waveform_16k(tone, 16_000, 8_000)
    assert len(narrow) == len(tone)
    assert np.abs(narrow[1000:-1000]).max() < 0.01
