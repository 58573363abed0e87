"""From a corpus folder to a prepared corpus: what comes out, what is left out, what survives."""

from __future__ import annotations

import csv
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from emohop import corpora
from emohop.clips import Clip
from emohop.config import FeatureSettings
from emohop.errors import EmohopError, MediaError
from emohop.features.extraction import Extractor
from emohop.preparation import Preparation, prepare
from emohop.storage import open_prepared
from emohop.storage.manifest import read_manifest

FEATURES = FeatureSettings(video="hog")
NO_FRAMES = FeatureSettings(video=None, prosody=False)


@pytest.fixture(scope="module")
def prepared(synthetic_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("prepared") / "out"
    prepare("iemocap", synthetic_corpus, out, features=FEATURES, jobs=2)
    return out


@pytest.fixture
def corpus(synthetic_corpus: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(synthetic_corpus, tmp_path / "corpus"))


@pytest.fixture
def victim(corpus: Path) -> Clip:
    """A clip of the default class set that can be damaged."""
    labels = corpora.class_set("iemocap")
    clips = [c for c in corpora.read("iemocap", corpus) if labels.class_of(c.label)]
    return clips[3]


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def quick(source: Path, out: Path) -> Preparation:
    return prepare("iemocap", source, out, features=NO_FRAMES)


def test_what_comes_out(prepared: Path, synthetic_corpus: Path) -> None:
    clips = {clip.id: clip for clip in corpora.read("iemocap", synthetic_corpus)}
    rows = open_prepared(prepared)
    labels = corpora.class_set("iemocap")
    wanted = [c.id for c in clips.values() if labels.class_of(c.label)]
    assert sorted(rows.metadata("id")) == sorted(wanted)
    assert sum(rows.manifest.label_counts.values()) == len(wanted) == 30
    assert sum(rows.manifest.dropped.values()) == len(clips) - len(wanted) > 0
    assert rows.manifest.sizes == {"audio": 120, "prosody": 35, "video": 512, "raters": 7}
    for row in rows:
        clip = clips[row.id]
        assert clip.end is not None
        seconds = clip.end - clip.start
        assert len(row.audio) == pytest.approx(seconds * 100 - 2, abs=3)
        assert len(row.video) == pytest.approx(seconds * 3, abs=1.01)
        assert row.prosody.shape == (35,)
        assert len(row.text) >= 1
        assert (row.speaker, row.session, row.label) == (clip.speaker, clip.session, clip.label)


def test_a_clip_alone_gives_the_same_arrays_as_its_corpus(
    prepared: Path, synthetic_corpus: Path
) -> None:
    clips = {clip.id: clip for clip in corpora.read("iemocap", synthetic_corpus)}
    extract = Extractor(FEATURES)
    rows = open_prepared(prepared)
    for row in (rows[0], rows[13], rows[29]):
        alone = extract(clips[row.id])
        assert set(alone) == set(row.arrays) - {"raters"}
        for name, array in alone.items():
            assert np.array_equal(array, row[name]), name


def test_jobs_do_not_change_a_byte(prepared: Path, synthetic_corpus: Path, tmp_path: Path) -> None:
    prepare("iemocap", synthetic_corpus, tmp_path / "one", features=FEATURES, jobs=1)
    assert tree(tmp_path / "one") == tree(prepared)


def test_the_second_run_does_nothing(prepared: Path, synthetic_corpus: Path) -> None:
    def times() -> dict[Path, int]:
        return {p: p.stat().st_mtime_ns for p in prepared.rglob("*") if p.name != ".lock"}

    before = times()
    again = prepare("iemocap", synthetic_corpus, prepared, features=FEATURES)
    assert again.computed == 0
    assert again.manifest == read_manifest(prepared)
    assert times() == before


def test_progress_counts_clips(synthetic_corpus: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    prepare(
        "iemocap",
        synthetic_corpus,
        tmp_path / "out",
        features=NO_FRAMES,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen[-1] == (30, 30)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_class_sets(synthetic_corpus: Path, tmp_path: Path) -> None:
    four = prepare(
        "iemocap", synthetic_corpus, tmp_path / "four", features=NO_FRAMES, labels="iemocap-4"
    )
    assert four.manifest.labels == ("ang", "hap", "sad", "neu")
    assert four.manifest.dropped["fru"] > 0
    rows = open_prepared(tmp_path / "four")
    merged = [row.label for row in rows]
    corpus_labels = rows.metadata("corpus_label")
    assert {m for m, c in zip(merged, corpus_labels, strict=True) if c == "exc"} == {"hap"}


def _empty_wav(clip: Clip) -> None:
    assert clip.audio is not None
    soundfile.write(clip.audio.path, np.zeros(0), 16_000)


def _ten_milliseconds(clip: Clip) -> None:
    assert clip.audio is not None
    soundfile.write(clip.audio.path, np.full(160, 0.1), 16_000)


def _no_bytes(clip: Clip) -> None:
    assert clip.audio is not None
    clip.audio.path.write_bytes(b"")


def _no_file(clip: Clip) -> None:
    assert clip.audio is not None
    clip.audio.path.unlink()


def _text_as_wav(clip: Clip) -> None:
    assert clip.audio is not None
    clip.audio.path.write_text("RIFF? no.")


def _nan_samples(clip: Clip) -> None:
    assert clip.audio is not None
    samples = np.full(16_000, np.nan, np.float32)
    soundfile.write(clip.audio.path, samples, 16_000, subtype="FLOAT")


@pytest.mark.parametrize(
    "damage", [_empty_wav, _ten_milliseconds, _no_bytes, _no_file, _text_as_wav, _nan_samples]
)
def test_one_bad_audio_is_named_and_the_rest_is_kept(
    corpus: Path, victim: Clip, tmp_path: Path, damage: object
) -> None:
    assert callable(damage)
    damage(victim)
    done = quick(corpus, tmp_path / "out")
    assert done.manifest.clips == 29
    (problem,) = done.problems
    assert (problem.id, problem.stage) == (victim.id, "audio")
    assert "\n" not in problem.reason
    assert victim.audio is not None
    assert victim.audio.path.name in problem.reason
    with (tmp_path / "out/problems.csv").open() as file:
        assert list(csv.reader(file)) == [
            ["id", "path", "stage", "reason"],
            [victim.id, str(victim.audio.path), "audio", problem.reason],
        ]
    assert victim.id not in open_prepared(tmp_path / "out").metadata("id")


def test_a_truncated_video_loses_only_the_clips_beyond(corpus: Path, tmp_path: Path) -> None:
    film = sorted(corpus.rglob("Ses02*.avi"))[0]
    whole = film.read_bytes()
    film.write_bytes(whole[: len(whole) // 2])
    report = corpora.check("iemocap", corpus)
    assert report.usable
    assert [str(problem) for problem in report.problems if problem.path == film] == [
        f"{film}: is cut short: it is smaller than its header says"
    ]
    only_video = FeatureSettings(audio=None, text=None, prosody=False, video="hog")
    out = tmp_path / "out"
    done = prepare("iemocap", corpus, out, features=only_video, allow_failures=True)
    assert 0 < len(done.problems) < 6
    clips = {clip.id: clip for clip in corpora.read("iemocap", corpus)}
    kept = [c for c in open_prepared(tmp_path / "out").metadata("id") if c.startswith("Ses02")]
    lost = [problem.id for problem in done.problems]
    assert all(problem.stage == "video" for problem in done.problems)
    assert all(film.name in problem.reason for problem in done.problems)
    assert kept
    assert max(clips[c].start for c in kept) < min(clips[c].end or 0 for c in lost)


def test_a_video_without_the_clips_time(corpus: Path, victim: Clip, tmp_path: Path) -> None:
    assert victim.dialog is not None
    path = next(corpus.rglob(f"EmoEvaluation/{victim.dialog}.txt"))
    text = path.read_text("utf-8", errors="surrogateescape")
    start, end = f"{victim.start:.4f}", f"{victim.end:.4f}"
    assert f"[{start} - {end}]" in text
    moved = text.replace(f"[{start} - {end}]", "[9000.0000 - 9002.0000]")
    path.write_text(moved, "utf-8", errors="surrogateescape")
    done = prepare("iemocap", corpus, tmp_path / "out", features=FEATURES)
    (problem,) = done.problems
    assert (problem.id, problem.stage) == (victim.id, "video")
    assert "9000" in problem.reason


def test_an_empty_transcript_is_a_clip_without_words(
    corpus: Path, victim: Clip, tmp_path: Path
) -> None:
    path = next(corpus.rglob(f"transcriptions/{victim.dialog}.txt"))
    lines = path.read_bytes().splitlines(keepends=True)
    name = victim.id.encode()
    lines = [line.split(b"]:")[0] + b"]:\n" if line.startswith(name) else line for line in lines]
    path.write_bytes(b"".join(lines))
    done = quick(corpus, tmp_path / "out")
    assert done.problems == ()
    rows = {row.id: row for row in open_prepared(tmp_path / "out")}
    assert rows[victim.id].text.shape == (0,)
    assert rows[victim.id].transcript == ""


def test_nothing_readable_is_an_error(corpus: Path, tmp_path: Path) -> None:
    for wav in corpus.rglob("sentences/wav/*/*.wav"):
        wav.unlink()
    with pytest.raises(EmohopError, match="none of 30 clips could be read; the first, Ses01"):
        quick(corpus, tmp_path / "out")
    assert not (tmp_path / "out/manifest.json").exists()


def test_folders_that_are_something_else(synthetic_corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(EmohopError, match="IEMOCAP"):
        quick(tmp_path / "empty", tmp_path / "out")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("years of work")
    with pytest.raises(EmohopError, match="is not a prepared corpus"):
        quick(synthetic_corpus, tmp_path / "mine")
    quick(synthetic_corpus, tmp_path / "out")
    with pytest.raises(EmohopError, match=r"begun with other settings \(features\)"):
        prepare("iemocap", synthetic_corpus, tmp_path / "out", features=FEATURES)
    (tmp_path / "out/plan.json").write_text("{")
    with pytest.raises(EmohopError, match="damaged"):
        quick(synthetic_corpus, tmp_path / "out")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"audio": "mfcc12"},
            "no audio features 'mfcc12': one of mfcc120, mfcc39, a short name such as",
        ),
        ({"text": "glove"}, "no text features 'glove'"),
        ({"audio": None, "text": None, "video": None}, "nothing to prepare"),
    ],
)
def test_unknown_features_are_said_before_any_work(
    synthetic_corpus: Path, tmp_path: Path, settings: dict[str, None], message: str
) -> None:
    features = FeatureSettings.model_validate({"video": None, "prosody": False, **settings})
    with pytest.raises(EmohopError, match=message):
        prepare("iemocap", synthetic_corpus, tmp_path / "out", features=features)
    assert not (tmp_path / "out").exists()  # so that the next try is not bound by this one


def test_a_single_bad_clip_raises() -> None:
    with pytest.raises(MediaError, match="no audio"):
        Extractor(NO_FRAMES)(Clip("x", transcript="a"))
    with pytest.raises(MediaError, match="no video"):
        Extractor(FEATURES)(Clip("x", transcript="a"))


def without_coverage() -> dict[str, str]:
    """The environment for a process that will not live to write its coverage."""
    return {k: v for k, v in os.environ.items() if not k.startswith("COV")}


def command(source: Path, out: Path, *more: str) -> list[str]:
    words = [sys.executable, "-m", "emohop", "prepare", "iemocap", str(source), str(out)]
    return [*words, "--video", "hog", "--no-prosody", "--jobs", "2", *more]


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_run_ends_with_the_same_bytes(
    synthetic_corpus: Path, tmp_path: Path, sent: signal.Signals
) -> None:
    subprocess.run(command(synthetic_corpus, tmp_path / "whole"), check=True, capture_output=True)
    out = tmp_path / "stopped"
    process = subprocess.Popen(
        command(synthetic_corpus, out),
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=without_coverage(),
    )
    while not (out / "plan.json").exists() and process.poll() is None:
        time.sleep(0.01)
    time.sleep(0.5)  # somewhere in the middle; any moment must do
    process.send_signal(sent)
    _, errors = process.communicate()
    if sent is signal.SIGINT and process.returncode:
        assert process.returncode == 130, errors
        assert "run the same command again to go on" in errors
        assert "Traceback" not in errors
    subprocess.run(command(synthetic_corpus, out), check=True, capture_output=True)
    assert tree(out) == tree(tmp_path / "whole")


def test_a_missing_shard_is_made_again(synthetic_corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    quick(synthetic_corpus, out)
    before = tree(out)
    (out / "shards/00000.arrow").unlink()
    (out / "shards/.00000.arrow.1.tmp").write_bytes(b"half")
    again = quick(synthetic_corpus, out)
    assert 0 < again.computed <= 30
    assert tree(out) == before


def test_a_disk_that_fills_up(synthetic_corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    words = [*command(synthetic_corpus, out, "--jobs", "1"), "--video", "none"]
    result = subprocess.run(
        words,
        capture_output=True,
        text=True,
        preexec_fn=small_files,
        check=False,
        env=without_coverage(),
    )
    assert result.returncode == 1
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error")]
    assert os.strerror(27) in line  # file too large, as a full disk would say it is full
    assert "Traceback" not in result.stderr
    assert not list((out / "shards").glob("*.arrow"))
    assert not list((out / "shards").glob("*.tmp"))
    assert not (out / "manifest.json").exists()
    subprocess.run(words, check=True, capture_output=True)
    assert len(open_prepared(out)) == 30


def test_exit_status_says_that_clips_were_left_out(
    corpus: Path, victim: Clip, tmp_path: Path
) -> None:
    _no_file(victim)
    words = [*command(corpus, tmp_path / "out", "--jobs", "1"), "--video", "none"]
    result = subprocess.run(words, capture_output=True, text=True, check=False)
    assert result.returncode == 3
    assert victim.id in result.stderr
    assert "29 clips of iemocap-7" in result.stdout
