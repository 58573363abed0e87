"""The whole way on a synthetic corpus: synthesise, prepare, train, report."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from emohop.config import FeatureSettings
from emohop.errors import EmohopError
from emohop.evaluation.run_files import RunResults
from emohop.files import write_text
from emohop.recipes import make_recipe

MODELS = ("are", "tre", "vre", "amh")
"""Voice, words and face alone, then all three by attentive modality hopping."""

REPORT = "report.html"

FEATURES = FeatureSettings(video="hog", prosody=False)
"""What needs neither weights nor a licence for research."""


def run_demo(
    out: Path,
    *,
    clips: int,
    seed: int,
    jobs: int,
    say: Callable[[str], None],
    models: Sequence[str] = MODELS,
    settings: Sequence[str] = (),
) -> list[RunResults]:
    """Run every stage in `out`, or go on where an earlier call was stopped.

    `settings` go on top of the recipe `demo`, as `--set` has them. `say` is told each stage and
    its time. Returns the results of each model, AMH last. EmohopError when `out`
    holds something else.
    """
    from emohop.preparation import prepare
    from emohop.reports.page.page import write_report
    from emohop.synthetic import synthesize
    from emohop.training.run import train

    def stage(title: str, work: Callable[[], Any]) -> Any:
        begun = time.perf_counter()
        result = work()
        say(f"{title}: {time.perf_counter() - begun:.0f} s")
        return result

    _begin(out, {"clips": clips, "seed": seed})
    source, prepared = out / "corpus", out / "prepared"
    if not source.exists():
        stage(
            f"synthesized a corpus of {clips} clips",
            lambda: synthesize(source, clips=clips, seed=seed, jobs=jobs),
        )
    done = stage(
        "prepared its features",
        lambda: prepare("iemocap", source, prepared, features=FEATURES, jobs=jobs),
    )
    say(f"  {done.manifest.clips} clips, {done.manifest.problems} left out")
    results, runs = [], [out / "runs" / name for name in models]
    for name, run in zip(models, runs, strict=True):
        recipe = make_recipe("demo", settings, {"model.name": name, "seeds": [seed]})
        results.append(
            stage(
                f"trained {recipe.model.title} on 5 folds",
                lambda: train(prepared, run, recipe, jobs=jobs),  # noqa: B023
            )
        )
    page = out / REPORT
    stage(
        "wrote the report",
        lambda: write_report(
            runs,
            page,
            prepared=prepared,
            source=source,
            reference=str(runs[-1]),
            command=f"emohop demo {out.name}",
        ),
    )
    return results


def _begin(out: Path, asked: dict[str, int]) -> None:
    """Note what a demo folder holds, so that another demo does not take it for its own."""
    note = out / "demo.json"
    if not note.exists():
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise EmohopError(f"{out} exists and holds no demo: choose a new folder")
        out.mkdir(parents=True, exist_ok=True)
        write_text(note, json.dumps(asked) + "\n")
    elif json.loads(note.read_text("utf-8")) != asked:
        text = note.read_text("utf-8").strip()
        raise EmohopError(f"{out} holds a demo of {text}: choose a new folder or delete it")
