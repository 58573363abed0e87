"""The whole of a synthetic corpus: plans made into files, several dialogs at once."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from emohop.errors import EmohopError, MissingExtraError
from emohop.processes import Progress, run
from emohop.synthetic.layout import README, write_dialog
from emohop.synthetic.plan import FEWEST_CLIPS, make_plan


@dataclass(frozen=True, slots=True)
class Synthesis:
    """What was made. `counts` has every label, also those outside the seven classes."""

    folder: Path
    counts: Mapping[str, int]
    dialogs: int
    seconds: float
    """Of speech, over all utterances."""


def synthesize(
    folder: Path,
    clips: int = 400,
    seed: int = 0,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Synthesis:
    """Make a corpus of `clips` clips of the seven classes, and a few of others, in `folder`.

    The same seed gives the same bytes with any number of `jobs` (the videos' also depend on the
    version of FFmpeg in PyAV). `folder` appears when all is written; until then the work is in
    `.<name>.unfinished` beside it, which the next call removes. `progress` is told the utterances
    done and their total. From 100 clips on every session has every class.

    Raises:
        EmohopError: `folder` is not empty or cannot be written, or `clips`, `seed` or `jobs` is
            too small.
        MissingExtraError: espeakng-loader is not installed.
    """
    folder = Path(folder).resolve()
    _check(folder, clips, seed, jobs)
    plans = make_plan(clips, seed)
    total = sum(len(plan.turns) for plan in plans)
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    done, seconds = 0, 0.0
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        (unfinished / "Documentation").mkdir(parents=True)
        (unfinished / "Documentation" / "README.txt").write_text(README, encoding="utf-8")
        for number, spoken in run(partial(write_dialog, unfinished), plans, jobs):
            seconds += spoken
            done += len(plans[number].turns)
            if progress is not None:
                progress(done, total)
        if folder.exists():
            folder.rmdir()
        unfinished.rename(folder)
    except OSError as error:
        reason = error.strerror or error
        raise EmohopError(f"{folder} cannot be written: {reason}: give another folder") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    counts = Counter(turn.label for plan in plans for turn in plan.turns)
    return Synthesis(folder, dict(counts.most_common()), len(plans), seconds)


def _check(folder: Path, clips: int, seed: int, jobs: int) -> None:
    if clips < FEWEST_CLIPS:
        raise EmohopError(
            f"{clips} clips are too few to make a corpus: give {FEWEST_CLIPS} or more"
        )
    if seed < 0:
        raise EmohopError(f"the seed {seed} is negative: give 0 or more")
    if jobs < 1:
        raise EmohopError(f"{jobs} jobs cannot do the work: give 1 or more")
    if folder.exists() and not folder.is_dir():
        raise EmohopError(f"{folder} is a file: give a folder that is new or empty")
    if folder.is_dir() and any(folder.iterdir()):
        raise EmohopError(f"{folder} is not empty: give a folder that is new or empty")
    if find_spec("espeakng_loader") is None:
        raise MissingExtraError("the synthetic corpus", "demo")
