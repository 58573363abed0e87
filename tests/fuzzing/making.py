"""Valid files of each format, to be damaged."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def _waveform(folder: Path, ending: str, *kinds: tuple[str, int]) -> list[Path]:
    """A short tone in each of libsndfile's subtypes, with so many channels."""
    import soundfile

    from tests.media.making import tone

    paths = []
    for kind, channels in kinds:
        path = folder / f"{kind}-{channels}.{ending}"
        soundfile.write(path, np.tile(tone(0.15)[:, None], channels), 16_000, subtype=kind)
        paths.append(path)
    return paths


def make_wav(folder: Path) -> list[Path]:
    """WAV of integers, floats and a logarithmic code, and one with more chunks."""
    paths = _waveform(folder, "wav", ("PCM_16", 1), ("PCM_24", 2), ("FLOAT", 1), ("ULAW", 1))
    data = paths[0].read_bytes()
    note = b"LIST\x1a\0\0\0INFOISFT\x0e\0\0\0Lavf62.12.102\0"
    size = (len(data) - 8 + len(note)).to_bytes(4, "little")
    paths.append(folder / "list.wav")
    paths[-1].write_bytes(b"RIFF" + size + data[8:36] + note + data[36:])
    return paths


def make_flac(folder: Path) -> list[Path]:
    """FLAC of 16 and 24 bits."""
    return _waveform(folder, "flac", ("PCM_16", 1), ("PCM_24", 2))


def make_mp3(folder: Path) -> list[Path]:
    """MP3 by libsndfile's encoder, and by FFmpeg with an ID3 tag and a Xing header."""
    import av

    from tests.media.making import tone

    tagged = folder / "tagged.mp3"
    with av.open(str(tagged), "w") as out:
        stream: Any = out.add_stream("libmp3lame", rate=16_000)
        out.metadata["title"] = "a tone"
        frame: Any = av.AudioFrame.from_ndarray(tone(0.4)[None], format="fltp", layout="mono")
        frame.sample_rate = 16_000
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return [*_waveform(folder, "mp3", ("MPEG_LAYER_III", 1)), tagged]


def _film(path: Path, frames: int, **options: Any) -> Path:
    from tests.media.making import numbered, write_video

    return write_video(path, (numbered(k, 64, 48) for k in range(frames)), **options)


def make_mp4(folder: Path) -> list[Path]:
    """MP4 of two codecs with audio, and one of 30 s in which a reader seeks."""
    from fractions import Fraction

    from tests.media.making import numbered_video, tone

    return [
        numbered_video(folder / "mpeg4.mp4", 10, waveform=tone(0.3)),
        _film(folder / "h264.mp4", 10, codec="libx264", waveform=tone(0.3)),
        _film(folder / "long.mp4", 30, rate=Fraction(1), gop=5, waveform=np.zeros(480_000, "f4")),
    ]


def make_avi(folder: Path) -> list[Path]:
    """AVI of two codecs with audio, and one of 30 s in which a reader seeks."""
    from fractions import Fraction

    from tests.media.making import numbered_video, tone

    return [
        numbered_video(folder / "mpeg4.avi", 10, waveform=tone(0.3)),
        _film(folder / "mpeg2.avi", 10, codec="mpeg2video", rate=Fraction(25), waveform=tone(0.4)),
        _film(folder / "long.avi", 30, rate=Fraction(1), gop=5, waveform=np.zeros(480_000, "f4")),
    ]


def make_mkv(folder: Path) -> list[Path]:
    """Matroska of two codecs with audio, which starts late in one of them."""
    from tests.media.kinds import write

    first, late = folder / "vp9.mkv", folder / "late.mkv"
    write(first, "libopus", "libvpx-vp9", rate=48_000)
    write(late, "flac", "mpeg4", audio_at=4.0)
    return [first, late]


def make_ts(folder: Path) -> list[Path]:
    """A transport stream, and two behind each other."""
    from tests.media.kinds import transport

    one, two = folder / "one.ts", folder / "two.ts"
    transport(one)
    two.write_bytes(2 * one.read_bytes())
    return [one, two]


def make_ogg(folder: Path) -> list[Path]:
    """Vorbis, and two streams of it in a chain."""
    (one,) = _waveform(folder, "ogg", ("VORBIS", 1))
    two = folder / "two.ogg"
    two.write_bytes(2 * one.read_bytes())
    return [one, two]


def make_aac(folder: Path) -> list[Path]:
    """AAC without a container."""
    from tests.media.kinds import write

    write(folder / "a.aac", "aac", format="adts")
    return [folder / "a.aac"]


CUES = ((0.5, 2.0, "Excuse me."), (2.25, 3.5, "<v Ann>Do you <i>have</i> your forms?"))


def make_srt(folder: Path) -> list[Path]:
    """SubRip in UTF-8 and UTF-16."""
    cues = [
        f"{k}\n00:00:{a:06.3f} --> 00:00:{b:06.3f}\n{said}\n"
        for k, (a, b, said) in enumerate(CUES, 1)
    ]
    paths = [folder / "plain.srt", folder / "wide.srt"]
    for path, encoding in zip(paths, ("utf-8", "utf-16"), strict=True):
        path.write_text("\n".join(cues), encoding)
    return paths


def make_vtt(folder: Path) -> list[Path]:
    """WebVTT whose captions roll, with times inside."""
    said = "00:00:00.000 --> 00:00:02.000\n \nno<00:00:01.000><c> way</c>\n\n"
    held = "00:00:02.000 --> 00:00:02.010\nno way\n \n\n"
    (folder / "a.vtt").write_text(f"WEBVTT\n\n{said}{held}")
    return [folder / "a.vtt"]


def make_rttm(folder: Path) -> list[Path]:
    """RTTM of two recordings."""
    lines = [
        f"SPEAKER {name} {channel} 0.5 1.5 <NA> <NA> ann <NA> <NA>\n"
        for name in ("talk", "other")
        for channel in (1, 2)
    ]
    (folder / "a.rttm").write_text("".join(lines))
    return [folder / "a.rttm"]


def make_csv(folder: Path) -> list[Path]:
    """MELD's table, and a table of clips parted by commas and by tabs."""
    from tests.corpora.test_meld import table

    meld = table(folder / "meld")
    text = (
        "path,label,speaker,session,gender,split,text,start,end\n"
        'clips/a.wav,happy,anna,s1,F,train,"Well, ""well"".",0.5,1.5\n'
        "clips/a.wav,sad,anna,s1,female,valid,,1.5,\n"
        "\n"
        "clips/b.mp4,happy,bert,s2,m,test,No.,,\n"
    )
    for name in ("comma", "tab"):
        (folder / name).mkdir()
    comma, tab = folder / "comma/clips.csv", folder / "tab/clips.tsv"
    comma.write_text(text, "utf-8")
    tab.write_text(text.replace("Well, ", "Well ").replace(",", "\t"), "utf-8")
    return [meld, comma, tab]


def _dialog(folder: Path) -> Path:
    from tests.corpora.tree import FIRST, write_dialog

    session = folder / "IEMOCAP_full_release/Session1"
    write_dialog(session, "Ses01F_impro01", FIRST, extra="M: sorry\n")
    return session / "dialog"


def make_evaluation(folder: Path) -> list[Path]:
    """IEMOCAP's labels of one dialog."""
    return [_dialog(folder) / "EmoEvaluation/Ses01F_impro01.txt"]


def make_transcription(folder: Path) -> list[Path]:
    """IEMOCAP's words of one dialog."""
    return [_dialog(folder) / "transcriptions/Ses01F_impro01.txt"]


def make_glove(folder: Path) -> list[Path]:
    """Word vectors as text, with word2vec's header, and in both kinds of archive."""
    rng = np.random.default_rng(0)
    words = ["the", "and", ". . .", "no", "yes", "3", "café", *(f"w{i}" for i in range(30))]
    lines = [" ".join([w, *(f"{x:.5f}" for x in rng.normal(size=8))]) for w in words]
    text = ("\n".join(lines) + "\n").encode()
    plain, header = folder / "glove.txt", folder / "header.txt"
    plain.write_bytes(text)
    header.write_bytes(f"{len(words)} 8\n".encode() + text)
    packed, archive = folder / "glove.txt.gz", folder / "glove.zip"
    packed.write_bytes(gzip.compress(text, mtime=0))
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(zipfile.ZipInfo("glove.8d.txt"), text)
    return [plain, header, packed, archive]


def _prepared(folder: Path) -> Path:
    """A prepared corpus that brings word vectors along."""

    from emohop.storage.manifest import read_manifest, write_manifest
    from emohop.storage.vectors import write_vectors
    from tests.prepared import write_prepared

    out = write_prepared(folder / "prepared", clips=9)
    files = write_vectors(out, ["_PAD_", "_UNK_", "no"], np.ones((3, 4), np.float32))
    write_manifest(out, read_manifest(out).model_copy(update={"word_vectors": files}))
    return out


def make_manifest(folder: Path) -> list[Path]:
    """The manifest of a prepared corpus, and of one that joins two."""
    from emohop.storage.joining import join
    from tests.prepared import write_prepared

    out, other = _prepared(folder), write_prepared(folder / "other", clips=9)
    join([other], [], folder / "joined")
    return [out / "manifest.json", folder / "joined/manifest.json"]


def make_shard(folder: Path) -> list[Path]:
    """A shard of a prepared corpus."""
    return [_prepared(folder) / "shards/00000.arrow"]


def make_vectors(folder: Path) -> list[Path]:
    """The word vectors of a prepared corpus."""
    out = _prepared(folder)
    return [out / "words.json", out / "word_vectors.npy"]


def _model(folder: Path) -> Path:
    """A model folder beside the corpus that it says it was trained on."""
    import torch

    from emohop.learned import LearnedClips
    from emohop.model_config import Calibration, ModelConfig, TrainedOn
    from emohop.models import build
    from emohop.models.folder import ModelFolder
    from emohop.preprocessor import Preprocessor
    from emohop.recipes import make_recipe
    from emohop.storage import open_prepared
    from tests.prepared import write_prepared

    corpus = open_prepared(write_prepared(folder / "prepared", clips=12))
    sizes = [f"model.{m}.hidden=6" for m in ("audio", "text", "video")]
    recipe = make_recipe("demo", [*sizes, "model.text.embedding=6"])
    preprocessor = Preprocessor.fit(corpus, range(8), recipe)
    config = ModelConfig(
        emohop="0.1.0",
        model=recipe.model,
        preprocessor=preprocessor.to_config(),
        calibration=Calibration(temperature=1.5),
        recipe=recipe,
        corpus=TrainedOn(name="made", fingerprint=corpus.manifest.fingerprint),
        fold=0,
        seed=0,
    )
    torch.manual_seed(0)
    learned = LearnedClips.of(corpus.hashes(), [range(8), range(8, 10), range(10, 12)])
    network = build(recipe.model, preprocessor.sizes)
    ModelFolder(folder / "model").write(network, config, learned)
    return folder / "model"


def make_model(folder: Path) -> list[Path]:
    """What a model folder says."""
    return [_model(folder) / "model.json"]


def make_weights(folder: Path) -> list[Path]:
    """The weights of a model folder."""
    return [_model(folder) / "weights.safetensors"]


def make_learned(folder: Path) -> list[Path]:
    """The hashes of the clips that a model learned from."""
    return [_model(folder) / "learned.safetensors"]


MAKERS: dict[str, Callable[[Path], list[Path]]] = {
    "wav": make_wav,
    "flac": make_flac,
    "mp4": make_mp4,
    "avi": make_avi,
    "mp3": make_mp3,
    "mkv": make_mkv,
    "ts": make_ts,
    "ogg": make_ogg,
    "aac": make_aac,
    "srt": make_srt,
    "vtt": make_vtt,
    "rttm": make_rttm,
    "csv": make_csv,
    "evaluation": make_evaluation,
    "transcription": make_transcription,
    "glove": make_glove,
    "manifest": make_manifest,
    "shard": make_shard,
    "vectors": make_vectors,
    "model": make_model,
    "weights": make_weights,
    "learned": make_learned,
}
"""For each format what writes small valid files of it, and what belongs beside them."""
