"""Whisper by CTranslate2, the engine of faster-whisper: several times as fast on a CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emohop.errors import EmohopError, MissingExtraError
from emohop.features.encoding import device_of
from emohop.features.pretrained import from_cache_or_hub

PREFIX = "faster-whisper-"
"""Of the short names: faster-whisper-tiny.en is Systran/faster-whisper-tiny.en on the hub."""
MODEL, TOKENIZER = "model.bin", "tokenizer.json"

Chunk = tuple[str, float | None, float | None]
"""A word, and from when to when in seconds, where that is known."""


def is_ctranslate(name: str) -> bool:
    """Whether a name is that of such a model, or a folder holds one."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        return (folder / MODEL).exists()
    return name.rpartition("/")[2].startswith(PREFIX)


class CTranslateWhisper:
    """A Whisper model in CTranslate2's format."""

    def __init__(self, name: str, device: str) -> None:
        """Load it by short name, hub name or folder, in the fastest precision that there is.

        Raises:
            EmohopError: there is no such model, or its folder lacks the tokenizer.
            MissingExtraError: faster-whisper is not installed.
        """
        what = f"the speech recogniser {name}"
        try:
            from faster_whisper import WhisperModel
        except ImportError:
            raise MissingExtraError(what, "faster") from None
        import torch

        source = str(Path(name).expanduser())
        if Path(source).is_dir():
            if not (Path(source) / TOKENIZER).exists():
                raise EmohopError(
                    f"{name} has no {TOKENIZER}: copy it from the model that this was made from "
                    "(ct2-transformers-converter --copy_files)"
                )
        elif "/" not in name:
            source = f"Systran/{name}"

        def read(source: str, *, local_files_only: bool = False, **_: Any) -> Any:
            return WhisperModel(
                source,
                device=str(device_of(device)).partition(":")[0],
                compute_type="auto",
                cpu_threads=torch.get_num_threads(),
                local_files_only=local_files_only,
            )

        self._model = from_cache_or_hub(what, source, read)

    def __call__(self, waveform: NDArray[np.float32], most_tokens: int) -> list[Chunk]:
        """The words of a waveform [samples] at 16 kHz, of 30 s at most."""
        segments, _ = self._model.transcribe(
            waveform,
            beam_size=1,
            temperature=0.0,  # else a word that is hard to hear is drawn by chance
            condition_on_previous_text=False,
            word_timestamps=True,
            max_new_tokens=most_tokens,
        )
        words = [word for segment in segments for word in segment.words or ()]
        return [(word.word, float(word.start), float(word.end)) for word in words]
