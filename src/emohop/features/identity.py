"""When two modalities' features are the same: equal settings, and encoders of equal weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from emohop.clips import Modality
from emohop.config import FeatureSettings, ModalityFeatures
from emohop.errors import brief


@dataclass(frozen=True, slots=True)
class FeatureIdentity:
    """One modality's settings, and the fingerprint of its encoder (None for our own features)."""

    settings: ModalityFeatures
    fingerprint: str | None = None

    @classmethod
    def of(
        cls, modality: Modality, features: FeatureSettings, fingerprints: Mapping[str, str]
    ) -> FeatureIdentity | None:
        """That of a modality; None where it is left out."""
        settings = features.of(modality)
        return None if settings is None else cls(settings, fingerprints.get(modality.value))

    def differing(self, other: FeatureIdentity) -> list[str]:
        """The settings by which the features differ; none where they are the same.

        An encoder that has a fingerprint is told by it, whatever it is called and wherever it
        lies; one without is told by its name.
        """
        told = self.fingerprint is not None and other.fingerprint is not None
        names = [n for n in type(self.settings).model_fields if not (told and n == "encoder")]
        found = [n for n in names if getattr(self.settings, n) != getattr(other.settings, n)]
        if self.fingerprint != other.fingerprint and "encoder" not in found:
            found.insert(0, "encoder")
        return found

    def value(self, name: str) -> str:
        """A setting's value as a message shows it; an encoder's with its fingerprint."""
        shown = brief(getattr(self.settings, name))
        if name == "encoder" and self.fingerprint is not None:
            return f"{shown} ({self.fingerprint[:12]})"
        return shown
