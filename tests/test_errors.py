"""Errors cross process borders and stay what they were."""

from __future__ import annotations

import pickle

from emohop.errors import EmohopError, MissingExtraError


def test_a_missing_extra_survives_pickling() -> None:
    error = MissingExtraError("prosody", "prosody", " (or --no-prosody)")
    again = pickle.loads(pickle.dumps(error))
    assert isinstance(again, EmohopError)
    assert str(again) == ("prosody needs an extra: pip install 'emohop[prosody]' (or --no-prosody)")
