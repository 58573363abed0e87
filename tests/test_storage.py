"""Prepared corpora: rows come back as they were written, damage is said in one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emohop.clips import Clip
from emohop.config import FeatureSettings
from emohop.errors import EmohopError
from emohop.storage import open_prepared
from emohop.storage.manifest import MANIFEST, read_manifest
from emohop.storage.shards import MappedShard, Problem, shard_problems, write_shard
from tests.prepared import FEATURES, LABELS, SIZES, write_prepared


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    return write_prepared(tmp_path / "prepared")


def test_a_sequence_of_rows(prepared: Path) -> None:
    corpus = open_prepared(prepared)
    assert len(corpus) == 60
    ids = [row.id for row in corpus]
    assert ids == corpus.facts("id")
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
    row = open_prepared(prepared)[3]
    for name in ("audio", "video", "prosody"):
        assert not row[name].flags.owndata
        assert not row[name].flags.writeable


def test_what_is_not_there(prepared: Path) -> None:
    corpus = open_prepared(prepared)
    with pytest.raises(EmohopError, match="has no smell: it was prepared with audio"):
        corpus[0]["smell"]
    with pytest.raises(EmohopError, match="no fact 'votes'"):
        corpus.facts("votes")
    with pytest.raises(IndexError):
        corpus[60]


@settings(max_examples=20, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.lists(st.text(min_size=1, max_size=4), max_size=3)),
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


def test_same_rows_same_bytes_and_problems_travel(tmp_path: Path) -> None:
    problems = [Problem("c1", "audio", 'no "sound", at all')]
    clips = [(Clip("c0", label="sad"), {"text": np.array(["a"], dtype=np.str_)})]
    only_text = FeatureSettings(audio=None, prosody=False, video=None)
    for name in ("a", "b"):
        write_shard(tmp_path / name, clips, LABELS, only_text, {}, problems)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert shard_problems(tmp_path / "a") == problems


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 99}, "format 99, this emohop reads format 1"),
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
    shard.unlink()
    with pytest.raises(EmohopError, match="cannot be read"):
        list(open_prepared(prepared))
    (prepared / MANIFEST).write_text("{")
    with pytest.raises(EmohopError, match="is damaged"):
        open_prepared(prepared)
