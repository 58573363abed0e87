"""Where a prepared corpus is written: full, read-only, slow and distant; in half the room."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from emohop.clips import Modality
from emohop.errors import EmohopError
from emohop.features.audio import AUDIO_FEATURES
from emohop.preparation import prepare
from emohop.storage import open_prepared
from emohop.storage.verification import verify
from tests.corpora.tree import write_wave
from tests.preparation.test_preparation import tree
from tests.preparation.twelve import CLIPS, SOUND, run


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 kB of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("may not mount")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def command(source: Path, out: Path) -> subprocess.CompletedProcess[str]:
    words = ["prepare", "folder", str(source), str(out), "--jobs", "1"]
    none = ["--video", "none", "--text", "none", "--no-prosody"]
    return subprocess.run(
        [sys.executable, "-m", "emohop", *words, *none], capture_output=True, text=True, check=False
    )


def test_a_disk_that_is_full_and_one_that_is_read_only(
    source: Path, tiny_disk: Path, tmp_path: Path
) -> None:
    for number in range(CLIPS):
        write_wave(source / "calm" / f"long-{number}.wav", 6.0)
    result = command(source, tiny_disk / "out")
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()[-1:]
    assert line.startswith("error: No space left on device: ")
    assert "what is finished is kept" in line
    assert not list(tiny_disk.rglob("*.tmp"))
    subprocess.run(["mount", "-o", "remount,size=64m", str(tiny_disk)], check=True)
    assert command(source, tiny_disk / "out").returncode == 0
    subprocess.run(["mount", "-o", "remount,ro", str(tiny_disk)], check=True)
    result = command(source, tiny_disk / "more")
    assert result.returncode == 1
    assert "Read-only file system" in result.stderr
    assert "Traceback" not in result.stderr
    assert verify(tiny_disk / "out")[1] == []


def test_a_slow_file_system_changes_nothing(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(source, tmp_path / "whole")
    true = Path.open

    def slow(self: Path, *args: object, **options: object) -> object:
        if self.suffix == ".wav":
            time.sleep(0.02)
        return true(self, *args, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", slow)
    run(source, tmp_path / "out")
    monkeypatch.undo()
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


def test_half_floats(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    half = SOUND.model_copy(update={"precision": "float16"})
    prepare("folder", source, tmp_path / "half", features=half)
    run(source, tmp_path / "whole")
    small, large = (
        sum(p.stat().st_size for p in (tmp_path / name).rglob("*.arrow"))
        for name in ("half", "whole")
    )
    assert small < 0.6 * large
    for row, exact in zip(open_prepared(tmp_path / "half"), open_prepared(tmp_path / "whole"),
                          strict=True):  # fmt: skip
        assert row.audio.dtype == np.float32
        assert np.array_equal(row.audio, exact.audio.astype(np.float16).astype(np.float32))
    true = AUDIO_FEATURES["mfcc120"]
    huge = replace(true, differences=lambda frames: true.differences(frames) * np.float32(1e5))
    monkeypatch.setattr("emohop.features.audio.AUDIO_FEATURES", {"mfcc39": huge})
    settings = half.with_encoder(Modality.AUDIO, "mfcc39")
    with pytest.raises(EmohopError, match="its audio features do not fit float16"):
        prepare("folder", source, tmp_path / "huge", features=settings)


def test_any_file_system(source: Path, tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    url = f"memory://emohop-{tmp_path.name}/prepared"
    run(source, tmp_path / "whole")
    spoiled = source / "calm/01.wav"
    data, times = spoiled.read_bytes(), spoiled.stat()
    spoiled.write_bytes(b"")
    with pytest.raises(EmohopError, match="calm/01"):
        run(source, url, strict=True)
    spoiled.write_bytes(data)
    os.utime(spoiled, ns=(times.st_atime_ns, times.st_mtime_ns))
    done = run(source, url)
    assert done.manifest == open_prepared(tmp_path / "whole").manifest
    files = fsspec.filesystem("memory")
    root = url.removeprefix("memory:/")
    names = [n.removeprefix(root + "/") for n in files.find(root)]
    here = {k: v for k, v in tree(tmp_path / "whole").items() if k != ".lock"}
    assert {name: files.cat_file(f"{root}/{name}") for name in names} == here
    assert run(source, url).computed == 0
    files.pipe_file(f"{root}/shards/00000.arrow", b"damaged")
    assert run(source, url).repaired == ("00000.arrow",)
    with pytest.raises(EmohopError, match="no file system 'nowhere'"):
        run(source, "nowhere://bucket/x")
    with pytest.raises(EmohopError, match="emohop fetch"):
        open_prepared(url)
