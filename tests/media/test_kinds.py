"""Every kind of file in `kinds`: its length, its first sound, its first frame, what is said."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from emohop.clips import Span
from emohop.errors import MediaError
from emohop.media import frames_at, probe, read_audio
from tests.media.kinds import KINDS, Kind

MANY = 60
LENGTH_SECONDS = 0.15
"""How much a length may differ: codecs pad their last frame."""
SOUND_SECONDS = 0.08


@pytest.fixture(scope="module", params=KINDS, ids=[kind.name for kind in KINDS])
def made(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Kind, Path]:
    kind: Kind = request.param
    path = tmp_path_factory.mktemp("kinds") / kind.name
    kind.make(path)
    return kind, path


def first_sound(path: Path) -> float:
    samples, rate, _ = read_audio(Span(path), repair=True)
    return float(np.argmax(np.abs(samples) > 0.03)) / rate


def test_there_are_many() -> None:
    assert len({kind.name for kind in KINDS}) == len(KINDS) >= MANY


def test_its_length(made: tuple[Kind, Path]) -> None:
    kind, path = made
    if kind.error:
        with pytest.raises(MediaError, match=kind.error):
            read_audio(Span(path, 0.0, probe(path).duration), repair=True)
        return
    media = probe(path)
    assert media.duration == pytest.approx(kind.length, abs=LENGTH_SECONDS)
    assert (media.audio_end is None) == (kind.sound is None)
    if media.audio_end is not None:
        samples, rate, _ = read_audio(Span(path), repair=True)
        assert len(samples) / rate == pytest.approx(media.audio_end, abs=LENGTH_SECONDS)


def test_its_first_sound_and_what_is_said(made: tuple[Kind, Path]) -> None:
    kind, path = made
    if kind.error or kind.sound is None:
        with pytest.raises(MediaError):
            read_audio(Span(path), repair=True)
        return
    assert first_sound(path) == pytest.approx(kind.sound, abs=SOUND_SECONDS)
    notes = read_audio(Span(path), repair=True).notes
    if kind.note:
        assert any(kind.note in note for note in notes), notes
    else:
        assert notes == ()


def test_its_first_frame(made: tuple[Kind, Path]) -> None:
    kind, path = made
    if kind.error:
        return
    start = probe(path).video_start
    if kind.frame is None:
        assert start is None
        return
    assert start == pytest.approx(kind.frame, abs=SOUND_SECONDS)
    before = [kind.frame - 0.15] if kind.frame else []
    seen = [k for k, _ in frames_at(path, [*before, kind.frame + 0.12])]
    assert seen == [len(before)]


def test_what_is_strictly_right(made: tuple[Kind, Path]) -> None:
    kind, path = made
    if kind.error or kind.sound is None:
        return
    if kind.strict:
        with pytest.raises(MediaError, match=kind.strict):
            read_audio(Span(path))
    else:
        samples = read_audio(Span(path)).samples
        np.testing.assert_array_equal(samples, read_audio(Span(path), repair=True).samples)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg on this machine")
def test_it_is_what_ffmpeg_synchronises(made: tuple[Kind, Path]) -> None:
    """Sound starts where it does in what `ffmpeg` writes, its time stamps kept by silence."""
    kind, path = made
    if kind.error or kind.sound is None:
        return
    done = subprocess.run(
        ["ffmpeg", "-v", "quiet", "-i", str(path), "-map", "0:a:0", "-af",
         "aresample=async=1:first_pts=0", "-ac", "1", "-ar", "16000", "-f", "f32le", "-",
         *(["-map", "0:v:0", "-c", "copy", "-f", "null", os.devnull] * (kind.frame is not None))],
        capture_output=True, check=False,
    )  # fmt: skip
    theirs = np.frombuffer(done.stdout, np.float32)
    if not len(theirs) or kind.name.startswith("opposite"):
        pytest.skip("ffmpeg hears nothing in it")
    heard = float(np.argmax(np.abs(theirs) > 0.03)) / 16_000
    assert first_sound(path) == pytest.approx(heard, abs=SOUND_SECONDS)
