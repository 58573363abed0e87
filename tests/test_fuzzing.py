"""A few damaged files of every format, and files that claim more than anyone should believe.

`python -m tests.fuzzing` reads many thousands.
"""

from __future__ import annotations

import gzip
import json
import os
import struct
import sys
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

if sys.platform != "linux":
    pytest.skip("limits and peaks of memory are Linux's", allow_module_level=True)

from tests.fuzzing.child import Answer, reading
from tests.fuzzing.damage import mutate
from tests.fuzzing.making import MAKERS
from tests.fuzzing.run import fuzz

FILES = 15
SMALL_MB = 100.0
HOURS = 10
RATE = 16_000
SIDE = 30_000


@pytest.mark.parametrize("kind", MAKERS)
def test_damaged_files_are_read_or_refused(kind: str) -> None:
    outcome = fuzz(kind, range(FILES), seed=0)
    assert outcome.findings == []
    assert outcome.counts.total() == FILES


def test_damage_is_the_seed_s() -> None:
    for data in (b'{"a": [1, 2.5, {"b": null}]}', b"a,b\n1,2\n", bytes(range(256))):
        first, second = ([mutate(data, np.random.default_rng([s, n])) for n in range(50)]
                         for s in (1, 1))  # fmt: skip
        assert first == second
        assert len(set(first)) > 20


def _fails(path: Path) -> None:
    if path.name == "hangs":
        while True:
            pass
    if path.name == "dies":
        os.abort()
    if path.name == "grows":
        bytearray(6 * 2**30)
    if path.name == "large":
        np.ones(20 * 10**6).sum()  # 160 MB


def _failing(kind: str, *arguments: Any) -> None:
    from tests.fuzzing import child, readers

    readers.READERS[kind] = _fails
    child.FLAGGED_MB = 100.0
    child.work(kind, *arguments)


def test_what_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fuzzing.child.work", _failing)
    with reading("wav", seconds=5) as reader:
        assert reader.read(Path("fine")).status == "ok"
        hang, crash, bug, large = (
            reader.read(Path(name)) for name in ("hangs", "dies", "grows", "large")
        )
    assert hang.status == "HANG"
    assert "test_fuzzing.py" in hang.text
    assert crash.status == "CRASH"
    assert "Aborted" in crash.text
    assert bug.status == "BUG"
    assert "MemoryError" in bug.text
    assert large.status == "BUG"
    assert large.peak_mb > 140


def read(kind: str, path: Path) -> Answer:
    with reading(kind) as reader:
        return reader.read(path)


def refused(kind: str, path: Path) -> str:
    """The line by which a file is refused without much memory."""
    return line_of(read(kind, path))


def line_of(answer: Answer) -> str:
    assert answer.status == "refused", answer
    assert answer.peak_mb < SMALL_MB
    return answer.text


def claiming_wav(folder: Path) -> Path:
    path = folder / "a.wav"
    size = HOURS * 3600 * RATE * 2
    form = struct.pack("<HHIIHH", 1, 1, RATE, RATE * 2, 2, 16)
    head = b"RIFF" + struct.pack("<I", size + 36) + b"WAVEfmt " + struct.pack("<I", 16) + form
    path.write_bytes(head + b"data" + struct.pack("<I", size) + bytes(3200))
    return path


def claiming_flac(folder: Path) -> Path:
    import soundfile

    path = folder / "a.flac"
    soundfile.write(path, np.zeros(RATE // 10), RATE)
    data = bytearray(path.read_bytes())
    facts = int.from_bytes(data[18:26], "big") >> 36 << 36
    data[18:26] = (facts | HOURS * 3600 * RATE).to_bytes(8, "big")
    path.write_bytes(data)
    return path


def claiming_mp4(folder: Path) -> Path:
    """Two frames, ten hours apart."""
    from tests.media.making import numbered_video

    second = Fraction(1)
    stamps = [0, HOURS * 3600]
    return numbered_video(folder / "a.mp4", 2, rate=second, time_base=second, stamps=stamps)


@pytest.mark.parametrize(
    ("kind", "make", "says"),
    [
        ("wav", claiming_wav, "cut short"),
        ("flac", claiming_flac, "h in one clip"),
        ("mp4", claiming_mp4, "frames per second"),
    ],
)
def test_headers_of_ten_hours(
    tmp_path: Path, kind: str, make: Callable[[Path], Path], says: str
) -> None:
    path = make(tmp_path)
    assert path.stat().st_size < 10_000
    assert says in refused(kind, path)


def _crc(data: bytes, polynomial: int, bits: int) -> int:
    value, top = 0, 1 << (bits - 1)
    for byte in data:
        value ^= byte << (bits - 8)
        for _ in range(8):
            value = (value << 1 ^ polynomial) if value & top else value << 1
        value &= (1 << bits) - 1
    return value


def silent_flac(path: Path, seconds: int, *, known: bool = True) -> Path:
    """FLAC frames of 65,535 zeros: sixteen bytes each. `known`: the header says how many."""
    size = 0xFFFF
    frames = seconds * RATE // size
    facts = RATE << 44 | 15 << 36 | (frames * size if known else 0)
    info = struct.pack(">HH", size, size) + bytes(6) + facts.to_bytes(8, "big") + bytes(16)
    out = bytearray(b"fLaC\x80\x00\x00\x22" + info)
    for number in range(frames):
        head = b"\xff\xf8\x70\x08" + chr(number).encode() + struct.pack(">H", size - 1)
        frame = head + bytes([_crc(head, 0x07, 8)]) + bytes(3)
        out += frame + struct.pack(">H", _crc(frame, 0x8005, 16))
    path.write_bytes(out)
    return path


def test_ten_hours_of_silence_in_few_bytes(tmp_path: Path) -> None:
    minute = read("flac", silent_flac(tmp_path / "minute.flac", 60))
    assert minute.status == "ok"  # so these are true FLAC files
    path = silent_flac(tmp_path / "a.flac", HOURS * 3600)
    assert path.stat().st_size < 200_000
    assert "h in one clip" in refused("flac", path)
    answer = read("flac", silent_flac(tmp_path / "b.flac", HOURS * 3600, known=False))
    assert answer.status == "refused"
    assert "h in one clip" in answer.text
    assert answer.peak_mb < HOURS * 3600 * RATE * 4 / 2**20 / 2  # as far as the longest clip


def huge_avi(folder: Path) -> Path:
    """Raw frames, whose size nothing but the header gives."""
    import av

    path = folder / "a.avi"
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("rawvideo", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "bgr24"
        out.mux(stream.encode(av.VideoFrame(64, 48, "bgr24")))
        out.mux(stream.encode(None))
    data = path.read_bytes()
    for height in (48, -48):
        data = data.replace(
            struct.pack("<ii", 64, height), struct.pack("<ii", SIDE, height // 48 * SIDE)
        )
    path.write_bytes(data)
    return path


def png(side: int) -> bytes:
    """A black frame."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    packer = zlib.compressobj(1)
    pixels = b"".join(packer.compress(bytes(side + 1)) for _ in range(side)) + packer.flush()
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def png_film(path: Path, side: int) -> Path:
    """A video of one frame, which is larger than the header says."""
    import av

    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("png", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "gray"
        packet: Any = av.Packet(png(side))
        packet.stream, packet.pts, packet.dts = stream, 0, 0
        packet.time_base = Fraction(1, 25)
        out.mux(packet)
    return path


def test_frames_of_30000_pixels_a_side(tmp_path: Path) -> None:
    assert "a frame of" in refused("avi", huge_avi(tmp_path))
    assert refused("mp4", png_film(tmp_path / "a.mp4", SIDE))
    # FFmpeg itself stops at 16,384 pixels a side, which are 270 MB and more
    for name in ("b.avi", "b.mp4"):
        path = png_film(tmp_path / name, 12_000)
        assert "a frame of" in refused(path.suffix[1:], path)


def test_deep_json(tmp_path: Path) -> None:
    path = MAKERS["manifest"](tmp_path)[0]
    text = path.read_text()
    with reading("manifest", [path]) as reader:
        for deep in ("[" * 100_000, '{"a":' * 100_000, "[" * 100_000 + "]" * 100_000):
            path.write_text(text.replace("\n}", f',"x":{deep}}}'))
            assert "is damaged" in line_of(reader.read(path))


def test_a_manifest_names_files_of_its_own_folder(tmp_path: Path) -> None:
    path = MAKERS["manifest"](tmp_path)[0]
    text = path.read_text()
    with reading("manifest", [path]) as reader:
        for name in ("../../secret", "/dev/zero", "..", "a\nb", "a" * 10**6):
            values = json.loads(text)
            values["shards"][0]["file"] = name
            path.write_text(json.dumps(values))
            said = line_of(reader.read(path))
            assert "shards.0.file: " in said
            assert "is not " in said


def test_a_model_that_claims_to_be_huge(tmp_path: Path) -> None:
    path = MAKERS["model"](tmp_path)[0]
    text = path.read_text()
    with reading("model", [path]) as reader:
        for keys, value in (
            ("model audio hidden", 10**6),
            ("model audio stack_frames", 10**12),
            ("model audio layers", 10**9),
            ("model hops", 10**9),
            ("model text embedding", 10**30),
            ("preprocessor sizes classes", 10**400),
            ("preprocessor sizes steps audio", 10**12),
            ("preprocessor sizes steps audio", 0),
            ("fold", 10**400),
        ):
            config = inner = json.loads(text)
            *way, last = keys.split()
            for key in way:
                inner = inner[key]
            inner[last] = value
            path.write_text(json.dumps(config))
            assert line_of(reader.read(path)), keys
        path.write_text("[" * 100_000)
        assert "is damaged" in line_of(reader.read(path))


def test_a_line_without_end(tmp_path: Path) -> None:
    path = tmp_path / "a.txt.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(256):
            file.write(bytes(2**20))
    assert "a line of more than" in refused("glove", path)
    line = MAKERS["transcription"](tmp_path)[0]
    line.write_text("[" * 10**6)
    assert read("transcription", line).status == "ok"
