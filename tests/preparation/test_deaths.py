"""Processes that die while a corpus is prepared: crashes, power cuts, killed workers."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from emohop.storage import open_prepared
from tests.corpora.tree import write_wave
from tests.preparation.test_preparation import tree, without_coverage
from tests.preparation.twelve import CLIPS, run

CRASHING = """
import os, sys
from emohop.preparation import prepare_corpus
from emohop.config import FeatureSettings
from emohop.media import audio
from emohop.preparation import plan, work

BAD = os.environ["BAD"].split(",")
true = audio.read_audio

def read_audio(span, *, repair=False):
    if span.path.name in BAD:
        os.kill(os.getpid(), 11)
    return true(span, repair=repair)

def make_shard(task):  # loky takes this module along, and with it the reader that crashes
    audio.read_audio = read_audio
    return work.make_shard(task)

def main():
    prepare_corpus.make_shard = make_shard
    plan.CLIPS_PER_SHARD = 4, 4
    features = FeatureSettings(video=None, prosody=False, text=None)
    done = prepare_corpus.prepare(
        "folder", sys.argv[1], sys.argv[2], jobs=2, allow_failures=True, features=features)
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
