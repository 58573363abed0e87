"""Prepared corpora: rows come back as they were written, damage is said in one line."""

from __future__ import annotations

import json
import mmap
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emohop.clips import Clip
from emohop.config import FeatureSettings
from emohop.errors import EmohopError
from emohop.storage import mmap as mapping
from emohop.storage import open_prepared
from emohop.storage.manifest import MANIFEST, read_manifest
from emohop.storage.reader import MappedShard
from emohop.storage.shards import (
    ClipProblem,
    ShardNote,
    read_note,
    shard_bytes,
    write_shard,
)
from emohop.storage.vectors import read_vectors, write_vectors
from tests.prepared import FEATURES, LABELS, SIZES, write_prepared


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    return write_prepared(tmp_path / "prepared")


def test_a_sequence_of_rows(prepared: Path) -> None:
    corpus = open_prepared(prepared)
    assert len(corpus) == 60
    ids = [row.id for row in corpus]
    assert ids == corpus.metadata("id")
    assert [corpus[i].id for i in range(60)] == ids
    assert corpus[-1].id == ids[-1]
    assert [row.id for row in corpus[24:27]] == ids[24:27]  # across a shard's border
    row = corpus[30]
    assert (row.session, row.speaker, row.label) == ("Ses02", "Ses02F", "ang")
    assert row.audio is not None
    assert row.audio.dtype == np.float32
    assert row.audio.shape == (round((row.end or 0) * 100 - row.start * 100), 6)
    assert row["video"] is not row.arrays
    assert row.prosody.shape == (35,)
    assert row.text.tolist() == (row.transcript or "").split()
    assert corpus.votes()[0] == [
        {
            "rater": "E1",
            "categories": ["ang"],
            "valence": 2.0,
            "activation": None,
            "dominance": None,
        }
    ]


def test_arrays_are_views_of_the_mapped_file(prepared: Path) -> None:
    shard = MappedShard(prepared / "shards/00000.arrow")
    start = np.frombuffer(shard.pages, np.uint8).ctypes.data
    row = shard.row(3)
    for name in ("audio", "video", "prosody"):
        assert not row[name].flags.owndata
        assert not row[name].flags.writeable
        assert start < row[name].ctypes.data < start + len(shard.pages)
    assert row.nbytes == sum(row[name].nbytes for name in ("audio", "video", "prosody"))


def test_views_stay_when_their_pages_go_back(
    prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [{n: a.copy() for n, a in row.arrays.items()} for row in open_prepared(prepared)]
    calls = []
    give_back = mapping.give_back

    def counted(maps: Iterable[mmap.mmap]) -> None:
        calls.append(0)
        give_back(maps)

    monkeypatch.setattr(mapping, "LENT_BYTES", 1)
    monkeypatch.setattr(mapping, "give_back", counted)
    rows = list(open_prepared(prepared))
    assert len(calls) == len(rows)
    for row, arrays in zip(rows, expected, strict=True):
        assert all(np.array_equal(row[name], array) for name, array in arrays.items())


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux")
def test_reading_a_corpus_does_not_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages in memory after reading 40 MB with 4 MB on loan."""
    rng = np.random.default_rng(0)
    audio = FeatureSettings(prosody=False, text=None, video=None)
    path = tmp_path / "0.arrow"
    clips = [
        (Clip(f"c{i}", label="ang"), {"audio": rng.random((5000, 50), np.float32)})
        for i in range(40)
    ]
    write_shard(path, clips, LABELS, audio, {"audio": 50})

    def resident() -> int:
        blocks = Path("/proc/self/smaps").read_text().split(str(path))[1:]
        lines = [line.split() for block in blocks for line in block.splitlines()]
        return next((int(line[1]) for line in lines if line[:1] == ["Rss:"]), 0)

    monkeypatch.setattr(mapping, "LENT_BYTES", 4 * 2**20)
    shard, lent = MappedShard(path), mapping.Pages()
    largest = 0
    for i in range(len(shard)):
        row = shard.row(i)
        lent.lend(row.nbytes, [shard.pages])
        assert float(row.audio.sum()) == float(clips[i][1]["audio"].sum())
        largest = max(largest, resident())
    assert 900 < largest < 12_000  # kB; 40,000 without giving back


def test_word_vectors(tmp_path: Path) -> None:
    words = ("_PAD_", "_UNK_", "naïve", "\n", '"')
    matrix = np.arange(10, dtype=np.float32).reshape(5, 2)
    files = write_vectors(tmp_path, words, matrix)
    assert (files.words, files.size) == (5, 2)
    read, vectors = read_vectors(tmp_path, files)
    assert read == words
    assert np.array_equal(vectors, matrix)
    assert write_vectors(tmp_path, words, matrix) == files
    assert write_vectors(tmp_path, words, matrix + 1) != files
    write_vectors(tmp_path, words[:4], matrix[:4])
    with pytest.raises(EmohopError, match="are not those of its manifest"):
        read_vectors(tmp_path, files)
    (tmp_path / "word_vectors.npy").write_bytes(b"nothing")
    with pytest.raises(EmohopError, match="word vectors cannot be read"):
        read_vectors(tmp_path, files)


def test_most_corpora_bring_no_word_vectors(prepared: Path) -> None:
    assert open_prepared(prepared).word_vectors is None
    path = prepared / MANIFEST
    values = json.loads(path.read_text())
    del values["word_vectors"]  # as earlier versions wrote it
    path.write_text(json.dumps(values))
    assert read_manifest(prepared).word_vectors is None
    path.write_text(json.dumps({**values, "word_vectors": {"words": 3}}))
    with pytest.raises(EmohopError, match="is damaged"):
        read_manifest(prepared)


def test_what_is_not_there(prepared: Path) -> None:
    corpus = open_prepared(prepared)
    with pytest.raises(EmohopError, match="has no smell: it was prepared with audio"):
        corpus[0]["smell"]
    with pytest.raises(EmohopError, match="no fact 'votes'"):
        corpus.metadata("votes")
    with pytest.raises(IndexError):
        corpus[60]


# NumPy's texts cannot end in a NUL; no token holds one
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=4)


@settings(max_examples=20, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.lists(WORDS, max_size=3)),
        min_size=0,
        max_size=5,
    )
)
def test_ragged_rows_round_trip(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, list[str]]]
) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("shard") / "0.arrow"
    clips = []
    for i, (frames, tokens) in enumerate(rows):
        arrays = {
            "audio": rng.normal(size=(frames, 6)).astype(np.float32),
            "prosody": rng.normal(size=35).astype(np.float32),
            "text": np.array(tokens, dtype=object),
            "video": rng.normal(size=(1, 5)).astype(np.float32),
        }
        clips.append((Clip(f"c{i}", label="ang"), arrays))
    write_shard(path, clips, LABELS, FEATURES, SIZES)
    shard = MappedShard(path)
    assert len(shard) == len(rows)
    for i, (clip, arrays) in enumerate(clips):
        row = shard.row(i)
        assert (row.id, row.label, row.end) == (clip.id, "ang", None)
        assert row.text.tolist() == arrays["text"].tolist()
        for name in ("audio", "prosody", "video"):
            assert np.array_equal(row[name], arrays[name])


def test_same_rows_same_bytes_and_problems_travel() -> None:
    problems = [ClipProblem("c1", "c1.wav", "audio", 'no "audio", at all')]
    clips = [(Clip("c0", label="sad"), {"text": np.array(["a"], dtype=np.str_)})]
    only_text = FeatureSettings(audio=None, prosody=False, video=None)
    first, again = (shard_bytes(clips, LABELS, only_text, {}, problems) for _ in range(2))
    assert first == again
    data, note = first
    assert read_note(data) == note == ShardNote.from_json(note.to_json())
    assert (note.ids, note.labels, note.problems) == (("c0",), {"sad": 1}, tuple(problems))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 99}, "version 99, this emohop reads version 4"),
        ({"shards": [{"file": "x"}]}, "is damaged"),
        ({"features": {"audio": "mfcc120", "taste": 1}}, "unknown setting 'taste'"),
    ],
)
def test_a_changed_manifest(prepared: Path, change: dict[str, object], message: str) -> None:
    path = prepared / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(EmohopError, match=message):
        read_manifest(prepared)


def test_damaged_folders(prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(EmohopError, match="not a prepared corpus"):
        open_prepared(tmp_path / "nothing")
    shard = prepared / "shards" / "00001.arrow"
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(EmohopError, match=r"00001\.arrow cannot be read"):
        list(open_prepared(prepared))
    shard.write_bytes(b"")
    with pytest.raises(EmohopError, match="cannot be read"):
        list(open_prepared(prepared))
    shard.unlink()
    with pytest.raises(EmohopError, match="cannot be read"):
        list(open_prepared(prepared))
    (prepared / MANIFEST).write_text("{")
    with pytest.raises(EmohopError, match="is damaged"):
        open_prepared(prepared)


def test_more_shards_than_files_may_be_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emohop.storage.prepared.most_maps", lambda: 2)
    corpus = open_prepared(write_prepared(tmp_path / "out", clips=110))
    assert len(corpus.manifest.shards) == 5
    rows = [corpus[i] for i in (0, 30, 60, 90, 109, 1)]
    assert len(corpus._open) <= 2
    again = open_prepared(tmp_path / "out")
    for row, i in zip(rows, (0, 30, 60, 90, 109, 1), strict=True):
        assert np.array_equal(row.audio, again[i].audio)  # what was lent is still there
    assert corpus.metadata("id") == [row.id for row in again]


def test_the_limit_on_open_files_is_raised() -> None:
    code = (
        "import resource as r; r.setrlimit(r.RLIMIT_NOFILE, (300, r.getrlimit(7)[1]));"
        "from emohop.storage.mmap import most_maps; n = most_maps();"
        "soft, hard = r.getrlimit(r.RLIMIT_NOFILE); print(n, soft, hard)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    most, soft, hard = map(int, out.stdout.split())
    assert soft == min(hard, 30_256)
    assert most == max(1, soft - 256)
