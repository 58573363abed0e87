"""Importing: the valid numbers come through unchanged, everything else is said in one line."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from emohop.errors import EmohopError
from emohop.release_arrays import import_arrays
from emohop.release_arrays.parts import read_part
from emohop.storage import open_prepared
from tests.release_arrays.folder import CLIPS, VECTOR, WORDS, write_folder

Change = Callable[[NDArray[Any]], Any]
SEVEN = ("ang", "exc", "hap", "sad", "fru", "sur", "neu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "arrays")


def change(folder: Path, name: str, function: Change) -> None:
    """Replace an array by what `function` makes of it, or by what it has done to it."""
    array = np.load(folder / f"{name}.npy")
    changed = function(array)
    np.save(folder / f"{name}.npy", array if changed is None else changed)


def put(row: Any, value: object) -> Change:
    return lambda array: array.__setitem__(row, value)


def refused(folder: Path, out: Path, *labels: str) -> str:
    with pytest.raises(EmohopError) as caught:
        import_arrays(folder, out, labels or None)
    assert "\n" not in str(caught.value)
    assert not out.exists(), "something half done was left"
    assert [path.name for path in out.parent.iterdir() if path.name[0] == "."] == []
    return str(caught.value)


@pytest.mark.parametrize("of_2018", [False, True])
def test_rows_hold_the_valid_numbers(tmp_path: Path, of_2018: bool) -> None:
    folder = write_folder(tmp_path / "arrays", of_2018=of_2018, classes=4 if of_2018 else 7)
    import_arrays(folder, tmp_path / "out")
    corpus = open_prepared(tmp_path / "out")
    numbers = pickle.loads((folder / "dic.pkl").read_bytes())
    word_of = {number: word for word, number in numbers.items()}
    lengths = {"audio": "seqN" if of_2018 else "audio_seqN", "video": "video_seqN"}
    rows = iter(corpus)
    for split, clips in CLIPS.items():

        def load(name: str, split: str = split) -> NDArray[Any]:
            loaded: NDArray[Any] = np.load(folder / f"{split}_{name}.npy")
            return loaded

        stored = {"audio": load("audio_mfcc"), **({} if of_2018 else {"video": load("video")})}
        for i in range(clips):
            row = next(rows)
            assert (row.id, row.split) == (f"{split}-{i:05d}", split)
            assert (row.speaker, row.session, row.transcript, row.end) == (None,) * 4
            order = ("ang", "hap", "sad", "neu") if of_2018 else SEVEN
            assert row.label == order[load("label")[i]]
            for name, array in stored.items():
                valid = min(load(lengths[name])[i], array.shape[1])
                assert np.array_equal(row[name], array[i, :valid])
            assert np.array_equal(row.prosody, load("audio_prosody")[i])
            ids = [*load("nlp_trans")[i].tolist(), 0]
            assert row.text.tolist() == [word_of[n] for n in ids[: ids.index(0)]]
            assert set(row.arrays) == {"prosody", "text", *stored}
    assert next(rows, None) is None


def test_the_manifest(folder: Path, tmp_path: Path) -> None:
    manifest = import_arrays(folder, tmp_path / "out").manifest
    assert manifest == open_prepared(tmp_path / "out").manifest
    assert (manifest.corpus, manifest.class_set) == ("release-arrays", "iemocap-7")
    assert manifest.labels == SEVEN
    assert sum(manifest.label_counts.values()) == manifest.clips == sum(CLIPS.values())
    assert manifest.sizes == {"audio": 6, "prosody": 35, "video": 8}
    features = manifest.features
    assert features.audio is not None
    assert features.video is not None
    assert (features.audio.encoder, features.video.encoder) == ("imported-6", "imported-8")
    assert features.text is not None
    assert (features.prosody, features.text.encoder) == (True, "words")


def test_known_widths_have_the_names_of_our_features(tmp_path: Path) -> None:
    new = write_folder(tmp_path / "new", audio=(3, 120), video=(2, 2048))
    features = import_arrays(new, tmp_path / "a").manifest.features
    assert features.audio is not None
    assert features.video is not None
    assert (features.audio.encoder, features.video.encoder) == ("mfcc120", "resnet101")
    old = write_folder(tmp_path / "old", audio=(3, 39), of_2018=True, classes=4)
    features = import_arrays(old, tmp_path / "b").manifest.features
    assert features.audio is not None
    assert (features.audio.encoder, features.video) == ("mfcc39", None)


def test_word_vectors_travel(folder: Path, tmp_path: Path) -> None:
    change(folder, "W_embedding", put(0, 1.0))
    import_arrays(folder, tmp_path / "out")
    brought = open_prepared(tmp_path / "out").word_vectors
    assert brought is not None
    words, matrix = brought
    assert {word: n for n, word in enumerate(words)} == pickle.loads(
        (folder / "dic.pkl").read_bytes()
    )
    assert matrix.dtype == np.float32
    assert np.array_equal(matrix[1:], np.load(folder / "W_embedding.npy")[1:])
    assert not matrix[0].any()


def test_the_same_arrays_give_the_same_corpus(folder: Path, tmp_path: Path) -> None:
    def contents(out: Path) -> dict[str, bytes]:
        return {
            str(path.relative_to(out)): path.read_bytes()
            for path in out.rglob("*")
            if path.is_file() and path.name != "plan.json"
        }

    done = import_arrays(folder, tmp_path / "a")
    assert done.computed
    for split in CLIPS:  # padding says nothing
        change(folder, f"{split}_audio_mfcc", lambda array: np.nan_to_num(array, nan=7.0))
    import_arrays(folder, tmp_path / "b")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    change(folder, "W_embedding", put((5, 1), 0.5))
    other = import_arrays(folder, tmp_path / "c").manifest
    assert other.fingerprint != done.manifest.fingerprint


def test_again_into_the_same_folder(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = import_arrays(folder, out)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    again = import_arrays(folder, out)
    assert again.manifest == first.manifest
    assert not again.computed
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    for names, name, function in (
        (tuple("abcdefg"), "dev_label", put(0, 0)),
        (None, "dev_video", put((1, 0, 0), 5.0)),
    ):
        change(folder, name, function)
        with pytest.raises(EmohopError, match="was made from other arrays or labels"):
            import_arrays(folder, out, names)


def test_a_folder_of_something_else_is_left_alone(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.txt").write_text("ten years")
    for out in (tmp_path / "out", tmp_path / "out/thesis.txt", folder):
        with pytest.raises(EmohopError, match="exists and is not a corpus of import-arrays"):
            import_arrays(folder, out)
    assert (tmp_path / "out/thesis.txt").read_text() == "ten years"


def test_an_interrupted_import_leaves_nothing_and_is_repeated(folder: Path, tmp_path: Path) -> None:
    def interrupt(done: int, todo: int) -> None:
        assert done <= todo == sum(CLIPS.values())
        raise KeyboardInterrupt

    out = tmp_path / "new/out"
    with pytest.raises(KeyboardInterrupt):
        import_arrays(folder, out, progress=interrupt)
    assert list(out.parent.iterdir()) == []
    (out.parent / ".out.tmp").mkdir()  # as a killed one leaves it
    out.mkdir()
    assert import_arrays(folder, out).computed
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_labels_by_name(folder: Path, tmp_path: Path) -> None:
    names = tuple("abcdefgh")
    manifest = import_arrays(folder, tmp_path / "a", names).manifest
    assert (manifest.class_set, manifest.labels) == ("imported-8", names)
    assert manifest.label_counts["h"] == 0
    assert import_arrays(folder, tmp_path / "b", SEVEN).manifest.class_set == "iemocap-7"
    assert "names 6 classes, 0..5" in refused(folder, tmp_path / "c", *"abcdef")
    assert "every class needs a name of its own" in refused(folder, tmp_path / "c", *"abcdefa")
    assert "every class needs a name of its own" in refused(folder, tmp_path / "c", *"abcdef", "")
    change(folder, "test_label", put(4, 8))
    message = refused(folder, tmp_path / "c")
    assert "test_label.npy row 4: label 8: such a folder has the classes 0..6" in message
    change(folder, "dev_label", put(3, -1))
    assert "dev_label.npy row 3: label -1: 0 or more" in refused(folder, tmp_path / "c")


@pytest.mark.parametrize(
    ("name", "function", "message"),
    [
        ("train_audio_mfcc", put((66, 0, 5), np.nan), "train_audio_mfcc.npy row 66: NaN"),
        ("dev_video", put((4, 0, 0), -np.inf), "dev_video.npy row 4: NaN or infinity"),
        ("dev_audio_mfcc", lambda a: a.astype(np.float64) * 1e300, "dev_audio_mfcc.npy row 1: NaN"),
        ("test_audio_prosody", put((5, 34), np.inf), "test_audio_prosody.npy row 5: NaN"),
        ("W_embedding", put((7, 0), np.nan), "W_embedding.npy row 7: NaN or infinity"),
        ("W_embedding", lambda a: a[:-1], f"has 11 rows: one for each of {WORDS} words"),
        ("W_embedding", lambda a: a[0], r"W_embedding.npy has the shape [4]: 2 dimensions"),
        ("dev_nlp_trans", put((1, 6), WORDS), "row 1: word number 12: the dictionary has 0..11"),
        ("dev_nlp_trans", put((1, 6), -3), "dev_nlp_trans.npy row 1: word number -3"),
        ("dev_nlp_trans", lambda a: a.astype(float), "holds float64: whole numbers are expected"),
        ("dev_nlp_trans", lambda a: a[:, 0], "has the shape [5]: 2 dimensions"),
        ("train_audio_seqN", put(9, -2), "train_audio_seqN.npy row 9: -2 steps: 0 or more"),
        (
            "train_video_seqN",
            lambda a: a[1:],
            "train_video_seqN.npy holds 69 clips and train_label",
        ),
        ("test_video", lambda a: a[:-1], "test_video.npy holds 5 clips and test_label.npy 6"),
        ("test_nlp_trans", lambda a: a[:-1], "test_nlp_trans.npy holds 5 clips and test_label"),
        ("test_audio_prosody", lambda a: a[:-1], "holds 5 clips and test_label.npy 6"),
        (
            "test_audio_mfcc",
            lambda a: a[:, :, :-1],
            "has 5 numbers in a frame and train_audio_mfcc",
        ),
        ("dev_audio_mfcc", lambda a: a[0], "has the shape [9, 6]: 3 dimensions"),
        ("dev_audio_mfcc", lambda a: a[:, :0], "has the shape [5, 0, 6]: 3 dimensions"),
        ("dev_audio_mfcc", lambda a: a > 0, "holds bool: floating-point numbers are expected"),
        ("train_label", lambda a: a.astype(np.float32), "holds float32: whole numbers"),
        ("dev_label", lambda a: a[:0], "dev_label.npy holds no clips"),
        ("dev_label", lambda a: a[:, None], "dev_label.npy has the shape [5, 1]"),
    ],
)
def test_arrays_that_cannot_be_used(
    folder: Path, tmp_path: Path, name: str, function: Change, message: str
) -> None:
    if name.endswith(("_audio_mfcc", "_video")):  # every frame is valid
        change(folder, name, np.nan_to_num)
        change(folder, f"{name.removesuffix('_mfcc')}_seqN", lambda a: np.full_like(a, 9))
    change(folder, name, function)
    assert message in refused(folder, tmp_path / "out")


@pytest.mark.parametrize(
    "name",
    ["dic.pkl", "W_embedding.npy"]
    + [
        f"dev_{array}.npy"
        for array in (
            "label",
            "audio_mfcc",
            "audio_seqN",
            "audio_prosody",
            "nlp_trans",
            "video",
            "video_seqN",
        )
    ],
)
def test_a_missing_file(folder: Path, tmp_path: Path, name: str) -> None:
    (folder / name).unlink()
    assert f"no {name} in {folder}" in refused(folder, tmp_path / "out")


def test_without_prosody_and_video_anywhere(folder: Path, tmp_path: Path) -> None:
    for split in CLIPS:
        for name in ("audio_prosody", "video", "video_seqN"):
            (folder / f"{split}_{name}.npy").unlink()
    manifest = import_arrays(folder, tmp_path / "out").manifest
    assert (manifest.features.prosody, manifest.features.video) == (False, None)
    assert set(open_prepared(tmp_path / "out")[0].arrays) == {"audio", "text"}


def _object_array(path: Path) -> None:
    np.save(path, np.array([{}, None], dtype=object), allow_pickle=True)


def _archive(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, np.zeros(3))


def _cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def _pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps(np.zeros(3)))


@pytest.mark.parametrize("damage", [_object_array, _archive, _cut_off, _pickled])
@pytest.mark.parametrize("name", ["dev_audio_mfcc", "dev_label", "W_embedding"])
def test_files_that_are_no_arrays_of_numbers(
    folder: Path, tmp_path: Path, damage: Callable[[Path], None], name: str
) -> None:
    damage(folder / f"{name}.npy")
    assert f"{name}.npy is " in refused(folder, tmp_path / "out")


def test_arrays_of_python_2_and_of_other_kinds(folder: Path, tmp_path: Path) -> None:
    expected = import_arrays(folder, tmp_path / "a").manifest
    change(folder, "dev_audio_mfcc", lambda a: np.asfortranarray(a.astype(">f8")))
    change(folder, "dev_nlp_trans", lambda a: a.astype(np.int32))
    stored = (folder / "dev_label.npy").read_bytes()
    of_python_2 = stored.replace(b"(5,), } ", b"(5L,), }")
    assert len(of_python_2) == len(stored)
    assert of_python_2 != stored
    (folder / "dev_label.npy").write_bytes(of_python_2)
    assert import_arrays(folder, tmp_path / "b").manifest.fingerprint == expected.fingerprint


def test_no_folder(tmp_path: Path) -> None:
    assert f"no folder {tmp_path / 'nothing'}" in refused(tmp_path / "nothing", tmp_path / "out")


def test_vectors_have_the_size_that_the_folder_gives(folder: Path, tmp_path: Path) -> None:
    vectors = import_arrays(folder, tmp_path / "out").manifest.word_vectors
    assert vectors is not None
    assert (vectors.words, vectors.size) == (WORDS, VECTOR)


def test_lengths_beyond_what_is_stored_are_cut_to_it(folder: Path) -> None:
    change(folder, "train_audio_seqN", put(3, 5000))
    part = read_part(folder, "train", WORDS)
    assert part.lengths["audio"][3] == part.lengths["audio"].max() == 9
    assert part.lengths["audio"].min() < 9
