"""Tiny speech and language models with random weights, as folders that transformers reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIZE, LAYERS = 16, 3
"""Of a hidden state; hidden states beside the one before the first layer."""
SPEECH = ("wav2vec2", "wav2vec2-layer", "hubert", "wavlm", "data2vec-audio")
LANGUAGE = ("bert", "roberta", "distilbert", "mpnet", "modernbert")
SENTENCES = (
    "I don't know what you're talking about.",
    "Excuse me, do you have your forms?",
    "Unbelievable!",
    "no",
)
_COMMON: dict[str, Any] = {
    "hidden_size": SIZE,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "intermediate_size": 24,
}
_CONVOLUTIONS: dict[str, Any] = {
    "conv_dim": (8,) * 7,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
    "initializer_range": 0.3,
}


def waveform(seconds: float, seed: int = 0) -> NDArray[np.float32]:
    """A swelling tone in noise at 16 kHz."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * 16_000)) / 16_000
    tone = np.sin(2 * np.pi * (150 + 40 * seed) * time) * (0.2 + 0.1 * np.sin(7 * time))
    return (tone + 0.02 * rng.normal(size=len(time))).astype(np.float32)


def save_speech(folder: Path, kind: str = "wav2vec2", seed: int = 0, **said: Any) -> str:
    """A speech model; `said` changes its preprocessor_config.json. Returns the folder."""
    import torch
    import transformers as t

    torch.manual_seed(seed)
    model: Any
    if kind == "whisper":
        model = t.WhisperModel(
            t.WhisperConfig(
                d_model=SIZE, encoder_layers=LAYERS, decoder_layers=1, encoder_attention_heads=2,
                decoder_attention_heads=2, encoder_ffn_dim=24, decoder_ffn_dim=24, vocab_size=30,
                pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
                init_std=0.3,
            )
        )  # fmt: skip
        t.WhisperFeatureExtractor(**said).save_pretrained(folder)
    else:
        masked = kind == "wav2vec2-layer"
        more = {"feat_extract_norm": "layer", "do_stable_layer_norm": True} if masked else {}
        stem = {"wavlm": "WavLM", "hubert": "Hubert", "data2vec-audio": "Data2VecAudio"}
        name = stem.get(kind, "Wav2Vec2")
        if kind == "data2vec-audio":
            more = {"conv_pos_kernel_size": 3}
        config = getattr(t, f"{name}Config")(**_COMMON, **_CONVOLUTIONS, **more)
        model = getattr(t, f"{name}Model")(config)
        values = {"do_normalize": True, "return_attention_mask": masked, **said}
        t.Wav2Vec2FeatureExtractor(**values).save_pretrained(folder)
    with torch.no_grad():
        for key, weight in model.named_parameters():
            if key.endswith("bias"):
                weight.normal_(std=0.1)
    model.eval().save_pretrained(folder)
    return str(folder)


def save_language(folder: Path, kind: str = "bert", seed: int = 0, positions: int = 40) -> str:
    """A language model and its tokenizer; a text has `positions` pieces at most, ends included."""
    import torch
    import transformers as t

    torch.manual_seed(seed)
    wordpiece = kind in ("bert", "distilbert", "mpnet")
    tokenizer = _wordpiece() if wordpiece else _byte_level()
    offset = 2 if kind in ("roberta", "mpnet") else 0  # they count from behind the padding's number
    common = {
        **_COMMON,
        "vocab_size": tokenizer.get_vocab_size(),
        "max_position_embeddings": positions + offset,
        "initializer_range": 0.3,
        "pad_token_id": 1,
    }
    model: Any
    if kind == "distilbert":
        config = t.DistilBertConfig(
            dim=SIZE, hidden_dim=24, n_layers=LAYERS, n_heads=2,
            vocab_size=common["vocab_size"], max_position_embeddings=positions,
            initializer_range=0.3, pad_token_id=1,
        )  # fmt: skip
        model = t.DistilBertModel(config)
    elif kind == "modernbert":
        ends: dict[str, Any] = {
            "bos_token_id": 0,
            "eos_token_id": 2,
            "cls_token_id": 0,
            "sep_token_id": 2,
        }
        model = t.ModernBertModel(t.ModernBertConfig(**common, **ends))
    else:
        stem = {"bert": "Bert", "roberta": "Roberta", "mpnet": "MPNet"}[kind]
        model = getattr(t, f"{stem}Model")(getattr(t, f"{stem}Config")(**common))
    model.eval().save_pretrained(folder)
    t.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]",
        sep_token="[SEP]", mask_token="[MASK]", model_max_length=positions,
    ).save_pretrained(folder)  # fmt: skip
    return str(folder)


_MARKS = ["[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]"]


def _wordpiece() -> Any:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    letters = [chr(n) for n in range(33, 127) if not chr(n).isupper()]
    parts = ["##" + c for c in letters if c.isalnum()]
    words = ["know", "what", "you", "talk", "##ing", "about", "excuse", "##able", "have", "don"]
    pieces = [*_MARKS, *letters, *parts, *words]
    vocabulary = {piece: n for n, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return _closed(tokenizer)


def _byte_level() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=_MARKS, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return _closed(tokenizer)


def _closed(tokenizer: Any) -> Any:
    from tokenizers import processors

    ends = [(mark, tokenizer.token_to_id(mark)) for mark in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=ends
    )
    return tokenizer


def change_json(path: Path, **values: Any) -> None:
    """Set values of a JSON file; None deletes one."""
    held = {**json.loads(path.read_text("utf-8")), **values}
    path.write_text(json.dumps({k: v for k, v in held.items() if v is not None}), "utf-8")
