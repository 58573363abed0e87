"""A corpus by its name: its clips, what is in its folder, its class sets."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from emohop.clips import Clip, LabelSet
from emohop.corpora.labels import choose_labels
from emohop.corpora.report import CheckReport
from emohop.corpora.suggestions import unknown_name
from emohop.errors import CorpusError
from emohop.registry.corpora import CORPORA

_NO_OPTIONS = ("folder", "frames_folder")


def read(name: str, folder: str | Path, **options: Any) -> list[Clip]:
    """The labelled clips of the corpus `name` in `folder`; `options` are its reader's own.

    Raises:
        CorpusError: the name or an option is unknown, or the folder is not that corpus.

    Example:
        >>> clips = emohop.read_corpus("iemocap", "demo/corpus")
        >>> clips[0].id.startswith("Ses01")
        True
    """
    function = _function(CORPORA[name].reader, "read", name, options)
    clips: list[Clip] = function(Path(folder), **options)
    return clips


def check(
    name: str, folder: str | Path, *, frames_folder: str | Path | None = None, **options: Any
) -> CheckReport:
    """What is in `folder` beside what a complete copy of the corpus `name` has.

    With `frames_folder`, sample frames with the speaker marked are written there as PNG.

    Raises:
        CorpusError: as for `read`.

    Example:
        >>> emohop.check_corpus("iemocap", "demo/corpus").usable
        True
    """
    checker = CORPORA[name].checker
    if checker is None:
        raise CorpusError(f"there is nothing to compare a folder of {name} with")
    function = _function(checker, "check", name, options)
    frames = None if frames_folder is None else Path(frames_folder)
    report: CheckReport = function(Path(folder), frames_folder=frames, **options)
    return report


def class_set(corpus_name: str, name: str | None = None, clips: Sequence[Clip] = ()) -> LabelSet:
    """A class set for a corpus: its own by name, a shipped map, or that of a YAML file.

    None is the corpus's default; where it has none, every label of `clips` is a class.
    """
    return choose_labels(corpus_name, CORPORA[corpus_name].class_sets, clips, name)


def _function(
    module: str, function: str, name: str, options: Mapping[str, object]
) -> Callable[..., Any]:
    found: Callable[..., Any] = getattr(import_module(module), function)
    known = [p for p in inspect.signature(found).parameters if p not in _NO_OPTIONS]
    for option in options:
        if option not in known:
            raise CorpusError(unknown_name(f"option of {name}", option, known))
    return found
