"""What there is to choose from, declared once each: so far the feature encoders.

A declaration (a spec) says what is true of its entry and where its code is; the code is imported
when it is used. An entry of one's own comes by a plug-in: see `core.Registry`.
"""

from __future__ import annotations
