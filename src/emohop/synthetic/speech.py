"""Speech for the synthetic corpus: eSpeak NG through ctypes, with a delivery for each class.

eSpeak NG is GPL-3.0 and comes with the package espeakng-loader; it is used as a program would be.
"""

from __future__ import annotations

import ctypes
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from emohop.clips import Gender
from emohop.errors import EmohopError, MissingExtraError
from emohop.synthetic.plan import Cue

Samples = npt.NDArray[np.float64]

SAMPLE_RATE = 16_000
PAUSE_SECONDS = 0.03  # where the delivery changes within an utterance
EDGE_SECONDS = 0.06  # of silence at both ends of an utterance


@dataclass(frozen=True, slots=True)
class Delivery:
    """How something is said. Pitch and its range are eSpeak's, 0 to 99 with 50 as usual."""

    pitch: float = 42.0
    range: float = 40.0
    words_per_minute: float = 195.0
    gain_db: float = 0.0
    tilt_db: float = 0.0
    """Decibels per octave, turning at 1 kHz."""
    peak_db: float = 0.0
    peak_hz: float = 2500.0
    """A resonance: a bump (or a dip) about an octave wide."""
    drive: float = 0.0
    """How far the wave is pressed flat, as a shouting throat does."""
    breath: float = 0.0
    """Noise that follows the voice's loudness."""
    tremor: float = 0.0
    """Depth of a 5 Hz shake of loudness, as in laughing or weeping."""


NEUTRAL = Delivery()
DELIVERIES: Mapping[str, Delivery] = {
    "neu": NEUTRAL,
    "ang": Delivery(50, 75, 215, 9.0, 3.0, 8.0, 3500, drive=3.0),
    "hap": Delivery(66, 65, 195, 4.0, 0.0, -14.0, 1800, tremor=0.95),
    "exc": Delivery(85, 95, 240, 6.0, 0.0, 14.0, 1900),
    "sad": Delivery(28, 12, 155, -10.0, -5.0, 0.0, breath=0.1),
    "fru": Delivery(34, 30, 175, 0.0, -1.0, 14.0, 800, breath=0.2),
    "sur": Delivery(96, 99, 165, 0.0, -3.0, 16.0, 6000, breath=0.4),
}


@dataclass(frozen=True, slots=True)
class Voice:
    """A speaker's voice: an eSpeak variant and how it leans from the ordinary delivery."""

    variant: str
    pitch: float = 0.0
    pace: float = 1.0
    gain_db: float = 0.0


VOICES: Mapping[tuple[int, Gender], Voice] = {
    (1, "F"): Voice("f1", 2, 1.0, 0.5),
    (1, "M"): Voice("m1", 4, 0.97, 0.0),
    (2, "F"): Voice("f2", -4, 1.04, -1.0),
    (2, "M"): Voice("m3", -3, 1.0, 1.0),
    (3, "F"): Voice("f3", 0, 0.96, 0.0),
    (3, "M"): Voice("m7", 3, 1.05, -0.5),
    (4, "F"): Voice("f4", 4, 1.02, -1.0),
    (4, "M"): Voice("m4", 0, 0.98, 0.5),
    (5, "F"): Voice("f2", 9, 0.98, 1.0),
    (5, "M"): Voice("m3", 8, 1.03, -1.0),
}

# eSpeak's speak_lib.h
_SYNCHRONOUS, _DONT_EXIT, _FROM_CHARACTER, _UTF8 = 2, 0x8000, 1, 1
_RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4
_BUFFER_MILLISECONDS = 500
_SEED = 1
_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)
_FULL_SCALE = 32768.0
_AUDIBLE = 0.01  # of full scale: what is quieter at both ends is cut off
_PEAK_OCTAVES = 0.6
_LEVEL = 0.05  # root mean square of the ordinary delivery


class Synthesiser:
    """eSpeak NG in a state of its own.

    The library keeps global state (the phase of its flutter, its echo) that changes every later
    sound, and ending and starting it again does not reset all of it. So each synthesiser loads a
    copy of the library under a new name, which the loader takes for another library. Its breath
    noise starts from the time of day unless it is told a seed.
    """

    def __init__(self) -> None:
        try:
            import espeakng_loader
        except ImportError:
            raise MissingExtraError("the synthetic corpus", "demo") from None
        source = Path(espeakng_loader.get_library_path())
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            copy = shutil.copy(source, folder)
            try:
                self._library = ctypes.CDLL(str(copy))
            except OSError as error:
                raise EmohopError(
                    f"eSpeak NG cannot be loaded from {copy}: {error}: set TMPDIR to a folder from "
                    "which programs may run"
                ) from None
        data = espeakng_loader.get_data_path()
        self._rate = self._library.espeak_Initialize(
            _SYNCHRONOUS, _BUFFER_MILLISECONDS, str(data).encode(), _DONT_EXIT
        )
        if self._rate <= 0:
            raise EmohopError(
                f"eSpeak NG cannot start with its data in {data}: install espeakng-loader again, "
                "in a folder with a shorter path"
            )
        self._library.espeak_ng_SetRandSeed(_SEED)
        self._pieces: list[bytes] = []
        self._callback = _Callback(self._collect)  # kept: the library holds only its address
        self._library.espeak_SetSynthCallback(self._callback)

    def __enter__(self) -> Synthesiser:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._library.espeak_Terminate()

    def _collect(self, wave: ctypes._Pointer[ctypes.c_short], count: int, _events: int) -> int:
        if count > 0:
            self._pieces.append(ctypes.string_at(wave, count * 2))
        return 0

    def say(self, words: str, voice: Voice, delivery: Delivery) -> Samples:
        """Speech at 16 kHz without the silence around it, of eSpeak's own loudness."""
        import soxr

        name = f"en-us+{voice.variant}"
        if self._library.espeak_SetVoiceByName(name.encode()) != 0:
            raise EmohopError(f"eSpeak NG lacks the voice {name}: install espeakng-loader again")
        pitch = min(max(round(delivery.pitch + voice.pitch), 0), 99)
        rate = round(delivery.words_per_minute * voice.pace)
        settings = {_RATE: rate, _VOLUME: 60, _PITCH: pitch, _RANGE: round(delivery.range)}
        for setting, value in settings.items():
            self._library.espeak_SetParameter(setting, value, 0)
        self._pieces.clear()
        text = words.encode() + b"\0"
        self._library.espeak_Synth(text, len(text), 0, _FROM_CHARACTER, 0, _UTF8, None, None)
        raw = np.frombuffer(b"".join(self._pieces), np.int16) / _FULL_SCALE
        loud = np.flatnonzero(np.abs(raw) > _AUDIBLE)
        if not len(loud):
            raise EmohopError(f"eSpeak NG is silent for {words!r}: install espeakng-loader again")
        speech: Samples = soxr.resample(raw[loud[0] : loud[-1] + 1], self._rate, SAMPLE_RATE)
        return speech


def utterance(
    synthesiser: Synthesiser,
    words: Sequence[str],
    cue: Cue,
    voice: Voice,
    random: np.random.Generator,
) -> Samples:
    """A sentence at 16 kHz in which the words within `cue` show its class, the rest nothing."""
    letters = np.array([len(word) + 1 for word in words])
    middles = (np.cumsum(letters) - letters / 2) / letters.sum()
    inside = np.flatnonzero((middles >= cue.start) & (middles <= cue.end))
    first = int(inside[0]) if len(inside) else int(np.argmin(np.abs(middles - cue.start)))
    last = max(int(inside[-1]) if len(inside) else first, min(first + 1, len(words) - 1))
    strong = between(NEUTRAL, DELIVERIES[cue.label], cue.strength)
    pieces: list[Samples] = [np.zeros(round(EDGE_SECONDS * SAMPLE_RATE))]
    for delivery, chosen in (
        (NEUTRAL, words[:first]),
        (strong, words[first : last + 1]),
        (NEUTRAL, words[last + 1 :]),
    ):
        if chosen:
            plain = synthesiser.say(" ".join(chosen), voice, delivery)
            pieces.append(shape(plain, delivery, voice.gain_db, random))
            pieces.append(np.zeros(round(PAUSE_SECONDS * SAMPLE_RATE)))
    return np.concatenate([*pieces, pieces[0]])


def between(plain: Delivery, strong: Delivery, amount: float) -> Delivery:
    """A delivery from `plain` (amount 0) to `strong` (amount 1) or a little beyond."""
    values = {
        field.name: getattr(plain, field.name)
        + amount * (getattr(strong, field.name) - getattr(plain, field.name))
        for field in fields(Delivery)
    }
    values["peak_hz"] = strong.peak_hz
    values["range"] = min(max(values["range"], 0.0), 99.0)
    return Delivery(**values)


def shape(
    speech: Samples, delivery: Delivery, gain_db: float, random: np.random.Generator
) -> Samples:
    """What eSpeak cannot do: the delivery's loudness, colour, pressure, breath and tremor."""
    seconds = np.arange(len(speech)) / SAMPLE_RATE
    wave = speech / np.sqrt(np.mean(speech**2))  # root mean square 1
    if delivery.breath > 0:
        wave = wave + delivery.breath * _envelope(wave) * random.standard_normal(len(wave))
    if delivery.drive > 0:
        wave = np.tanh(delivery.drive * wave) / np.tanh(delivery.drive)
    wave = wave * (1 + delivery.tremor * np.sin(2 * np.pi * 5 * seconds)) / (1 + delivery.tremor)
    octaves = np.log2(np.maximum(np.fft.rfftfreq(len(wave), 1 / SAMPLE_RATE), 60.0) / 1000)
    bump = np.exp(-(((octaves - np.log2(delivery.peak_hz / 1000)) / _PEAK_OCTAVES) ** 2))
    colour = 10 ** ((delivery.tilt_db * octaves + delivery.peak_db * bump) / 20)
    wave = np.fft.irfft(np.fft.rfft(wave) * colour, len(wave))
    wave = wave / np.sqrt(np.mean(wave**2))
    jitter_db = random.normal(0, 1.0)
    fade = np.minimum(np.minimum(seconds, seconds[::-1]) / 0.005, 1.0)
    level: Samples = wave * fade * _LEVEL * 10 ** ((delivery.gain_db + gain_db + jitter_db) / 20)
    return level


def _envelope(wave: Samples) -> Samples:
    window = round(0.02 * SAMPLE_RATE)
    power = np.cumsum(np.concatenate([np.zeros(window), wave**2]))
    smooth: Samples = np.sqrt((power[window:] - power[:-window]) / window)
    return smooth
