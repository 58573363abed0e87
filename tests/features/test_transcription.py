from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from emohop.clips import Span
from emohop.errors import EmohopError
from emohop.features.audio import waveform_16k
from emohop.features.ctranslate import is_ctranslate
from emohop.features.transcription import Transcriber
from emohop.media import read_audio
from tests.features.tiny import save_speech
from tests.voices import silence

SHARED = Path(__file__).parents[3] / "shared"
WHISPER = SHARED / "models/whisper-tiny.en"
RAVDESS = SHARED / "corpora/ravdess"
SENTENCES = {"01": "kids are talking by the door", "02": "dogs are sitting by the door"}

pytest.importorskip("faster_whisper")
pytest.importorskip("transformers")
real = pytest.mark.skipif(not (WHISPER.is_dir() and RAVDESS.is_dir()), reason="needs ../shared")


@pytest.fixture(scope="module", params=["transformers", "ctranslate2"])
def whisper(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Transcriber:
    if request.param == "transformers":
        return Transcriber(str(WHISPER), "cpu")
    pytest.importorskip("faster_whisper")
    from ctranslate2.converters import TransformersConverter

    out = tmp_path_factory.mktemp("faster") / "whisper"
    files = ["tokenizer.json", "preprocessor_config.json"]
    TransformersConverter(str(WHISPER), copy_files=files).convert(str(out), quantization="int8")
    return Transcriber(str(out), "cpu")


def errors(true: Sequence[str], heard: Sequence[str]) -> int:
    """Levenshtein's distance in words."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(true, 1):
        left, row[0] = row[0], i
        for j, other in enumerate(heard, 1):
            left, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, left + (word != other))
    return row[-1]


def plain(words: str) -> list[str]:
    return re.findall(r"[a-z']+", words.lower())


@real
def test_the_words_of_actors(whisper: Transcriber) -> None:
    paths = sorted(RAVDESS.glob("Actor_*/03-01-*.flac"))[7::180]
    assert len(paths) == 8
    wrong = words = 0
    for path in paths:
        heard = whisper(waveform_16k(*read_audio(Span(path))[:2]))
        true = SENTENCES[path.stem.split("-")[4]].split()
        wrong += errors(true, plain(" ".join(one.word for one in heard)))
        words += len(true)
        assert all(one.start <= one.end for one in heard)
        assert all(a.end <= b.start + 1e-6 for a, b in pairwise(heard))
    assert wrong / words < 0.05


@real
def test_words_are_where_the_audio_is(whisper: Transcriber) -> None:
    path = min(RAVDESS.glob("Actor_01/03-01-*.flac"))
    waveform = waveform_16k(*read_audio(Span(path))[:2])
    late = whisper(np.concatenate([silence(10), waveform, silence(25), waveform]))
    loud = np.flatnonzero(np.abs(waveform) > 0.1 * np.abs(waveform).max()) / 16_000
    first, second = late[: len(late) // 2], late[len(late) // 2 :]
    assert plain(" ".join(w.word for w in first)) == plain(" ".join(w.word for w in second))
    assert first[0].start == pytest.approx(10 + loud[0], abs=0.4)
    assert first[-1].end == pytest.approx(10 + loud[-1], abs=0.6)
    assert second[0].start == pytest.approx(first[0].start + 25 + len(waveform) / 16_000, abs=0.4)


@real
def test_silence_says_nothing(whisper: Transcriber) -> None:
    assert whisper(silence(4)) == []
    assert whisper(np.zeros(0, np.float32)) == []


def test_models_of_another_kind(tmp_path: Path) -> None:
    with pytest.raises(EmohopError, match="type wav2vec2: speech is recognised by Whisper"):
        Transcriber(save_speech(tmp_path), "cpu")
    with pytest.raises(EmohopError, match="no audio features 'whispr'"):
        Transcriber("whispr", "cpu")
    with pytest.raises(EmohopError, match=r"has no tokenizer|load tokenizer"):
        Transcriber(save_speech(tmp_path / "features", "whisper"), "cpu")  # it has no tokenizer


def test_what_ctranslate2_runs(tmp_path: Path) -> None:
    assert is_ctranslate("faster-whisper-tiny.en")
    assert is_ctranslate("Systran/faster-whisper-base")
    assert not is_ctranslate("whisper-tiny.en")
    assert not is_ctranslate(str(tmp_path))
    (tmp_path / "model.bin").write_bytes(b"weights")
    assert is_ctranslate(str(tmp_path))


def test_a_folder_of_ctranslate2_that_is_not_whole(tmp_path: Path) -> None:
    pytest.importorskip("faster_whisper")
    (tmp_path / "model.bin").write_bytes(b"weights")
    with pytest.raises(EmohopError, match=r"has no tokenizer\.json: copy it"):
        Transcriber(str(tmp_path))
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(EmohopError, match=r"the speech recogniser .* cannot be loaded"):
        Transcriber(str(tmp_path))
