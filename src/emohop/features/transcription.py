"""Speech recognition: what is said in a waveform, and when, by a Whisper model."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emohop.clips import Modality
from emohop.errors import EmohopError, MissingExtraError
from emohop.features.audio import SAMPLE_RATE_HZ
from emohop.features.ctranslate import Chunk, CTranslateWhisper, is_ctranslate
from emohop.features.encoding import device_of
from emohop.features.pretrained import from_cache_or_hub, line_of, quiet, source_of
from emohop.features.vad import utterances

WINDOW_SECONDS = 30.0
"""What Whisper hears at once."""
PAUSE_SECONDS = 3.0
"""Utterances that are closer are heard together; in longer silence Whisper hears words."""
MOST_TOKENS_A_SECOND = 12
"""Nobody speaks faster; a model that repeats itself without end is stopped."""
FEWEST_TOKENS, MOST_TOKENS = 16, 400
FEWEST_PIECES = 256
"""Of a vocabulary that can write anything."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A word that was heard, and from when to when, in seconds."""

    word: str
    start: float
    end: float


class Transcriber:
    """A speech recogniser."""

    def __init__(self, name: str, device: str = "auto") -> None:
        """Load a Whisper model by short name (whisper-tiny.en), hub name or folder.

        Models in CTranslate2's format (faster-whisper-tiny.en, or a folder) are run by
        faster-whisper, all others by transformers.

        Raises:
            EmohopError: there is no such model, or it is of another kind.
            MissingExtraError: the library that runs it is not installed.
        """
        self.name = name
        self._engine: Callable[[NDArray[np.float32], int], list[Chunk]]
        if is_ctranslate(name):
            self._engine = CTranslateWhisper(name, device)
        else:
            self._engine = _TransformersWhisper(name, device)

    def __call__(self, waveform: NDArray[np.float32]) -> list[Heard]:
        """The words of a waveform [samples] at 16 kHz, in order; none where nobody speaks.

        Each utterance is heard by itself, so that silence is never taken for words and the first
        word starts where speech does.
        """
        heard = []
        for start, end in _windows(waveform):
            first, last = (round(seconds * SAMPLE_RATE_HZ) for seconds in (start, end))
            heard += self._hear(waveform[first:last], start, end)
        return heard

    def _hear(self, waveform: NDArray[np.float32], start: float, end: float) -> list[Heard]:
        seconds = end - start
        most = max(FEWEST_TOKENS, math.ceil(seconds * MOST_TOKENS_A_SECOND))
        try:
            chunks = self._engine(waveform, min(most, MOST_TOKENS))
        except (RuntimeError, ValueError, IndexError, KeyError, TypeError) as error:
            raise EmohopError(f"{self.name} cannot recognise speech: {line_of(error)}") from error
        words = []
        for text, *times in chunks:
            begin, until = (start + min(max(0.0, t or 0.0), seconds) for t in times)
            if word := text.strip():
                words.append(Heard(word, round(begin, 3), round(max(begin, until), 3)))
        return words


class _TransformersWhisper:
    """A Whisper model of the Hugging Face library."""

    def __init__(self, name: str, device: str) -> None:
        source, what = source_of(Modality.AUDIO, name), f"the speech recogniser {name}"
        try:
            import transformers
        except ImportError:
            raise MissingExtraError(what, "encoders") from None

        with quiet(transformers):
            config = from_cache_or_hub(what, source, transformers.AutoConfig.from_pretrained)
            if config.model_type != "whisper":
                raise EmohopError(
                    f"{name} is a model of type {config.model_type}: speech is recognised by "
                    "Whisper models, such as whisper-tiny.en or whisper-base"
                )
            kinds: dict[str, Any] = {
                "model": transformers.WhisperForConditionalGeneration,
                "tokenizer": transformers.AutoTokenizer,
                "feature_extractor": transformers.WhisperFeatureExtractor,
            }
            loaded = {
                part: from_cache_or_hub(what, source, kind.from_pretrained)
                for part, kind in kinds.items()
            }
            if len(loaded["tokenizer"]) < FEWEST_PIECES:
                raise EmohopError(f"{name} has no tokenizer (tokenizer.json): no words can be made")
            if getattr(loaded["model"].generation_config, "alignment_heads", None) is None:
                raise EmohopError(
                    f"{name} does not say when words are spoken: its generation_config.json has "
                    "no alignment_heads; take one of OpenAI's Whisper models"
                )
            loaded["model"] = loaded["model"].float().eval()
            self._pipeline: Any = transformers.pipeline(
                "automatic-speech-recognition", device=device_of(device), **loaded
            )

    def __call__(self, waveform: NDArray[np.float32], most_tokens: int) -> list[Chunk]:
        """The words of a waveform [samples] at 16 kHz, of 30 s at most."""
        import transformers

        with quiet(transformers):
            found = self._pipeline(
                {"raw": waveform, "sampling_rate": SAMPLE_RATE_HZ},
                return_timestamps="word",
                generate_kwargs={"max_new_tokens": most_tokens},
            )
        return [(chunk["text"], *chunk["timestamp"]) for chunk in found["chunks"]]


def _windows(waveform: NDArray[np.float32]) -> list[tuple[float, float]]:
    """The utterances of a waveform, in seconds, neighbours together as far as a window reaches."""
    windows: list[tuple[float, float]] = []
    for start, end in utterances([waveform]):
        near = bool(windows) and start - windows[-1][1] <= PAUSE_SECONDS
        if near and end - windows[-1][0] <= WINDOW_SECONDS:
            windows[-1] = (windows[-1][0], end)
        else:
            windows.append((start, end))
    return windows
