"""Several prepared corpora as one: names told apart, nothing copied, disagreements by name."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emohop.clips import Clip
from emohop.config import FeatureSettings
from emohop.errors import EmohopError
from emohop.evaluation.splits import make_folds
from emohop.storage import open_prepared
from emohop.storage.fetching import fetch
from emohop.storage.joining import join
from emohop.storage.manifest import Manifest, VectorFiles, read_manifest, write_manifest
from emohop.storage.verification import verify
from tests import prepared as tests_prepared
from tests.prepared import write_prepared


def rename(folder: Path, **changes: object) -> None:
    manifest = read_manifest(folder)
    write_manifest(folder, manifest.model_copy(update=changes))


@pytest.fixture
def corpora(tmp_path: Path) -> tuple[Path, Path, Path]:
    folders = tuple(tmp_path / name for name in ("a", "b", "c"))
    for number, folder in enumerate(folders):
        write_prepared(folder, clips=30 + number, seed=number)
        rename(folder, corpus=f"made-{folder.name}")
    return folders[0], folders[1], folders[2]


def test_rows_are_the_parts_rows(corpora: tuple[Path, Path, Path], tmp_path: Path) -> None:
    a, b, c = corpora
    manifest = join([a, b], [c], tmp_path / "run/corpus")
    assert manifest.corpus == "made-a+made-b, tested on made-c"
    assert (manifest.clips, sum(manifest.label_counts.values())) == (93, 93)
    joined = open_prepared(tmp_path / "run/corpus")
    assert joined.manifest == manifest
    singles = [(name, row) for name, folder in zip("abc", corpora, strict=True)
               for row in open_prepared(folder)]  # fmt: skip
    for row, (name, single) in zip(joined, singles, strict=True):
        assert row.id == f"made-{name}/{single.id}"
        assert row.speaker == f"made-{name}/{single.speaker}"
        assert row.label == single.label
        assert row.split == ("test" if name == "c" else None)
        assert np.array_equal(row.audio, single.audio)
    assert len(set(joined.metadata("id"))) == 93
    assert joined.metadata("session")[0] == "made-a/Ses01"
    assert joined.metadata("dialog")[0] == "made-a/Ses01_d"
    hidden = joined.only([0, 40])
    assert hidden.metadata("id").count(None) == 91
    assert hidden[40].id == joined[40].id


def test_train_on_two_and_test_on_the_third(
    corpora: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    a, b, c = corpora
    join([a, b], [c], tmp_path / "corpus")
    joined = open_prepared(tmp_path / "corpus")
    (fold,) = make_folds(None, joined.metadata)
    speakers = joined.metadata("speaker")
    assert {speakers[i].split("/")[0] for i in fold.test} == {"made-c"}
    assert len(fold.test) == 32
    dev, train = ({speakers[i] for i in part} for part in (fold.dev, fold.train))
    assert not dev & train
    assert 5 <= len(fold.dev) <= 15
    (other,) = make_folds("cross", joined.metadata, seed=1)
    assert other.dev.tolist() != fold.dev.tolist()


def test_what_the_parts_hold_is_added_up(corpora: tuple[Path, Path, Path], tmp_path: Path) -> None:
    a, b, c = corpora
    rename(a, dropped={"xxx": 2}, problems=1, adapted={"audio": ("u", "v")})
    rename(b, dropped={"xxx": 1, "fru": 3}, problems=2, adapted={"audio": ("u",), "text": ("w",)})
    manifest = join([a, b], [c], tmp_path / "corpus")
    assert manifest.dropped == {"fru": 3, "xxx": 3}
    assert manifest.problems == 3
    assert manifest.adapted == {
        "audio": ("made-a/u", "made-a/v", "made-b/u"), "text": ("made-b/w",),
    }  # fmt: skip


def test_the_fingerprint_is_of_names_and_clips_and_what_is_tested(
    corpora: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    a, b, c = corpora
    found = [join([a, b], [c], tmp_path / "0").fingerprint]
    assert join([a, b], [c], tmp_path / "again").fingerprint == found[0]
    found.append(join([a], [b, c], tmp_path / "1").fingerprint)
    rename(b, corpus="other")
    found.append(join([a, b], [c], tmp_path / "2").fingerprint)
    rename(b, fingerprint="0" * 64)
    found.append(join([a, b], [c], tmp_path / "3").fingerprint)
    assert len(set(found)) == 4


def test_parts_of_its_own_do_not_count_and_the_unknown_stay_unknown(
    corpora: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(**facts: Any) -> Clip:
        return Clip(**{**facts, "speaker": None, "split": "test"})

    monkeypatch.setattr(tests_prepared, "Clip", nobody)
    rename(write_prepared(tmp_path / "d", clips=30), corpus="made-d")
    join([tmp_path / "d"], [corpora[0]], tmp_path / "corpus")
    joined = open_prepared(tmp_path / "corpus")
    assert joined.metadata("split") == [None] * 30 + ["test"] * 30
    assert joined.metadata("speaker")[:30] == [None] * 30


def test_the_whole_may_be_moved(corpora: tuple[Path, Path, Path], tmp_path: Path) -> None:
    a, b, _ = corpora
    join([a], [b], tmp_path / "run/corpus")
    first = open_prepared(tmp_path / "run/corpus")[0].id
    shutil.copytree(tmp_path, tmp_path.parent / "moved")
    for left in (a, b):
        shutil.rmtree(left)
    assert open_prepared(tmp_path.parent / "moved/run/corpus")[0].id == first


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": ("x", "y", "z")}, r"b has the classes x y z, .*a ang hap sad: .*--labels"),
        (
            {"features": FeatureSettings(audio="mfcc39", video="hog")},
            r"b was prepared with audio.encoder = mfcc39, .*a with mfcc120: prepare them alike",
        ),
        (
            {"features": FeatureSettings(video=None)},
            r"b was prepared with none of video, .*a with hog",
        ),
        (
            {"features": FeatureSettings(video={"encoder": "hog", "frames_per_second": 1})},
            "frames_per_second = 1.0",
        ),
        (
            {"features": FeatureSettings(video="hog", prosody=False)},
            "a was prepared with prosody, .*b without",
        ),
        ({"sizes": {"audio": 7}}, "b has features of"),
        (
            {"word_vectors": VectorFiles(words=1, size=1, words_sha256="", matrix_sha256="")},
            "b brings word vectors of its own",
        ),
    ],
)
def test_disagreements_by_name(
    corpora: tuple[Path, Path, Path], tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    a, b, c = corpora
    rename(b, **changes)
    for folders, tests in (([a, c, b], []), ([a, c], [b])):
        with pytest.raises(EmohopError, match=message):
            join(folders, tests, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_names_and_folders_that_are_taken(corpora: tuple[Path, Path, Path], tmp_path: Path) -> None:
    a, b, c = corpora
    rename(b, corpus="made-a")
    manifest = join([a, b], [], tmp_path / "one")
    assert [part.name for part in manifest.parts] == ["a", "b"]
    with pytest.raises(EmohopError, match="two corpora are named a"):
        join([b, a, b / "../a"], [], tmp_path / "two")
    with pytest.raises(EmohopError, match="joins other corpora"):
        join([a, c], [], tmp_path / "one")
    join([a, c], [], tmp_path / "one", replace=True)
    for use in (
        lambda: join([a, tmp_path / "one"], [], tmp_path / "three"),
        lambda: verify(tmp_path / "one"),
        lambda: fetch(tmp_path / "one", tmp_path / "four"),
    ):
        with pytest.raises(EmohopError, match=r"joined|joins"):
            use()


def test_the_manifest_of_a_plain_corpus_knows_of_no_parts(
    corpora: tuple[Path, Path, Path],
) -> None:
    path = corpora[0] / "manifest.json"
    values = json.loads(path.read_text())
    assert values.pop("parts") == []
    path.write_text(json.dumps(values))  # as an older emohop wrote it
    assert isinstance(read_manifest(corpora[0]), Manifest)


def test_the_command(corpora: tuple[Path, Path, Path], tmp_path: Path) -> None:
    a, b, c = corpora
    small = ["--set", "training.max_epochs=1", "--set", "model.audio.hidden=4", "--jobs", "1"]

    def train(*words: object) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "emohop", "train", *map(str, words), "--model", "are", *small]
        return subprocess.run(line, capture_output=True, text=True, check=False)

    wrong = train(a, b, tmp_path / "run", "--test", c, "--set", "model.prosody=maybe")
    assert wrong.returncode == 1
    done = train(b, tmp_path / "run", "--test", c)  # what was joined in vain is forgotten
    assert done.returncode == 0, done.stderr
    assert "protocol cross" in done.stdout
    results = json.loads((tmp_path / "run/results.json").read_text())
    assert (results["protocol"], results["reservations"], results["pooled"]["n"]) == (
        "cross",
        [],
        32,
    )
    assert results["corpus"] == "made-b, tested on made-c"
    other = train(a, tmp_path / "run", "--test", c)
    assert other.returncode == 1
    assert "joins other corpora" in other.stderr
    alone = train(a)
    assert "name a prepared corpus, and the run folder as last word" in alone.stderr


def test_a_corpus_without_votes_stands_beside_one_that_has_them(
    corpora: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    a, b, c = corpora
    sizes = read_manifest(a).sizes
    rename(a, sizes={**sizes, "raters": 3})
    assert join([a, b], [c], tmp_path / "mixed").sizes == sizes
    rename(b, sizes={**sizes, "raters": 3})
    assert join([a, b], [], tmp_path / "both").sizes == {**sizes, "raters": 3}
