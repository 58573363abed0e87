"""Where the files of the synthetic corpus go: the writing of one dialog in IEMOCAP's layout."""

from __future__ import annotations

import wave
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from emohop.clips import Gender, Modality
from emohop.synthetic.annotations import TimedTurn, evaluation_file, transcription_file
from emohop.synthetic.faces import EXPRESSIONS, LEVELS, TILTS, person
from emohop.synthetic.plan import DialogPlan, generator
from emohop.synthetic.speech import SAMPLE_RATE, VOICES, Samples, Synthesiser, utterance
from emohop.synthetic.video import (
    Actor,
    Showing,
    blinks,
    frame_count,
    frame_times,
    sway,
    write_video,
)

TICKS_PER_SECOND = 2000  # turns begin and end on these: whole samples and four decimals at once
LEAD_SECONDS = 0.5  # of quiet before the first turn and after the last
SMALLEST_GAP_SECONDS = 0.1  # between two turns of one actor
ROOM_LEVEL = 0.001  # of full scale: the noise of an empty room
STRONG = 0.85  # a cue of less strength stays a level below the full expression
LISTENER_RATE = 0.3  # of the turns, in which the other face shows something of its own, weakly
ACTORS: tuple[Gender, Gender] = ("F", "M")
_LOUD, _MOUTH_RANGE_DB = 0.1, 30.0  # full-scale level of a wide open mouth, and where it shuts
APPLE_DOUBLE = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        "

README = """\
This is a SYNTHETIC corpus in the layout of IEMOCAP. No person spoke or was filmed: the speech is
eSpeak NG's, the faces are drawn, the sentences come from templates, and the labels, raters and
ratings are invented. It serves to try and to test programs.

RESULTS ON IT SAY NOTHING ABOUT PEOPLE.

Session1 ... Session5, two synthetic speakers (F and M) in each:
  dialog/avi/DivX        both speakers side by side, the marker wearer left
  dialog/EmoEvaluation   labels and ratings
  dialog/transcriptions  transcripts
  dialog/wav             audio, the marker wearer in the left channel
  sentences/wav          the audio of each utterance

IEMOCAP itself: https://sail.usc.edu/iemocap/
"""


def write_dialog(root: Path, plan: DialogPlan) -> float:
    """Write all files of one dialog below `root`; the answer is its seconds of speech."""
    session = root / f"Session{plan.session}"
    with Synthesiser() as synthesiser:
        spoken = [
            utterance(
                synthesiser,
                turn.words,
                turn.shown[Modality.AUDIO],
                VOICES[plan.session, turn.gender],
                generator(plan.seed, "voice", turn.name),
            )
            for turn in plan.turns
        ]
    timed, ticks = _place(plan, spoken)
    tracks = _mix(plan, timed, spoken, ticks)
    _write_audio(session, plan, timed, tracks)
    _write_annotations(session, plan, timed)
    video = session / "dialog" / "avi" / "DivX" / f"{plan.name}.avi"
    _write_video(video, plan, timed, tracks)
    if plan.number % 2 == 0:
        _litter(session, plan)
    return sum(t.end - t.start for t in timed)


def _place(plan: DialogPlan, spoken: Sequence[Samples]) -> tuple[list[TimedTurn], int]:
    """The turns in time, and the length of the dialog in ticks."""
    timed: list[TimedTurn] = []
    begin = end = round(LEAD_SECONDS * TICKS_PER_SECOND)
    own_ends: dict[Gender, int] = {}
    smallest = round(SMALLEST_GAP_SECONDS * TICKS_PER_SECOND)
    for turn, samples in zip(plan.turns, spoken, strict=True):
        earliest = max(begin, own_ends.get(turn.gender, 0)) + smallest
        begin = max(end + round(turn.gap * TICKS_PER_SECOND), earliest)
        end_here = begin + -(-len(samples) * TICKS_PER_SECOND // SAMPLE_RATE)
        timed.append(TimedTurn(turn, begin / TICKS_PER_SECOND, end_here / TICKS_PER_SECOND))
        own_ends[turn.gender] = end_here
        end = max(end, end_here)
    return timed, end + round(LEAD_SECONDS * TICKS_PER_SECOND)


def _mix(
    plan: DialogPlan, timed: Sequence[TimedTurn], spoken: Sequence[Samples], ticks: int
) -> dict[Gender, npt.NDArray[np.int16]]:
    """One track for each actor, room noise included."""
    length = ticks * SAMPLE_RATE // TICKS_PER_SECOND
    tracks: dict[Gender, npt.NDArray[np.int16]] = {}
    for gender in ACTORS:
        noise = generator(plan.seed, "room", plan.name, gender)
        track = ROOM_LEVEL * noise.standard_normal(length)
        for t, samples in zip(timed, spoken, strict=True):
            if t.turn.gender == gender:
                first = round(t.start * SAMPLE_RATE)
                track[first : first + len(samples)] += samples
        tracks[gender] = np.rint(np.clip(track, -1, 1) * 32767).astype(np.int16)
    return tracks


def _write_audio(
    session: Path,
    plan: DialogPlan,
    timed: Sequence[TimedTurn],
    tracks: Mapping[Gender, npt.NDArray[np.int16]],
) -> None:
    both = np.stack([tracks[plan.wearer], tracks[plan.partner]], axis=1)
    _write_wave(session / "dialog" / "wav" / f"{plan.name}.wav", both)
    folder = session / "sentences" / "wav" / plan.name
    for t in timed:
        first, last = round(t.start * SAMPLE_RATE), round(t.end * SAMPLE_RATE)
        samples = tracks[t.turn.gender][first:last, None]
        _write_wave(folder / f"{t.turn.name}.wav", samples)


def _write_wave(path: Path, samples: npt.NDArray[np.int16]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(samples.astype("<i2").tobytes())


def _write_annotations(session: Path, plan: DialogPlan, timed: Sequence[TimedTurn]) -> None:
    folder = session / "dialog" / "EmoEvaluation"
    _write(folder / f"{plan.name}.txt", evaluation_file(plan, timed).encode())
    # The raters' own files, in folders that are not dialogs.
    atr = "".join(f"{t.turn.name} :act 3; :val 3; :dom 3;\n" for t in timed)
    _write(folder / "Attribute" / f"{plan.name}_e3_atr.txt", atr.encode())
    for name, file in (("Categorical", "e3_cat"), ("Self-evaluation", "f1_cat")):
        text = "".join(f"{t.turn.name} :Neutral state; ()\n" for t in timed)
        _write(folder / name / f"{plan.name}_{file}.txt", text.encode())
    transcripts = session / "dialog" / "transcriptions" / f"{plan.name}.txt"
    _write(transcripts, transcription_file(plan, timed))


def _write_video(
    path: Path,
    plan: DialogPlan,
    timed: Sequence[TimedTurn],
    tracks: Mapping[Gender, npt.NDArray[np.int16]],
) -> None:
    frames = frame_count(len(tracks[plan.partner]) / SAMPLE_RATE)
    left, right = (
        _actor(plan, gender, timed, tracks[gender], frames)
        for gender in (plan.wearer, plan.partner)
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, left, right, frames)


def _actor(
    plan: DialogPlan,
    gender: Gender,
    timed: Sequence[TimedTurn],
    track: npt.NDArray[np.int16],
    frames: int,
) -> Actor:
    random = generator(plan.seed, "face", plan.name, gender)
    listening, speaking = [], []
    for t in timed:
        tilt, other = int(random.choice(TILTS)), str(random.choice(list(EXPRESSIONS)))
        if t.turn.gender == gender:
            cue, length = t.turn.shown[Modality.VIDEO], t.end - t.start
            level = LEVELS if cue.strength >= STRONG else LEVELS - 1
            begin, end = t.start + cue.start * length, t.start + cue.end * length
            speaking.append(Showing("neu", t.start, t.end, 0, tilt))
            speaking.append(Showing(cue.label, begin, end, level, tilt))
        elif random.random() < LISTENER_RATE:
            listening.append(Showing(other, t.start, t.end, 1, tilt))
    return Actor(
        person=person(plan.session, gender, plan.seed, markers=gender == plan.wearer),
        showings=(*listening, *speaking),  # later ones win: who speaks shows what the clip shows
        loudness=_loudness(track, frames),
        sway=sway(frames, random),
        blinks=blinks(frames, random),
    )


def _loudness(track: npt.NDArray[np.int16], frames: int) -> npt.NDArray[np.float64]:
    """The voice around each video frame, 1 for loud speech; decibels, so that soft voices count."""
    window = round(0.08 * SAMPLE_RATE)
    power = np.cumsum(np.concatenate([[0.0], (track / 32768.0) ** 2]))
    first = np.minimum((frame_times(frames) * SAMPLE_RATE).astype(int), len(track))
    last = np.minimum(first + window, len(track))
    level = np.sqrt((power[last] - power[first]) / window)
    decibels = 20 * np.log10(np.maximum(level, 1e-6) / _LOUD)
    share: npt.NDArray[np.float64] = np.clip(1 + decibels / _MOUTH_RANGE_DB, 0, 1)
    return share


def _litter(session: Path, plan: DialogPlan) -> None:
    """The AppleDouble files that many copies of IEMOCAP hold."""
    for path in (
        session / "dialog" / "EmoEvaluation" / f"._{plan.name}.txt",
        session / "dialog" / "transcriptions" / f"._{plan.name}.txt",
        session / "dialog" / "avi" / "DivX" / f"._{plan.name}.avi",
        session / "dialog" / "wav" / f"._{plan.name}.wav",
        session / "sentences" / "wav" / plan.name / f"._{plan.turns[0].name}.wav",
    ):
        _write(path, APPLE_DOUBLE)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
