"""A prepared corpus is what its source is now: what changed is named, and nothing else is done."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import soundfile
from typer.testing import CliRunner

from emohop.cli import app
from emohop.clips import Clip, LabelSet, Vote
from emohop.config import FeatureSettings
from emohop.errors import EmohopError
from emohop.preparation import Preparation, compare, plan, prepare
from emohop.preparation import work as worker
from emohop.preparation.sources import changed_metadata
from emohop.storage import open_prepared
from emohop.storage.joining import join
from emohop.storage.shards import read_metadata, shard_bytes
from tests.features.tiny import save_language, waveform
from tests.media.making import numbered, write_video
from tests.preparation.test_preparation import tree

FEATURES = FeatureSettings(video=None, prosody=False)
CLIPS = 12
Lines = list[dict[str, str]]


@pytest.fixture
def lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lines:
    """Twelve clips in a table; a shard holds four."""
    monkeypatch.setattr(plan, "CLIPS_PER_SHARD", (4, 4))
    found = []
    (tmp_path / "source").mkdir()
    for n in range(CLIPS):
        soundfile.write(tmp_path / f"source/{n}.wav", waveform(0.2 + n / 100, seed=n), 16_000)
        found.append(
            {
                "path": f"{n}.wav", "id": f"c{n:02d}", "label": ("angry", "calm")[n % 2],
                "speaker": f"s{n // 4}", "session": f"Ses{n // 4}", "split": "train", "gender": "F",
                "dialog": "d", "transcript": f"word {n}",
            }
        )  # fmt: skip
    write(tmp_path, found)
    return found


def write(tmp_path: Path, lines: Lines) -> None:
    with (tmp_path / "source/clips.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)


def run(tmp_path: Path, out: str = "out", **options: Any) -> Preparation:
    options = {"features": FEATURES, **options}
    return prepare("folder", tmp_path / "source", tmp_path / out, **options)


def is_as_if_made_anew(tmp_path: Path, **options: Any) -> None:
    """The updated corpus, file by file, beside a fresh one; then there is nothing to do."""
    run(tmp_path, "fresh", **options)
    assert tree(tmp_path / "out") == tree(tmp_path / "fresh")
    again = run(tmp_path, **options)
    assert (again.computed, again.changes) == (0, ())
    shutil.rmtree(tmp_path / "fresh")


@pytest.mark.parametrize("fact", ["speaker", "session", "split", "gender", "dialog", "label"])
def test_other_metadata_are_written_without_computing(
    lines: Lines, tmp_path: Path, fact: str
) -> None:
    run(tmp_path)
    before = open_prepared(tmp_path / "out").manifest.fingerprint
    other = {"gender": "M", "split": "dev", "label": "calm"}.get(fact, "other")
    lines[4][fact] = lines[6][fact] = other
    write(tmp_path, lines)
    assert [str(c) for c in compare(tmp_path / "out", tmp_path / "source")] == [
        f"2 clips: {fact} changed (c04, c06)"
    ]
    done = run(tmp_path)
    assert [str(change) for change in done.changes] == [f"2 clips: {fact} changed (c04, c06)"]
    assert done.computed == 0
    corpus = open_prepared(tmp_path / "out")
    assert [corpus.metadata(fact)[i] for i in (4, 6)] == [other] * 2
    assert corpus.manifest.fingerprint != before
    is_as_if_made_anew(tmp_path)


def test_shards_that_nothing_touches_are_left_alone(lines: Lines, tmp_path: Path) -> None:
    run(tmp_path)
    shards = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out/shards").iterdir()}
    lines[5]["speaker"] = "other"
    write(tmp_path, lines)
    run(tmp_path)
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out/shards").iterdir()}
    assert [name for name in shards if shards[name] != after[name]] == ["00001.arrow"]


def test_media_that_changed_are_computed_again(lines: Lines, tmp_path: Path) -> None:
    run(tmp_path)
    soundfile.write(tmp_path / "source/5.wav", waveform(0.7, seed=77), 16_000)
    done = run(tmp_path)
    assert (done.computed, [str(c) for c in done.changes]) == (1, ["1 clip: audio changed (c05)"])
    assert len(open_prepared(tmp_path / "out")[5].audio) > 50
    is_as_if_made_anew(tmp_path)


def test_a_file_that_was_only_touched_is_not(lines: Lines, tmp_path: Path) -> None:
    run(tmp_path)
    os.utime(tmp_path / "source/5.wav", ns=(1, 1))
    done = run(tmp_path)
    assert (done.computed, done.changes) == (0, ())
    lines_of = (tmp_path / "out/files.csv").read_text().splitlines()
    (line,) = (line for line in lines_of if line.startswith("5.wav,"))
    assert line.split(",")[2] == "1"  # so that it need not be read the next time


def test_content_is_compared_where_it_is_asked_for(lines: Lines, tmp_path: Path) -> None:
    path = tmp_path / "source/5.wav"
    run(tmp_path)
    times, size = path.stat(), path.stat().st_size
    soundfile.write(path, waveform(0.25, seed=50), 16_000)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert path.stat().st_size == size
    assert run(tmp_path).changes == ()
    assert compare(tmp_path / "out", tmp_path / "source") == []
    assert [c.clips for c in compare(tmp_path / "out", tmp_path / "source", verify=True)] == [
        ("c05",)
    ]
    assert [c.clips for c in run(tmp_path, verify=True).changes] == [("c05",)]


def test_files_without_a_time_are_compared_by_content(lines: Lines, tmp_path: Path) -> None:
    path = tmp_path / "source/5.wav"
    os.utime(path, ns=(0, 0))
    run(tmp_path)
    assert run(tmp_path).changes == ()
    soundfile.write(path, waveform(0.25, seed=50), 16_000)
    os.utime(path, ns=(0, 0))
    assert [c.clips for c in run(tmp_path).changes] == [("c05",)]


def test_words_that_changed_are_read_again(lines: Lines, tmp_path: Path) -> None:
    run(tmp_path)
    lines[2]["transcript"] = "something else"
    write(tmp_path, lines)
    done = run(tmp_path)
    assert (done.computed, [str(c) for c in done.changes]) == (
        1, ["1 clip: transcript changed (c02)"],
    )  # fmt: skip
    assert open_prepared(tmp_path / "out")[2].text.tolist() == ["something", "else"]
    is_as_if_made_anew(tmp_path)
    deaf = FEATURES.model_copy(update={"text": None})
    run(tmp_path, "deaf", features=deaf)
    lines[2]["transcript"] = "something more"
    write(tmp_path, lines)
    done = run(tmp_path, "deaf", features=deaf)
    assert (done.computed, len(done.changes)) == (0, 1)  # of words that nothing was made of


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: lines.pop(3),
        lambda lines: lines.insert(0, {**lines.pop(), "speaker": "other"}),
        lambda lines: lines.reverse(),
        lambda lines: [line.update(speaker="x") for line in lines],
    ],
    ids=["gone", "moved", "turned around", "all"],
)
def test_clips_that_come_go_and_move(
    lines: Lines, tmp_path: Path, change: Callable[[Lines], object]
) -> None:
    held = lines.pop()
    write(tmp_path, lines)
    run(tmp_path)
    lines.append(held)
    change(lines)
    write(tmp_path, lines)
    done = run(tmp_path, allow_failures=True)
    assert done.computed == 1
    assert any(c.what == "new" and c.clips == ("c11",) for c in done.changes)
    is_as_if_made_anew(tmp_path)


def test_a_wrong_folder_empties_nothing(lines: Lines, tmp_path: Path) -> None:
    run(tmp_path)
    before = tree(tmp_path / "out")
    for line in lines[6:]:
        line["id"] += "x"
    write(tmp_path, lines)
    with pytest.raises(EmohopError, match=r"6 of the 12 clips in .* are no longer in .*c06 first"):
        run(tmp_path)
    assert tree(tmp_path / "out") == before
    assert len(run(tmp_path, allow_failures=True).manifest.label_counts) == 2


def test_media_that_are_gone_take_nothing_along(lines: Lines, tmp_path: Path) -> None:
    run(tmp_path)
    for n in range(4):
        (tmp_path / f"source/{n}.wav").rename(tmp_path / f"{n}.wav")
    with pytest.raises(EmohopError, match="4 of the 12 clips"):
        run(tmp_path)
    for n in range(4):
        (tmp_path / f"{n}.wav").rename(tmp_path / f"source/{n}.wav")
    assert run(tmp_path).changes == ()


def test_a_corpus_that_moved_or_is_linked_is_the_same(lines: Lines, tmp_path: Path) -> None:
    run(tmp_path)
    (tmp_path / "source").rename(tmp_path / "elsewhere")
    (tmp_path / "source").symlink_to(tmp_path / "elsewhere")
    assert run(tmp_path).changes == ()
    assert (
        prepare("folder", tmp_path / "elsewhere", tmp_path / "out", features=FEATURES).computed == 0
    )


def test_a_label_that_is_new_is_a_class(lines: Lines, tmp_path: Path) -> None:
    run(tmp_path)
    lines[3]["label"] = "sad"
    write(tmp_path, lines)
    done = run(tmp_path)
    assert [str(c) for c in done.changes] == ["1 clip: label changed (c03)"]
    assert done.manifest.labels == ("angry", "calm", "sad")
    is_as_if_made_anew(tmp_path)


def test_films_that_are_added_are_watched(lines: Lines, tmp_path: Path) -> None:
    features = FeatureSettings(video="hog", prosody=False, keep_incomplete=True)
    for line in lines:
        line["video"] = ""
    write(tmp_path, lines)
    run(tmp_path, features=features)
    write_video(tmp_path / "source/1.avi", [numbered(k) for k in range(30)])
    lines[1]["video"] = "1.avi"
    write(tmp_path, lines)
    done = run(tmp_path, features=features)
    assert (done.computed, [str(c) for c in done.changes]) == (1, ["1 clip: video changed (c01)"])
    assert len(open_prepared(tmp_path / "out")[1].video)
    is_as_if_made_anew(tmp_path, features=features)


def test_an_encoder_that_changed_reads_everything_again(lines: Lines, tmp_path: Path) -> None:
    folder = tmp_path / "encoder"
    features = FeatureSettings(audio=None, video=None, prosody=False, text=save_language(folder))
    run(tmp_path, features=features)
    assert run(tmp_path, features=features).changes == ()
    shutil.rmtree(folder)
    save_language(folder, seed=1)
    (change,) = compare(tmp_path / "out", tmp_path / "source")
    assert (change.what, len(change.clips)) == ("the text encoder changed", CLIPS)
    worker.extractor_of.cache_clear()  # which a new process has not
    done = run(tmp_path, features=features)
    assert (done.computed, done.changes) == (CLIPS, (change,))
    is_as_if_made_anew(tmp_path, features=features)


def test_a_shard_that_is_lost_does_not_mix_old_and_new(lines: Lines, tmp_path: Path) -> None:
    run(tmp_path)
    (tmp_path / "out/shards/00001.arrow").unlink()
    for line in lines:
        line["speaker"] = f"new {line['speaker']}"
    write(tmp_path, lines)
    done = run(tmp_path)
    assert (done.computed, done.repaired) == (4, ("00001.arrow",))
    is_as_if_made_anew(tmp_path)


def test_what_was_begun_before_a_correction_is_not_taken_up(
    lines: Lines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_after(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    monkeypatch.undo()
    monkeypatch.setattr(plan, "CLIPS_PER_SHARD", (4, 4))
    lines[1]["speaker"] = "other"
    write(tmp_path, lines)
    assert run(tmp_path).computed == 8  # of the two shards, the one that is as it was stays
    is_as_if_made_anew(tmp_path)


@pytest.mark.parametrize("after", [0, 1, 2])
def test_an_update_that_was_stopped_goes_on_to_the_same_bytes(
    lines: Lines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    run(tmp_path)
    for line in lines:
        line["speaker"] = f"new {line['speaker']}"
    lines[5]["transcript"] = "other words"
    write(tmp_path, lines)
    stop_after(monkeypatch, after)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    monkeypatch.undo()
    monkeypatch.setattr(plan, "CLIPS_PER_SHARD", (4, 4))
    assert not (tmp_path / "out/manifest.json").exists()
    assert run(tmp_path).computed <= 1  # features are still not computed anew
    is_as_if_made_anew(tmp_path)


def test_numbers_are_compared_as_numbers() -> None:
    labels = LabelSet("two", ("a", "b"))
    clip = Clip("x", label="a", start=1, end=2, valence=float("nan"), votes=(Vote("r", ("a",), 3),))
    data, _ = shard_bytes(
        [(clip, {})], labels, FeatureSettings(audio=None, video=None, text=None, prosody=False), {}
    )
    (row,) = read_metadata(data)
    assert changed_metadata(row, clip, labels) == []
    assert changed_metadata(row, replace(clip, valence=2.0), labels) == ["valence"]
    assert changed_metadata(row, replace(clip, votes=()), labels) == ["votes"]


def stop_after(monkeypatch: pytest.MonkeyPatch, shards: int) -> None:
    """Let preparing be interrupted after so many shards."""
    done: list[int] = []

    def counted(task: worker.Task) -> int:
        if len(done) == shards:
            raise KeyboardInterrupt
        done.append(task.number)
        return worker.make_shard(task)

    monkeypatch.setattr("emohop.preparation.prepare_corpus.make_shard", counted)


def test_a_table_of_its_own_that_is_lost_costs_time_and_nothing_else(
    lines: Lines, tmp_path: Path
) -> None:
    run(tmp_path)
    (tmp_path / "out/index.csv").unlink()
    done = run(tmp_path)
    assert done.computed == CLIPS
    assert "index.csv does not say what it was made of" in str(done.changes[0])
    is_as_if_made_anew(tmp_path)


def test_a_joined_corpus_whose_part_changed_is_not_opened(lines: Lines, tmp_path: Path) -> None:
    run(tmp_path)
    run(tmp_path, "other")
    join([tmp_path / "out", tmp_path / "other"], [], tmp_path / "joined")
    assert len(open_prepared(tmp_path / "joined")) == 2 * CLIPS
    lines[1]["speaker"] = "other"
    write(tmp_path, lines)
    run(tmp_path)
    with pytest.raises(EmohopError, match=r"joined joins out, and .*out is another since: join"):
        open_prepared(tmp_path / "joined")


@pytest.mark.parametrize("where", ["source/out", "source", "."])
def test_it_lies_apart_from_its_corpus(lines: Lines, tmp_path: Path, where: str) -> None:
    before = tree(tmp_path)
    with pytest.raises(EmohopError, match=r"holds the corpus's folder|lies in the corpus's folder"):
        run(tmp_path, where)
    assert tree(tmp_path) == before


def test_the_commands(lines: Lines, tmp_path: Path) -> None:
    def emohop(*words: object, status: int = 0) -> str:
        done = CliRunner().invoke(app, [str(word) for word in words])
        assert done.exit_code == status, done.output
        return done.output

    source, out = tmp_path / "source", tmp_path / "out"
    words = ["prepare", "folder", source, out, "--video", "none", "--no-prosody", "--jobs", 1]
    emohop(*words)
    assert f"{out} is what {source} holds" in emohop("check", out, "--against", source)
    lines[0]["speaker"] = "other"
    write(tmp_path, lines)
    said = emohop("check", out, "--against", source, status=1)
    assert "1 clip: speaker changed (c00)\nerror: " in said
    assert "brought up to date: 1 clip: speaker changed (c00)" in emohop(*words)
    assert "nothing to do" in emohop(*words)
    soundfile.write(source / "11.wav", *soundfile.read(source / "10.wav"))
    said = emohop(*words)
    assert "c11 is the same recording as c10" in said
    assert f"copies: 1, listed in {out}/copies.csv" in said
    assert "c11 is the same recording as c10" in emohop("check", "folder", source)
    wrong = emohop("check", "folder", source, "--against", source, status=1)
    assert "go with a prepared corpus" in wrong
