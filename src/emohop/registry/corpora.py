"""The corpora: who reads a folder as clips, and what a complete copy holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module

from emohop.clips import MODALITIES, LabelSet, Modality
from emohop.errors import UnknownCorpusError
from emohop.registry.core import Registry


@dataclass(frozen=True, slots=True)
class CorpusSpec:
    """A corpus that emohop reads, and what a complete copy holds (None: it differs or is unknown).

    `reader` is a module with `read(folder, **options) -> list[Clip]` and `CLASS_SETS`, a tuple of
    `LabelSet` with the default first; `checker` is one with
    `check(folder, *, frames_folder=None, **options) -> CheckReport`.

    Example:
        >>> emohop.CORPORA["emodb"].modalities
        (<Modality.AUDIO: 'audio'>, <Modality.TEXT: 'text'>)
    """

    name: str
    title: str
    reader: str
    checker: str | None = None
    """None where `emohop check` has nothing to compare a folder with."""
    modalities: tuple[Modality, ...] = MODALITIES
    clips: int | None = None
    speakers: int | None = None
    sessions: int | None = None
    """Groups that share no speaker; None where it has none."""
    own_parts: bool = False
    """It names train, dev and test itself."""
    language: str = "any"
    licence: str = "yours"
    citation: str = "yours"
    page: str | None = None
    """What to read about it."""

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


_AUDIO_WORDS = (Modality.AUDIO, Modality.TEXT)

CORPORA: Registry[CorpusSpec] = Registry(
    "corpus",
    "emohop.corpora",
    (
        CorpusSpec(
            "iemocap",
            title="IEMOCAP",
            clips=10_039,
            speakers=10,
            sessions=5,
            language="English",
            licence="by request, research only: https://sail.usc.edu/iemocap/",
            citation="Busso et al., IEMOCAP: interactive emotional dyadic motion capture database, "
            "Language Resources and Evaluation 42, 335-359, 2008",
            reader="emohop.corpora.iemocap",
            checker="emohop.corpora.iemocap_check",
            page="docs/corpora/iemocap.md",
        ),
        CorpusSpec(
            "meld",
            title="MELD",
            clips=13_708,
            own_parts=True,
            language="English",
            licence="GPL-3.0 for the tables, clips for research: https://affective-meld.github.io",
            citation="Poria et al., MELD: a multimodal multi-party dataset for emotion recognition "
            "in conversations, ACL 2019",
            reader="emohop.corpora.meld",
            checker="emohop.corpora.meld",
            page="docs/corpora/meld.md",
        ),
        CorpusSpec(
            "ravdess",
            title="RAVDESS",
            clips=1_440,
            speakers=24,
            language="English",
            licence="CC BY-NC-SA 4.0: https://zenodo.org/records/1188976",
            citation="Livingstone and Russo, The Ryerson audio-visual database of emotional speech "
            "and song (RAVDESS), PLoS ONE 13(5), e0196391, 2018",
            reader="emohop.corpora.ravdess",
            checker="emohop.corpora.ravdess",
            page="docs/corpora/ravdess.md",
        ),
        CorpusSpec(
            "crema-d",
            title="CREMA-D",
            clips=7_442,
            speakers=91,
            language="English",
            licence="ODbL 1.0: https://github.com/CheyneyComputerScience/CREMA-D",
            citation="Cao et al., CREMA-D: crowd-sourced emotional multimodal actors dataset, "
            "IEEE Transactions on Affective Computing 5(4), 377-390, 2014",
            reader="emohop.corpora.crema_d",
            checker="emohop.corpora.crema_d",
            page="docs/corpora/crema-d.md",
        ),
        CorpusSpec(
            "emodb",
            title="EmoDB",
            modalities=_AUDIO_WORDS,
            clips=535,
            speakers=10,
            language="German",
            licence="free to use: http://emodb.bilderbar.info",
            citation="Burkhardt et al., A database of German emotional speech, Interspeech 2005",
            reader="emohop.corpora.emodb",
            checker="emohop.corpora.emodb",
            page="docs/corpora/emodb.md",
        ),
        CorpusSpec(
            "folder",
            title="Your own clips",
            reader="emohop.corpora.folder",
            checker="emohop.corpora.folder",
            page="docs/corpora/folder.md",
        ),
    ),
    error=UnknownCorpusError,
)
