"""Which rows of a prepared corpus may judge a model: those that it has not learned from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emohop.clips import Modality
from emohop.errors import EmohopError
from emohop.evaluation.reservations import Reservation
from emohop.evaluation.splits import LEAKS, adaptation_of, context_of
from emohop.learned import ClipHashes, ClipPart, LearnedClips
from emohop.model_config import ModelConfig
from emohop.storage import PreparedCorpus


@dataclass(frozen=True, slots=True)
class JudgedRows:
    """The rows that a model is scored on, and what has to be said of these scores."""

    dev: tuple[int, ...]
    """Only where the corpus is the one that the model was trained on."""
    test: tuple[int, ...]
    reservations: tuple[Reservation, ...]


def unseen_rows(config: ModelConfig, learned: LearnedClips, corpus: PreparedCorpus) -> JudgedRows:
    """The rows that a model has not learned from, known by what the clips hold.

    On the corpus of its training, however prepared and whatever it is called, these are its fold's
    dev and test clips. On any other, clips that it, or an encoder of the features, learned from are
    left out. Raises EmohopError where nothing is left.
    """
    clips = corpus.hashes()
    found = learned.find(clips)
    own = bool((found != ClipPart.NEW).all() and (found == ClipPart.TEST).any())
    seen = corpus.manifest.seen
    by_encoder = np.array([id_ in seen for id_ in corpus.metadata("id")], bool)
    learned_from = (found == ClipPart.TRAIN) | (found == ClipPart.DEV)
    if own:
        dropped = learned.dropped(clips, found)
        dev = (found == ClipPart.DEV) & ~dropped
        test = (found == ClipPart.TEST) & ~dropped & ~by_encoder
    else:
        dev = np.zeros(len(clips), bool)
        test = ~learned_from & ~by_encoder
    left_out = int((learned_from & ~dev).sum())
    if not test.any():
        what = "an encoder of its features" if by_encoder.any() and not left_out else "this model"
        raise EmohopError(
            f"{corpus.folder}: all of its {len(clips)} clips are ones that {what} was trained on, "
            "so nothing unseen is left to test with: give other clips, or --include-seen to look "
            "anyway"
        )
    said = list(_of_model(config, corpus, own=own))
    other = corpus.manifest.fingerprint != config.corpus.fingerprint
    if left_out and other:
        text = f"left out {_clips(left_out)} that this model was trained on"
        said.append(Reservation(kind="left_out", text=text))
    only_encoder = int((by_encoder & ~learned_from).sum())
    if only_encoder and not own:
        text = f"left out {_clips(only_encoder)} that an encoder of the features was finetuned on"
        said.append(Reservation(kind="left_out", text=text))
    said += _of_speakers(corpus, learned, clips, test, learned_from)
    if namesakes := int((learned.same_names(clips) & (found == ClipPart.NEW)).sum()):
        text = (
            f"{_clips(namesakes)} have ids of clips that this model was trained on and hold other "
            "recordings: converted copies are no test"
        )
        said.append(Reservation(kind="seen", text=text))
    return JudgedRows(_rows(dev), _rows(test), tuple(said))


def all_rows(
    config: ModelConfig, learned: LearnedClips | None, corpus: PreparedCorpus
) -> JudgedRows:
    """Every row, with what makes their scores no test scores."""
    text = "the model does not say which clips it was trained on: no test scores"
    if learned is not None:
        found = learned.find(corpus.hashes())
        count = int(((found == ClipPart.TRAIN) | (found == ClipPart.DEV)).sum())
        text = f"{_clips(count)} that this model was trained on are included: no test scores"
    said = (Reservation(kind="seen", text=text), *_of_model(config, corpus, own=False))
    return JudgedRows((), tuple(range(len(corpus))), said)


def _of_model(config: ModelConfig, corpus: PreparedCorpus, *, own: bool) -> list[Reservation]:
    """What is to be said whatever the clips are."""
    said = []
    protocol = config.recipe.protocol or ""
    if own and protocol in LEAKS:
        said.append(Reservation(kind="protocol", text=LEAKS[protocol]))
    said += adaptation_of(config.recipe.training.standardise)
    if Modality.TEXT in config.model.uses:
        said += context_of(corpus.manifest.features.turns_before)
    return said


def _of_speakers(
    corpus: PreparedCorpus,
    learned: LearnedClips,
    clips: ClipHashes,
    test: NDArray[np.bool_],
    learned_from: NDArray[np.bool_],
) -> list[Reservation]:
    """How many speakers of test the model knows, by their clips here or by name."""
    speakers = corpus.metadata("speaker")
    named = learned.knows_speakers(clips)
    tested = {speakers[row] for row in np.flatnonzero(test)} - {None}
    known = {
        speakers[row]
        for row in range(len(speakers))
        if (learned_from[row] or named[row]) and speakers[row] in tested
    }
    if not known:
        return []
    text = f"{len(known)} of {len(tested)} speakers of test are known from training"
    return [Reservation(kind="speakers", text=text)]


def _rows(which: NDArray[np.bool_]) -> tuple[int, ...]:
    return tuple(np.flatnonzero(which).tolist())


def _clips(count: int) -> str:
    return f"{count} clip{'s' * (count != 1)}"
