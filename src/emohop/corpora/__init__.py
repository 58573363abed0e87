"""Corpora: one reader for each, found by name; its module is imported when it is used."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emohop.clips import Clip, LabelSet
from emohop.errors import CorpusError

if TYPE_CHECKING:
    from emohop.corpora.checks import CheckReport


@dataclass(frozen=True, slots=True)
class Corpus:
    """A corpus that emohop reads.

    `reader` is a module with `read(folder, **options) -> list[Clip]` and `CLASS_SETS`, a tuple of
    `LabelSet` with the default first; `checker` is one with
    `check(folder, *, frames_folder=None, **options) -> CheckReport`.
    """

    title: str
    licence: str
    citation: str
    reader: str
    checker: str

    @property
    def class_sets(self) -> tuple[LabelSet, ...]:
        """The class sets in use with this corpus, the default first."""
        sets: tuple[LabelSet, ...] = import_module(self.reader).CLASS_SETS
        return sets


CORPORA: Mapping[str, Corpus] = {
    "iemocap": Corpus(
        title="IEMOCAP",
        licence="by request, research only: https://sail.usc.edu/iemocap/",
        citation="Busso et al., IEMOCAP: interactive emotional dyadic motion capture database, "
        "Language Resources and Evaluation 42, 335-359, 2008",
        reader="emohop.corpora.iemocap",
        checker="emohop.corpora.iemocap_check",
    ),
}


def corpus(name: str) -> Corpus:
    """The entry of a corpus; CorpusError for a name that is not in `CORPORA`."""
    if name not in CORPORA:
        raise CorpusError(_unknown("corpus", name, CORPORA))
    return CORPORA[name]


def read(name: str, folder: str | Path, **options: Any) -> list[Clip]:
    """The labelled clips of the corpus `name` in `folder`; `options` are its reader's own.

    Raises:
        CorpusError: the name or an option is unknown, or the folder is not that corpus.
    """
    function = _function(corpus(name).reader, "read", name, options)
    clips: list[Clip] = function(Path(folder), **options)
    return clips


def check(
    name: str, folder: str | Path, *, frames_folder: str | Path | None = None, **options: Any
) -> CheckReport:
    """What is in `folder` beside what a complete copy of the corpus `name` has.

    With `frames_folder`, sample frames with the speaker marked are written there as PNG.

    Raises:
        CorpusError: as for `read`.
    """
    function = _function(corpus(name).checker, "check", name, options)
    frames = None if frames_folder is None else Path(frames_folder)
    report: CheckReport = function(Path(folder), frames_folder=frames, **options)
    return report


def class_set(corpus_name: str, name: str | None = None) -> LabelSet:
    """A class set of a corpus by its name; None is the corpus's default."""
    sets = {labels.name: labels for labels in corpus(corpus_name).class_sets}
    if name is None:
        return next(iter(sets.values()))
    if name not in sets:
        raise CorpusError(_unknown(f"class set of {corpus_name}", name, sets))
    return sets[name]


def _function(
    module: str, function: str, name: str, options: Mapping[str, object]
) -> Callable[..., Any]:
    found: Callable[..., Any] = getattr(import_module(module), function)
    known = list(inspect.signature(found).parameters)[1:]
    for option in options:
        if option not in known:
            raise CorpusError(_unknown(f"option of {name}", option, known))
    return found


def _unknown(kind: str, name: str, known: Iterable[str]) -> str:
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return f"unknown {kind}: {name!r}{hint}: give one of {', '.join(names)}"
