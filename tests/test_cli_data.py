"""The commands on data: what they print, their exit statuses, one line of error."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from emohop.cli import FAILED, INCOMPLETE, app
from emohop.registry.corpora import CORPORA
from emohop.storage import open_prepared
from tests.corpora.test_meld import table
from tests.corpora.tree import write_wave

README = Path(__file__).parents[1] / "README.md"


def run(*words: object, status: int = 0) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == status, result.output
    return result.output


def mine(folder: Path, speakers: Sequence[str] = ("anna", "bert", "cleo")) -> Path:
    """Noise that is loud when angry and a soft tone when calm."""
    rng = np.random.default_rng(0)
    for label in ("angry", "calm"):
        for speaker in speakers:
            for number in range(4):
                path = folder / label / speaker / f"{number}.wav"
                path.parent.mkdir(parents=True, exist_ok=True)
                noise = 0.3 * rng.normal(size=8000)
                tone = 0.1 * np.sin(np.arange(8000) * rng.uniform(0.05, 0.1))
                waveform = noise if label == "angry" else tone + 0.01 * noise
                soundfile.write(path, waveform.clip(-1, 1), 16_000)
    return folder


def test_the_list_of_corpora() -> None:
    text = run("corpora")
    for name in CORPORA:
        assert name in text
        one = run("corpora", name)
        assert CORPORA[name].title in one
        assert f"docs/corpora/{name}.md" in one
        assert (README.parent / f"docs/corpora/{name}.md").exists()
    assert "calm as neutral" in run("corpora", "ravdess")
    assert "did you mean ravdess?" in run("corpora", "ravdes", status=FAILED)


def test_the_readme_s_own_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands under "Bring your own clips", run on a folder of such clips."""
    monkeypatch.chdir(tmp_path)
    mine(tmp_path / "mine")
    section = README.read_text("utf-8").split("## Bring your own clips", 1)[1]
    lines = section.split("```console\n")[1].split("```")[0].splitlines()
    assert [shlex.split(line)[:2] for line in lines] == [
        ["emohop", command] for command in ("check", "prepare", "train")
    ]
    less = {"train": ["--set", "training.max_epochs=3", "--set", "model.audio.hidden=8"]}
    for line in lines:
        _, command, *words = shlex.split(line)
        jobs = [] if command == "check" else ["--jobs", "1"]
        text = run(command, *words, *jobs, *less.get(command, []))
        if command == "check":
            assert "24" in text
            assert "24 of 24 clips have no transcripts" in text
    assert "protocol speaker, folder (2 classes)" in text
    assert len(open_prepared("prepared")) == 24


def test_options_belong_to_corpora(tmp_path: Path) -> None:
    source = tmp_path / "meld"
    source.mkdir()
    table(source)
    text = run("check", "meld", source, "--seating", "woman-left", status=FAILED)
    assert "unknown option of meld: 'seating'" in text
    words = ["prepare", "meld", source, tmp_path / "out", "--audio", "none", "--video", "none"]
    assert "unknown option of meld: 'channel'" in run(*words, "--channel", "song", status=FAILED)
    assert "unknown class set of meld" in run(*words, "--labels", "meld-8", status=FAILED)
    text = run(*words, "--labels", "common-4", "--jobs", 1)
    assert "3 clips of common-4 (anger 1, happiness 1, neutral 1, sadness 0)" in text


def test_prepare_to_the_end_of_a_bad_corpus(tmp_path: Path) -> None:
    source, out = mine(tmp_path / "mine"), tmp_path / "out"
    (source / "calm/bert/2.wav").write_bytes(b"no audio")
    (source / "calm/cleo/0.wav").write_bytes(b"")
    words = ["prepare", "folder", source, out, "--video", "none", "--text", "none", "--jobs", 1]
    words.append("--no-prosody")
    text = run(*words, "--strict", status=FAILED)
    assert "calm/bert/2 (audio): " in text
    text = run(*words, status=FAILED)
    assert "2 of 24 clips (8%) could not be read" in text
    assert "--allow-failures" in text
    text = run(*words, "--allow-failures", status=INCOMPLETE)
    assert "22 clips of folder" in text
    assert "left out calm/cleo/0 (audio): " in text
    assert "the file is empty" in text
    mine(tmp_path / "mine")
    text = run(*words, "--retry")
    assert "24 clips of folder (angry 12, calm 12)" in text


def test_a_prepared_corpus_is_checked_and_repaired(tmp_path: Path) -> None:
    source, out = mine(tmp_path / "mine"), tmp_path / "out"
    words = ["prepare", "folder", source, out, "--video", "none", "--text", "none", "--jobs", 1]
    words.append("--no-prosody")
    run(*words)
    assert "24 clips in 1 shards, all in order" in run("check", out)
    shard = out / "shards/00000.arrow"
    shard.write_bytes(shard.read_bytes()[:-3])
    text = run("check", out, status=FAILED)
    assert f"{out}/shards/00000.arrow has changed since it was written; it held angry/" in text
    assert "give the same emohop prepare command" in text
    assert "made anew, because they were damaged: 00000.arrow" in run(*words)
    assert "nothing to do: everything was prepared before, and is in order" in run(*words)
    assert "no manifest.json in" in run("check", source, status=FAILED)
    assert "emohop check meld DIR" in run("check", "meld", status=FAILED)


def test_fetch(tmp_path: Path) -> None:
    source, out = mine(tmp_path / "mine"), tmp_path / "out"
    words = ["prepare", "folder", source, out, "--video", "none", "--text", "none", "--jobs", 1]
    run(*words, "--no-prosody")
    url = f"file://{out}"
    assert "24 clips of folder, all in order" in run("fetch", url, tmp_path / "copy")
    (tmp_path / "copy/shards/00000.arrow").unlink()
    run("fetch", url, tmp_path / "copy")  # what is there stays, what is missing comes
    files = [path.name for path in (tmp_path / "copy").rglob("*") if path.is_file()]
    assert sorted(files) == sorted(p.name for p in out.rglob("*") if p.is_file())
    assert [row.id for row in open_prepared(tmp_path / "copy")] == [
        row.id for row in open_prepared(out)
    ]
    (out / "shards/00000.arrow").write_bytes(b"x")
    text = run("fetch", url, tmp_path / "other", status=FAILED)
    assert "00000.arrow is damaged: prepare it again there" in text
    assert "it is not a finished corpus" in run("fetch", tmp_path, tmp_path / "x", status=FAILED)
    write_wave(source / "calm/dora/9.wav", 1.0)
    run("prepare", *words[1:3], tmp_path / "more", *words[4:], "--no-prosody")
    text = run("fetch", tmp_path / "more", tmp_path / "copy", status=FAILED)
    assert "holds another prepared corpus" in text
