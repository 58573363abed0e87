"""Clips to rows: the features of what a prediction is asked of."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from emohop.clips import Clip, Modality
from emohop.errors import MediaError
from emohop.features.extraction import Arrays, Extractor, Failure
from emohop.features.text import Text
from emohop.media import Passes
from emohop.media.levels import level_notes
from emohop.prediction.inputs import Source
from emohop.storage import Row


def read(
    extractor: Extractor,
    modalities: Collection[Modality],
    sources: Sequence[Source],
    passes: Passes | None = None,
) -> list[tuple[Row, Source] | MediaError]:
    """Each clip's row for a model of these modalities, or why there is none.

    Each file is decoded once, and with `passes` once for several calls. The notes of a clip's
    source say what of it could not be read.
    """
    noticed: dict[int, list[str]] = {}

    def note(clip: Clip, said: str) -> None:
        noticed.setdefault(id(clip), []).append(said)

    clips = [source.clip for source in sources if not source.decoded and source.error is None]
    computed = iter(extractor.parts(clips, on_note=note, passes=passes))
    found: list[tuple[Row, Source] | MediaError] = []
    for source in sources:
        if source.error is not None:
            found.append(source.error)
            continue
        lost: Mapping[Modality, Failure] = {}
        notes: list[str] = []
        try:
            if source.decoded:
                arrays = _decoded(extractor, source)
                if source.waveform is not None:
                    notes += (f"{Modality.AUDIO}: {n}" for n in level_notes(source.waveform[0]))
            else:
                _, parts = next(computed)
                arrays, lost = _whole(extractor, source.clip, parts)
                notes += noticed.get(id(source.clip), ())
            notes += (f"{m} was left out: {failure.reason}" for m, failure in lost.items())
            told = replace(source, notes=(*source.notes, *notes))
            found.append((row_of(source.clip, arrays, modalities), told))
        except MediaError as error:
            found.append(error)
    return found


def row_of(clip: Clip, arrays: Arrays, modalities: Collection[Modality]) -> Row:
    """A clip with its features; MediaError when it has none of these modalities."""
    row = Row(
        id=clip.id, speaker=clip.speaker, gender=clip.gender, session=clip.session, split=None,
        label="", transcript=clip.transcript, start=clip.start, end=clip.end, arrays=arrays,
    )  # fmt: skip
    if not any(row.has(modality) for modality in modalities):
        wanted = ", ".join(m.value for m in modalities)
        raise MediaError(f"{clip.id}: it has none of this model's inputs: {wanted}")
    return row


def _decoded(extractor: Extractor, source: Source) -> Arrays:
    """The arrays of what is decoded already."""
    clip = source.clip
    text = None if clip.transcript is None else Text(clip.transcript, clip.previous_turns)
    return extractor.of_media(source.waveform, source.frames, text)


def _whole(
    extractor: Extractor, clip: Clip, parts: Mapping[Modality, Arrays | Failure]
) -> tuple[Arrays, dict[Modality, Failure]]:
    """A clip's arrays and what could not be read; MediaError when that is all of its media."""
    lost = {m: found for m, found in parts.items() if isinstance(found, Failure)}
    media = {Modality.AUDIO: clip.audio, Modality.VIDEO: clip.video}
    if lost and not any(span and m in parts and m not in lost for m, span in media.items()):
        raise MediaError(next(iter(lost.values())).reason)
    arrays: dict[str, NDArray[Any]] = {}
    for modality, found in parts.items():
        arrays |= extractor.empty(modality) if isinstance(found, Failure) else found
    return arrays, lost
