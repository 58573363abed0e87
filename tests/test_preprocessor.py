"""From rows to batches: what is padded, cut off and numbered, and what does not fit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from emohop.clips import Modality
from emohop.config import Recipe
from emohop.errors import EmohopError
from emohop.preprocessor import Preprocessor, check_fit
from emohop.recipes import make_recipe
from emohop.release_arrays import import_arrays
from emohop.storage import PreparedCorpus, open_prepared
from tests.prepared import write_prepared
from tests.release_arrays.folder import VECTOR, write_folder


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> PreparedCorpus:
    return open_prepared(write_prepared(tmp_path_factory.mktemp("preprocessor") / "prepared"))


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> PreparedCorpus:
    """A corpus that brings word vectors along."""
    folder = tmp_path_factory.mktemp("preprocessor")
    import_arrays(write_folder(folder / "arrays"), folder / "imported")
    return open_prepared(folder / "imported")


def recipe(*settings: str) -> Recipe:
    return make_recipe("demo", [f"model.text.embedding={VECTOR}", *settings])


def test_a_batch_is_padded_and_cut_off(corpus: PreparedCorpus) -> None:
    plain = recipe("training.standardise=none", "model.audio.max_length=12", "model.prosody=true")
    preprocessor = Preprocessor.fit(corpus, range(40), plain)
    rows = corpus[20:50]
    batch = preprocessor.batch(rows)
    assert batch.ids == tuple(row.id for row in rows)
    assert batch.classes is not None
    assert [preprocessor.labels[n] for n in batch.classes] == [row.label for row in rows]
    assert batch.prosody is not None
    assert np.array_equal(batch.prosody.numpy(), np.stack([row.prosody for row in rows]))
    for m in Modality:
        limit = plain.model.encoder(m).max_length
        lengths = [min(len(row[m.value]), limit) for row in rows]
        assert batch.lengths[m].tolist() == lengths
        steps = batch.sequences[m]
        assert steps.shape[:2] == (len(rows), max(lengths))
        assert steps.dtype == (torch.int64 if m is Modality.TEXT else torch.float32)
        for clip, row, length in zip(steps.numpy(), rows, lengths, strict=True):
            assert not clip[length:].any()
            if m is Modality.TEXT:
                assert preprocessor.vocabulary is not None
                assert (
                    clip[:length].tolist()
                    == preprocessor.vocabulary.ids(row.text.tolist()).tolist()
                )
            else:
                assert np.array_equal(clip[:length], row[m.value][:length])


def test_clips_without_a_step_have_one_that_does_not_count(corpus: PreparedCorpus) -> None:
    preprocessor = Preprocessor.fit(corpus, range(40), recipe())
    silent = [row for row in corpus if not len(row.text)]
    assert silent
    batch = preprocessor.batch(silent)
    assert batch.sequences[Modality.TEXT].tolist() == [[0]] * len(silent)
    assert batch.lengths[Modality.TEXT].tolist() == [0] * len(silent)


def test_batches_ask_for_their_own_rows_only(corpus: PreparedCorpus) -> None:
    asked: list[int] = []

    class Counting:
        def __getitem__(self, i: int) -> Any:
            asked.append(i)
            return corpus[i]

    preprocessor = Preprocessor.fit(corpus, range(40), recipe())
    batches: Iterator[Any] = preprocessor.batches(Counting(), range(40, 60), 8)  # type: ignore[arg-type]
    assert len(next(batches)) == 8
    assert asked == list(range(40, 48))
    assert [len(batch) for batch in batches] == [8, 4]


def test_the_vocabulary_is_that_of_the_training_rows(corpus: PreparedCorpus) -> None:
    preprocessor = Preprocessor.fit(corpus, range(10), recipe())
    assert preprocessor.vocabulary is not None
    words = {word for row in corpus[:10] for word in row.text.tolist()}
    assert set(preprocessor.vocabulary.tokens) == {"_PAD_", "_UNK_", *words}


def test_the_statistics_are_those_of_the_training_rows(
    corpus: PreparedCorpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of every feature, and a clip without audio has no prosody to count."""
    whole = PreparedCorpus.__getitem__

    def without_audio(self: PreparedCorpus, i: Any) -> Any:
        row = whole(self, i)
        return row.without(Modality.AUDIO) if int(i) % 2 else row

    heard = corpus[0:10:2]
    monkeypatch.setattr(PreparedCorpus, "__getitem__", without_audio)
    fitted = Preprocessor.fit(corpus, range(10), recipe("model.prosody=true"))
    for name in ("audio", "prosody"):
        array = np.concatenate([np.atleast_2d(row[name]) for row in heard]).astype(np.float64)
        for found, expected in zip(
            fitted.standardiser.overall[name], (array.mean(0), array.std(0)), strict=True
        ):
            np.testing.assert_allclose(found, expected, atol=1e-5)


def test_per_speaker_is_by_all_of_a_speaker_s_clips_that_may_be_seen(
    corpus: PreparedCorpus,
) -> None:
    wanted = recipe("training.standardise=per_speaker", "model.prosody=true")
    speakers = corpus.metadata("speaker")
    for seen in (range(60), range(50)):
        known = corpus if len(seen) == 60 else corpus.only(seen)
        fitted = Preprocessor.fit(known, range(20), wanted)
        tested = [i for i in seen if speakers[i] == "Ses03F"]  # not of the training rows
        assert len(tested) == (10 if len(seen) == 60 else 5)
        batch = fitted.batch([known[i] for i in tested])
        assert batch.prosody is not None
        steps, lengths = batch.sequences[Modality.AUDIO], batch.lengths[Modality.AUDIO]
        audio = torch.cat([s[:n] for s, n in zip(steps, lengths.tolist(), strict=True)])
        for array in (audio, batch.prosody):
            assert array.mean(0).numpy() == pytest.approx(0, abs=1e-5)
            assert array.std(0, correction=0).numpy() == pytest.approx(1, abs=1e-4)


def test_a_corpus_s_own_words_are_the_vocabulary(imported: PreparedCorpus) -> None:
    assert imported.word_vectors is not None
    words = imported.word_vectors[0]
    vocabulary = Preprocessor.fit(imported, range(70), recipe()).vocabulary
    assert vocabulary is not None
    assert vocabulary.tokens == words  # all of them, in their order
    limited = Preprocessor.fit(imported, range(70), recipe("training.vocabulary=3")).vocabulary
    assert limited is not None
    assert len(limited) == 5
    assert set(limited.tokens) < set(words)


def test_word_vectors_of_another_size(imported: PreparedCorpus, corpus: PreparedCorpus) -> None:
    large = recipe("model.text.embedding=300")
    with pytest.raises(EmohopError, match=r"numbers, not 300: set model\.text\.embedding=4,"):
        check_fit(imported, large)
    with pytest.raises(EmohopError, match="brings word vectors of 4 numbers"):
        Preprocessor.fit(imported, range(70), large)
    for fits in (
        recipe("model.text.embedding=300", "model.text.glove=random"),
        recipe("model.text.embedding=300", "model.text.glove=a/file.txt"),
        recipe("model.text.embedding=300", "model.modalities=[audio, video]"),
    ):
        check_fit(imported, fits)
    check_fit(corpus, large)


def test_inputs_of_a_model_config(imported: PreparedCorpus) -> None:
    preprocessor = Preprocessor.fit(imported, range(70), recipe())
    again = Preprocessor.from_config(preprocessor.to_config())
    assert again.vocabulary == preprocessor.vocabulary
    one, other = (x.batch(imported[:5]) for x in (preprocessor, again))
    assert all(torch.equal(one.sequences[m], other.sequences[m]) for m in Modality)


def test_not_a_number_is_named(tmp_path: Path) -> None:
    corpus = open_prepared(write_prepared(tmp_path / "prepared", poison="Ses01_004"))
    preprocessor = Preprocessor.fit(corpus, range(20, 60), recipe())
    with pytest.raises(EmohopError, match="clip Ses01_004: its audio holds NaN or infinity"):
        preprocessor.batch([corpus[4]])
