"""A small prepared corpus with a learnable signal, written without any media."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from emohop.clips import Clip, LabelSet, Vote
from emohop.config import FeatureSettings
from emohop.files import sha256
from emohop.storage.manifest import Manifest, Shard, fingerprint, write_manifest
from emohop.storage.shards import write_shard

LABELS = LabelSet("made-3", ("ang", "hap", "sad"))
FEATURES = FeatureSettings(video="hog")
SIZES = {"audio": 6, "prosody": 35, "video": 5}
WORDS = {"ang": ["no", "never"], "hap": ["yes", "great"], "sad": ["gone", "alone"]}


def write_prepared(
    folder: Path, *, clips: int = 60, sessions: int = 3, seed: int = 0, poison: str | None = None
) -> Path:
    """Write `clips` clips of two speakers a session; `poison` puts NaN into that clip's audio."""
    rng = np.random.default_rng(seed)
    (folder / "shards").mkdir(parents=True)
    rows = []
    for i in range(clips):
        label = LABELS.labels[i % 3]
        number = LABELS.labels.index(label)
        session = f"Ses{i * sessions // clips + 1:02d}"
        steps, words, frames = (int(n) for n in rng.integers((4, 0, 1), (30, 9, 8)))
        audio = rng.normal(size=(steps, SIZES["audio"])).astype(np.float32)
        audio[:, number] += 1.0
        video = rng.normal(size=(frames, SIZES["video"])).astype(np.float32)
        video[:, number] += 1.0
        tokens = [str(w) for w in rng.choice([*WORDS[label], "the", "and", f"w{i}"], words)]
        clip = Clip(
            id=f"{session}_{i:03d}",
            label=label,
            speaker=session + "FM"[i % 2],
            gender="F" if i % 2 == 0 else "M",
            session=session,
            dialog=f"{session}_d",
            transcript=" ".join(tokens),
            start=float(i),
            end=i + steps / 100,
            votes=(Vote("E1", (label,), valence=2.0),),
        )
        if clip.id == poison:
            audio[1, 2] = np.nan
        arrays = {
            "audio": audio,
            "prosody": rng.normal(size=35).astype(np.float32),
            "text": np.array(tokens, dtype=np.str_),
            "video": video,
        }
        rows.append((clip, arrays))
    shards = []
    per_shard = 25
    for first in range(0, clips, per_shard):
        path = folder / "shards" / f"{first // per_shard:05d}.arrow"
        part = rows[first : first + per_shard]
        write_shard(path, part, LABELS, FEATURES, SIZES)
        shards.append(Shard(file=path.name, clips=len(part), sha256=sha256(path)))
    counts = {label: sum(c.label == label for c, _ in rows) for label in LABELS.labels}
    write_manifest(
        folder,
        Manifest(
            corpus="made",
            class_set=LABELS.name,
            labels=LABELS.labels,
            features=FEATURES,
            sizes=SIZES,
            label_counts=counts,
            dropped={},
            problems=0,
            shards=tuple(shards),
            fingerprint=fingerprint({"seed": seed}, shards),
        ),
    )
    return folder
