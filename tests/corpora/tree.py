"""A small folder in IEMOCAP's layout with every oddity of the true one, written by hand."""

from __future__ import annotations

import wave
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

FILM_SECONDS = 4
FILM_RATE = 5
WIDTH, HEIGHT = 720, 480
LEFT, RIGHT = (200, 60, 30), (30, 60, 200)

HEADER = "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"
NEUTRAL = ("C-E2:\tNeutral;\t()", "A-E3:\tval 3; act 2; dom  2;\t()")


@dataclass(frozen=True)
class Line:
    """A labelled turn: its block is the header and the ratings, as they stand in the file."""

    name: str
    start: float
    end: float
    label: str
    text: str | None = "Excuse me."
    ratings: tuple[str, ...] = NEUTRAL
    means: str = "2.5000, 2.5000, 2.5000"

    def block(self) -> str:
        head = f"[{self.start:.4f} - {self.end:.4f}]\t{self.name}\t{self.label}\t[{self.means}]\n"
        return head + "".join(f"{rating}\n" for rating in self.ratings) + "\n"

    def transcription(self) -> str:
        return f"{self.name} [{self.start:08.4f}-{self.end:08.4f}]: {self.text}\n"


# Out of order on purpose; M000 begins before F000 ends.
FIRST = (
    Line(
        "Ses01F_impro01_M000",
        1.1,
        2.2,
        "xxx",
        "Do you have your forms? I said: your forms.",
        (
            "C-E2:\tNeutral;\t()",
            "C-E3:\tNeutral; Frustration;\t()",
            "C-E4:\tOther;\t(bored; tired)",
            "C-M1:\tNeutral state;\t(curious)",
            "A-E3:\tval 3; act 2; dom  2;\t()",
            "A-E4:\tval 2; act 3.5; dom  ;\t(mildly aggravated, but polite)",
            "A-M1:\tval 3; act 2;\t()",
        ),
        "2.5000, 2.7500, 2.0000",
    ),
    Line("Ses01F_impro01_F000", 0.2, 1.4, "neu"),
    Line("Ses01F_impro01_F001", 2.4, 3.0, "hap", "[LAUGHTER] Yeah. [BREATHING]"),
    Line("Ses01F_impro01_M001", 3.0, 3.6, "fea", None),
)
SCRIPT = (
    Line("Ses01M_script01_1_M000", 0.3, 1.3, "exc", "A café, at last…"),
    Line("Ses01M_script01_1_F000", 1.5, 2.5, "ang", ""),
)
ODD = {
    "Session3": (
        "Ses03M_impro05a",
        "Ses03M_impro05b",
        "Ses03M_impro08a",
        "Ses03M_impro08b",
    ),
    "Session5": ("Ses05M_script01_1b",),
}


def odd_turns(dialog: str) -> tuple[Line, ...]:
    return (
        Line(f"{dialog}_F012", 0.5, 1.5, "sad", "Why not?"),
        Line(f"{dialog}_M007", 1.5, 2.5, "fru", "Because."),
    )


def write_tree(root: Path, *, media: bool = True) -> Path:
    """Write the release folder below `root` and return it: 7 dialogs, 16 labelled turns."""
    release = root / "IEMOCAP_full_release"
    film = film_bytes(root / "film.avi") if media else None
    extra = (
        "M: sorry\n"
        "Ses01F_impro01_FXX0 [003.6000-003.7000]: Mmhmm.\n"
        "Ses01F_impro01_FXX0 [003.8000-003.9000]:\n"
    )
    write_dialog(release / "Session1", "Ses01F_impro01", FIRST, film, extra=extra)
    write_dialog(release / "Session1", "Ses01M_script01_1", SCRIPT, film, encoding="cp1252")
    for session, dialogs in ODD.items():
        for dialog in dialogs:
            write_dialog(release / session, dialog, odd_turns(dialog), film)
    _litter(release / "Session1")
    return release


def write_dialog(
    session: Path,
    dialog: str,
    turns: Iterable[Line],
    film: bytes | None = None,
    *,
    extra: str = "",
    encoding: str = "utf-8",
) -> None:
    turns = tuple(turns)
    text = HEADER + "".join(turn.block() for turn in turns)
    _write(session / "dialog" / "EmoEvaluation" / f"{dialog}.txt", text.encode())
    words = "".join(turn.transcription() for turn in turns if turn.text is not None) + extra
    _write(session / "dialog" / "transcriptions" / f"{dialog}.txt", words.encode(encoding))
    if film is not None:
        _write(session / "dialog" / "avi" / "DivX" / f"{dialog}.avi", film)
        for turn in turns:
            write_wave(session / "sentences" / "wav" / dialog / f"{turn.name}.wav")


def write_wave(path: Path, seconds: float = 0.05, rate: int = 16_000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = (8000 * np.sin(np.arange(int(seconds * rate)) / 10)).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())


def film_bytes(path: Path) -> bytes:
    """An MPEG-4 AVI of two plain halves, `LEFT` and `RIGHT`; `path` is used for a moment."""
    import av

    video = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    video[:, : WIDTH // 2] = LEFT
    video[:, WIDTH // 2 :] = RIGHT
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="avi") as film:
        stream = film.add_stream("mpeg4", rate=FILM_RATE)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for _ in range(FILM_SECONDS * FILM_RATE):
            film.mux(stream.encode(av.VideoFrame.from_ndarray(video, format="rgb24")))
        film.mux(stream.encode())
    data = path.read_bytes()
    path.unlink()
    return data


def _litter(session: Path) -> None:
    """What true copies hold besides: AppleDouble files, sub-folders that are not dialogs."""
    double = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X"
    labels = session / "dialog" / "EmoEvaluation"
    _write(labels / "._Ses01F_impro01.txt", double)
    _write(session / "dialog" / "transcriptions" / "._Ses01F_impro01.txt", double)
    _write(session / "sentences" / "wav" / "Ses01F_impro01" / "._Ses01F_impro01_F000.wav", double)
    _write(session / "dialog" / "avi" / "DivX" / "._Ses01F_impro01.avi", double)
    _write(labels / "Attribute" / "Ses01F_impro01_e3_atr.txt", b"Ses01F_impro01_F000 :act 2;\n")
    _write(labels / "Categorical" / "Ses01F_impro01.txt", b"Ses01F_impro01_F000 :Neutral;\n")
    _write(labels / "Self-evaluation" / "Ses01F_impro01_f1.txt", b"nothing\n")


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
