"""Exporting: what was imported comes out again, and other corpora in the release's form."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from emohop.clips import Clip, LabelSet, Split
from emohop.errors import EmohopError
from emohop.files import sha256
from emohop.release_arrays import export_arrays, import_arrays
from emohop.release_arrays.writing import AUDIO_STEPS, TEXT_STEPS, VIDEO_STEPS
from emohop.storage import open_prepared
from emohop.storage.manifest import MANIFEST, Manifest, Shard, fingerprint, write_manifest
from emohop.storage.shards import write_shard
from tests.prepared import FEATURES, SIZES, write_prepared
from tests.release_arrays.folder import CLIPS, WORDS, write_folder


def test_export_gives_what_import_read(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "arrays")
    import_arrays(folder, tmp_path / "imported")
    export_arrays(tmp_path / "imported", tmp_path / "exported")
    names = {path.name for path in folder.iterdir()}
    assert {path.name for path in (tmp_path / "exported").iterdir()} == names
    for name in names - {"dic.pkl"}:
        ours, theirs = (np.load(path / name) for path in (tmp_path / "exported", folder))
        assert ours.dtype == theirs.dtype, name
        if ours.ndim == 3:  # stored steps are 1000 and 32 in each exported file
            steps = theirs.shape[1]
            assert ours.shape[1] == (AUDIO_STEPS if "mfcc" in name else VIDEO_STEPS)
            assert not ours[:, steps:].any()
            assert np.array_equal(ours[:, :steps], np.nan_to_num(theirs)), name
        elif "seqN" in name:  # those beyond the stored steps were not imported
            steps = np.load(folder / name.replace("audio_seqN", "audio_mfcc").replace("_seqN", ""))
            assert np.array_equal(ours, np.minimum(theirs, steps.shape[1])), name
        elif "nlp" in name:
            behind = (theirs == 0).cumsum(axis=1) > 0
            assert np.array_equal(ours[:, : theirs.shape[1]], np.where(behind, 0, theirs))
            assert ours.shape == (len(theirs), TEXT_STEPS)
            assert not ours[:, theirs.shape[1] :].any()
        else:
            assert np.array_equal(ours, theirs), name
    ours, theirs = (
        pickle.loads((path / "dic.pkl").read_bytes()) for path in (tmp_path / "exported", folder)
    )
    assert ours == theirs


def test_import_gives_what_export_wrote(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "arrays", classes=4)
    one = import_arrays(folder, tmp_path / "imported").manifest
    done = export_arrays(tmp_path / "imported", tmp_path / "exported")
    assert done.clips == CLIPS
    assert (done.words, done.vectors) == (WORDS, "the corpus")
    other = import_arrays(tmp_path / "exported", tmp_path / "again").manifest
    assert one == other  # the fingerprint covers every row


def test_a_corpus_of_session_folds(tmp_path: Path) -> None:
    corpus = open_prepared(write_prepared(tmp_path / "prepared"))
    done = export_arrays(corpus.folder, tmp_path / "out", fold=1)
    assert (done.fold.name, done.labels) == ("Ses02", ("ang", "hap", "sad"))
    words = pickle.loads((tmp_path / "out/dic.pkl").read_bytes())
    matrix = np.load(tmp_path / "out/W_embedding.npy")
    assert matrix.shape == (len(words), 300)
    assert not matrix[0].any()
    assert 0.24 < np.abs(matrix[1:]).max() <= 0.25
    training_words = {word for i in done.fold.train for word in corpus[int(i)].text.tolist()}
    assert set(words) == {"_PAD_", "_UNK_", *training_words}
    for split, rows in (("train", done.fold.train), ("dev", done.fold.dev)):
        arrays = {
            name: np.load(tmp_path / f"out/{split}_{name}.npy")
            for name in ("audio_mfcc", "audio_seqN", "audio_prosody", "nlp_trans", "label")
        }
        for place, i in enumerate(rows):
            row = corpus[int(i)]
            frames = arrays["audio_seqN"][place]
            assert frames == len(row.audio)
            assert np.array_equal(arrays["audio_mfcc"][place, :frames], row.audio)
            assert np.array_equal(arrays["audio_prosody"][place], row.prosody)
            assert done.labels[arrays["label"][place]] == row.label
            numbers = [words.get(word, 1) for word in row.text.tolist()]
            assert arrays["nlp_trans"][place].tolist() == numbers + [0] * (128 - len(numbers))


def test_long_clips_and_the_numbers_of_the_release(tmp_path: Path) -> None:
    """Seven classes in an order of their own; a clip that is longer than what is stored."""
    labels = LabelSet("own", ("neu", "sur", "fru", "sad", "hap", "exc", "ang"))
    folder = tmp_path / "prepared"
    (folder / "shards").mkdir(parents=True)
    rng = np.random.default_rng(0)
    rows = []
    splits: list[Split] = ["train", "train", "dev", "dev", "test", "test", "test"]
    for i, split in enumerate(splits):
        arrays = {
            "audio": rng.normal(size=(AUDIO_STEPS + i, 6)).astype(np.float32),
            "prosody": rng.normal(size=35).astype(np.float32),
            "text": np.array([f"w{k}" for k in range(TEXT_STEPS + i)], dtype=np.str_),
            "video": rng.normal(size=(VIDEO_STEPS + i, 5)).astype(np.float32),
        }
        rows.append((Clip(f"c{i}", label=labels.labels[i], split=split), arrays))
    path = folder / "shards/00000.arrow"
    write_shard(path, rows, labels, FEATURES, SIZES)
    shards = (Shard(file=path.name, clips=len(rows), sha256=sha256(path)),)
    counts = dict.fromkeys(labels.labels, 1)
    write_manifest(
        folder,
        Manifest(
            corpus="own",
            class_set="own",
            labels=labels.labels,
            features=FEATURES,
            sizes=SIZES,
            label_counts=counts,
            dropped={},
            problems=0,
            shards=shards,
            fingerprint=fingerprint({}, shards),
        ),
    )
    done = export_arrays(folder, tmp_path / "out")
    assert done.labels == ("ang", "exc", "hap", "sad", "fru", "sur", "neu")
    assert np.load(tmp_path / "out/test_label.npy").tolist() == [2, 1, 0]
    assert np.load(tmp_path / "out/dev_audio_seqN.npy").tolist() == [1002, 1003]
    assert np.load(tmp_path / "out/dev_video_seqN.npy").tolist() == [34, 35]
    audio = np.load(tmp_path / "out/dev_audio_mfcc.npy")
    assert np.array_equal(audio[1], rows[3][1]["audio"][:AUDIO_STEPS])
    text = np.load(tmp_path / "out/test_nlp_trans.npy")
    assert text.shape == (3, TEXT_STEPS)
    assert (text > 0).all()


def test_vectors_of_a_file(tmp_path: Path) -> None:
    glove = tmp_path / "vectors.txt"
    glove.write_text("the 1 2 3\nw4 4 5 6\nyes 7 8 9\n")
    prepared = write_prepared(tmp_path / "prepared")
    done = export_arrays(prepared, tmp_path / "a", glove=glove)
    words = pickle.loads((tmp_path / "a/dic.pkl").read_bytes())
    matrix = np.load(tmp_path / "a/W_embedding.npy")
    assert done.vectors == str(glove)
    assert matrix[words["the"]].tolist() == [1, 2, 3]
    import_arrays(write_folder(tmp_path / "arrays"), tmp_path / "imported")
    export_arrays(tmp_path / "imported", tmp_path / "b", glove=glove)  # before the corpus's own
    words = pickle.loads((tmp_path / "b/dic.pkl").read_bytes())
    assert len(words) == WORDS
    assert np.load(tmp_path / "b/W_embedding.npy")[words["w4"]].tolist() == [4, 5, 6]
    glove.write_text("zebra 1 2 3\n")
    with pytest.raises(EmohopError, match="holds none of the corpus's"):
        export_arrays(prepared, tmp_path / "c", glove=glove)


def test_what_is_refused(tmp_path: Path) -> None:
    prepared = write_prepared(tmp_path / "prepared")
    with pytest.raises(EmohopError, match=r"no fold 3: there are 0\.\.2"):
        export_arrays(prepared, tmp_path / "out", fold=3)
    with pytest.raises(EmohopError, match="60 of 60 clips are in none of the corpus's own"):
        export_arrays(prepared, tmp_path / "out", protocol="official")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.txt").touch()
    with pytest.raises(EmohopError, match="is not empty"):
        export_arrays(prepared, tmp_path / "full")
    for missing in ("audio", "text", "video"):
        other = Path(shutil.copytree(prepared, tmp_path / missing))
        values = json.loads((other / MANIFEST).read_text())
        values["features"][missing] = None
        values["sizes"].pop(missing, None)
        (other / MANIFEST).write_text(json.dumps(values))
        with pytest.raises(EmohopError, match=f"was prepared without {missing}, which"):
            export_arrays(other, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_zeros_stand_where_there_is_no_prosody(tmp_path: Path) -> None:
    arrays = write_folder(tmp_path / "arrays")
    for path in arrays.glob("*_audio_prosody.npy"):
        path.unlink()
    import_arrays(arrays, tmp_path / "imported")
    done = export_arrays(tmp_path / "imported", tmp_path / "out")
    assert not done.prosody
    prosody = np.load(tmp_path / "out/train_audio_prosody.npy")
    assert prosody.shape == (done.clips["train"], 35)
    assert not prosody.any()


def test_an_interrupted_export_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(done: int, todo: int) -> None:
        raise KeyboardInterrupt

    prepared = write_prepared(tmp_path / "data/prepared")
    with pytest.raises(KeyboardInterrupt):
        export_arrays(prepared, tmp_path / "out", progress=interrupt)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
