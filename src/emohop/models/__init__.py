"""The family of models, built by name from settings and sizes."""

from __future__ import annotations

from emohop.models.building import build, check, check_settings

__all__ = ["build", "check", "check_settings"]
