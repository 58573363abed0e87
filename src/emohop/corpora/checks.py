"""What a corpus folder holds beside what a complete copy has: the parts every corpus shares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from emohop.clips import Clip, LabelSet, Span
from emohop.corpora.copies import copied_clips, copy_notes
from emohop.corpora.report import WHOLE, CheckCount, CheckReport, Problem
from emohop.errors import MediaError

if TYPE_CHECKING:
    from emohop.media import Media

TOLERANCE_SECONDS = 0.1  # a clip may end so much after its video: times are rounded
NO_LABEL = "(no label)"
_COUNTED = ("clips", "speakers")


def check_clips(
    corpus: str,
    folder: str | Path,
    clips: Sequence[Clip],
    *,
    class_sets: Sequence[LabelSet],
    expected: Mapping[str, int] | Mapping[tuple[str, str], int] = {},
    known_bad: Mapping[str, str] = {},
    problems: Sequence[Problem] = (),
    notes: Sequence[str] = (),
    frames_folder: Path | None = None,
) -> CheckReport:
    """The report on clips that were read, after a look at the header of each of their files.

    `expected` counts clips, speakers and labels of a complete copy, of the whole or by
    `(what, part)`; `known_bad` says of clips by id what is wrong with them in every copy. The
    corpus is usable when a clip of a class set has readable audio, or a transcript and no media.

    Raises:
        CorpusError: the frames cannot be written.
    """
    media: dict[Path, Media] = {}
    audios = audio_problems((clip.audio for clip in clips), media)
    seconds = {path: found.audio_end or 0.0 for path, found in media.items()}
    videos = video_problems(clip.video for clip in clips)
    frames: list[Path] = []
    if frames_folder is not None:
        from emohop.corpora.frames import write_sample_frames

        frames, failed = write_sample_frames(clips, frames_folder)
        videos = {**failed, **videos}
    known = {span.path: known_bad[clip.id] for clip in clips if clip.id in known_bad
             for span in (clip.audio, clip.video) if span is not None}  # fmt: skip
    found = [*problems, *(_known(path, p, known) for path, p in {**audios, **videos}.items())]

    def audible(clip: Clip) -> bool:
        if clip.audio is None:
            return clip.video is None and clip.transcript is not None
        return clip.audio.path not in audios

    usable = any(s.class_of(c.label) for s in class_sets for c in clips if audible(c))
    said = (
        [] if usable else ["not usable: no clip of a class set has readable audio, or a transcript"]
    )
    return CheckReport(
        corpus=corpus,
        folder=Path(folder),
        counts=tuple(_counts(clips, class_sets, expected, set(audios), set(videos))),
        problems=tuple(dict.fromkeys(found)),
        notes=(*notes, *copy_notes(copied_clips(clips, seconds)), *rate_notes(media), *said),
        usable=usable,
        frames=tuple(frames),
    )


def _known(path: Path, problem: Problem, known: Mapping[Path, str]) -> Problem:
    if path not in known:
        return problem
    return replace(problem, reason=f"{problem.reason} (known: {known[path]})")


def _counts(
    clips: Sequence[Clip],
    class_sets: Sequence[LabelSet],
    expected: Mapping[str, int] | Mapping[tuple[str, str], int],
    bad_audio: set[Path],
    bad_videos: set[Path],
) -> Iterator[CheckCount]:
    complete = {key if isinstance(key, tuple) else (key, WHOLE): n for key, n in expected.items()}
    known_labels = [what for what, part in complete if part == WHOLE if what not in _COUNTED]
    labels = list(dict.fromkeys([*known_labels, *sorted({c.label or NO_LABEL for c in clips})]))
    own_parts = [part for part in ("train", "dev", "test") if any(c.split == part for c in clips)]
    for part in (*own_parts, WHOLE):
        inside = [c for c in clips if part in (WHOLE, c.split)]
        of_label = Counter(c.label or NO_LABEL for c in inside)
        counts = {
            "clips": len(inside),
            "speakers": len({c.speaker for c in inside} - {None}),
            **{label: of_label[label] for label in labels},
            **{s.name: sum(s.class_of(c.label) is not None for c in inside) for s in class_sets},
        }
        for what, count in counts.items():
            yield CheckCount(what, count, complete.get((what, part)), part)
        media = {
            "transcripts": (sum(c.transcript is not None for c in inside), len(inside)),
            "readable audio files": _in_order((c.audio for c in inside), bad_audio),
            "readable video files": _in_order((c.video for c in inside), bad_videos),
        }
        for what, (count, all_of_them) in media.items():
            yield CheckCount(what, count, all_of_them, part)


def _in_order(spans: Iterable[Span | None], bad: set[Path]) -> tuple[int, int]:
    paths = {span.path for span in spans if span is not None}
    return len(paths - bad), len(paths)


def audio_problems(
    spans: Iterable[Span | None], found: dict[Path, Media] | None = None
) -> dict[Path, Problem]:
    """Audio files that are missing, empty, do not open or end too early, by their headers.

    Files in a folder that is missing share one problem, which names the folder. What is in the
    others is put into `found`.
    """

    def length(media: Media) -> float:
        return media.audio_end or 0.0

    return _media_problems(spans, length, "audio", found)


def rate_notes(media: Mapping[Path, Media]) -> list[str]:
    """What is to be said of audio files of several sample rates."""
    rates = Counter(one.sample_rate for one in media.values() if one.sample_rate is not None)
    if len(rates) < len(("one", "other")):
        return []
    counts = ", ".join(f"{rate} Hz {count}" for rate, count in sorted(rates.items()))
    return [f"sample rates differ ({counts} files), and cepstra with them: see prepare --bandwidth"]


def video_problems(spans: Iterable[Span | None]) -> dict[Path, Problem]:
    """Video files that are missing, empty, do not open or end too early; as `audio_problems`."""
    return _media_problems(spans, lambda media: media.video_end or 0.0, "video")


def time_problems(clips: Iterable[Clip], sources: Mapping[str, Path]) -> list[Problem]:
    """Clips that end where they start or before; `sources` has the label file of each dialog."""
    return [
        Problem(sources[clip.dialog or ""], f"{clip.id} goes from {clip.start} to {clip.end} s")
        for clip in clips
        if clip.end is not None and clip.end <= clip.start
    ]


def overlap_notes(clips: Iterable[Clip]) -> list[str]:
    """How many turns begin before an earlier one of their dialog ends; `clips` in order of time."""
    ends: dict[str | None, dict[str | None, float]] = {}
    both = alone = 0
    for clip in clips:
        spoken = ends.setdefault(clip.dialog, {})
        both += any(clip.start < end for who, end in spoken.items() if who != clip.speaker)
        last = spoken.get(clip.speaker, 0.0)
        alone += clip.start < last
        spoken[clip.speaker] = max(last, clip.end or 0.0)
    notes = []
    if both:
        notes.append(f"{both} turns begin while the other person still speaks")
    if alone:
        notes.append(f"{alone} turns begin before the same speaker's last one ends")
    return notes


def _media_problems(
    spans: Iterable[Span | None],
    seconds_of: Callable[[Media], float],
    what: str,
    found: dict[Path, Media] | None = None,
) -> dict[Path, Problem]:
    from emohop.media import probe

    ends: dict[Path, list[float]] = {}
    for span in spans:
        if span is not None:
            ends.setdefault(span.path, []).append(span.end or 0.0)
    problems = {}
    for path, times in ends.items():
        try:
            media = probe(path)
            seconds = seconds_of(media)
        except MediaError as error:
            folder = _missing_folder(path)
            problems[path] = (
                Problem(folder, "no such folder") if folder else Problem.of(path, error)
            )
            continue
        if found is not None:
            found[path] = media
        late = [time for time in times if time > seconds + TOLERANCE_SECONDS]
        if seconds == 0:
            problems[path] = Problem(path, f"holds no {what}")
        elif media.truncated:
            problems[path] = Problem(path, "is cut short: it is smaller than its header says")
        elif late:
            lost = f"{len(late)} clips end later, the last at {max(late):.2f} s"
            problems[path] = Problem(path, f"{what} ends at {seconds:.2f} s: {lost}")
    return problems


def _missing_folder(path: Path) -> Path | None:
    """The uppermost folder of a path that does not exist, so that it is named once."""
    missing = [folder for folder in path.parents if not folder.exists()]
    return missing[-1] if missing else None
