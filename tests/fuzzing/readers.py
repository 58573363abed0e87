"""Each format read as emohop reads it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

from emohop.errors import EmohopError

LINE = 1000  # characters of an error that is still a clear line


class UnclearError(Exception):
    """A refusal that is not one clear line."""


def clear(error: EmohopError) -> EmohopError:
    text = str(error)
    if len(text.splitlines()) != 1 or len(text) > LINE:
        shown = text if len(text) <= LINE else f"{text[:LINE]}... ({len(text)} characters)"
        raise UnclearError(f"not one clear line: {shown!r}") from error
    return error


def _all(*steps: Callable[[], object], or_not: Sequence[Callable[[], object]] = ()) -> None:
    """Take every step, whatever those before it say; then raise the first refusal.

    Those of `or_not` may be refused of a valid file too.
    """
    refusals = []
    for number, step in enumerate([*steps, *or_not]):
        try:
            step()
        except EmohopError as error:
            clear(error)
            if number < len(steps):
                refusals.append(error)
    if refusals:
        raise refusals[0]


def _waveforms(path: Path) -> None:
    """Several spans in one go, as a corpus is prepared."""
    from emohop.clips import Span
    from emohop.media import read_audio_spans

    spans = [Span(path, 0.02, 0.08), Span(path), Span(path, 9.0, 9.1)]
    for repair in (False, True):
        for _, waveform in read_audio_spans(spans, repair=repair):
            if isinstance(waveform, EmohopError):
                clear(waveform)


def read_audio_of(path: Path) -> None:
    """The header, the whole audio and a span of it, with features."""
    from emohop.clips import Span
    from emohop.features.audio import mfcc120
    from emohop.media import probe, read_audio

    _all(
        lambda: probe(path),
        lambda: mfcc120(*read_audio(Span(path))[:2]),
        lambda: read_audio(Span(path, 0.05, 0.1)),
        lambda: read_audio(Span(path), repair=True),
        lambda: _waveforms(path),
    )


def read_captions(path: Path) -> None:
    """A transcript, and the segments of a recording."""
    from emohop.prediction.segment_files import read_segments
    from emohop.prediction.transcripts import read_transcript

    _all(
        lambda: read_segments(path, Path("talk.wav")),
        or_not=[lambda: read_transcript(path).part(0.0, 2.0)] if path.suffix != ".rttm" else [],
    )


def read_film(path: Path) -> None:
    """The header, the audio, frames at times near and far, and the crops of spans."""
    from emohop.clips import Span
    from emohop.features.audio import mfcc120
    from emohop.features.video import crops_of
    from emohop.media import frames_at, probe, read_audio

    def frames() -> None:
        for _, frame in frames_at(path, [0.0, 0.1, 0.1, 9.5, 21.0, 29.5]):
            frame.sum()

    def crops() -> None:
        spans = [Span(path), Span(path, 0.05, 0.3, "left"), Span(path, 12.0, 14.0, "right")]
        for repair in (False, True):
            for _, faces in crops_of(spans, 3.0, repair=repair):
                if isinstance(faces, EmohopError):
                    clear(faces)

    _all(
        lambda: probe(path),
        lambda: mfcc120(*read_audio(Span(path))[:2]),
        lambda: _waveforms(path),
        frames,
        crops,
        or_not=[lambda: read_audio(Span(path, 9.0, 9.1))],
    )


def read_csv(path: Path) -> None:
    """A table by its name: MELD's or one of clips."""
    from emohop import corpora

    if path.name.endswith("_sent_emo.csv"):
        corpora.read("meld", path.parent)
    else:
        corpora.read("folder", path.parent)


def read_iemocap(path: Path) -> None:
    """The release in which a label file or a transcription lies."""
    from emohop import corpora

    corpora.read("iemocap", path.parents[3])


def read_glove(path: Path) -> None:
    """Some of its words, with and without the dimension."""
    from emohop.features.glove import read_glove as read

    words = ["the", ". . .", "café", "3", "w29", "absent"]
    _all(lambda: read(path, words), lambda: read(path, words, dim=8))


def read_prepared(path: Path) -> None:
    """Every row, fact and vote of the corpus that a file belongs to, and its checksums."""
    from emohop.storage import open_prepared
    from emohop.storage.shards import METADATA, read_note
    from emohop.storage.verification import verify

    folder = path.parent.parent if path.suffix == ".arrow" else path.parent

    def rows() -> None:
        for row in open_prepared(folder):
            for array in row.arrays.values():
                (array == array).all()

    def facts() -> None:
        corpus = open_prepared(folder)
        for name in METADATA:
            corpus.votes() if name == "votes" else corpus.metadata(name)
        if len(corpus) > 1:
            hidden = corpus.only([1])
            hidden.metadata("label"), hidden[1]

    def vectors() -> None:
        brought = open_prepared(folder).word_vectors
        if brought is not None:
            brought[1].sum()

    def checksums() -> None:
        from emohop.storage.backends import place

        manifest, _ = verify(folder)
        for shard in manifest.shards:
            with contextlib.suppress(FileNotFoundError):  # as verify has said
                read_note(place(folder).get(f"shards/{shard.file}"))

    _all(rows, facts, vectors, or_not=[checksums])  # a joined corpus is not checked


def read_model(path: Path) -> None:
    """Rebuild the model and let it score the corpus beside it."""
    import emohop
    from emohop.storage import open_prepared

    predictor = emohop.load(path.parent)
    corpus = open_prepared(path.parents[1] / "prepared")
    _all(
        lambda: (predictor.temperature, predictor.settings),
        lambda: predictor.evaluate(corpus),
        lambda: predictor.attention_maps([corpus[0], corpus[1]]),
    )


READERS: dict[str, Callable[[Path], None]] = {
    **dict.fromkeys(("wav", "flac", "mp3", "ogg", "aac"), read_audio_of),
    **dict.fromkeys(("mp4", "avi", "mkv", "ts"), read_film),
    **dict.fromkeys(("srt", "vtt", "rttm"), read_captions),
    "csv": read_csv,
    **dict.fromkeys(("evaluation", "transcription"), read_iemocap),
    "glove": read_glove,
    **dict.fromkeys(("manifest", "shard", "vectors"), read_prepared),
    **dict.fromkeys(("model", "weights", "learned"), read_model),
}
"""For each format what reads a file of it the way the product does."""
