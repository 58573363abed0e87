"""Recordings that a corpus holds twice under two ids, found without decoding all of it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from pathlib import Path

from emohop.clips import Clip, Span
from emohop.content import hash_samples
from emohop.corpora.files import AUDIO_ENDINGS
from emohop.errors import MediaError
from emohop.files import sha256

SHOWN_COPIES = 20


def copied_clips(clips: Sequence[Clip], seconds: Mapping[Path, float]) -> list[tuple[Clip, Clip]]:
    """Clips that hold the same recording as an earlier one, and that one.

    `seconds` are the lengths that files' headers say. Stretches of one file are compared by their
    times, files of one size byte by byte, and audio files of one length by what they decode to.
    Video files of other sizes are not decoded: `prepare` finds their copies.
    """
    spans = {clip.id: span for clip in clips if (span := clip.audio or clip.video) is not None}
    whole = {id_: span for id_, span in spans.items() if span.start == 0 and span.end is None}
    sizes = {id_: span.path.stat().st_size for id_, span in whole.items() if span.path.exists()}
    lengths = {
        id_: round(seconds[span.path], 3)
        for id_, span in whole.items()
        if span.path in seconds and span.path.suffix.lower() in AUDIO_ENDINGS
    }
    kinds: tuple[Mapping[str, Hashable], ...] = (
        {id_: (span.path, span.start, span.end, span.half) for id_, span in spans.items()},
        _alike(whole, sizes, _bytes),
        _alike(whole, lengths, _decoded),
    )
    first: dict[Hashable, Clip] = {}
    copies = []
    for clip in clips:
        keys = [(kind, found[clip.id]) for kind, found in enumerate(kinds) if clip.id in found]
        others = [first[key] for key in keys if key in first]
        if others:
            copies.append((clip, others[0]))
        for key in keys:
            first.setdefault(key, clip)
    return copies


def _alike(
    spans: Mapping[str, Span], groups: Mapping[str, Hashable], of: Callable[[Path], Hashable]
) -> dict[str, Hashable]:
    """What files hold, of those that are not alone in their group; none of unreadable ones."""
    members: dict[Hashable, list[str]] = {}
    for id_, group in groups.items():
        members.setdefault(group, []).append(id_)
    found: dict[str, Hashable] = {}
    for ids in members.values():
        for id_ in ids if len(ids) > 1 else ():
            held = of(spans[id_].path)
            if held is not None:
                found[id_] = held
    return found


def _bytes(path: Path) -> Hashable:
    try:
        return sha256(path)
    except OSError:
        return None


def _decoded(path: Path) -> Hashable:
    from emohop.media import read_audio

    try:
        samples, rate, _ = read_audio(Span(path))
    except (MediaError, OSError):
        return None  # which the check of its header says
    return hash_samples(samples, rate)


def copy_notes(copies: Iterable[tuple[Clip, Clip]]) -> list[str]:
    """What a check says of copies."""
    said = [f"{clip.id} is the same recording as {first.id}" for clip, first in copies]
    more = len(said) - SHOWN_COPIES
    return [*said[:SHOWN_COPIES], *([f"... and {more} more copies"] if more > 0 else [])]
