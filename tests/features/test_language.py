"""Language models by the word, against transformers' own forward pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from emohop.errors import EmohopError
from emohop.features.language import LanguageEncoder, load_language_encoder
from emohop.features.pretrained import Layers
from emohop.features.text import Text
from tests.features.tiny import LANGUAGE, LAYERS, SIZE, save_language

SAID = "I don't know what you're talking about."
WORDS = ["I", "don't", "know", "what", "you're", "talking", "about", "."]
SHARED = Path(__file__).parents[2] / "../shared/models/all-MiniLM-L6-v2"


def official(folder: str, text: str) -> tuple[list[NDArray[Any]], list[tuple[int, int]]]:
    """Every hidden state [pieces, size] of a text, ends included, and the places of its pieces."""
    import torch
    import transformers as t

    tokenizer: Any = t.AutoTokenizer.from_pretrained(folder)
    model: Any = t.AutoModel.from_pretrained(folder).eval()
    read = tokenizer(text, return_tensors="pt", return_offsets_mapping=True)
    places = [tuple(place) for place in read.pop("offset_mapping")[0].tolist()]
    with torch.inference_mode():
        output = model(
            input_ids=read["input_ids"],
            attention_mask=read["attention_mask"],
            output_hidden_states=True,
        )
    # of ModernBERT, transformers 4 gives the last state before its norm
    states = [*output.hidden_states[:-1], output.last_hidden_state]
    return [state[0].numpy() for state in states], places


def by_word(states: NDArray[Any], places: list[tuple[int, int]], text: str) -> NDArray[Any]:
    """The mean of the pieces that touch each of WORDS, found by searching the text."""
    vectors, at = [], 0
    for word in WORDS:
        begin = text.index(word, at)
        at = begin + len(word)
        touching = [k for k, (a, b) in enumerate(places) if a < at and b > begin and a != b]
        vectors.append(states[touching].mean(axis=0))
    return np.stack(vectors)


@pytest.mark.parametrize("kind", LANGUAGE)
def test_words_of_each_family(tmp_path: Path, kind: str) -> None:
    folder = save_language(tmp_path, kind)
    encoder = load_language_encoder(folder)
    (found,) = encoder([Text(SAID)])
    assert found.words.tolist() == WORDS
    states, places = official(folder, SAID)
    np.testing.assert_allclose(found.vectors, by_word(states[-1], places, SAID), atol=2e-5)
    assert found.vectors.dtype == np.float32
    assert (encoder.size, encoder.layers) == (SIZE, 1)


def test_layers(tmp_path: Path) -> None:
    folder = save_language(tmp_path)
    states, places = official(folder, SAID)
    each = [by_word(state, places, SAID) for state in states]
    for choice, wanted in (
        ("1", each[1]),
        ("mean-2", (each[-1] + each[-2]) / 2),
        ("all", np.concatenate(each, axis=1)),
    ):
        encoder = load_language_encoder(folder, Layers(choice))
        np.testing.assert_allclose(encoder([Text(SAID)])[0].vectors, wanted, atol=2e-5)
    assert encoder.layers == LAYERS + 1


def test_a_batch_is_as_each_alone(tmp_path: Path) -> None:
    encoder = load_language_encoder(save_language(tmp_path))
    texts = [Text(SAID), Text(""), Text("no"), Text("  \t "), Text("Excuse me, " * 30), Text("!")]
    for text, found in zip(texts, encoder(texts), strict=True):
        (alone,) = encoder([text])
        assert alone.words.tolist() == found.words.tolist()
        np.testing.assert_allclose(alone.vectors, found.vectors, atol=2e-5)
        assert found.vectors.shape == (len(found.words), SIZE)
    assert [len(found.words) for found in encoder(texts)] == [8, 0, 1, 0, 90, 1]


def test_signs_of_every_kind(tmp_path: Path) -> None:
    encoder = load_language_encoder(save_language(tmp_path, "roberta"))
    (found,) = encoder(
        [Text("\u201cNo\u2026\u201d she said \u2014 \U0001f600\x00 \ud800 caf\u00e9")]
    )
    assert found.words.tolist()[:6] == ['"', "No", ".", ".", ".", '"']
    assert "caf\u00e9" in found.words.tolist()
    assert np.isfinite(found.vectors).all()


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_a_text_longer_than_the_positions(tmp_path: Path, kind: str) -> None:
    """RoBERTa's table of positions has two more than it can use: reading on would fail."""
    encoder = load_language_encoder(save_language(tmp_path, kind, positions=20))
    words = [f"know{n}" for n in range(70)]
    (found,) = encoder([Text(" ".join(words))])
    assert found.words.tolist() == words
    assert np.isfinite(found.vectors).all()
    (start,) = encoder([Text(" ".join(words[:2]))])
    assert found.vectors.std(axis=0).min() > 0
    assert start.vectors.shape == (2, SIZE)


def context_of(encoder: LanguageEncoder, text: Text) -> tuple[NDArray[Any], NDArray[Any]]:
    """The two halves of a text's vectors: the words', and what stands for the turns before."""
    (found,) = encoder([text])
    return found.vectors[:, :SIZE], found.vectors[:, SIZE:]


def test_turns_before_are_read_and_joined(tmp_path: Path) -> None:
    folder = save_language(tmp_path)
    encoder = load_language_encoder(folder, context=True)
    assert encoder.size == 2 * SIZE
    own, before = context_of(encoder, Text("no", ("know what", "excuse")))
    # what the model reads: [CLS] know what [SEP] excuse [SEP] no [SEP]
    states, places = official(folder, "know what [SEP] excuse [SEP] no")
    last = states[-1]
    assert len(places) == len(last) == 9  # "no" is two pieces
    np.testing.assert_allclose(own, last[-3:-1].mean(0)[None], atol=2e-5)
    np.testing.assert_allclose(before, last[1:-3].mean(0)[None], atol=2e-5)
    alone, nothing = context_of(encoder, Text("no"))
    assert (nothing == 0).all()
    plain = load_language_encoder(folder)([Text("no", ("know what",))])[0].vectors
    np.testing.assert_allclose(plain, alone, atol=2e-5)  # without context, turns are not read


def test_context_gives_way_to_the_text(tmp_path: Path) -> None:
    encoder = load_language_encoder(save_language(tmp_path, positions=12), context=True)
    long = Text("know what you have", ("excuse " * 50, "about"))
    own, before = context_of(encoder, long)
    assert own.shape == (4, SIZE)
    assert np.isfinite(before).all()
    assert np.abs(before).sum() > 0
    full = Text("know " * 30, ("about",))
    own, before = context_of(encoder, full)
    assert own.shape == (30, SIZE)


def test_without_a_fast_tokenizer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import transformers as t

    folder = save_language(tmp_path)
    slow: Any = t.AutoTokenizer.from_pretrained(folder)
    monkeypatch.setattr(type(slow), "is_fast", False)
    with pytest.raises(EmohopError, match="no fast tokenizer"):
        load_language_encoder(folder)


def test_the_real_minilm() -> None:
    if not SHARED.is_dir():
        pytest.skip("the shared model is not here")
    encoder = load_language_encoder(str(SHARED.resolve()))
    texts = ["I am so happy!", "What a joyful day!", "The train leaves at noon."]
    means = [found.vectors.mean(axis=0) for found in encoder([Text(text) for text in texts])]

    def likeness(a: NDArray[Any], b: NDArray[Any]) -> float:
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    assert likeness(means[0], means[1]) > likeness(means[0], means[2]) + 0.1
