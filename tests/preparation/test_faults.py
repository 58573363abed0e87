"""What goes wrong while a corpus is prepared, and what is left of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from emohop.errors import EmohopError
from emohop.storage.locks import locked
from emohop.storage.verification import verify
from tests.preparation.test_preparation import tree
from tests.preparation.twelve import CLIPS, run, spoil


def keep(path: Path) -> Callable[[], object]:
    """What makes a file as it is now again, its time included."""
    data, times = path.read_bytes(), path.stat()

    def mend() -> None:
        path.write_bytes(data)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    return mend


def test_strict_stops_at_the_first_problem_and_goes_on_when_it_is_mended(
    source: Path, tmp_path: Path
) -> None:
    run(source, tmp_path / "whole")
    mend = keep(source / "calm/05.wav")
    spoil(source, 5)
    for _ in range(2):
        with pytest.raises(EmohopError, match=r"calm/05 \(audio\): .*05.wav"):
            run(source, tmp_path / "out", strict=True)
    assert not (tmp_path / "out/manifest.json").exists()
    mend()
    assert run(source, tmp_path / "out", strict=True).computed < CLIPS
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


def test_many_problems_must_be_accepted(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    spoil(source, 3)
    with pytest.raises(EmohopError, match=r"1 of 12 clips \(8%\) could not be read.*problems.csv"):
        run(source, out)
    assert (out / "problems.csv").read_text().count("calm/03") >= 1
    assert not (out / "manifest.json").exists()
    done = run(source, out, allow_failures=True)
    assert (done.computed, done.manifest.clips, len(done.problems)) == (0, 11, 1)


def test_retry_reads_only_what_was_bad(source: Path, tmp_path: Path) -> None:
    spoil(source, 6)
    out = tmp_path / "out"
    first = run(source, out, allow_failures=True)
    again = run(source, out, allow_failures=True)
    assert (again.computed, again.problems) == (0, first.problems)  # kept until asked
    again = run(source, out, allow_failures=True, retry=True)
    assert (again.computed, again.problems) == (1, first.problems)


def test_what_was_bad_is_read_again_when_it_is_mended(source: Path, tmp_path: Path) -> None:
    run(source, tmp_path / "whole")
    mend = keep(source / "angry/06.wav")
    spoil(source, 6)
    out = tmp_path / "out"
    run(source, out, allow_failures=True)
    mend()
    again = run(source, out)
    assert (again.computed, again.problems) == (1, ())
    assert [str(change) for change in again.changes] == ["1 clip: audio changed (angry/06)"]
    assert tree(out) == tree(tmp_path / "whole")


def test_a_place_on_a_network_is_held_by_its_own_name() -> None:
    with locked("memory://one/out"):
        with locked("memory://two/out"):
            pass
        with pytest.raises(EmohopError, match="in use"), locked("memory://one/out"):
            pass


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="no users here")
def test_another_user_s_lock_of_a_url_is_not_in_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    with locked("memory://one/out"):
        other = os.getuid() + 1
        monkeypatch.setattr(os, "getuid", lambda: other)
        with locked("memory://one/out"):
            pass


def test_two_runs_do_not_share_a_folder(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with (
        locked(out),
        pytest.raises(EmohopError, match="out is in use by another emohop"),
    ):
        run(source, out)
    with locked(out):  # it was let go of
        pass
    run(source, out)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(EmohopError, match="a file is in the way"), locked(tmp_path / "file"):
        pass


def test_a_folder_is_made_to_be_held_where_that_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with locked(tmp_path / "new/deep"):
        assert (tmp_path / "new/deep").is_dir()
    (tmp_path / "file").write_text("mine")
    with pytest.raises(EmohopError, match="a file is in the way"), locked(tmp_path / "file/deep"):
        pass

    def cannot(*_: object, **__: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr("filelock.FileLock.acquire", cannot)
    with pytest.raises(EmohopError, match="its file system has no locks"), locked(tmp_path):
        pass


def test_a_folder_of_other_things_is_left_as_it_is(source: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("years of work")
    with pytest.raises(EmohopError, match="is not a prepared corpus"):
        run(source, tmp_path / "mine")
    assert tree(tmp_path / "mine") == {"thesis.txt": b"years of work"}


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("harm", [_flip, Path.unlink, lambda path: path.write_bytes(b"")])
def test_a_damaged_shard_is_found_named_and_made_anew(
    source: Path, tmp_path: Path, harm: object
) -> None:
    out = tmp_path / "out"
    run(source, out)
    before = tree(out)
    assert callable(harm)
    harm(out / "shards/00001.arrow")
    _, (damage,) = verify(out)
    assert damage.file == "shards/00001.arrow"
    assert damage.clips == ("angry/08", "angry/10", "calm/01", "calm/03")
    again = run(source, out)
    assert (again.computed, again.repaired) == (4, ("00001.arrow",))
    assert tree(out) == before
    assert verify(out)[1] == []


def test_a_corpus_that_vanishes_midway_is_no_list_of_bad_clips(
    source: Path, tmp_path: Path
) -> None:
    run(source, tmp_path / "whole")
    away = tmp_path / "away"

    def unmount(done: int, total: int) -> None:
        if done < total and source.exists():
            source.rename(away)

    out = tmp_path / "out"
    with pytest.raises(EmohopError, match="source has gone: what is finished is kept"):
        run(source, out, progress=unmount)
    away.rename(source)
    assert 0 < run(source, out).computed < CLIPS
    assert tree(out) == tree(tmp_path / "whole")


def test_an_unreadable_sector_is_one_clips_problem(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from emohop.media import read_audio as true

    def read_audio(span: object, *, repair: bool = False) -> object:
        if "07.wav" in str(span):
            raise OSError(5, "Input/output error")
        return true(span, repair=repair)  # type: ignore[arg-type]

    monkeypatch.setattr("emohop.media.audio.read_audio", read_audio)
    (problem,) = run(source, tmp_path / "out", allow_failures=True).problems
    assert (problem.id, problem.stage) == ("calm/07", "audio")
    assert problem.reason.endswith("07.wav: Input/output error")
