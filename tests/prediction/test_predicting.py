"""What a model says of files, arrays and words."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile

import emohop
from emohop.clips import MODALITIES, Modality, Span
from emohop.errors import EmohopError, MediaError
from emohop.evaluation.calibration import apply_temperature
from emohop.media import frames_at, read_audio
from emohop.prediction import Prediction, Predictor
from emohop.prediction.attention_maps import AttentionMap, hops_of
from emohop.prediction.inputs import source_of_file, source_of_text
from emohop.prediction.transcripts import Transcript
from emohop.storage import Row, open_prepared
from tests.features.tiny import waveform
from tests.prediction.conftest import FILMS, SAID, film


def close(one: Prediction, other: Prediction, tolerance: float = 1e-4) -> bool:
    pairs = zip(one.probabilities.values(), other.probabilities.values(), strict=True)
    return one.label == other.label and all(abs(p - q) <= tolerance for p, q in pairs)


def blinded(path: Path, given: Path, *, waveforms: bool = True) -> Path:
    """A video whose frames cannot be decoded any more; its audio stays, if it is to."""
    with av.open(str(given)) as film, av.open(str(path), "w") as out:
        kept = [film.streams.video[0], *(film.streams.audio if waveforms else ())]
        streams = {stream.index: out.add_stream_from_template(stream) for stream in kept}
        for packet in film.demux(kept):
            if packet.dts is None:
                continue
            mended = av.Packet(bytes(packet.size)) if packet.stream.type == "video" else packet
            mended.pts, mended.dts, mended.time_base = packet.pts, packet.dts, packet.time_base
            mended.stream = streams[packet.stream.index]
            out.mux(mended)
    return path


def test_a_clip_gives_the_arrays_that_prepare_gave(
    films: Path, prepared: Path, predictor: Predictor
) -> None:
    corpus = open_prepared(prepared)
    sources = [
        source_of_file(films.parent / f"{number}.mp4", SAID[number % 3]) for number in range(FILMS)
    ]
    for row, old in zip(predictor.rows(sources), corpus, strict=True):
        assert isinstance(row, Row)
        for name in ("audio", "text", "video"):
            np.testing.assert_array_equal(row[name], old[name])


def test_its_probabilities_are_those_of_the_run_calibrated(
    films: Path, prepared: Path, predictor: Predictor
) -> None:
    known = predictor.evaluate(open_prepared(prepared))
    calibrated = apply_temperature(known.probabilities, predictor.temperature)
    for id_, expected in zip(known.id, calibrated, strict=True):
        number = int(id_[1:])
        found = predictor(films.parent / f"{number}.mp4", SAID[number % 3])
        assert list(found.probabilities) == list(predictor.preprocessor.labels)
        np.testing.assert_allclose(list(found.probabilities.values()), expected, atol=2e-6)
        assert found.label == max(found.probabilities, key=lambda name: found.probabilities[name])
        assert found.used == MODALITIES
        assert found.missing == ()


def test_what_a_prediction_says(films: Path, predictor: Predictor) -> None:
    path = films.parent / "0.mp4"
    found = predictor(path, "Excuse me, splendid")
    assert (found.source, found.start, found.speaker) == (str(path), 0.0, None)
    assert found.end == pytest.approx(0.9, abs=0.15)
    assert (found.transcript, found.transcript_from) == ("Excuse me, splendid", "given")
    assert found.unknown_words == ("splendid",)
    assert [hop.target for hop in found.attention] == ["video", "audio", "text", "video"]
    for hop in found.attention:
        assert sum(hop.weights) == pytest.approx(1, abs=1e-4)
        assert len(hop.weights) == len(hop.starts) == len(hop.ends)
        assert 0 <= hop.entropy <= 1
    text = found.attention[2]
    assert text.words == ("excuse", "me", ",", "splendid")
    assert set(text.starts) == {None}
    audio = found.attention[1]
    assert audio.words is None
    assert audio.starts[0] == 0
    assert audio.ends[-1] == pytest.approx(found.end)
    assert audio.ends[0] == pytest.approx(0.04, abs=0.005)  # four frames of 10 ms together
    again = Prediction.model_validate_json(found.model_dump_json())
    assert again == found


def test_less_than_all(films: Path, predictor: Predictor, tmp_path: Path) -> None:
    path = films.parent / "3.mp4"
    assert predictor(path).missing == (Modality.TEXT,)
    samples, rate, _ = read_audio(Span(path))
    soundfile.write(tmp_path / "a.wav", samples, rate)
    alone = predictor(tmp_path / "a.wav", SAID[0])
    assert alone.missing == (Modality.VIDEO,)
    assert alone.attention[0].weights == ()
    words = predictor(text=SAID[0])
    assert words.used == (Modality.TEXT,)
    assert (words.source, words.end) == ("text", None)
    assert predictor(text="").used == (Modality.TEXT,)  # nothing is said, which is something


def test_arrays_are_as_good_as_files(films: Path, predictor: Predictor) -> None:
    path = films.parent / "5.mp4"
    samples, rate, _ = read_audio(Span(path))
    images = np.stack([image for _, image in frames_at(path, [0, 1 / 3, 2 / 3])])
    arrays = {"audio": samples, "video": images}
    found = predictor(arrays, SAID[1], sample_rate=rate)
    assert found.source == "array"
    assert close(found, predictor(path, SAID[1]), 1e-3)
    stereo = np.stack([samples, samples], axis=1)
    mono = predictor(samples, sample_rate=rate)
    assert close(mono, predictor(stereo, sample_rate=rate))
    assert mono.missing == (Modality.TEXT, Modality.VIDEO)
    assert predictor({"video": images}).used == (Modality.VIDEO,)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3", "m4a", "avi", "mkv"])
@pytest.mark.parametrize("rate", [8000, 44100])
def test_any_format_and_rate(suffix: str, rate: int, predictor: Predictor, tmp_path: Path) -> None:
    import av

    tone = waveform(1.5)
    samples = np.interp(np.arange(round(1.5 * rate)) / rate, np.arange(len(tone)) / 16_000, tone)
    path = tmp_path / f"clip.{suffix}"
    codecs = {"m4a": "aac", "avi": "pcm_s16le", "mkv": "aac", "mp3": "mp3"}
    if suffix in codecs:
        with av.open(str(path), "w") as out:
            stream: Any = out.add_stream(codecs[suffix], rate=rate)
            data = (samples * 20_000).astype(np.int16)[None]
            frame: Any = av.AudioFrame.from_ndarray(data, format="s16", layout="mono")
            frame.sample_rate, frame.pts = rate, 0
            resampler = av.AudioResampler(
                stream.codec_context.format, stream.codec_context.layout, rate,
                frame_size=stream.codec_context.frame_size or 0,
            )  # fmt: skip
            for piece in [*resampler.resample(frame), *resampler.resample(None)]:
                out.mux(stream.encode(piece))
            out.mux(stream.encode(None))
    else:
        soundfile.write(path, np.stack([samples, samples], axis=1) * 0.6, rate)
    found = predictor(path)
    assert found.used == (Modality.AUDIO,)
    assert found.end == pytest.approx(1.5, abs=0.2)


def test_many_at_once_are_as_one_by_one(films: Path, predictor: Predictor) -> None:
    sources = [source_of_file(films.parent / f"{n}.mp4", SAID[n % 3]) for n in range(5)]
    sources += [source_of_text("No way!")]
    together = [found for _, found in predictor.predict(sources)]
    for source, found in zip(sources, together, strict=True):
        (_, alone), *_ = predictor.predict([source])
        assert isinstance(found, Prediction)
        assert isinstance(alone, Prediction)
        assert close(found, alone)


def test_one_bad_clip_does_not_stop_the_others(
    films: Path, predictor: Predictor, tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "short.wav", np.zeros(100, np.float32), 16_000)
    paths = [films.parent / "0.mp4", tmp_path / "short.wav", films.parent / "1.mp4"]
    found = [found for _, found in predictor.predict(map(source_of_file, paths))]
    assert [isinstance(one, Prediction) for one in found] == [True, False, True]
    assert isinstance(found[1], MediaError)
    assert "short.wav" in str(found[1])


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (None, "nothing to predict"),
        ({}, "no arrays: audio, video or both"),
        ({"sounds": np.zeros(9)}, "no arrays 'sounds': audio and video are accepted"),
        (np.zeros((3, 3, 3)), r"audio of shape \(3, 3, 3\) and type float64"),
        (np.zeros(16_000, np.int64), "type int64: numbers from -1 to 1"),
        (np.full(16_000, np.nan), "audio holds NaN or infinity"),
        (np.full(16_000, -3e38), r"audio of up to 3e\+38: numbers from -1 to 1"),
        (np.zeros(10), "10 samples|0.025 s|too short|25 ms"),
        ({"video": np.zeros((2, 9, 9), np.uint8)}, r"frames of shape \(2, 9, 9\)"),
        ({"video": np.zeros((0, 9, 9, 3), np.uint8)}, "there is nothing to see"),
        ("nowhere.wav", "nowhere.wav"),
    ],
)
def test_what_cannot_be(source: Any, said: str, predictor: Predictor) -> None:
    with pytest.raises(EmohopError, match=said) as error:
        predictor(source)
    assert "\n" not in str(error.value)


def test_files_that_are_no_clips(predictor: Predictor, tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (64, 64), "red").save(tmp_path / "face.png")
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.wav").write_text("hello")
    for name in ("face.png", "empty.mp4", "text.wav", ""):
        with pytest.raises(MediaError) as error:
            predictor(tmp_path / name)
        assert "\n" not in str(error.value)


def test_silence_and_black_are_something(predictor: Predictor, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "silence.wav", np.zeros(16_000, np.float32), 16_000)
    found = predictor(tmp_path / "silence.wav")
    assert found.used == (Modality.AUDIO,)
    black = predictor({"video": np.zeros((3, 32, 32, 3), np.uint8)})
    assert black.used == (Modality.VIDEO,)
    assert sum(black.probabilities.values()) == pytest.approx(1, abs=1e-5)


def test_a_text_of_a_hundred_thousand_words(predictor: Predictor) -> None:
    found = predictor(text="no " * 100_000)
    assert found.notes == (
        "text: the model reads 128 steps, of 100000 that are there: the rest was cut off",
    )
    assert len(found.attention[2].weights) == 128


def test_words_of_another_language_are_named(predictor: Predictor) -> None:
    found = predictor(text="Ich weiß nicht, was das soll, und das")
    assert found.unknown_words[:3] == ("ich", "weiß", "nicht")
    assert len(set(found.unknown_words)) == len(found.unknown_words)


def test_a_transcript_beside_the_file_is_read(predictor: Predictor, tmp_path: Path) -> None:
    path = film(tmp_path / "clip.mp4", 0)
    (tmp_path / "clip.srt").write_text("1\n00:00:00,100 --> 00:00:00,700\nNo way!\n")
    found = predictor(path)
    assert (found.transcript, found.transcript_from) == ("No way!", "clip.srt")
    assert [word.text for word in found.words] == ["No", "way!"]
    hop = found.attention[2]
    assert hop.words == ("no", "way", "!")
    assert hop.starts[0] == pytest.approx(0.1)
    assert hop.ends[-1] == pytest.approx(0.7)
    assert hop.starts[1] == hop.starts[2]  # the sign belongs to the word
    assert predictor(path, "What a day.").transcript == "What a day."


def test_a_model_that_pays_no_attention_and_one_modality(
    prepared: Path, films: Path, tmp_path: Path
) -> None:
    from emohop.recipes import make_recipe
    from emohop.training.run import train

    small = ["model.name=are", "training.max_epochs=1", "folds=[0]", "model.audio.hidden=4"]
    train(prepared, tmp_path / "run", make_recipe("default", small))
    predictor = emohop.load(tmp_path / "run/fold-0/seed-0/model")
    found = predictor(films.parent / "0.mp4", "not read")
    assert found.used == (Modality.AUDIO,)
    assert found.attention == ()
    assert found.unknown_words == ()
    assert list(predictor.extractor.encoders) == [Modality.AUDIO]  # no frame is read
    with pytest.raises(MediaError, match="none of this model's inputs: audio"):
        predictor(text="text alone")


def test_words_of_turns_before_have_no_times() -> None:
    words = np.array(["well", "[turn]", "no", "way", "!"])
    row = Row("a", None, None, None, None, "", "No way!", 0.0, 1.0, {"text": words})
    transcript = Transcript("No way!", "x", ())
    (hop,) = hops_of(
        [AttentionMap(Modality.TEXT, np.full(5, 0.2, "f4"))], row, {Modality.TEXT: 1}, transcript
    )
    assert hop.words == ("well", "[turn]", "no", "way", "!")
    assert set(hop.starts) == {None}


def test_the_schema_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs/predicting.md").read_text("utf-8")
    for kind in ("Prediction", "Hop", "Word"):
        for name in Prediction.model_json_schema()["$defs"][kind]["properties"]:
            assert f"`{name}`" in page, name


def test_a_model_is_loaded_without_torch_s_compiler(model: Path) -> None:
    code = (
        "import sys, emohop; p = emohop.load(sys.argv[1]); p(text='No way!');"
        "print([m for m in ('torch._dynamo', 'lightning', 'transformers', 'matplotlib')"
        " if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(model)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_a_video_whose_images_cannot_be_read(
    predictor: Predictor, films: Path, tmp_path: Path
) -> None:
    path = blinded(tmp_path / "blind.mkv", films.parent / "1.mp4")
    found = predictor(path, "No way!")
    assert (found.used, found.missing) == (("audio", "text"), ("video",))
    (note,) = found.notes
    assert note.startswith(f"video was left out: {path}: ")
    (one, other) = predictor.predict([source_of_file(path), source_of_file(path, "No way!")])
    assert isinstance(one[1], Prediction)
    assert one[1].used == ("audio",)
    assert other[1] == found
    waveform = read_audio(Span(path))[:2]
    assert close(found, predictor(waveform[0], "No way!", sample_rate=waveform[1]))


def test_words_do_not_stand_in_for_a_file_that_cannot_be_read(
    predictor: Predictor, films: Path, tmp_path: Path
) -> None:
    path = blinded(tmp_path / "blind.mkv", films.parent / "1.mp4", waveforms=False)
    with pytest.raises(MediaError, match=r"blind\.mkv: "):
        predictor(path, "No way!")
