"""What goes wrong while a corpus is prepared, and what is left of it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from emohop.config import FeatureSettings
from emohop.errors import EmohopError
from emohop.features.audio import AUDIO_FEATURES
from emohop.preparation import Preparation, plan, prepare
from emohop.storage import open_prepared
from emohop.storage.locks import locked
from emohop.storage.verification import verify
from tests.corpora.tree import write_wave
from tests.preparation.test_preparation import tree, without_coverage

SOUND = FeatureSettings(video=None, prosody=False, text=None)
CLIPS = 12
ROOT = Path(__file__).parents[2]


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve sounds of two labels; a shard holds four."""
    monkeypatch.setattr(plan, "CLIPS_PER_SHARD", (4, 4))
    for number in range(CLIPS):
        label = ("angry", "calm")[number % 2]
        write_wave(tmp_path / "source" / label / f"{number:02d}.wav", 0.2 + number / 100)
    return tmp_path / "source"


def run(source: Path, out: Path | str, **options: object) -> Preparation:
    return prepare("folder", source, out, features=SOUND, **options)  # type: ignore[arg-type]


def spoil(source: Path, *numbers: int) -> None:
    for number in numbers:
        label = ("angry", "calm")[number % 2]
        (source / label / f"{number:02d}.wav").write_bytes(b"RIFF, but no sound")


def test_strict_stops_at_the_first_problem_and_goes_on_when_it_is_mended(
    source: Path, tmp_path: Path
) -> None:
    run(source, tmp_path / "whole")
    whole = (source / "calm/05.wav").read_bytes()
    spoil(source, 5)
    for _ in range(2):
        with pytest.raises(EmohopError, match=r"calm/05 \(audio\): .*05.wav"):
            run(source, tmp_path / "out", strict=True)
    assert not (tmp_path / "out/manifest.json").exists()
    (source / "calm/05.wav").write_bytes(whole)
    assert run(source, tmp_path / "out", strict=True).computed < CLIPS
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


def test_many_problems_must_be_accepted(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    spoil(source, 3)
    with pytest.raises(EmohopError, match=r"1 of 12 clips \(8%\) could not be read.*problems.csv"):
        run(source, out)
    assert (out / "problems.csv").read_text().count("calm/03") >= 1
    assert not (out / "manifest.json").exists()
    done = run(source, out, accept_losses=True)
    assert (done.computed, done.manifest.clips, len(done.problems)) == (0, 11, 1)


def test_retry_reads_only_what_was_bad(source: Path, tmp_path: Path) -> None:
    run(source, tmp_path / "whole")
    whole = (source / "angry/06.wav").read_bytes()
    spoil(source, 6)
    out = tmp_path / "out"
    first = run(source, out, accept_losses=True)
    (source / "angry/06.wav").write_bytes(whole)
    assert run(source, out).problems == first.problems  # kept until asked
    again = run(source, out, retry=True)
    assert (again.computed, again.problems) == (4, ())
    assert tree(out) == tree(tmp_path / "whole")


def test_two_runs_do_not_share_a_folder(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with (
        locked(out),
        pytest.raises(EmohopError, match="out is in use by another emohop"),
    ):
        run(source, out)
    run(source, out)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(EmohopError, match="a file is in the way"), locked(tmp_path / "file"):
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

    def read_audio(span: object) -> object:
        if "07.wav" in str(span):
            raise OSError(5, "Input/output error")
        return true(span)  # type: ignore[arg-type]

    monkeypatch.setattr("emohop.media.sound.read_audio", read_audio)
    (problem,) = run(source, tmp_path / "out", accept_losses=True).problems
    assert (problem.id, problem.stage) == ("calm/07", "audio")
    assert problem.reason.endswith("07.wav: Input/output error")


CRASHING = """
import os, sys
from emohop import preparation
from emohop.config import FeatureSettings
from emohop.media import sound
from emohop.preparation import plan, work

BAD = os.environ["BAD"].split(",")
true = sound.read_audio

def read_audio(span):
    if span.path.name in BAD:
        os.kill(os.getpid(), 11)
    return true(span)

def make_shard(task):  # loky takes this module along, and with it the reader that crashes
    sound.read_audio = read_audio
    return work.make_shard(task)

def main():
    preparation.make_shard = make_shard
    plan.CLIPS_PER_SHARD = 4, 4
    features = FeatureSettings(video=None, prosody=False, text=None)
    done = preparation.prepare(
        "folder", sys.argv[1], sys.argv[2], jobs=2, accept_losses=True, features=features)
    for problem in done.problems:
        print(problem.id, problem.stage)
"""


def test_clips_that_kill_their_process_are_left_out(source: Path, tmp_path: Path) -> None:
    (tmp_path / "crashing.py").write_text(CRASHING)
    words = [sys.executable, "-c", "import crashing; crashing.main()", str(source)]
    result = subprocess.run(
        [*words, str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**without_coverage(), "PYTHONPATH": str(tmp_path), "BAD": "03.wav,08.wav"},
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == ["angry/08 process", "calm/03 process"]
    assert len(open_prepared(tmp_path / "out")) == CLIPS - 2
    assert not list((tmp_path / "out/shards").glob(".*"))


POWER_CUT = """
import os, sys
from pathlib import Path
from emohop.preparation import plan, prepare
from emohop.config import FeatureSettings

left = int(sys.argv[3])
true = Path.replace
def replace(self, target):
    global left
    left -= 1
    if left < 0:
        os._exit(9)  # between the write and the rename
    return true(self, target)
Path.replace = replace
plan.CLIPS_PER_SHARD = 4, 4
prepare("folder", sys.argv[1], sys.argv[2],
        features=FeatureSettings(video=None, prosody=False, text=None))
"""


def test_power_off_before_any_rename(source: Path, tmp_path: Path) -> None:
    """At each rename of the run in turn; the next run ends with the bytes of an undisturbed one."""
    run(source, tmp_path / "whole")
    out, renames = tmp_path / "out", 0
    (tmp_path / "job.py").write_text(POWER_CUT)
    while True:
        words = [sys.executable, str(tmp_path / "job.py"), str(source), str(out), str(renames)]
        result = subprocess.run(
            words, check=False, capture_output=True, timeout=60, env=without_coverage()
        )
        if result.returncode == 0:
            break
        assert result.returncode == 9, result.stderr
        assert not (out / "manifest.json").exists()
        run(source, out)
        assert tree(out) == tree(tmp_path / "whole")
        shutil.rmtree(out)
        renames += 3
    assert renames > 9


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


@pytest.mark.parametrize("engine", ["local", "ray"])
def test_a_worker_that_is_killed_midway(source: Path, tmp_path: Path, engine: str) -> None:
    """The parent goes on with another worker, and the bytes are those of an undisturbed run."""
    for number in range(240):
        write_wave(source / "calm" / f"more-{number:03d}.wav", 3.0)
    run(source, tmp_path / "whole")
    out = tmp_path / "out"
    script = (
        "import sys\nfrom emohop.preparation import plan, prepare\n"
        "from emohop.config import FeatureSettings\n"
        "plan.CLIPS_PER_SHARD = 4, 4\n"
        "prepare('folder', sys.argv[1], sys.argv[2], jobs=2, engine=sys.argv[3],\n"
        "        features=FeatureSettings(video=None, prosody=False, text=None))\n"
    )
    (tmp_path / "job.py").write_text(script)
    where = f"file://{out}" if engine == "ray" else str(out)
    words = [sys.executable, str(tmp_path / "job.py"), str(source), where, engine]
    env = {k: v for k, v in without_coverage().items() if not k.startswith("RAY")}
    process = subprocess.Popen(words, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while len(list(out.glob("shards/*.arrow"))) < 6 and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert process.poll() is None, "too fast to be killed midway"
    victim = _worker_of(process.pid, "ray::" if engine == "ray" else "loky")
    os.kill(victim, signal.SIGKILL)
    _, errors = process.communicate(timeout=180)
    assert process.returncode == 0, errors
    assert tree(out) == {k: v for k, v in tree(tmp_path / "whole").items() if k != ".lock"} | (
        {} if engine == "ray" else {".lock": b""}
    )


def _worker_of(parent: int, kind: str) -> int:
    """A worker process below `parent`, by a word of its command line."""
    children: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(status.parent.name))
    waiting, found = [parent], []
    while waiting:
        for child in children.get(waiting.pop(), []):
            waiting.append(child)
            words = (Path("/proc") / str(child) / "cmdline").read_bytes().decode(errors="replace")
            if kind in words:
                found.append(child)
    return max(found)


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
    huge = type(true)(true.size, lambda samples, rate: true.compute(samples, rate) * 1e5)
    monkeypatch.setattr("emohop.features.extraction.AUDIO_FEATURES", {"huge": huge})
    settings = half.model_copy(update={"audio": "huge"})
    with pytest.raises(EmohopError, match="its audio features do not fit float16"):
        prepare("folder", source, tmp_path / "huge", features=settings)


def test_any_file_system(source: Path, tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    url = f"memory://emohop-{tmp_path.name}/prepared"
    run(source, tmp_path / "whole")
    spoiled = source / "calm/01.wav"
    data = spoiled.read_bytes()
    spoiled.write_bytes(b"")
    with pytest.raises(EmohopError, match="calm/01"):
        run(source, url, strict=True)
    spoiled.write_bytes(data)
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
