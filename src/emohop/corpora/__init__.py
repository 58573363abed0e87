"""Corpora: one reader for each, found by name; its module is imported when it is used."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from emohop.clips import MODALITIES, Clip, LabelSet, Modality
from emohop.corpora.report import CheckReport
from emohop.corpora.suggestions import unknown_name
from emohop.errors import CorpusError


@dataclass(frozen=True, slots=True)
class Corpus:
    """A corpus that emohop reads, and what a complete copy holds (None: it differs or is unknown).

    `reader` is a module with `read(folder, **options) -> list[Clip]` and `CLASS_SETS`, a tuple of
    `LabelSet` with the default first; `checker` is one with
    `check(folder, *, frames_folder=None, **options) -> CheckReport`.
    """

    title: str
    modalities: tuple[Modality, ...]
    clips: int | None
    speakers: int | None
    sessions: int | None
    """Groups that share no speaker; None where it has none."""
    own_parts: bool
    """It names train, dev and test itself."""
    language: str
    licence: str
    citation: str
    reader: str
    checker: str

    @property
    def class_sets(self) -> tuple[LabelSet, ...]:
        """The class sets in use with this corpus, the default first; none: its labels as found."""
        sets: tuple[LabelSet, ...] = import_module(self.reader).CLASS_SETS
        return sets

    @property
    def rated(self) -> Mapping[str, str]:
        """Its raters' words for categories, in lower case, and their labels; {} without votes."""
        words: Mapping[str, str] = getattr(import_module(self.reader), "RATED", {})
        return words


_SOUND_WORDS = (Modality.AUDIO, Modality.TEXT)

CORPORA: Mapping[str, Corpus] = {
    "iemocap": Corpus(
        title="IEMOCAP",
        modalities=MODALITIES,
        clips=10_039,
        speakers=10,
        sessions=5,
        own_parts=False,
        language="English",
        licence="by request, research only: https://sail.usc.edu/iemocap/",
        citation="Busso et al., IEMOCAP: interactive emotional dyadic motion capture database, "
        "Language Resources and Evaluation 42, 335-359, 2008",
        reader="emohop.corpora.iemocap",
        checker="emohop.corpora.iemocap_check",
    ),
    "meld": Corpus(
        title="MELD",
        modalities=MODALITIES,
        clips=13_708,
        speakers=None,
        sessions=None,
        own_parts=True,
        language="English",
        licence="GPL-3.0 for the tables, clips for research: https://affective-meld.github.io",
        citation="Poria et al., MELD: a multimodal multi-party dataset for emotion recognition in "
        "conversations, ACL 2019",
        reader="emohop.corpora.meld",
        checker="emohop.corpora.meld",
    ),
    "ravdess": Corpus(
        title="RAVDESS",
        modalities=MODALITIES,
        clips=1_440,
        speakers=24,
        sessions=None,
        own_parts=False,
        language="English",
        licence="CC BY-NC-SA 4.0: https://zenodo.org/records/1188976",
        citation="Livingstone and Russo, The Ryerson audio-visual database of emotional speech and "
        "song (RAVDESS), PLoS ONE 13(5), e0196391, 2018",
        reader="emohop.corpora.ravdess",
        checker="emohop.corpora.ravdess",
    ),
    "crema-d": Corpus(
        title="CREMA-D",
        modalities=MODALITIES,
        clips=7_442,
        speakers=91,
        sessions=None,
        own_parts=False,
        language="English",
        licence="ODbL 1.0: https://github.com/CheyneyComputerScience/CREMA-D",
        citation="Cao et al., CREMA-D: crowd-sourced emotional multimodal actors dataset, "
        "IEEE Transactions on Affective Computing 5(4), 377-390, 2014",
        reader="emohop.corpora.crema_d",
        checker="emohop.corpora.crema_d",
    ),
    "emodb": Corpus(
        title="EmoDB",
        modalities=_SOUND_WORDS,
        clips=535,
        speakers=10,
        sessions=None,
        own_parts=False,
        language="German",
        licence="free to use: http://emodb.bilderbar.info",
        citation="Burkhardt et al., A database of German emotional speech, Interspeech 2005",
        reader="emohop.corpora.emodb",
        checker="emohop.corpora.emodb",
    ),
    "folder": Corpus(
        title="Your own clips",
        modalities=MODALITIES,
        clips=None,
        speakers=None,
        sessions=None,
        own_parts=False,
        language="any",
        licence="yours",
        citation="yours",
        reader="emohop.corpora.folder",
        checker="emohop.corpora.folder",
    ),
}


_NO_OPTIONS = ("folder", "frames_folder")


def corpus(name: str) -> Corpus:
    """The entry of a corpus; CorpusError for a name that is not in `CORPORA`."""
    if name not in CORPORA:
        raise CorpusError(unknown_name("corpus", name, CORPORA))
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


def class_set(corpus_name: str, name: str | None = None, clips: Sequence[Clip] = ()) -> LabelSet:
    """A class set for a corpus: its own by name, a shipped map, or that of a YAML file.

    None is the corpus's default; where it has none, every label of `clips` is a class.
    """
    from emohop.corpora.labels import choose_labels

    return choose_labels(corpus_name, corpus(corpus_name).class_sets, clips, name)


def _function(
    module: str, function: str, name: str, options: Mapping[str, object]
) -> Callable[..., Any]:
    found: Callable[..., Any] = getattr(import_module(module), function)
    known = [p for p in inspect.signature(found).parameters if p not in _NO_OPTIONS]
    for option in options:
        if option not in known:
            raise CorpusError(unknown_name(f"option of {name}", option, known))
    return found
