"""Damage: what was asked for is what is done, measured by other means."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from emohop.clips import Modality
from emohop.errors import EmohopError
from emohop.features.degradation import (
    STANDARD,
    Condition,
    Degradation,
    add_noise,
    babble,
    blurred,
    kept_frames,
    parse_condition,
    parse_conditions,
    white_noise,
    wrong_words,
)

SINGLE = st.one_of(
    st.integers(-20, 60).map(lambda n: f"noise:{n}"),
    st.integers(-20, 60).map(lambda n: f"noise:babble:{n}"),
    st.integers(0, 10).map(lambda n: f"words:{n / 10:g}"),
    st.integers(1, 40).map(lambda n: f"video:blur:{n / 4:g}"),
    st.integers(0, 10).map(lambda n: f"video:drop:{n / 10:g}"),
    st.sampled_from([f"missing:{m}" for m in Modality]),
)


@given(SINGLE)
def test_a_name_is_read_and_written_alike(name: str) -> None:
    condition = parse_condition(name)
    assert str(condition) == name
    (part,) = condition.parts
    assert condition.modalities == (part.modality,)
    assert condition.needs_media == name.startswith(("noise", "video:blur"))


def test_lists_and_the_standard_one() -> None:
    found = parse_conditions(["noise:10, missing:audio", "clean", "noise:10"])
    assert [str(c) for c in found] == ["clean", "noise:10", "missing:audio"]
    assert [str(c) for c in parse_conditions(["standard"])] == ["clean", *STANDARD]
    both = parse_condition("words:0.3+noise:10")
    assert both.parts == (Degradation("words", 0.3), Degradation("noise", 10.0))
    assert both.modalities == (Modality.AUDIO, Modality.TEXT)
    assert Condition().modalities == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nois:10", "did you mean noise:NUMBER"),
        ("noise", "did you mean noise:NUMBER"),
        ("missing:face", "did you mean missing:"),
        ("", "did you mean"),
        ("noise:loud", "noise takes decibels"),
        ("noise:inf", "noise takes decibels"),
        ("words:1.5", "words takes a word error rate of 0 to 1"),
        ("video:blur:0", "video:blur takes pixels, above 0"),
        ("video:drop:-1", "video:drop takes a share"),
        ("missing:audio+noise:3", "cannot be damaged so twice"),
        ("noise:5+noise:3", "cannot be damaged so twice"),
    ],
)
def test_names_that_say_nothing(text: str, message: str) -> None:
    with pytest.raises(EmohopError, match=message):
        parse_condition(text)


@given(st.integers(0, 200), st.floats(-10, 40), st.integers(50, 4000))
def test_the_noise_is_as_loud_as_was_asked(seed: int, decibels: float, length: int) -> None:
    rng = np.random.default_rng(seed)
    speech = (0.1 * rng.normal(size=length) * np.linspace(0, 1, length)).astype(np.float32)
    noisy = add_noise(speech, white_noise(length, f"clip {seed}"), decibels)
    noise = noisy.astype(np.float64) - speech
    ratio = 10 * np.log10(np.mean(speech.astype(np.float64) ** 2) / np.mean(noise**2))
    assert ratio == pytest.approx(decibels, abs=0.05)
    assert noisy.dtype == np.float32


def test_silence_stays_silence_and_a_clip_s_noise_is_its_own() -> None:
    silence = np.zeros(100, np.float32)
    assert add_noise(silence, white_noise(100, "a"), 0.0) is silence
    speech = np.ones(100, np.float32)
    assert add_noise(speech, np.zeros(100), 0.0) is speech
    assert np.array_equal(white_noise(100, "a"), white_noise(100, "a"))
    assert not np.array_equal(white_noise(100, "a"), white_noise(100, "b"))


def test_voices_of_a_babble_are_equally_loud() -> None:
    loud, soft = np.array([8.0, -8.0], np.float32), np.array([0.5], np.float32)
    mixed = babble(5, [loud, soft, np.zeros(3, np.float32)])
    assert mixed.tolist() == [2, 0, 2, 0, 2]
    assert babble(3, []).tolist() == [0, 0, 0]


def edits(said: list[str], heard: list[str]) -> int:
    """Levenshtein distance by words."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(said, 1):
        before, row = row, [i]
        for j, other in enumerate(heard, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (word != other)))
    return row[-1]


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5])
def test_the_word_error_rate_is_what_was_asked(rate: float) -> None:
    said = [f"w{i}" for i in range(40)]
    known = [f"x{i}" for i in range(500)]
    errors = [edits(said, wrong_words(said, rate, known, f"clip {n}")) for n in range(150)]
    # a word put in beside a lost one counts as one error, not two
    assert np.mean(errors) / len(said) == pytest.approx(rate, abs=0.01 + 0.05 * rate)
    heard = [word for n in range(150) for word in wrong_words(said, rate, known, f"clip {n}")]
    strange = sum(word[0] == "x" for word in heard) / (150 * len(said))
    assert strange == pytest.approx(0.75 * rate, abs=0.02)  # substitutions and insertions
    assert len(heard) / (150 * len(said)) == pytest.approx(1, abs=0.02)  # as many lost as put in


@given(st.lists(st.sampled_from(["a", "b", "c"]), max_size=20), st.floats(0, 1))
def test_wrong_words_are_the_clip_s_own(words: list[str], rate: float) -> None:
    once, again = (wrong_words(words, rate, ["z"], "clip") for _ in range(2))
    assert once == again
    assert wrong_words(words, 0.0, ["z"], "clip") == words
    assert set(once) <= {*words, "z"}
    assert len(once) <= 2 * len(words)


@given(st.integers(0, 20), st.sampled_from([1.0, 2.0, 4.0]))
@settings(max_examples=10)
def test_blur_against_pillow(seed: int, sigma: float) -> None:
    noise = np.random.default_rng(seed).integers(0, 255, (2, 48, 48, 3), dtype=np.uint8)
    found = blurred(noise, sigma)
    inner = slice(16, 32)  # the two treat edges differently
    for frame, soft in zip(noise, found, strict=True):
        expected = np.asarray(Image.fromarray(frame).filter(ImageFilter.GaussianBlur(sigma)))
        gap = np.abs(soft[inner, inner].astype(int) - expected[inner, inner].astype(int))
        assert gap.mean() < 2
    assert found.std() < noise.std() / 2
    assert blurred(noise[:0], sigma).shape == (0, 48, 48, 3)


@given(st.integers(0, 30), st.floats(0, 1), st.text(max_size=5))
def test_frames_are_lost_by_their_share(count: int, share: float, clip: str) -> None:
    kept = kept_frames(count, share, clip)
    assert kept.tolist() == sorted(set(kept.tolist()))
    assert kept_frames(count, 0.0, clip).tolist() == list(range(count))
    assert len(kept_frames(count, 1.0, clip)) == 0
    more = kept_frames(count, share / 2, clip)
    assert set(kept.tolist()) <= set(more.tolist())  # a larger share loses the same ones and more


def test_on_average_a_share_is_lost() -> None:
    left = [len(kept_frames(20, 0.25, str(n))) for n in range(300)]
    assert np.mean(left) == pytest.approx(15, abs=0.5)
