"""Clips are known again by what they hold: the hashes that a model remembers."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emohop
from emohop.content import Content, hash_array, hash_name, hash_samples, hash_transcript
from emohop.errors import EmohopError
from emohop.evaluation.splits import make_folds
from emohop.learned import LEARNED, ClipHashes, ClipPart, LearnedClips
from emohop.models.folder import ModelFolder
from emohop.recipes import make_recipe
from emohop.storage import open_prepared
from emohop.training.run import train
from tests.prepared import write_prepared

LONG = "this sentence has more than five words"


def clips(
    ids: str, contents: list[Content], corpus: str = "made", speakers: str | None = None
) -> ClipHashes:
    return ClipHashes.of(corpus, list(ids), list(speakers or ids), contents)


def heard(number: int, said: str | None = None) -> Content:
    return Content(audio=number, text=hash_transcript(said), video=number + 1000)


def model_of(found: ClipHashes) -> LearnedClips:
    """Two clips of train, one of dev, one of test, and one of none."""
    return LearnedClips.of(found, [[0, 1], [2], [3]])


FIVE = [heard(n) for n in range(1, 6)]
MODEL = model_of(clips("abcde", FIVE))
PARTS = [ClipPart.TRAIN, ClipPart.TRAIN, ClipPart.DEV, ClipPart.TEST, ClipPart.REST]


def test_recordings_are_known_under_any_name_and_corpus() -> None:
    other = clips("vwxyz", FIVE[::-1], corpus="folder")
    assert MODEL.find(other).tolist() == PARTS[::-1]
    silent = [replace(content, audio=None) for content in FIVE]
    assert MODEL.find(clips("vwxyz", silent)).tolist() == PARTS  # by their frames
    assert MODEL.find(clips("xy", [heard(9), Content(audio=9)])).tolist() == [ClipPart.NEW] * 2


def test_ids_tell_where_most_of_their_recordings_are_the_same() -> None:
    mended = [heard(77), *FIVE[1:]]
    assert MODEL.find(clips("abcde", mended)).tolist() == PARTS
    others = [heard(n) for n in range(20, 25)]
    assert MODEL.find(clips("abcde", others)).tolist() == [ClipPart.NEW] * 5
    assert MODEL.same_names(clips("abcdz", others)).tolist() == [True] * 3 + [False] * 2
    shuffled = [FIVE[n] for n in (3, 4, 0, 1, 2)]
    assert MODEL.find(clips("abcde", shuffled)).tolist() == [PARTS[n] for n in (3, 4, 0, 1, 2)]


def test_a_converted_corpus_is_known_by_ids_and_sentences() -> None:
    said = [heard(n, f"{LONG} {n}") for n in range(1, 6)]
    model = model_of(clips("abcde", said))
    converted = [replace(content, audio=90 + n, video=None) for n, content in enumerate(said)]
    assert model.find(clips("abcde", converted)).tolist() == PARTS
    assert model.find(clips("vwxyz", converted)).tolist() == [ClipPart.NEW] * 5


def test_where_there_are_only_words_they_are_what_was_learned() -> None:
    words = [Content(text=hash_transcript(t)) for t in ("Yes.", LONG, "No!", LONG, "Oh")]
    model = model_of(clips("abcde", words))
    assert model.find(clips("abcde", words)).tolist() == PARTS  # d is its own test clip
    assert model.find(clips("vwxyz", words)).tolist() == [1, 1, 2, 1, 0]
    assert model.find(clips("x", [Content(text=hash_transcript("YES"))])).tolist() == [
        ClipPart.TRAIN
    ]


def test_a_copy_that_was_left_out_of_training_is_in_no_part() -> None:
    twice = [heard(1), heard(2), heard(3), heard(4), heard(4)]
    model = model_of(clips("abcde", twice))
    again = clips("abcde", twice)
    found = model.find(again)
    assert found.tolist() == [1, 1, 2, 3, 3]
    assert model.dropped(again, found).tolist() == [False] * 4 + [True]


def test_speakers_are_known_by_name() -> None:
    model = LearnedClips.of(clips("abc", FIVE[:3], speakers="xyz"), [[0], [1], [2]])
    assert model.knows_speakers(clips("ab", FIVE[:2], speakers="xz")).tolist() == [True, False]
    elsewhere = clips("ab", FIVE[:2], speakers="xz", corpus="other")
    assert not model.knows_speakers(elsewhere).any()
    nobody = ClipHashes.of("made", ["a"], [None], [heard(1)])
    assert LearnedClips.of(nobody, [[0], [], []]).knows_speakers(nobody).tolist() == [False]


def test_an_encoder_that_was_finetuned_twice_has_seen_both() -> None:
    other = LearnedClips.of(clips("pqr", [heard(n) for n in (51, 52, 53)]), [[0], [1], [2]])
    both = MODEL.beside(other)
    assert both.counts == (3, 2)
    assert both.find(clips("ap", [heard(1), heard(51)])).tolist() == [
        ClipPart.TRAIN,
        ClipPart.TRAIN,
    ]


@given(st.lists(st.integers(0, 40), min_size=3, max_size=60))
def test_bytes_come_back(numbers: list[int]) -> None:
    contents = [Content(audio=n or None, text=n + 1) for n in numbers]
    hashes = ClipHashes.of(
        "c", [str(n) for n in range(len(numbers))], ["s"] * len(numbers), contents
    )
    cut = len(numbers) // 3
    rows = list(range(len(numbers)))
    model = LearnedClips.of(hashes, [rows[:cut], rows[cut : 2 * cut], rows[2 * cut :]])
    data = model.to_bytes()
    assert LearnedClips.from_bytes(data, model.described(data)) == model
    for table in model.tables.values():
        assert (np.diff(table.astype(np.float64)) > 0).all() or len(table) < 2  # sorted, each once


def test_what_a_clip_holds() -> None:
    tone = np.sin(np.arange(100, dtype=np.float32))
    assert hash_samples(tone, 16_000) == hash_samples(tone.copy(), 16_000)
    assert hash_samples(tone, 16_000) != hash_samples(tone, 8_000)
    assert hash_samples(np.zeros(100, np.float32), 16_000) is None  # silence tells no clip
    assert hash_samples(tone[:0], 16_000) is None
    frames = np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3)
    assert hash_array(frames) != hash_array(frames.reshape(1, 4, 2, 3))
    assert hash_array(np.zeros((2, 2), np.uint8)) is None
    assert hash_transcript("I don\u2019t know!") == hash_transcript("i don't KNOW")
    assert hash_transcript(None) is None
    assert hash_name("a", "b") != hash_name("ab")
    assert Content(None, 1, 2).recording == 2


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    recipe = make_recipe("demo", ["training.max_epochs=1", "folds=[0]"])
    train(write_prepared(folder / "prepared"), folder / "run", recipe)
    return folder / "run/fold-0/seed-0/model"


def test_a_model_folder_holds_no_names(model: Path) -> None:
    corpus = open_prepared(model.parents[3] / "prepared")
    data = (model / LEARNED).read_bytes()
    for name in (*corpus.metadata("id"), *corpus.metadata("speaker"), "never", "great"):
        assert name.encode() not in data
    (fold, *_) = make_folds("session", corpus.metadata)
    learned = ModelFolder(model).learned(ModelFolder(model).config())
    assert learned == LearnedClips.of(
        corpus.hashes(), [part.tolist() for part in (fold.train, fold.dev, fold.test)]
    )
    assert len(data) < 60 * 5 * 8 + 2000


def test_a_file_that_is_missing_damaged_or_another_s(model: Path, tmp_path: Path) -> None:
    corpus = open_prepared(write_prepared(tmp_path / "other", seed=1))
    copy = Path(shutil.copytree(model, tmp_path / "model"))

    def refused(message: str) -> None:
        with pytest.raises(EmohopError, match=message) as caught:
            emohop.load(copy).evaluate(corpus)
        assert "\n" not in str(caught.value)
        assert emohop.load(copy)(text="oh no").label  # it predicts none the less
        assert len(emohop.load(copy).evaluate(corpus, include_seen=True)) == 60

    whole = (copy / LEARNED).read_bytes()
    (copy / LEARNED).write_bytes(whole[:-1])
    with pytest.raises(EmohopError, match=r"learned\.safetensors cannot be used \(it is damaged"):
        emohop.load(copy).evaluate(corpus)
    (copy / LEARNED).write_bytes(MODEL.to_bytes())
    with pytest.raises(EmohopError, match="or another model's"):
        emohop.load(copy).evaluate(corpus)
    (copy / LEARNED).unlink()
    with pytest.raises(EmohopError, match=r"has no learned\.safetensors, the hashes of its clips"):
        emohop.load(copy).evaluate(corpus)
    config = json.loads((copy / "model.json").read_text())
    del config["learned"]  # as an older emohop wrote it
    (copy / "model.json").write_text(json.dumps(config))
    refused("does not say which clips it was trained on .*train it again")
    said = emohop.load(copy).judged(corpus, include_seen=True).reservations
    assert "does not say which clips" in said[0].text


def test_bytes_that_are_no_hashes() -> None:
    data = b"not safetensors"
    told = MODEL.described(data)
    with pytest.raises(ValueError, match="header"):
        LearnedClips.from_bytes(data, told)
    from safetensors.numpy import save

    data = save({"train.id": np.zeros(3, np.float32)})
    with pytest.raises(ValueError, match="does not hold the hashes"):
        LearnedClips.from_bytes(data, MODEL.described(data))
