"""Speech encoders against transformers' own forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from emohop.errors import EmohopError
from emohop.features import speech
from emohop.features.pretrained import Layers
from emohop.features.speech import SpeechEncoder, load_speech_encoder, pooled
from tests.features.tiny import LAYERS, SIZE, SPEECH, change_json, save_speech, waveform

SHARED = Path(__file__).parents[2] / "../shared"
HALF_SECOND = 8000


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("speech")
    return {kind: save_speech(root / kind, kind) for kind in (*SPEECH, "whisper")}


@pytest.fixture(scope="module")
def encoders(folders: dict[str, str]) -> dict[str, SpeechEncoder]:
    return {kind: load_speech_encoder(folder) for kind, folder in folders.items()}


def official(folder: str, samples: NDArray[np.float32]) -> Sequence[NDArray[np.float32]]:
    """The hidden states [frames, size] that transformers gives of one audio, then of silence."""
    import transformers as t

    prepare = t.Wav2Vec2FeatureExtractor.from_pretrained(folder)
    levelled = prepare(samples, sampling_rate=16_000, return_tensors="np")["input_values"][0]
    return _direct(folder, levelled, Path(folder).name)


def close(got: NDArray[np.float32], wanted: NDArray[np.float32]) -> None:
    assert got.shape == wanted.shape
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, wanted, atol=1e-4 * max(1.0, float(np.abs(wanted).max())))


def own_frames(samples: int) -> int:
    """Of Wav2Vec2's seven convolutions, by hand."""
    for width, step in zip((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2), strict=True):
        samples = (samples - width) // step + 1
    return samples


@pytest.mark.parametrize("kind", SPEECH)
@pytest.mark.parametrize("seconds", [1.0, 0.73, 0.026])
def test_the_states_of_transformers(
    folders: dict[str, str], encoders: dict[str, SpeechEncoder], kind: str, seconds: float
) -> None:
    encoder, samples = encoders[kind], waveform(seconds)
    (got,) = encoder([samples])
    assert (encoder.size, encoder.layers, encoder.frames_per_second) == (SIZE, 1, 50)
    assert len(got) == own_frames(len(samples)) > 0
    close(got, official(folders[kind], samples)[-1][: len(got)])


@pytest.mark.parametrize("kind", [*SPEECH, "whisper"])
def test_a_audio_alone_is_as_among_others(encoders: dict[str, SpeechEncoder], kind: str) -> None:
    waveforms = [waveform(s, seed=n) for n, s in enumerate((0.9, 0.4, 1.0, 0.61, 2.2, 0.03))]
    together = encoders[kind](waveforms)
    for samples, got in zip(waveforms, together, strict=True):
        close(got, encoders[kind]([samples])[0])
    assert np.abs(together[0][:10] - together[2][:10]).max() > 1e-2
    back = encoders[kind](waveforms[::-1])[::-1]
    for one, other in zip(together, back, strict=True):
        close(one, other)


def by_hand(folder: str, samples: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Whisper's encoder written out, over a waveform of any length filled to half a second."""
    import torch
    import transformers as t

    filled = np.zeros(-(-len(samples) // HALF_SECOND) * HALF_SECOND, np.float32)
    filled[: len(samples)] = samples
    mel = t.WhisperFeatureExtractor.from_pretrained(folder)(
        filled, sampling_rate=16_000, padding="do_not_pad", return_tensors="pt"
    )["input_features"]
    encoder: Any = t.WhisperModel.from_pretrained(folder).float().eval().get_encoder()
    gelu = torch.nn.functional.gelu
    with torch.inference_mode():
        x = gelu(encoder.conv2(gelu(encoder.conv1(mel)))).transpose(1, 2)
        x = x + encoder.embed_positions.weight[: x.shape[1]]
        states = []
        for layer in encoder.layers:
            states.append(x[0].numpy())
            y = layer.self_attn_layer_norm(x)
            x = x + _attended(layer.self_attn, y)
            x = x + layer.fc2(gelu(layer.fc1(layer.final_layer_norm(x))))
        states.append(encoder.layer_norm(x)[0].numpy())
    return states


def _attended(attention: Any, x: Any) -> Any:
    import torch

    q, k, v = (
        project(x).unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)
        for project in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    weights = torch.softmax(q @ k.transpose(2, 3) / q.shape[-1] ** 0.5, dim=-1)
    return attention.out_proj((weights @ v).transpose(1, 2).flatten(2))


@pytest.mark.parametrize("samples", [16_000, 16_001, 7_000, 400])
def test_whisper_over_a_short_audio(
    folders: dict[str, str], encoders: dict[str, SpeechEncoder], samples: int
) -> None:
    spoken = waveform(1.1)[:samples]
    (got,) = encoders["whisper"]([spoken])
    assert len(got) == -(-samples // 320)  # 50 a second, the last one begun
    close(got, by_hand(folders["whisper"], spoken)[-1][: len(got)])
    every = load_speech_encoder(folders["whisper"], Layers("all"))
    states = [s[: len(got)] for s in by_hand(folders["whisper"], spoken)]
    close(every([spoken])[0], np.concatenate(states, axis=1))


def test_whisper_over_thirty_seconds_is_the_official_encoder(
    folders: dict[str, str], encoders: dict[str, SpeechEncoder]
) -> None:
    import torch
    import transformers as t

    samples = waveform(30)
    mel = t.WhisperFeatureExtractor.from_pretrained(folders["whisper"])(
        samples, sampling_rate=16_000, return_tensors="pt"
    )["input_features"]
    assert mel.shape[2] == 3000
    model: Any = t.WhisperModel.from_pretrained(folders["whisper"]).eval()
    with torch.inference_mode():
        wanted = model.get_encoder()(mel).last_hidden_state[0].numpy()
    close(encoders["whisper"]([samples])[0], wanted)
    # and it still is after waveforms of other lengths
    encoders["whisper"]([samples[:9000]])
    close(encoders["whisper"]([samples])[0], wanted)


@pytest.mark.parametrize("kind", ["wav2vec2", "wav2vec2-layer", "whisper"])
def test_layers(folders: dict[str, str], kind: str) -> None:
    samples, folder = waveform(0.6), folders[kind]
    states = (by_hand if kind == "whisper" else official)(folder, samples)
    assert len(states) == LAYERS + 1
    expected: dict[str, NDArray[Any]] = {
        "0": states[0],
        "2": states[2],
        "3": states[-1],
        "mean-2": (states[-1] + states[-2]) / 2,
        "mean-4": sum(states[1:], states[0]) / 4,
        "all": np.concatenate(states, axis=1),
    }
    for choice, wanted in expected.items():
        encoder = load_speech_encoder(folder, Layers(choice))
        (got,) = encoder([samples])
        close(got, wanted[: len(got)])
        assert (encoder.layers, encoder.size) == (4 if choice == "all" else 1, SIZE)


@pytest.mark.parametrize("choice", ["4", "mean-5", "999"])
def test_a_layer_that_is_not_there(folders: dict[str, str], choice: str) -> None:
    with pytest.raises(EmohopError, match=rf"layer {choice}: .* 0 .* to 3; last, a number"):
        load_speech_encoder(folders["wav2vec2"], Layers(choice))


@pytest.mark.parametrize("kind", ["wav2vec2", "wav2vec2-layer", "whisper"])
def test_long_audio_are_read_in_windows(
    folders: dict[str, str], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Windows of 2 s that share 1 s: at 0, 50, 100 frames, and 65 so that the last one is whole."""
    monkeypatch.setattr(speech, "WINDOW_SECONDS", 2)
    monkeypatch.setattr(speech, "OVERLAP_SECONDS", 1)
    encoder, samples = load_speech_encoder(folders[kind]), waveform(3.3)
    (got,) = encoder(
        [
            samples,
        ]
    )
    if kind != "whisper":  # which levels nothing
        samples = (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)
    parts = []
    # kept: up to the middle of what is shared: (0+100+50)/2 = 75, (50+100+65)/2... by hand
    for start, first, last in ((0, 0, 75), (50, 75, 107), (65, 107, None)):
        window = samples[start * 320 : (start + 100) * 320]
        states = _direct(folders[kind], window, kind)[-1]
        own = own_frames(len(window)) if kind != "whisper" else -(-len(window) // 320)
        parts.append(states[first - start : own if last is None else last - start])
    close(got, np.concatenate(parts))
    assert len(got) == (165 if kind == "whisper" else own_frames(52_800))
    alone, other = encoder([waveform(3.3), waveform(0.5, seed=3)])
    close(alone, got)
    assert len(other) == (25 if kind == "whisper" else 24)


def _direct(folder: str, samples: NDArray[np.float32], kind: str) -> Sequence[NDArray[np.float32]]:
    """States of samples that are levelled already."""
    import torch
    import transformers as t

    if kind == "whisper":
        return by_hand(folder, samples)
    filled = np.zeros((1, -(-len(samples) // HALF_SECOND) * HALF_SECOND), np.float32)
    filled[0, : len(samples)] = samples
    given = {"input_values": torch.tensor(filled)}
    if kind == "wav2vec2-layer":
        given["attention_mask"] = (torch.arange(filled.shape[1]) < len(samples)).long()[None]
    model: Any = t.AutoModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        output = model(**given, output_hidden_states=True)
    # transformers lists the last state before the normalisation that some models end with
    return [s[0].numpy() for s in (*output.hidden_states[:-1], output.last_hidden_state)]


def test_pooling() -> None:
    frames = np.arange(14, dtype=np.float32).reshape(7, 2)
    np.testing.assert_array_equal(pooled(frames, 1), frames)
    np.testing.assert_array_equal(pooled(frames, 3), [[2, 3], [8, 9], [12, 13]])
    np.testing.assert_array_equal(pooled(frames, 100), [[6, 7]])
    assert pooled(frames[:0], 3).shape == (0, 2)
    assert pooled(frames, 2).dtype == np.float32


def test_pooling_of_an_encoder(folders: dict[str, str], encoders: dict[str, SpeechEncoder]) -> None:
    encoder = load_speech_encoder(folders["hubert"], pool=5)
    samples = waveform(1.0)
    (whole,) = encoders["hubert"]([samples])
    (got,) = encoder([samples])
    assert encoder.frames_per_second == 10
    close(got, np.stack([whole[i : i + 5].mean(0) for i in range(0, 49, 5)]))


@pytest.mark.parametrize("kind", [*SPEECH, "whisper"])
def test_silence_a_frame_and_nothing(encoders: dict[str, SpeechEncoder], kind: str) -> None:
    silence, frame, nothing = encoders[kind](
        [np.zeros(16_000, np.float32), waveform(0.025), np.zeros(0, np.float32)]
    )
    assert np.isfinite(silence).all()
    assert np.isfinite(frame).all()
    assert len(frame) == (2 if kind == "whisper" else 1)
    assert nothing.shape == (0, SIZE)
    assert encoders[kind]([]) == []


def test_audio_is_levelled_where_the_model_says_so(tmp_path: Path) -> None:
    samples = waveform(0.5)
    kind = "wav2vec2-layer"  # group normalisation would level the audio by itself
    levels = load_speech_encoder(save_speech(tmp_path / "a", kind))
    close(levels([7 * samples + 1])[0], levels([samples])[0])
    as_is = load_speech_encoder(save_speech(tmp_path / "b", kind, do_normalize=False))
    close(as_is([(samples - samples.mean()) / samples.std()])[0], levels([samples])[0])
    assert np.abs(as_is([samples + 1])[0] - levels([samples])[0]).max() > 1e-2


def test_audio_of_another_rate(tmp_path: Path) -> None:
    folder = save_speech(tmp_path, sampling_rate=8000)
    with pytest.raises(EmohopError, match="hears 8000 Hz; 16000 Hz is accepted"):
        load_speech_encoder(folder)


@pytest.mark.parametrize(
    "said", [{"feature_size": "many"}, {"feature_size": 40}, {"hop_length": 0}, {"n_fft": None}]
)
def test_a_preprocessor_that_cannot_be_used(tmp_path: Path, said: dict[str, Any]) -> None:
    folder = save_speech(tmp_path, "whisper")
    change_json(tmp_path / "preprocessor_config.json", **said)
    if said == {"n_fft": None}:  # its default
        load_speech_encoder(folder)
        return
    with pytest.raises(EmohopError, match="cannot be used") as caught:
        load_speech_encoder(folder)
    assert "\n" not in str(caught.value)


def test_models_that_hear_something_else(tmp_path: Path) -> None:
    """A spectrogram transformer gives no frames; a translator's encoder counts them otherwise."""
    import transformers as t

    t.ASTModel(
        t.ASTConfig(
            hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8,
            max_length=32, num_mel_bins=16,
        )
    ).save_pretrained(tmp_path / "ast")  # fmt: skip
    t.Speech2TextModel(
        t.Speech2TextConfig(
            d_model=8, encoder_layers=1, decoder_layers=1, encoder_attention_heads=1,
            decoder_attention_heads=1, encoder_ffn_dim=8, decoder_ffn_dim=8, vocab_size=20,
        )
    ).save_pretrained(tmp_path / "s2t")  # fmt: skip
    for name in ("ast", "s2t"):
        (tmp_path / name / "preprocessor_config.json").write_text('{"sampling_rate": 16000}')
        with pytest.raises(EmohopError, match="models like wav2vec2, hubert"):
            load_speech_encoder(str(tmp_path / name))


def test_a_whisper_of_fewer_positions(tmp_path: Path) -> None:
    import transformers as t

    folder = save_speech(tmp_path, "whisper")
    config = t.WhisperConfig.from_pretrained(folder)
    config.max_source_positions = 100
    t.WhisperModel(config).save_pretrained(folder)
    with pytest.raises(EmohopError, match="hears 100 frames, fewer than 30 s"):
        load_speech_encoder(folder)


def test_whisper_tiny_on_real_speech() -> None:
    folder = SHARED / "models/whisper-tiny.en"
    file = SHARED / "corpora/ravdess/Actor_01/03-01-01-01-01-01-01.flac"
    if not folder.is_dir():
        pytest.skip("the shared model is not here")
    import soundfile

    from emohop.features.audio import waveform_16k

    samples = waveform(3.0)
    if file.is_file():
        found, rate = soundfile.read(file, dtype="float32")
        samples = waveform_16k(found, rate)
    encoder = load_speech_encoder(str(folder.resolve()))
    (got,) = encoder([samples])
    assert got.shape == (-(-len(samples) // 320), 384)
    close(got, by_hand(str(folder.resolve()), samples)[-1][: len(got)])
