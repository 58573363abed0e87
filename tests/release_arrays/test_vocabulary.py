"""dic.pkl: plain words and numbers come in, nothing else does and nothing is run."""

from __future__ import annotations

import os
import pickle
import resource
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emohop.errors import EmohopError
from emohop.release_arrays.vocabulary import read_dictionary, write_dictionary

WORDS = ("_PAD_", "_UNK_", "the", "naïve", "…", "")


def test_round_trip_in_a_form_of_python_2(tmp_path: Path) -> None:
    write_dictionary(tmp_path / "dic.pkl", WORDS)
    assert read_dictionary(tmp_path / "dic.pkl") == WORDS
    stored = (tmp_path / "dic.pkl").read_bytes()
    assert stored[:2] == b"\x80\x02"
    assert pickle.loads(stored) == {word: number for number, word in enumerate(WORDS)}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_protocol_and_any_order(tmp_path: Path, protocol: int) -> None:
    numbers = {word: number for number, word in reversed(list(enumerate(WORDS)))}
    (tmp_path / "dic.pkl").write_bytes(pickle.dumps(numbers, protocol))
    assert read_dictionary(tmp_path / "dic.pkl") == WORDS


@pytest.mark.parametrize(("word", "stored"), [("naïve", b"na\xc3\xafve"), ("it\x92s", b"it\x92s")])
def test_words_that_python_2_wrote_as_bytes(tmp_path: Path, word: str, stored: bytes) -> None:
    """UTF-8, or Latin-1 where it is not."""
    entries = [b"_PAD_", b"_UNK_", stored]
    body = b"".join(
        b"U" + bytes([len(entry)]) + entry + b"K" + bytes([number])
        for number, entry in enumerate(entries)
    )
    (tmp_path / "dic.pkl").write_bytes(b"\x80\x02}(" + body + b"u.")
    assert read_dictionary(tmp_path / "dic.pkl") == ("_PAD_", "_UNK_", word)


class _Calls:
    """Makes a folder when it is unpickled by Python's own unpickler."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (self.folder,)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_malicious_pickle_is_not_run(tmp_path: Path, protocol: int) -> None:
    made, path = tmp_path / "made", tmp_path / "dic.pkl"
    path.write_bytes(pickle.dumps({"_PAD_": 0, "_UNK_": 1, "x": _Calls(made)}, protocol))
    with pytest.raises(EmohopError, match=r"asks for \w+\.mkdir, which is not run"):
        read_dictionary(path)
    assert not made.exists()
    pickle.loads(path.read_bytes())  # it would have been
    assert made.exists()


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (pickle.dumps(["_PAD_", "_UNK_"]), "holds a list"),
        (pickle.dumps({"_PAD_": 0, "_UNK_": 1, "x": 2.0}), "holds str with float"),
        (pickle.dumps({"_PAD_": False, "_UNK_": 1}), "holds str with bool"),
        (pickle.dumps({"_PAD_": 0, 1: 1}), "holds int with int"),
        (pickle.dumps({"_PAD_": 0, "_UNK_": 1, "x": {}}), "holds str with dict"),
        (pickle.dumps({"_PAD_": 0, "_UNK_": 1, "x": 1}), r"3 words are not numbered 0\.\.2"),
        (pickle.dumps({"_PAD_": 0, "_UNK_": 1, "x": 3}), "are not numbered"),
        (pickle.dumps({"_UNK_": 0, "_PAD_": 1}), "numbers 0 and 1 are '_UNK_' '_PAD_'"),
        (pickle.dumps({"_PAD_": 0, "_UNK_": 1, "\ud800": 2}), "is not text"),
        (pickle.dumps({"_PAD_": 0, "_UNK_": 1, "a\0": 2}), "is not text"),
        (pickle.dumps({}), "numbers 0 and 1 are"),
        (pickle.dumps({"_PAD_": 0, "_UNK_": 1})[:-4], "cannot be read"),
        (b"", "cannot be read"),
        (b"\x93NUMPY", "cannot be read"),
        (b"P0\n.", "cannot be read"),  # a persistent id
        (b"\x80\x02\x82\x01.", "cannot be read"),  # a class by its number in a registry
    ],
)
def test_anything_else_is_refused_in_one_line(tmp_path: Path, stored: bytes, message: str) -> None:
    (tmp_path / "dic.pkl").write_bytes(stored)
    with pytest.raises(EmohopError, match=message) as caught:
        read_dictionary(tmp_path / "dic.pkl")
    assert "\n" not in str(caught.value)


def test_a_missing_one(tmp_path: Path) -> None:
    with pytest.raises(EmohopError, match=r"no dic\.pkl in"):
        read_dictionary(tmp_path / "dic.pkl")


def test_nine_bytes_do_not_take_gigabytes(tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (tmp_path / "dic.pkl").write_bytes(b"\x80\x02}r\xff\xff\xff\x0f.")
    with pytest.raises(EmohopError, match="numbers 0 and 1 are"):
        read_dictionary(tmp_path / "dic.pkl")
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before  # KiB on Linux
    assert grown < 500_000


@given(st.binary(max_size=40).map(lambda tail: b"\x80\x02}" + tail) | st.binary(max_size=60))
def test_no_bytes_do_anything_but_be_refused(
    tmp_path_factory: pytest.TempPathFactory, stored: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "dic.pkl"
    path.write_bytes(stored)
    with pytest.raises(EmohopError, match=r"dic\.pkl") as caught:
        read_dictionary(path)
    assert "\n" not in str(caught.value)
