"""The options of `emohop train` as a recipe or an experiment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emohop.errors import EmohopError

if TYPE_CHECKING:
    from emohop.config import Recipe
    from emohop.training.experiment import Experiment


def asked_for(
    out: Path,
    recipe: str | None,
    override: str | None,
    settings: Sequence[str],
    lists: Mapping[str, str | None],
    protocol: str | None,
    fold: str | None,
    seeds: str | None,
    groups: int | None = None,
) -> Recipe | Experiment:
    """What to train: the recipe, or that of the folder `out`, under the options given.

    `lists` maps the settings that may be varied to what was typed; several values of one make an
    experiment.
    """
    from emohop.evaluation.run_folder import RunFolder
    from emohop.recipes import read_settings
    from emohop.training.experiment import continued, is_experiment, make_experiment
    from emohop.training.run import stored_recipe

    asked: dict[str, Any] = {
        "protocol": protocol,
        "groups": groups,
        "folds": None if fold in (None, "all") else numbers("--fold", str(fold)),
        "seeds": None if seeds is None else numbers("--seeds", seeds),
    }
    overrides = {key: value for key, value in asked.items() if value is not None}
    if fold == "all":
        overrides["folds"] = None
    vary: dict[str, list[str]] = {}
    for key, text in lists.items():
        values = [] if text is None else choices(key, text)
        if len(values) > 1:
            vary[key] = values
        elif values:
            overrides[key] = values[0]
    if recipe is None and is_experiment(out):
        if vary or override:
            raise EmohopError(
                f"{out} holds an experiment: name its --recipe again to add rows, or choose a new "
                "folder"
            )
        return continued(out, {**read_settings(settings), **overrides})
    base = recipe or (
        str(RunFolder(out).recipe_file) if stored_recipe(out) is not None else "default"
    )
    return make_experiment(base, settings, overrides, vary, override)


@contextmanager
def corpus_and_out(
    folders: Sequence[Path], tests: Sequence[Path]
) -> Iterator[tuple[Path, Path, bool]]:
    """The prepared corpus to train on, the run folder, and whether that is locked.

    Where the corpora are several, they are joined in the run folder, which is locked meanwhile.
    """
    from emohop.evaluation.run_folder import RunFolder, is_taken
    from emohop.storage.joining import join
    from emohop.storage.locks import locked

    *prepared, out = folders
    if not prepared:
        raise EmohopError("name a prepared corpus, and the run folder as last word: PREPARED OUT")
    if len(prepared) == 1 and not tests:
        yield prepared[0], out, False
        return
    with locked(out):
        join(prepared, tests, RunFolder(out).joined_corpus, replace=not is_taken(out))
        yield RunFolder(out).joined_corpus, out, True


def choices(key: str, text: str) -> list[str]:
    """The values of a list; audio,text is one choice of modalities, audio+text,text+video two."""
    if key == "model.modalities" and "+" not in text:
        return [text]
    return [value.strip() for value in text.split(",")]


def numbers(option: str, text: str) -> list[int]:
    """Whole numbers typed as 0,1,2."""
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise EmohopError(f"{option} {text!r}: write numbers as 0,1,2") from None
