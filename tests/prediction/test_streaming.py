"""A stream says what the predictor says of the same audio as a whole clip."""

from __future__ import annotations

import re
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import emohop
from emohop.clips import Modality
from emohop.config import FeatureSettings, Recipe, checked
from emohop.config.models import ModelSettings
from emohop.errors import EmohopError, MediaError
from emohop.features.audio import AUDIO_FEATURES
from emohop.features.standardisation import Standardiser
from emohop.features.streaming import GrowingFrames
from emohop.features.text import Vocabulary
from emohop.model_config import Calibration, InputDims, ModelConfig, TrainedOn
from emohop.models import build
from emohop.models.streaming import GrowingEncoder
from emohop.prediction import Prediction, Predictor
from emohop.prediction.segmentation import Cutting, clips_of
from emohop.prediction.streaming import Stream, Update
from emohop.preprocessor import Preprocessor
from tests.features.tiny import waveform
from tests.prediction.conftest import SAID
from tests.voices import recording as talk

Waveform = NDArray[np.float32]
LONGEST = 750
"""Frames that the model of the tests reads, 7.515 s."""


def made(
    *settings: tuple[str, Any], audio: str = "mfcc120", prosody: bool = False, frames: int = LONGEST
) -> Predictor:
    """A predictor with random weights on audio and words, of these settings."""
    values: dict[str, Any] = {
        "name": "amh", "hops": 3, "modalities": ("audio", "text"), "prosody": prosody,
        "audio": {"hidden": 7, "max_length": frames}, "text": {"hidden": 5, "embedding": 4},
    }  # fmt: skip
    for name, value in settings:
        values[name] = {**values[name], **value} if isinstance(value, dict) else value
    model = checked(ModelSettings, values)
    width = AUDIO_FEATURES[audio].size
    sizes = InputDims(2, {Modality.AUDIO: width, Modality.TEXT: 6}, 35 if prosody else 0)
    if Modality.TEXT not in model.uses:
        sizes = InputDims(2, {Modality.AUDIO: width}, sizes.prosody)
    vocabulary = Vocabulary.build([["excuse", "me", ",", "way"]])
    moments = {"audio": (np.zeros(width, np.float32), np.full(width, 9, np.float32))}
    moments["prosody"] = (np.zeros(35, np.float32), np.full(35, 90, np.float32))
    preprocessor = Preprocessor(
        labels=("angry", "calm"),
        features=FeatureSettings(audio=audio, prosody=prosody),
        sizes=replace(sizes, steps={**sizes.steps, Modality.TEXT: len(vocabulary)})
        if Modality.TEXT in model.uses
        else sizes,
        max_length={m: model.encoder(m).max_length for m in model.uses},
        standardiser=Standardiser("global", moments),
        vocabulary=vocabulary if Modality.TEXT in model.uses else None,
    )
    torch.manual_seed(0)
    network = build(model, preprocessor.sizes).eval()
    config = ModelConfig(
        emohop=emohop.__version__,
        model=model,
        preprocessor=preprocessor.to_config(),
        calibration=Calibration(temperature=1.0),
        recipe=Recipe(model=model),
        corpus=TrainedOn(name="made", fingerprint="0" * 64),
        fold=0,
        seed=0,
    )
    return Predictor(network, preprocessor, config, device="cpu")


def pieces(samples: Waveform, seed: int) -> list[Waveform]:
    """Audio in pieces of any lengths, empty and tiny ones among them."""
    rng = np.random.default_rng(seed)
    scale = float(rng.choice([50, 700, 8000]))
    found, at = [samples[:0]], 0
    while at < len(samples):
        length = int(rng.exponential(scale))
        found.append(samples[at : at + length])
        at += length
    return found


def heard(stream: Stream, parts: list[Waveform]) -> list[Update]:
    return [update for part in parts for update in stream.add(part)] + stream.finish()


def same(found: Prediction, expected: Prediction, start: float = 0.0) -> None:
    """Equal but for rounding, and for when and where the clip was."""
    np.testing.assert_allclose(
        list(found.probabilities.values()), list(expected.probabilities.values()), atol=3e-6
    )
    assert len(found.attention) == len(expected.attention)
    for one, other in zip(found.attention, expected.attention, strict=True):
        np.testing.assert_allclose(one.weights, other.weights, atol=3e-6)
        assert one.entropy == pytest.approx(other.entropy, abs=1e-4)
        assert one.words == other.words
        for here, there in ((one.starts, other.starts), (one.ends, other.ends)):
            assert [None if t is None else pytest.approx(t, abs=2e-3) for t in there] == list(here)
    assert found.end is not None
    if expected.end is not None:
        assert found.end - found.start == pytest.approx(expected.end, abs=2e-4)
    assert found.start == pytest.approx(start)
    unlike = ("probabilities", "attention", "source", "start", "end", "label")
    assert found.model_dump(exclude=set(unlike)) == expected.model_dump(exclude=set(unlike))


@pytest.mark.parametrize("kind", AUDIO_FEATURES)
@pytest.mark.parametrize("seed", range(6))
def test_growing_frames_are_those_of_the_whole(kind: str, seed: int) -> None:
    whole = waveform(0.3 + 0.4 * seed, seed=seed)
    feature = AUDIO_FEATURES[kind]
    growing, at, final = GrowingFrames(feature), 0, 0
    for piece in pieces(whole, seed):
        growing.add(piece)
        at += len(piece)
        assert growing.final >= final
        final = growing.final
        if at >= 400:
            np.testing.assert_allclose(
                growing.all, feature.compute(whole[:at], 16_000), rtol=1e-5, atol=2e-5
            )
    assert final == len(growing.all) - 4


@pytest.mark.parametrize(
    "audio",
    [
        {},
        {"stack_frames": 4},
        {"layers": 2},
        {"residual": True, "layers": 2, "stack_frames": 3},
    ],
)
@pytest.mark.parametrize("after", [True, False])
def test_a_growing_encoder_is_the_encoder(audio: dict[str, Any], after: bool) -> None:
    predictor = made(("audio", audio), ("reset_after", after))
    encoder = predictor.network.encoders.encoders["audio"]  # type: ignore[union-attr, index]
    growing = GrowingEncoder.of(predictor.network, Modality.AUDIO)
    assert growing is not None
    steps = torch.randn(1, 61, 120)
    for time, final in ((1, 0), (3, 1), (3, 3), (20, 13), (21, 20), (61, 57)):
        there = steps[:, :time].clone()
        found = growing(there, final)
        whole = encoder(there, torch.tensor([time]))  # type: ignore[operator]
        torch.testing.assert_close(found.rows, whole.rows, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(found.state, whole.state, atol=1e-6, rtol=1e-5)
        steps[:, final:] += 0.1  # what is not final may change


KINDS: dict[str, tuple[Any, ...]] = {
    "amh": (),
    "stacked": (("audio", {"stack_frames": 4}),),
    "deep": (("audio", {"layers": 2, "residual": True}),),
    "both ways": (("audio", {"bidirectional": True}),),
    "are": (("name", "are"), ("modalities", None)),
    "stats": (("name", "stats"),),
    "sap": (("name", "sap"),),
    "mult": (("name", "mult"), ("width", 8)),
    "late": (("name", "late"),),
    "mha": (("name", "mha"),),
    "learned": (("missing_modality", "learned"),),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("audio", AUDIO_FEATURES)
def test_a_stream_says_what_is_said_of_the_whole_clip(kind: str, audio: str) -> None:
    predictor = made(*KINDS[kind], audio=audio)
    for seed in range(3):
        seconds, text = (2.3, 0.61, 3.0)[seed], (None, "Excuse me", "")[seed]
        whole = waveform(seconds, seed=seed)
        stream, at = predictor.stream(text), 0
        said = 0
        for piece in pieces(whole, seed):
            at += len(piece)
            for found, final in stream.add(piece):
                same(found, predictor(whole[:at], text))
                assert not final
                said += 1
        assert 1 <= said <= seconds / 0.5
        ((found, final),) = stream.finish()
        assert final
        same(found, predictor(whole, text))


@pytest.mark.parametrize("rate", [8000, 11025, 44100, 48000])
def test_other_rates(rate: int) -> None:
    predictor = made()
    whole = np.random.default_rng(rate).normal(0, 0.1, round(1.7 * rate)).astype(np.float32)
    updates = heard(predictor.stream("way", sample_rate=rate), pieces(whole, rate))
    assert [final for _, final in updates][-2:] == [False, True]
    same(updates[-1].prediction, predictor(whole, "way", sample_rate=rate))


def test_prosody_is_of_the_whole_clip() -> None:
    pytest.importorskip("opensmile")
    predictor, whole = made(prosody=True), waveform(1.6)
    updates = heard(predictor.stream(), pieces(whole, 1))
    same(updates[-1].prediction, predictor(whole))


def test_a_pretrained_encoder_reads_it_anew(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    from emohop.features.encoding import load_encoder
    from tests.features.tiny import save_speech

    features = FeatureSettings(audio=save_speech(tmp_path / "tiny"), prosody=False)
    assert features.audio is not None
    encoder = load_encoder(Modality.AUDIO, features.audio, "cpu", None)
    predictor = made(("audio", {"max_length": 60}), ("name", "are"), ("modalities", None))
    sizes = InputDims(2, {Modality.AUDIO: encoder.width})
    moments = {"audio": (np.zeros(1, np.float32), np.ones(1, np.float32))}
    preprocessor = replace(
        predictor.preprocessor, features=features, sizes=sizes,
        standardiser=replace(predictor.preprocessor.standardiser, overall=moments),
        encoders={Modality.AUDIO: str(encoder.fingerprint)},
    )  # fmt: skip
    network = build(predictor.settings, sizes).eval()
    predictor = replace(predictor, preprocessor=preprocessor, network=network)
    whole = waveform(2.0)
    updates = heard(predictor.stream(), pieces(whole, 0))
    finals = [found for found, final in updates if final]
    assert finals[0].end == pytest.approx(60 / encoder.steps_per_second, abs=1e-3)
    cut = round((finals[0].end or 0) * 16_000)
    same(finals[0], predictor(whole[:cut]))
    same(finals[1], predictor(whole[cut:]), cut / 16_000)


def test_the_words_may_come_and_change(predictor: Predictor) -> None:
    whole = waveform(1.6)
    stream = predictor.stream()
    ((first, _),) = stream.add(whole[:9000])
    same(first, predictor(whole[:9000]))
    assert first.missing == (Modality.TEXT, Modality.VIDEO)
    stream.say(SAID[0])
    ((second, _),) = stream.add(whole[9000:18_000])
    same(second, predictor(whole[:18_000], SAID[0]))
    stream.say(SAID[1])
    assert stream.add(whole[18_000:18_100]) == []
    stream.add(whole[18_100:])
    ((last, final),) = stream.finish()
    assert final
    same(last, predictor(whole, SAID[1]))
    assert (last.source, last.transcript, last.transcript_from) == ("stream", SAID[1], "given")


def test_a_long_stream_is_cut_where_the_model_is_full() -> None:
    predictor, whole = made(frames=100), waveform(3.4)
    most = 400 + 99 * 160
    stream = predictor.stream("Excuse me")
    updates = heard(stream, pieces(whole, 3))
    finals = [found for found, final in updates if final]
    starts = [n * most / 16_000 for n in range(4)]
    assert [found.start for found in finals] == pytest.approx(starts)
    assert finals[-1].end == pytest.approx(3.4)
    for n, found in enumerate(finals):
        # what was said belongs to the segment in which it was given
        text = None if n else "Excuse me"
        same(found, predictor(whole[n * most : (n + 1) * most], text), starts[n])
        assert found.notes == ()
    # the whole of it at once says the same of each
    at_once = predictor.stream("Excuse me")
    together = [found for found, final in at_once.add(whole) + at_once.finish() if final]
    for one, other in zip(finals, together, strict=True):
        np.testing.assert_allclose(
            list(one.probabilities.values()), list(other.probabilities.values()), atol=3e-6
        )


def test_memory_does_not_grow_with_a_stream() -> None:
    predictor, noise = made(frames=50), waveform(0.25)
    stream = predictor.stream()
    tracemalloc.start()
    held = []
    for n in range(240):
        stream.add(noise)
        if n % 80 == 79:
            held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert held[2] - held[1] < 200_000  # of 20 s, which are 1.3 MB of samples


def test_turns_are_what_speech_segments_are(tmp_path: Path) -> None:
    pytest.importorskip("faster_whisper")
    import soundfile

    predictor = made()
    soundfile.write(tmp_path / "talk.wav", talk(), 16_000, subtype="FLOAT")
    expected = list(clips_of(tmp_path / "talk.wav", Cutting("speech")))
    for seed in range(3):
        stream = predictor.stream(turns=True)
        updates = heard(stream, pieces(talk(), seed))
        finals = [found for found, final in updates if final]
        assert [found.start for found in finals] == pytest.approx(
            [source.clip.start for source in expected], abs=1e-3
        )
        for found, source in zip(finals, expected, strict=True):
            assert found.end == pytest.approx(source.clip.end, abs=1e-3)
            first, last = (round(x * 16_000) for x in (found.start, found.end or 0.0))
            same(found, predictor(talk()[first:last]), found.start)
        assert len(updates) > len(finals)
        assert all(found.start in [one.start for one in finals] for found, _ in updates)


def test_nobody_speaks() -> None:
    pytest.importorskip("faster_whisper")
    stream = made().stream(turns=True)
    silence = np.zeros(16_000, np.float32)
    assert [stream.add(silence) for _ in range(5)] == [[]] * 5
    assert stream.finish() == []


def test_words_alone_and_nothing_at_all() -> None:
    predictor = made()
    ((found, final),) = predictor.stream("way").finish()
    assert final
    assert found.used == (Modality.TEXT,)
    stream = predictor.stream()
    stream.add(np.zeros(100, np.float32))
    with pytest.raises(MediaError, match="at least one frame"):
        stream.finish()


@pytest.mark.parametrize(
    ("piece", "said"),
    [
        (np.full(9, np.nan, "f4"), "NaN or infinity"),
        (np.array([1e300]), "NaN or infinity"),
        (np.array([0, -2e12]), r"audio of up to 2e\+12"),
        (np.zeros((9, 2), "f4"), r"shape \(9, 2\)"),
        (np.zeros(9, np.int16), "type int16"),
        ([["a"]], "a stream takes one channel"),
    ],
)
def test_what_cannot_be_heard_changes_nothing(piece: Any, said: str) -> None:
    predictor, whole = made(), waveform(0.7)
    stream = predictor.stream()
    stream.add(whole[:5000])
    with pytest.raises(EmohopError, match=said) as error:
        stream.add(piece)
    assert "\n" not in str(error.value)
    stream.add(whole[5000:])
    same(stream.finish()[-1].prediction, predictor(whole))


def test_what_is_no_stream() -> None:
    predictor = made()
    wrong: list[dict[str, Any]] = [
        {"sample_rate": 10}, {"every": 0.0}, {"every": float("nan")}, {"text": 3}
    ]  # fmt: skip
    for values in wrong:
        with pytest.raises(EmohopError, match=r"(are|is) accepted"):
            predictor.stream(**values)
    stream = predictor.stream()
    stream.add(waveform(0.3))
    stream.finish()
    for again in (stream.finish, lambda: stream.add(waveform(0.1))):
        with pytest.raises(EmohopError, match="finished"):
            again()


def test_a_model_that_hears_nothing() -> None:
    predictor = made()
    preprocessor = replace(predictor.preprocessor, max_length={Modality.TEXT: 9})
    with pytest.raises(EmohopError, match="has no audio input"):
        replace(predictor, preprocessor=preprocessor).stream()


def test_the_documented_stream(predictor: Predictor, capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[2] / "docs/predicting.md").read_text("utf-8")
    (code,) = re.findall(r"```python\n(stream = .*?)```", page, re.DOTALL)
    microphone = np.array_split(np.tile(waveform(1.0), 4), 40)  # 1.33 s at 48 kHz
    exec(code, {"predictor": predictor, "microphone": microphone})
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[3:] for line in lines] == [["so", "far"], ["so", "far"], []]
    assert float(lines[-1][1]) == pytest.approx(4 / 3, abs=1e-3)
