"""Damaged files, read by a child process with limits: what every reader of emohop must survive.

    python -m tests.fuzzing --files 20000 --seed 0 [--format wav] [--only 17]

makes valid files, damages them by a seed, reads each as emohop does and prints a table. A file is
read well or refused by an `EmohopError` of one line; anything else is a finding and is kept under
`--keep`, named by format, seed and number, which also make it again (`--only`).
"""

from __future__ import annotations

import argparse
import copy
import faulthandler
import gzip
import json
import multiprocessing
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from emohop.errors import EmohopError

MEMORY_BYTES = 4 * 2**30  # address space of the child beyond what it has when it starts
FLAGGED_MB = 1024.0
SECONDS = 10.0  # for one file
LINE = 1000  # characters of an error that is still a clear line
MEDIA = ("wav", "flac", "mp4", "avi", "mp3")

Random = np.random.Generator


# ---------------------------------------------------------------------------- valid files


def _sound(folder: Path, ending: str, *kinds: tuple[str, int]) -> list[Path]:
    """A short tone in each of libsndfile's subtypes, with so many channels."""
    import soundfile

    from tests.media.making import tone

    paths = []
    for kind, channels in kinds:
        path = folder / f"{kind}-{channels}.{ending}"
        soundfile.write(path, np.tile(tone(0.15)[:, None], channels), 16_000, subtype=kind)
        paths.append(path)
    return paths


def make_wav(folder: Path) -> list[Path]:
    """WAV of integers, floats and a logarithmic code, and one with more chunks."""
    paths = _sound(folder, "wav", ("PCM_16", 1), ("PCM_24", 2), ("FLOAT", 1), ("ULAW", 1))
    data = paths[0].read_bytes()
    note = b"LIST\x1a\0\0\0INFOISFT\x0e\0\0\0Lavf62.12.102\0"
    size = (len(data) - 8 + len(note)).to_bytes(4, "little")
    paths.append(folder / "list.wav")
    paths[-1].write_bytes(b"RIFF" + size + data[8:36] + note + data[36:])
    return paths


def make_flac(folder: Path) -> list[Path]:
    """FLAC of 16 and 24 bits."""
    return _sound(folder, "flac", ("PCM_16", 1), ("PCM_24", 2))


def make_mp3(folder: Path) -> list[Path]:
    """MP3 by libsndfile's encoder, and by FFmpeg with an ID3 tag and a Xing header."""
    import av

    from tests.media.making import tone

    tagged = folder / "tagged.mp3"
    with av.open(str(tagged), "w") as out:
        stream: Any = out.add_stream("libmp3lame", rate=16_000)
        out.metadata["title"] = "a tone"
        frame: Any = av.AudioFrame.from_ndarray(tone(0.4)[None], format="fltp", layout="mono")
        frame.sample_rate = 16_000
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return [*_sound(folder, "mp3", ("MPEG_LAYER_III", 1)), tagged]


def _film(path: Path, frames: int, **options: Any) -> Path:
    from tests.media.making import numbered, write_video

    return write_video(path, (numbered(k, 64, 48) for k in range(frames)), **options)


def make_mp4(folder: Path) -> list[Path]:
    """MP4 of two codecs with sound, and one of 30 s in which a reader seeks."""
    from fractions import Fraction

    from tests.media.making import numbered_video, tone

    return [
        numbered_video(folder / "mpeg4.mp4", 10, sound=tone(0.3)),
        _film(folder / "h264.mp4", 10, codec="libx264", sound=tone(0.3)),
        _film(folder / "long.mp4", 30, rate=Fraction(1), gop=5, sound=np.zeros(480_000, "f4")),
    ]


def make_avi(folder: Path) -> list[Path]:
    """AVI of two codecs with sound, and one of 30 s in which a reader seeks."""
    from fractions import Fraction

    from tests.media.making import numbered_video, tone

    return [
        numbered_video(folder / "mpeg4.avi", 10, sound=tone(0.3)),
        _film(folder / "mpeg2.avi", 10, codec="mpeg2video", rate=Fraction(25), sound=tone(0.4)),
        _film(folder / "long.avi", 30, rate=Fraction(1), gop=5, sound=np.zeros(480_000, "f4")),
    ]


def make_csv(folder: Path) -> list[Path]:
    """MELD's table, and a table of clips parted by commas and by tabs."""
    from tests.corpora.test_meld import table

    meld = table(folder / "meld")
    text = (
        "path,label,speaker,session,gender,split,text,start,end\n"
        'clips/a.wav,happy,anna,s1,F,train,"Well, ""well"".",0.5,1.5\n'
        "clips/a.wav,sad,anna,s1,female,valid,,1.5,\n"
        "\n"
        "clips/b.mp4,happy,bert,s2,m,test,No.,,\n"
    )
    for name in ("comma", "tab"):
        (folder / name).mkdir()
    comma, tab = folder / "comma/clips.csv", folder / "tab/clips.tsv"
    comma.write_text(text, "utf-8")
    tab.write_text(text.replace("Well, ", "Well ").replace(",", "\t"), "utf-8")
    return [meld, comma, tab]


def _dialog(folder: Path) -> Path:
    from tests.corpora.tree import FIRST, write_dialog

    session = folder / "IEMOCAP_full_release/Session1"
    write_dialog(session, "Ses01F_impro01", FIRST, extra="M: sorry\n")
    return session / "dialog"


def make_evaluation(folder: Path) -> list[Path]:
    """IEMOCAP's labels of one dialog."""
    return [_dialog(folder) / "EmoEvaluation/Ses01F_impro01.txt"]


def make_transcription(folder: Path) -> list[Path]:
    """IEMOCAP's words of one dialog."""
    return [_dialog(folder) / "transcriptions/Ses01F_impro01.txt"]


def make_glove(folder: Path) -> list[Path]:
    """Word vectors as text, with word2vec's header, and in both kinds of archive."""
    rng = np.random.default_rng(0)
    words = ["the", "and", ". . .", "no", "yes", "3", "café", *(f"w{i}" for i in range(30))]
    lines = [" ".join([w, *(f"{x:.5f}" for x in rng.normal(size=8))]) for w in words]
    text = ("\n".join(lines) + "\n").encode()
    plain, header = folder / "glove.txt", folder / "header.txt"
    plain.write_bytes(text)
    header.write_bytes(f"{len(words)} 8\n".encode() + text)
    packed, archive = folder / "glove.txt.gz", folder / "glove.zip"
    packed.write_bytes(gzip.compress(text, mtime=0))
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(zipfile.ZipInfo("glove.8d.txt"), text)
    return [plain, header, packed, archive]


def _prepared(folder: Path) -> Path:
    """A prepared corpus that brings word vectors along."""
    from dataclasses import replace

    from emohop.storage.manifest import read_manifest, write_manifest
    from emohop.storage.vectors import write_vectors
    from tests.prepared import write_prepared

    out = write_prepared(folder / "prepared", clips=9)
    files = write_vectors(out, ["_PAD_", "_UNK_", "no"], np.ones((3, 4), np.float32))
    write_manifest(out, replace(read_manifest(out), word_vectors=files))
    return out


def make_manifest(folder: Path) -> list[Path]:
    """The manifest of a prepared corpus, and of one that joins two."""
    from emohop.storage.joining import join
    from tests.prepared import write_prepared

    out, other = _prepared(folder), write_prepared(folder / "other", clips=9)
    join([other], [], folder / "joined")
    return [out / "manifest.json", folder / "joined/manifest.json"]


def make_shard(folder: Path) -> list[Path]:
    """A shard of a prepared corpus."""
    return [_prepared(folder) / "shards/00000.arrow"]


def make_vectors(folder: Path) -> list[Path]:
    """The word vectors of a prepared corpus."""
    out = _prepared(folder)
    return [out / "words.json", out / "word_vectors.npy"]


def _model(folder: Path) -> Path:
    """A model folder beside the corpus that it says it was trained on."""
    import torch

    from emohop.inputs import Inputs
    from emohop.models import build
    from emohop.models.checkpoint import save
    from emohop.recipes import make_recipe
    from emohop.storage import open_prepared
    from tests.prepared import write_prepared

    corpus = open_prepared(write_prepared(folder / "prepared", clips=12))
    sizes = [f"model.{m}.hidden=6" for m in ("audio", "text", "video")]
    recipe = make_recipe("demo", [*sizes, "model.text.embedding=6"])
    inputs = Inputs.fit(corpus, range(8), recipe)
    card = {
        "emohop": "0.1.0",
        "model": recipe.model.model_dump(mode="json"),
        "inputs": inputs.to_json(),
        "calibration": {"temperature": 1.5},
        "recipe": recipe.model_dump(mode="json"),
        "corpus": {"name": "made", "fingerprint": corpus.manifest.fingerprint},
        "fold": 0,
        "seed": 0,
    }
    torch.manual_seed(0)
    save(folder / "model", build(recipe.model, inputs.sizes), card)
    return folder / "model"


def make_model(folder: Path) -> list[Path]:
    """What a model folder says."""
    return [_model(folder) / "model.json"]


def make_weights(folder: Path) -> list[Path]:
    """The weights of a model folder."""
    return [_model(folder) / "weights.safetensors"]


MAKERS: dict[str, Callable[[Path], list[Path]]] = {
    "wav": make_wav,
    "flac": make_flac,
    "mp4": make_mp4,
    "avi": make_avi,
    "mp3": make_mp3,
    "csv": make_csv,
    "evaluation": make_evaluation,
    "transcription": make_transcription,
    "glove": make_glove,
    "manifest": make_manifest,
    "shard": make_shard,
    "vectors": make_vectors,
    "model": make_model,
    "weights": make_weights,
}
"""For each format what writes small valid files of it, and what belongs beside them."""


# ---------------------------------------------------------------------------- readers


class UnclearError(Exception):
    """A refusal that is no clear line."""


def _clear(error: EmohopError) -> EmohopError:
    text = str(error)
    if len(text.splitlines()) != 1 or len(text) > LINE:
        shown = text if len(text) <= LINE else f"{text[:LINE]}... ({len(text)} characters)"
        raise UnclearError(f"not one clear line: {shown!r}") from error
    return error


def _all(*steps: Callable[[], object], or_not: Sequence[Callable[[], object]] = ()) -> None:
    """Take every step, whatever those before it say; then raise the first refusal.

    Those of `or_not` may be refused of a valid file too.
    """
    refusals = []
    for number, step in enumerate([*steps, *or_not]):
        try:
            step()
        except EmohopError as error:
            _clear(error)
            if number < len(steps):
                refusals.append(error)
    if refusals:
        raise refusals[0]


def _sounds(path: Path) -> None:
    """Several spans in one go, as a corpus is prepared."""
    from emohop.clips import Span
    from emohop.media import read_sounds

    for _, sound in read_sounds([Span(path, 0.02, 0.08), Span(path), Span(path, 9.0, 9.1)]):
        if isinstance(sound, EmohopError):
            _clear(sound)


def read_sound(path: Path) -> None:
    """The header, the whole sound and a span of it, with features."""
    from emohop.clips import Span
    from emohop.features.audio import mfcc120
    from emohop.media import probe, read_audio

    _all(
        lambda: probe(path),
        lambda: mfcc120(*read_audio(Span(path))),
        lambda: read_audio(Span(path, 0.05, 0.1)),
        lambda: _sounds(path),
    )


def read_film(path: Path) -> None:
    """The header, the sound, pictures at times near and far, and the crops of spans."""
    from emohop.clips import Span
    from emohop.features.audio import mfcc120
    from emohop.features.video import faces_of
    from emohop.media import frames_at, probe, read_audio

    def pictures() -> None:
        for _, picture in frames_at(path, [0.0, 0.1, 0.1, 9.5, 21.0, 29.5]):
            picture.sum()

    def crops() -> None:
        spans = [Span(path), Span(path, 0.05, 0.3, "left"), Span(path, 12.0, 14.0, "right")]
        for _, faces in faces_of(spans, 3.0):
            if isinstance(faces, EmohopError):
                _clear(faces)

    _all(
        lambda: probe(path),
        lambda: mfcc120(*read_audio(Span(path))),
        lambda: _sounds(path),
        pictures,
        crops,
        or_not=[lambda: read_audio(Span(path, 9.0, 9.1))],
    )


def read_csv(path: Path) -> None:
    """A table by its name: MELD's or one of clips."""
    from emohop import corpora

    if path.name.endswith("_sent_emo.csv"):
        corpora.read("meld", path.parent)
    else:
        corpora.read("folder", path.parent)


def read_iemocap(path: Path) -> None:
    """The release in which a label file or a transcription lies."""
    from emohop import corpora

    corpora.read("iemocap", path.parents[3])


def read_glove(path: Path) -> None:
    """Some of its words, with and without the dimension."""
    from emohop.features.glove import read_glove as read

    words = ["the", ". . .", "café", "3", "w29", "absent"]
    _all(lambda: read(path, words), lambda: read(path, words, dim=8))


def read_prepared(path: Path) -> None:
    """Every row, fact and vote of the corpus that a file belongs to, and its checksums."""
    from emohop.storage import open_prepared
    from emohop.storage.shards import FACTS
    from emohop.storage.verification import sound_note, verify

    folder = path.parent.parent if path.suffix == ".arrow" else path.parent

    def rows() -> None:
        for row in open_prepared(folder):
            for array in row.arrays.values():
                (array == array).all()

    def facts() -> None:
        corpus = open_prepared(folder)
        for name in FACTS:
            corpus.votes() if name == "votes" else corpus.facts(name)
        if len(corpus) > 1:
            hidden = corpus.only([1])
            hidden.facts("label"), hidden[1]

    def vectors() -> None:
        brought = open_prepared(folder).word_vectors
        if brought is not None:
            brought[1].sum()

    def checksums() -> None:
        from emohop.storage.places import place

        manifest, _ = verify(folder)
        for shard in manifest.shards:
            sound_note(place(folder), shard)

    _all(rows, facts, vectors, or_not=[checksums])  # a joined corpus is not checked


def read_model(path: Path) -> None:
    """Rebuild the model and let it score the corpus beside it."""
    import emohop
    from emohop.storage import open_prepared

    predictor = emohop.load(path.parent)
    corpus = open_prepared(path.parents[1] / "prepared")
    _all(
        lambda: (predictor.temperature, predictor.settings),
        lambda: predictor.evaluate(corpus),
        lambda: predictor.looks([corpus[0], corpus[1]]),
    )


READERS: dict[str, Callable[[Path], None]] = {
    **dict.fromkeys(("wav", "flac", "mp3"), read_sound),
    **dict.fromkeys(("mp4", "avi"), read_film),
    "csv": read_csv,
    **dict.fromkeys(("evaluation", "transcription"), read_iemocap),
    "glove": read_glove,
    **dict.fromkeys(("manifest", "shard", "vectors"), read_prepared),
    **dict.fromkeys(("model", "weights"), read_model),
}
"""For each format what reads a file of it the way the product does."""


# ---------------------------------------------------------------------------- damage

_EXTREMES: tuple[int, ...] = (
    0,
    1,
    2,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x7FFF_FFFF,
    0x8000_0000,
)
_EXTREMES += (0xFFFF_FFFF, 0xFFFF_FFF0, 0x3FFF_FFFF, 2**62, 2**63 - 1, 2**64 - 1)
_LARGEST = 4 * 2**20  # bytes of a damaged file
_HEADER = 160  # bytes in which damage counts most
_WIDTHS = (1, 2, 3, 4, 8)
_NUMBERS = (b"1e999 -1e999 NaN Infinity -0 1e-400 -1 0 99999999999999999999 0x10 1_0 ").split()
_NUMBERS += ["١٢".encode(), b"9" * 5000, b"2147483648", b"1e5", b"."]
_SIGNS = [
    b"\0",
    b'"',
    b"'",
    b'""',
    b",",
    b";",
    b"\t",
    b"\n",
    b"\r",
    b"\r\n",
    b"[",
    b"]",
    b"{",
    b":",
]
_SIGNS += [
    "\u2028".encode(),
    "\x85".encode(),
    b"\x1b[2J",
    b"\xff\xfe",
    b"\xc3\x28",
    b"\\",
    b"%",
    b" ",
]
_VALUES: tuple[Any, ...] = (
    None, True, False, [], {}, "", "x", "a\nb", "\u2028", "\ud800", "\0", -1, 0, 1, 3, 10**5,
    10**9, 10**30, -(10**30), 1e308, 0.5, float("nan"), float("inf"), float("-inf"), "x" * 10**5,
    "../../../../etc/passwd", "/dev/zero", [[]], [{}], {"a": {}}, [None], ["a", "a"], [1e999], "1",
)  # fmt: skip


def mutate(data: bytes, rng: Random) -> bytes:
    """The data with one to six damages, by what they look like: JSON, text or anything."""
    out = bytearray(data)
    json_like = data[:1] in (b"{", b"[")
    text_like = json_like or (b"\0" not in out and _decodes(data))
    if json_like and rng.random() < 0.6:
        out = _damage_json(out, rng)
        if rng.random() < 0.1:
            out = _damage_text(out, rng)
        return bytes(out[:_LARGEST])
    for _ in range(int(rng.choice((1, 1, 2, 3, 6)))):
        if not out:
            break
        damage = _damage_text if text_like and rng.random() < 0.7 else _damage_bytes
        out = damage(out, rng)
        del out[_LARGEST:]
    return bytes(out)


def _decodes(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _place(out: bytearray, rng: Random) -> int:
    """A place in the data, as often in its first bytes as anywhere."""
    end = min(_HEADER, len(out)) if rng.random() < 0.5 else len(out)
    return int(rng.integers(0, max(1, end)))


def _stretch(out: bytearray, rng: Random) -> slice:
    """A stretch of the data, short ones more often."""
    first = _place(out, rng)
    length = int(2 ** rng.uniform(0, np.log2(max(2, len(out)))))
    return slice(first, min(len(out), first + length))


def _damage_bytes(out: bytearray, rng: Random) -> bytearray:
    kind = int(rng.integers(0, 10))
    at, part = _place(out, rng), _stretch(out, rng)
    if kind == 0:
        for _ in range(int(rng.integers(1, 9))):
            out[_place(out, rng)] ^= 1 << int(rng.integers(0, 8))
    elif kind == 1:
        out[at] = int(rng.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF)))
    elif kind == 2:
        _put_number(out, at, rng)
    elif kind == 3:  # the fields beside a four-letter name: sizes, versions, counts
        names = [m.start() for m in re.finditer(rb"[A-Za-z][A-Za-z0-9 ]{3}", bytes(out))]
        name = int(rng.choice(names)) if names else at
        _put_number(out, max(0, name + int(rng.choice((-4, 4, 8, 12, 16, 20, 24, 28)))), rng)
    elif kind == 4:
        del out[at:]
    elif kind == 5:
        del out[part]
    elif kind == 6:
        out[part.stop : part.stop] = out[part] * int(rng.choice((1, 1, 2, 50)))
    elif kind == 7:
        other = _stretch(out, rng)
        out[part], out[other] = out[other], out[part]
    elif kind == 8:
        out[at:at] = rng.bytes(int(2 ** rng.uniform(0, 10)))
    else:
        out[part] = bytes([int(rng.choice((0, 0xFF, 0x41)))]) * (part.stop - part.start)
    return out


def _put_number(out: bytearray, at: int, rng: Random) -> None:
    width = int(rng.choice(_WIDTHS))
    value = _EXTREMES[int(rng.integers(0, len(_EXTREMES)))] & (256**width - 1)
    order: Any = "little" if rng.random() < 0.5 else "big"
    out[at : at + width] = value.to_bytes(width, order)


def _damage_text(out: bytearray, rng: Random) -> bytearray:
    kind = int(rng.integers(0, 9))
    at = _place(out, rng)
    lines = bytes(out).split(b"\n")
    line = int(rng.integers(0, len(lines)))
    if kind == 0:
        out[at:at] = bytes([int(rng.integers(32, 127))]) * int(rng.choice((200, 10_000, 300_000)))
    elif kind == 1:
        out[at:at] = _SIGNS[int(rng.integers(0, len(_SIGNS)))]
    elif kind == 2:
        numbers = list(re.finditer(rb"[0-9][0-9.]*", bytes(out)))
        if numbers:
            found = numbers[int(rng.integers(0, len(numbers)))]
            out[found.start() : found.end()] = _NUMBERS[int(rng.integers(0, len(_NUMBERS)))]
    elif kind == 3:
        del lines[line]
        return bytearray(b"\n".join(lines))
    elif kind == 4:
        lines[line:line] = [lines[line]] * int(rng.choice((1, 1, 2000)))
        return bytearray(b"\n".join(lines))
    elif kind == 5:
        other = int(rng.integers(0, len(lines)))
        lines[line], lines[other] = lines[other], lines[line]
        return bytearray(b"\n".join(lines))
    elif kind == 6:
        code = ("utf-16", "utf-32", "utf-8-sig", "cp500")[int(rng.integers(0, 4))]
        return bytearray(bytes(out).decode("latin-1").encode(code))
    elif kind == 7:
        old, new = (_SIGNS[int(rng.integers(0, len(_SIGNS)))] for _ in range(2))
        return bytearray(bytes(out).replace(old, new))
    else:
        cells = re.split(rb"([,;\t ]+)", lines[line])
        cell = int(rng.integers(0, len(cells)))
        cells[cell] = _SIGNS[int(rng.integers(0, len(_SIGNS)))] if rng.random() < 0.5 else b""
        lines[line] = b"".join(cells)
        return bytearray(b"\n".join(lines))
    return out


def _damage_json(out: bytearray, rng: Random) -> bytearray:
    """Another value at one to three places, a key away, or a place nested deep."""
    try:
        values = json.loads(bytes(out))
    except ValueError:  # damaged before
        return _damage_text(out, rng)
    marks: dict[str, str] = {}
    for number in range(int(rng.choice((1, 1, 2, 3)))):
        places = list(_places(values))
        if not places:
            break
        holder, key = places[int(rng.integers(0, len(places)))]
        kind = rng.random()
        if kind < 0.15:
            del holder[key]
        elif kind < 0.2:
            depth, sign = int(rng.choice((500, 100_000))), "[{"[int(rng.integers(0, 2))]
            holder[key] = f"_nest{number}_"
            unit, end = ("[", "]") if sign == "[" else ('{"a":', "}")
            marks[holder[key]] = unit * depth + "1" + end * depth
        else:
            holder[key] = copy.deepcopy(_VALUES[int(rng.integers(0, len(_VALUES)))])
    text = json.dumps(values)
    for mark, nest in marks.items():
        text = text.replace(f'"{mark}"', nest)
    return bytearray(text.encode())


def _places(values: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in nested lists and dictionaries, the outer ones first."""
    keys: list[Any] = []
    if isinstance(values, dict):
        keys = list(values)
    elif isinstance(values, list):
        keys = list(range(len(values)))
    for key in keys:
        yield values, key
        yield from _places(values[key])


# ---------------------------------------------------------------------------- the child


@dataclass(frozen=True)
class Answer:
    """How reading one file ended: `ok`, `refused`, `BUG`, `HANG` or `CRASH`."""

    status: str
    text: str = ""
    """The refusal's line, a traceback, or what the child wrote last."""
    peak_mb: float = 0.0
    """Memory that reading took beyond what the child had before it."""

    @property
    def finding(self) -> bool:
        """Whether somebody has to look at it."""
        return self.status not in ("ok", "refused")


def _memory(key: str) -> int:
    """A line of this process's status in bytes, such as VmRSS."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise KeyError(key)


def _attempt(read: Callable[[Path], None], path: Path) -> tuple[str, str]:
    try:
        read(path)
    except EmohopError as error:
        try:
            return "refused", str(_clear(error))
        except UnclearError:
            return "BUG", traceback.format_exc()
    except Exception:
        return "BUG", traceback.format_exc()
    return "ok", ""


def _work(kind: str, log: Path, good: Sequence[Path], pipe: Connection) -> None:
    """The child: read what comes by the pipe, under a limit of memory."""
    with log.open("ab") as file:  # what libraries print is kept for a crash
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("error")
    read = READERS[kind]
    for path in good:  # what is imported late is imported now
        read(path)
    limit = _memory("VmSize") + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    pipe.send(None)
    while (path := pipe.recv()) is not None:
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        before = _memory("VmRSS")
        status, text = _attempt(read, path)
        peak = max(0, _memory("VmHWM") - before) / 2**20
        if peak > FLAGGED_MB and status in ("ok", "refused"):
            status, text = "BUG", f"took {peak:.0f} MB ({status}: {text})"
        pipe.send(Answer(status, text, peak))


class Reader:
    """A child that reads files of one format; it is started again when it had to die."""

    def __init__(self, kind: str, good: Sequence[Path] = (), seconds: float = SECONDS) -> None:
        """`good` are valid files, read before the limits are set."""
        self.kind, self.good, self.seconds = kind, list(good), seconds
        self._folder = Path(tempfile.mkdtemp(prefix="fuzzing-"))
        self._process: Any = None
        try:
            self._start()
        except RuntimeError:
            self.close()
            raise

    def read(self, path: Path) -> Answer:
        """Let the child read a file."""
        if self._process is None:
            self._start()
        self._pipe.send(path)
        if not self._pipe.poll(self.seconds):
            os.kill(self._process.pid, signal.SIGUSR1)  # it writes where it is
            time.sleep(0.5)
            self._end()
            return Answer("HANG", self._said())
        try:
            answer: Answer = self._pipe.recv()
        except (EOFError, ConnectionError):
            self._end()
            return Answer("CRASH", f"exit status {self._status}: {self._said()}")
        return answer

    def close(self) -> None:
        """End the child."""
        if self._process is not None:
            self._end()
        shutil.rmtree(self._folder)

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._log = self._folder / "log"
        self._log.write_bytes(b"")
        self._pipe, theirs = context.Pipe()
        arguments = (self.kind, self._log, self.good, theirs)
        self._process = context.Process(target=_work, args=arguments, daemon=True)
        self._process.start()
        theirs.close()
        try:
            self._pipe.recv()
        except EOFError:
            self._end()
            raise RuntimeError(f"{self.kind}: valid files are not read: {self._said()}") from None

    def _end(self) -> None:
        self._process.kill()
        self._process.join()
        self._status = self._process.exitcode
        self._process = None
        self._pipe.close()

    def _said(self) -> str:
        return self._log.read_text("utf-8", "replace")[-6000:]


@contextmanager
def reading(kind: str, good: Sequence[Path] = (), seconds: float = SECONDS) -> Iterator[Reader]:
    """A Reader that is closed at the end."""
    reader = Reader(kind, good, seconds)
    try:
        yield reader
    finally:
        reader.close()


# ---------------------------------------------------------------------------- a run


@dataclass
class Outcome:
    """What came of the damaged files of one format."""

    kind: str
    seconds: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    findings: list[tuple[int, Answer]] = field(default_factory=list)
    peak_mb: float = 0.0
    peak_number: int = 0

    def row(self) -> list[str]:
        """A line of the table."""
        counts = [self.counts[s] for s in ("ok", "refused", "BUG", "HANG", "CRASH")]
        numbers = [self.counts.total(), *counts]
        return [self.kind, *map(str, numbers), f"{self.peak_mb:.0f}", f"{self.seconds:.0f}"]


COLUMNS = ("format", "files", "read well", "refused", "bugs", "hangs", "crashes", "peak MB", "s")


def fuzz(kind: str, numbers: Sequence[int], seed: int, keep: Path | None = None) -> Outcome:
    """Damage files of a format and read them; findings are kept in the folder `keep`."""
    outcome, start = Outcome(kind), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fuzzing-") as name:
        good, bad = Path(name) / "good", Path(name) / "bad"
        good.mkdir()
        valid = MAKERS[kind](good)
        shutil.copytree(good, bad)
        files = [bad / file.relative_to(good) for file in valid]
        data = [file.read_bytes() for file in files]
        with reading(kind, valid) as reader:
            for number in numbers:
                rng = np.random.default_rng([seed, zlib.crc32(kind.encode()), number])
                which = number % len(files)
                damaged = mutate(data[which], rng)
                files[which].write_bytes(damaged)
                answer = reader.read(files[which])
                files[which].write_bytes(data[which])
                outcome.counts[answer.status] += 1
                if answer.peak_mb > outcome.peak_mb:
                    outcome.peak_mb, outcome.peak_number = answer.peak_mb, number
                if answer.finding:
                    outcome.findings.append((number, answer))
                    if keep is not None:
                        _keep(keep, kind, seed, number, files[which].name, damaged, answer)
    outcome.seconds = time.monotonic() - start
    return outcome


def _keep(
    folder: Path, kind: str, seed: int, number: int, name: str, data: bytes, answer: Answer
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{kind}-{seed}-{number}-{name}").write_bytes(data)
    text = f"{answer.status} {kind} seed {seed} number {number}\n{answer.text}\n"
    (folder / f"{kind}-{seed}-{number}.txt").write_text(text, "utf-8", "backslashreplace")


def shares(files: int, kinds: Sequence[str]) -> dict[str, int]:
    """How many files of each format: media get two shares, the rest one."""
    weights = {kind: 2 if kind in MEDIA else 1 for kind in kinds}
    return {kind: -(-files * weight // sum(weights.values())) for kind, weight in weights.items()}


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows as Markdown."""
    lines = [COLUMNS, ["---", *["---:"] * (len(COLUMNS) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> int:
    """Run from the command line; 1 when there are findings."""
    parser = argparse.ArgumentParser(description="Read damaged files, and tell how it went.")
    parser.add_argument("--files", type=int, default=20_000, help="over all formats [20000]")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--format", choices=MAKERS, action="append", help="only this one")
    parser.add_argument("--only", type=int, help="the number of one file")
    parser.add_argument("--keep", type=Path, default=Path("/tmp/fuzz/findings"))
    given = parser.parse_args()
    outcomes = []
    for kind, count in shares(given.files, given.format or list(MAKERS)).items():
        numbers = range(count) if given.only is None else [given.only]
        outcomes.append(fuzz(kind, numbers, given.seed, given.keep))
        most = f"(peak in {outcomes[-1].peak_number})"
        print(" ".join(outcomes[-1].row()), most, file=sys.stderr, flush=True)
        alike: dict[str, list[int]] = {}
        for number, answer in outcomes[-1].findings:
            last = (answer.text.strip().splitlines() or [""])[-1]
            alike.setdefault(f"{answer.status}: {last[:200]}", []).append(number)
        for said, found in sorted(alike.items(), key=lambda item: -len(item[1])):
            print(f"  {len(found)}x {said} {found[:5]}", file=sys.stderr, flush=True)
    total = Outcome("all", sum(o.seconds for o in outcomes))
    for outcome in outcomes:
        total.counts += outcome.counts
        total.peak_mb = max(total.peak_mb, outcome.peak_mb)
    print(table([outcome.row() for outcome in (*outcomes, total)]))
    return int(any(outcome.findings for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
