"""What to say to a name that nothing has."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """One line: what came, the nearest known name, and all of them."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return f"unknown {kind}: {name!r}{hint}: " + (
        f"give one of {', '.join(names)}" if names else "there are none"
    )
