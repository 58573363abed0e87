from __future__ import annotations

import gzip
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from emohop.errors import EmohopError
from emohop.features.glove import read_glove

GLOVE = (Path(__file__).parents[2] / "../shared/models/glove/glove.6B.50d.60k.txt").resolve()

# of 3 dimensions, with the words of 840B that hold spaces, a number, and a word that splits at
# no ASCII space
SMALL = """\
, 0.1 0.2 0.3
. -1 0 1e-3
. . . 0.4 0.5 0.6
the 1 2 3
at name@domain.com 7 8 9
at 4 5 6
1 0.5 0.5 0.5
1 2 0.25 0.25 0.25
né\u00a0e 1 1 1
"""


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode("utf-8"))
    return path


def read(path: Path, *words: str) -> dict[str, list[float]]:
    return {word: vector.tolist() for word, vector in read_glove(path, words).items()}


def test_words_with_spaces_are_words(tmp_path: Path) -> None:
    path = write(tmp_path / "g.txt", SMALL)
    found = read(path, ".", "the", "at", "missing", "1", "né\u00a0e")
    assert found == {
        ".": [-1, 0, pytest.approx(1e-3)],
        "the": [1, 2, 3],
        "at": [4, 5, 6],
        "1": [0.5, 0.5, 0.5],
        "né\u00a0e": [1, 1, 1],
    }
    found = read(path, ". . .", "at name@domain.com", "1 2")
    assert found["at name@domain.com"] == [7, 8, 9]
    assert found["1 2"] == [0.25, 0.25, 0.25]
    assert found[". . ."] == pytest.approx([0.4, 0.5, 0.6])
    assert all(v.dtype == np.float32 and v.shape == (3,) for v in read_glove(path, ["at"]).values())


@pytest.mark.parametrize("first", [". . .", "1", "1 2", "at name@domain.com"])
def test_the_dimension_is_found_whatever_word_comes_first(tmp_path: Path, first: str) -> None:
    path = write(tmp_path / "g.txt", f"{first} 7 8 9\n" + SMALL)
    assert read(path, "the") == {"the": [1, 2, 3]}
    assert read(path, first)[first] == [7, 8, 9]


def test_line_ends_headers_and_repeats(tmp_path: Path) -> None:
    windows = write(tmp_path / "crlf.txt", SMALL.replace("\n", "\r\n"))
    assert read(windows, "the", "at") == {"the": [1, 2, 3], "at": [4, 5, 6]}
    word2vec = write(tmp_path / "w2v.txt", "9 3\n" + SMALL.replace("\n", " \n"))
    assert read(word2vec, "the", "9") == {"the": [1, 2, 3]}
    no_end = write(tmp_path / "end.txt", SMALL + "end 3 2 1")
    assert read(no_end, "end", "the") == {"the": [1, 2, 3], "end": [3, 2, 1]}
    twice = write(tmp_path / "twice.txt", SMALL + "the 9 9 9\nzoo 1 1 1\n")
    assert read(twice, "the", "zoo") == {"the": [1, 2, 3], "zoo": [1, 1, 1]}
    one = write(tmp_path / "one.txt", "a 5\nb 6\n7 3\n")
    assert read(one, "a", "7") == {"a": [5], "7": [3]}
    assert read(one) == {}


def test_packed_files(tmp_path: Path) -> None:
    wanted = {"the": [1, 2, 3]}
    (tmp_path / "g.txt.gz").write_bytes(gzip.compress(SMALL.encode()))
    assert read(tmp_path / "g.txt.gz", "the") == wanted
    with zipfile.ZipFile(tmp_path / "one.zip", "w") as archive:
        archive.writestr("g.txt", SMALL)
    assert read(tmp_path / "one.zip", "the") == wanted
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        archive.writestr("g.3d.txt", SMALL)
        archive.writestr("g.4d.txt", "the 1 2 3 4\n")
    with pytest.raises(EmohopError, match=r"more\.zip holds g\.3d\.txt, g\.4d\.txt: unpack it"):
        read_glove(tmp_path / "more.zip", ["the"])
    assert read_glove(tmp_path / "more.zip", ["the"], dim=4)["the"].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("the 1 2 x", r"g\.txt line 10: could not convert string to float"),
        ("the 1 2", r"g\.txt line 10: 2 numbers, the file began with 3"),
        ("the 1 2 3 4", r"g\.txt line 10: 4 numbers, the file began with 3"),
        ("the 1 2 nan", r"g\.txt line 10: the vector holds NaN"),
        ("other 1 2", r"g\.txt line 10: fewer than 3 numbers; is the file cut off"),
    ],
)
def test_malformed_lines_are_named(tmp_path: Path, line: str, reason: str) -> None:
    text = SMALL.replace("the ", "then ") + line + "\n"
    with pytest.raises(EmohopError, match=reason) as error:
        read_glove(write(tmp_path / "g.txt", text), ["the", "zebra"])
    assert "\n" not in str(error.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(EmohopError, match=r"gone\.txt cannot be read: No such file"):
        read_glove(tmp_path / "gone.txt", ["a"])
    with pytest.raises(EmohopError, match="cannot be read"):
        read_glove(tmp_path, ["a"])
    for name, data in (
        ("bad.zip", b"PK no archive"),
        ("bad.gz", b"no gzip"),
        ("cut.gz", gzip.compress(SMALL.encode())[:40]),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(EmohopError, match=f"{name} cannot be read"):
            read_glove(tmp_path / name, ["a"])
    for name, text in (("empty.txt", ""), ("prose.txt", "no numbers here\nat all\n")):
        with pytest.raises(EmohopError, match="holds no word vectors"):
            read_glove(write(tmp_path / name, text), ["a"])
    with pytest.raises(EmohopError, match=r"vectors of 3 numbers, not 300: set model\.text"):
        read_glove(write(tmp_path / "g.txt", SMALL), ["a"], dim=300)


def test_little_memory(tmp_path: Path) -> None:
    numbers = " ".join(["0.123456"] * 50)
    path = write(tmp_path / "g.txt", "".join(f"w{i} {numbers}\n" for i in range(20_000)))
    assert path.stat().st_size > 9_000_000
    tracemalloc.start()
    found = read_glove(path, {"w19999", "missing"})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert set(found) == {"w19999"}
    assert peak < 1_000_000


def test_true_glove() -> None:
    if not GLOVE.is_file():
        pytest.skip(f"no {GLOVE}")
    words = {"the", "n't", "'s", "``", "[laughter]", "angry", "furious", "table"}
    found = read_glove(GLOVE, words)
    assert set(found) == words - {"[laughter]"}
    with GLOVE.open(encoding="utf-8") as file:
        first = file.readline().split()
    assert found["the"].tolist() == np.array(first[1:], np.float32).tolist()

    def closeness(one: str, other: str) -> float:
        a, b = found[one], found[other]
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    assert closeness("angry", "furious") > closeness("angry", "table") + 0.2
