"""Clips in their dialogs: what was said before each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from emohop.clips import Clip
from emohop.errors import EmohopError


def with_turns_before(clips: Sequence[Clip], turns: int) -> list[Clip]:
    """The clips with the transcripts of up to `turns` turns of their dialog before each.

    Turns are in the order of the corpus, those of classes that are left out included.
    Raises EmohopError when no clip is in a dialog.
    """
    if all(clip.dialog is None for clip in clips):
        raise EmohopError("context: this corpus has no dialogs: leave --context out")
    dialogs: dict[str, list[str]] = {}
    found = []
    for clip in clips:
        if clip.dialog is None:
            found.append(clip)
            continue
        said = dialogs.setdefault(clip.dialog, [])
        found.append(replace(clip, previous_turns=tuple(said[-turns:])))
        said.append(clip.transcript or "")
    return found
