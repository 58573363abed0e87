"""Damage to a file by a seed."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

Random = np.random.Generator


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
