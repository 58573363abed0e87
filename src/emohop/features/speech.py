"""Pretrained speech encoders: from audio to one vector every 20 ms or so.

Wav2Vec2, HuBERT, WavLM, data2vec-audio and their like, and Whisper's encoder. A clip's vectors
never depend on the clips beside it: waveforms are padded with silence to the next half second,
only waveforms of one such length share a batch, and the frames of the padding are dropped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emohop.clips import Modality
from emohop.config import AudioFeatures
from emohop.errors import EmohopError
from emohop.features.arrays import Arrays
from emohop.features.audio import SAMPLE_RATE_HZ
from emohop.features.encoder import FeatureEncoder
from emohop.features.pretrained import Layers, Pretrained, line_of, quiet, states_of
from emohop.features.pretrained import load as load_pretrained
from emohop.features.windows import windows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

WINDOW_SECONDS = 30
"""Longer waveforms are read in windows of this length,"""
OVERLAP_SECONDS = 2
"""of which neighbours share so much; each frame comes from the window that has more around it."""
FILL_SAMPLES = SAMPLE_RATE_HZ // 2
BATCH_SECONDS = {"cpu": 16, "cuda": 256}
"""Audio that goes through a model together; a CPU gains nothing by more."""

Waveform = NDArray[np.float32]
Frames = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Piece:
    """What a model hears at once: window number `window` of waveform number `waveform`.

    Of its frames, those from `first` to `last` are kept.
    """

    waveform: int
    window: int
    first: int
    last: int
    samples: Waveform

    @property
    def steps(self) -> int:
        """Its samples, filled up: only pieces of as many share a batch."""
        return math.ceil(len(self.samples) / FILL_SAMPLES) * FILL_SAMPLES


class SpeechEncoder:
    """A pretrained speech model over audio at 16 kHz."""

    any_lengths = False
    """Only pieces of one filled length can be heard together."""

    def __init__(
        self, pretrained: Pretrained, layers: Layers, pool: int = 1, device: str = "cpu"
    ) -> None:
        """Wrap a loaded model; each `pool` frames in a row become their mean.

        Raises:
            EmohopError: the model does not give a sequence of vectors, or lacks a layer.
        """
        import torch

        self.name, self.pretrained, self.pool = pretrained.name, pretrained, pool
        self._layers, said = layers, pretrained.preprocessing
        self._batch = BATCH_SECONDS.get(device.partition(":")[0], BATCH_SECONDS["cpu"])
        if said.get("sampling_rate", SAMPLE_RATE_HZ) != SAMPLE_RATE_HZ:
            raise EmohopError(f"{self.name} hears {said['sampling_rate']} Hz; 16000 Hz is accepted")
        self._model: _Whisper | _Waveform
        try:
            self._model = _adapted(pretrained, device)
            with torch.inference_mode():
                states = self.states([Piece(0, 0, 0, 1, np.zeros(FILL_SAMPLES, np.float32))])
            count, self.state_size = len(states), int(states[-1].shape[-1])
        except (
            AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError,
            ZeroDivisionError,
        ) as error:  # fmt: skip
            raise EmohopError(f"{self.name} cannot be used: {line_of(error)}") from error
        self.layers, self.size = layers.count(count, self.name), self.state_size

    @property
    def network(self) -> Any:
        """The module that is run: the whole model, of Whisper its encoder."""
        return self._model.network

    def save(self, folder: Path) -> None:
        """Write the model as a folder that `load_speech_encoder` takes."""
        self.pretrained.save(folder)

    @property
    def frames_per_second(self) -> float:
        """Vectors for each second of audio."""
        return SAMPLE_RATE_HZ / (self._model.stride * self.pool)

    def __call__(self, waveforms: Sequence[Waveform]) -> list[Frames]:
        """The vectors of waveforms `[samples]` at 16 kHz, each float32 `[frames, layers·size]`."""
        import torch

        nothing = np.empty((0, self.layers * self.size), np.float32)
        pieces: dict[int, list[Piece]] = {}
        parts: list[list[Frames]] = []
        for cut in self.pieces(waveforms):
            parts.append([nothing] * max(1, len(cut)))
            for piece in cut:
                pieces.setdefault(piece.steps, []).append(piece)
        for filled, members in pieces.items():
            batch = max(1, self._batch * SAMPLE_RATE_HZ // filled)
            for at in range(0, len(members), batch):
                some = members[at : at + batch]
                with torch.inference_mode():
                    states = self._layers.pick(self.states(some))
                for piece, vectors in zip(some, states.cpu(), strict=True):
                    kept = vectors[piece.first : piece.last].float().numpy()
                    parts[piece.waveform][piece.window] = kept
        return [pooled(np.concatenate(part), self.pool) for part in parts]

    def pieces(self, waveforms: Sequence[Waveform]) -> list[list[Piece]]:
        """The pieces of each waveform: one, several of a long one, none of an empty one."""
        stride = self._model.stride
        size, shared = (s * SAMPLE_RATE_HZ // stride for s in (WINDOW_SECONDS, OVERLAP_SECONDS))
        found: list[list[Piece]] = []
        for i, waveform in enumerate(waveforms):
            found.append([])
            if not len(waveform):
                continue
            levelled = self._model.levelled(waveform)
            for k, window in enumerate(windows(math.ceil(len(waveform) / stride), size, shared)):
                samples = levelled[window.start * stride : window.stop * stride]
                last = window.last - window.start
                if window.last == window.stop:  # the sequence ends here
                    last = self._model.frames(len(samples))
                found[i].append(Piece(i, k, window.first - window.start, last, samples))
        return found

    def states(self, pieces: Sequence[Piece]) -> Sequence[Tensor]:
        """Every hidden state `[pieces, frames, size]` of pieces of one filled length."""
        samples = np.zeros((len(pieces), pieces[0].steps), np.float32)
        for row, piece in zip(samples, pieces, strict=True):
            row[: len(piece.samples)] = piece.samples
        return self._model.states(samples, [len(piece.samples) for piece in pieces])


def _adapted(pretrained: Pretrained, device: str) -> _Whisper | _Waveform:
    kind, model = pretrained.model.config.model_type, pretrained.model
    if kind == "whisper":
        return _Whisper(pretrained, device)
    hears = model.main_input_name == "input_values"
    if hears and hasattr(model, "_get_feat_extract_output_lengths"):
        return _Waveform(pretrained, device)
    raise EmohopError(
        f"{pretrained.name} is a model of type {kind}: models like wav2vec2, hubert, wavlm, "
        "data2vec-audio and whisper are accepted"
    )


def pooled(frames: Frames, count: int) -> Frames:
    """The mean of each `count` frames `[frames, size]` in a row; the last may be of fewer."""
    if count == 1:
        return frames
    starts = np.arange(0, len(frames), count)
    sums = np.add.reduceat(frames, starts, axis=0) if len(frames) else frames
    members = np.diff([*starts.tolist(), len(frames)])[:, None]
    return np.asarray(sums / np.maximum(members, 1), dtype=np.float32)


class _Waveform:
    """Models that hear samples: Wav2Vec2 and its family."""

    def __init__(self, pretrained: Pretrained, device: str) -> None:
        self.network = pretrained.model.to(device)
        self._device = device
        said = pretrained.preprocessing
        self._normalise = bool(said.get("do_normalize", True))
        # models with group norm were trained without a mask and hear the filling as silence
        self._masked = bool(said.get("return_attention_mask", False))
        self.stride = math.prod(pretrained.model.config.conv_stride)

    def levelled(self, waveform: Waveform) -> Waveform:
        """Zero mean and unit variance over the whole waveform, where the model wants it."""
        if not self._normalise:
            return waveform
        return np.asarray((waveform - waveform.mean()) / np.sqrt(waveform.var() + 1e-7), np.float32)

    def frames(self, samples: int) -> int:
        """How many of a padded waveform's frames are of its own samples; one at least."""
        return max(1, int(self.network._get_feat_extract_output_lengths(samples)))

    def states(self, samples: NDArray[np.float32], lengths: Sequence[int]) -> Sequence[Tensor]:
        import torch

        inputs: dict[str, Any] = {"input_values": torch.from_numpy(samples).to(self._device)}
        if self._masked:
            mask = np.arange(samples.shape[1]) < np.asarray(lengths)[:, None]
            inputs["attention_mask"] = torch.from_numpy(mask.astype(np.int64)).to(self._device)
        return states_of(self.network(**inputs, output_hidden_states=True))


class _Whisper:
    """Whisper's encoder over a waveform's own length, not the 30 s that it was trained on."""

    def __init__(self, pretrained: Pretrained, device: str) -> None:
        import transformers

        self.network = pretrained.model.get_encoder().to(device)
        self._device = device
        with quiet(transformers):
            read: Any = transformers.WhisperFeatureExtractor.from_dict
            self._mel = read(dict(pretrained.preprocessing))
        self.stride = 2 * int(self._mel.hop_length)  # the second convolution takes every other one
        most, needed = len(self.network.embed_positions.weight), WINDOW_SECONDS * SAMPLE_RATE_HZ
        if most * self.stride < needed:
            raise ValueError(f"its encoder hears {most} frames, fewer than {WINDOW_SECONDS} s")

    def levelled(self, waveform: Waveform) -> Waveform:
        return waveform

    def frames(self, samples: int) -> int:
        """How many of a padded waveform's frames are of its own samples."""
        return math.ceil(samples / self.stride)

    def states(self, samples: NDArray[np.float32], lengths: Sequence[int]) -> Sequence[Tensor]:
        import torch

        del lengths  # Whisper has no mask: it hears the filling as silence
        found = self._mel(
            list(samples), sampling_rate=SAMPLE_RATE_HZ, padding="longest", return_tensors="np"
        )
        mel = torch.from_numpy(found["input_features"]).to(self._device)
        with self._shortened(mel.shape[2] // 2):
            return states_of(self.network(mel, output_hidden_states=True))

    @contextmanager
    def _shortened(self, frames: int) -> Iterator[None]:
        """The encoder as one whose input is so many frames: it refuses others."""
        import torch

        encoder = self.network
        whole, most = encoder.embed_positions, encoder.config.max_source_positions
        first: Any = torch.nn.Embedding.from_pretrained
        encoder.embed_positions = first(whole.weight[:frames])
        encoder.config.max_source_positions = frames
        try:
            yield
        finally:
            encoder.embed_positions, encoder.config.max_source_positions = whole, most


def load_speech_encoder(
    name: str, layers: Layers | None = None, pool: int = 1, device: str = "cpu"
) -> SpeechEncoder:
    """The speech model `name`: a short name, a hub name or a folder; errors as in `load`."""
    return SpeechEncoder(load_pretrained(Modality.AUDIO, name), layers or Layers(), pool, device)


def load(settings: AudioFeatures, device: str) -> FeatureEncoder:
    """The pretrained speech model of settings."""
    layers = Layers(settings.layer)
    model = load_speech_encoder(settings.encoder, layers, settings.pool, device)

    def encode(waveforms: Sequence[Waveform]) -> list[Arrays]:
        return [{"audio": frames} for frames in model(waveforms)]

    return FeatureEncoder(
        encode,
        model.layers * model.size,
        model.layers,
        model.pretrained,
        steps_per_second=model.frames_per_second,
    )
