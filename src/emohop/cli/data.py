"""Commands that make and read data: a corpus, its features."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emohop.cli.commands import (
    INCOMPLETE,
    SHOWN_PROBLEMS,
    Engine,
    Jobs,
    command,
    counted,
    fail,
    given_only,
    processes,
)
from emohop.cli.outputs import check_output_folder
from emohop.clips import Modality
from emohop.errors import EmohopError
from emohop.registry.corpora import CORPORA
from emohop.registry.features import feature_names

if TYPE_CHECKING:
    from emohop.preparation import Preparation

SHOWN_NOTES = 10


def _names(modality: Modality) -> str:
    return ", ".join(feature_names(modality))


@command
def synthesize(
    folder: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    clips: Annotated[int, typer.Option(help="Clips of the seven classes to make.")] = 400,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same corpus.")] = 0,
    jobs: Jobs = None,
) -> None:
    """Write a synthetic corpus of speech, sentences and faces in IEMOCAP's own layout.

    Results on it say nothing about people.
    """
    from emohop.reports.terminal.console import progress_bar
    from emohop.synthetic import synthesize as make

    with progress_bar("clips") as progress:
        made = make(folder, clips=clips, seed=seed, jobs=processes(jobs), progress=progress)
    typer.echo(
        f"{folder}: {sum(made.counts.values())} clips ({counted(made.counts)}) in {made.dialogs} "
        f"dialogs, {made.seconds / 60:.1f} minutes of speech"
    )
    typer.echo("Results on a synthetic corpus say nothing about people.")


Corpus = Annotated[
    str,
    typer.Argument(
        help=f"{', '.join(CORPORA.names())}; folder reads your own clips.", metavar="CORPUS"
    ),
]
Seating = Annotated[
    str | None,
    typer.Option(
        help="Who sits left in IEMOCAP's videos: marker-left or woman-left. [default: marker-left]"
    ),
]
Channel = Annotated[
    str | None, typer.Option(help="Of RAVDESS: speech, song or both. [default: speech]")
]
Layer = Annotated[
    str | None,
    typer.Option(
        help="Hidden states of that modality's pretrained model: a number, mean-N of the last N, "
        "or all, weighted in training. [default: last]"
    ),
]
Verify = Annotated[
    bool,
    typer.Option(
        "--verify", help="Compare media by content, not by size and time, where they changed."
    ),
]
Outside = Annotated[
    bool, typer.Option("--allow-outside", help="A table may name files outside its folder.")
]


@command
def check(
    corpus: Annotated[
        str, typer.Argument(help="As for prepare; or a prepared corpus, alone.", metavar="CORPUS")
    ],
    source: Annotated[
        Path | None, typer.Argument(help="The corpus's folder, or table.", metavar="DIR")
    ] = None,
    frames: Annotated[
        Path | None,
        typer.Option(help="Write one sample frame per session here, the speaker's half marked."),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            help="With a prepared corpus: the folder it was made of, to say what has changed since."
        ),
    ] = None,
    verify: Verify = False,
    seating: Seating = None,
    channel: Channel = None,
    allow_outside: Outside = False,
) -> None:
    """Show what is there beside what should be; exit status 1 if it cannot be used.

    With a prepared corpus, compare every file with its checksum; with --against, its clips with
    their source, too. Nothing is written.
    """
    if source is None:
        _check_prepared(corpus)
        if against is not None:
            _check_against(corpus, against, verify=verify)
        return
    if against is not None or verify:
        fail(
            "--against and --verify go with a prepared corpus: emohop check PREPARED --against DIR"
        )
    from emohop import corpora
    from emohop.reports.terminal.console import show
    from emohop.reports.terminal.corpora import check_table

    check_output_folder(frames, "--frames")

    options = given_only(seating=seating, channel=channel, allow_outside=allow_outside)
    report = corpora.check(corpus, source, frames_folder=frames, **options)
    show(check_table(report))
    for problem in report.problems[:SHOWN_PROBLEMS]:
        typer.echo(str(problem))
    if len(report.problems) > SHOWN_PROBLEMS:
        typer.echo(f"... and {len(report.problems) - SHOWN_PROBLEMS} more problems")
    for line in (*report.notes, *(f"wrote {path}" for path in report.frames)):
        typer.echo(line)
    if not report.usable:
        fail(f"{source} cannot be used: see above")


def _check_prepared(folder: str) -> None:
    from emohop.storage.verification import verify

    if folder in CORPORA and not Path(folder).exists():
        fail(f"check {folder} needs its folder: emohop check {folder} DIR")
    manifest, damages = verify(folder)
    for damage in damages:
        held = "" if damage.clips is None else f"; it held {', '.join(damage.clips) or 'no clips'}"
        typer.echo(f"{folder}/{damage.file} {damage.reason}{held}")
    if damages:
        fail(
            f"{len(damages)} files of {folder} are damaged: give the same emohop prepare command "
            "again, which makes just those anew"
        )
    typer.echo(f"{folder}: {manifest.clips} clips in {len(manifest.shards)} shards, all in order")
    if "face" in manifest.sizes:
        from emohop.storage import open_prepared

        found = [row["face"] for row in open_prepared(folder)]
        frames, faces = sum(map(len, found)), sum(float(flags.sum()) for flags in found)
        typer.echo(
            f"a face was found in {faces:.0f} of {frames} frames; of the others the centre "
            "was taken"
        )


def _check_against(folder: str, source: Path, *, verify: bool) -> None:
    from emohop.preparation import compare

    changes = compare(folder, source, verify=verify)
    for change in changes:
        typer.echo(str(change))
    if changes:
        fail(f"{folder} is not what {source} holds now: give its emohop prepare command again")
    typer.echo(f"{folder} is what {source} holds")


@command
def prepare(
    corpus: Corpus,
    source: Annotated[Path, typer.Argument(help="The corpus's folder, or table.", metavar="DIR")],
    out: Annotated[
        str,
        typer.Argument(
            help="The prepared corpus, continued if begun: a folder, or a URL such as s3://…"
        ),
    ],
    audio: Annotated[
        str | None,
        typer.Option(
            help=f"{_names(Modality.AUDIO)}, a Hugging Face speech model (whisper-base, "
            "wavlm-large, … by short name, hub name or folder), or none."
        ),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(
            help=f"{_names(Modality.TEXT)}, a Hugging Face language model (minilm, roberta-base, "
            "…, hub name or folder), or none."
        ),
    ] = None,
    video: Annotated[
        str | None,
        typer.Option(
            help=f"resnet101 (as published; from the Hugging Face hub), {_names(Modality.VIDEO)} "
            "(needs no weights), any other image or video model (clip-vit-b32, dinov2-small, …, "
            "hub name or folder), or none."
        ),
    ] = None,
    crop: Annotated[
        str | None,
        typer.Option(help="Of frames: centre, or face (the square around it). [default: centre]"),
    ] = None,
    audio_layer: Layer = None,
    text_layer: Layer = None,
    video_layer: Layer = None,
    audio_pool: Annotated[
        int | None, typer.Option(help="Frames of a speech model that become their mean.")
    ] = None,
    context: Annotated[
        int | None,
        typer.Option(help="Turns of the dialog before a clip that its text features see."),
    ] = None,
    prosody: Annotated[
        bool | None,
        typer.Option(
            "--prosody/--no-prosody",
            help="The 35 openSMILE functionals; openSMILE is licensed for research, not for use "
            "in products. [default: prosody]",
        ),
    ] = None,
    frames_per_second: Annotated[
        float | None, typer.Option(help="Frames taken from each second of video.")
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(help="float32, or float16 for half the room. [default: float32]"),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            help="Class set: one of the corpus's (emohop corpora NAME), common-4, common-6, or a "
            "map FILE.yaml. [default: the corpus's first]"
        ),
    ] = None,
    keep_incomplete: Annotated[
        bool, typer.Option("--keep-incomplete", help="Keep clips that lack a modality altogether.")
    ] = False,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair", help="Accept what can be read of damaged media; notes.csv says what."
        ),
    ] = False,
    bandwidth: Annotated[
        str | None,
        typer.Option(
            help="A sample rate, such as 8k, that all audio is brought to first, where clips have "
            "several."
        ),
    ] = None,
    device: Annotated[
        str, typer.Option(help="Of pretrained models: cpu, cuda, or auto (a GPU if there is one).")
    ] = "auto",
    cache: Annotated[
        Path | None,
        typer.Option(help="A folder that keeps what pretrained models gave, for the next time."),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop at the first clip that cannot be read.")
    ] = False,
    allow_failures: Annotated[
        bool,
        typer.Option("--allow-failures", help="Finish even if over 5 % of clips fail."),
    ] = False,
    retry: Annotated[
        bool, typer.Option("--retry", help="Read the clips of problems.csv again.")
    ] = False,
    verify: Verify = False,
    seating: Seating = None,
    channel: Channel = None,
    allow_outside: Outside = False,
    jobs: Jobs = None,
    engine: Engine = "local",
) -> None:
    """Turn a corpus into features. Run it again to continue; exit status 3 if clips were left out.

    Clips that cannot be read are listed in OUT/problems.csv. A finished corpus is compared with
    its checksums, and what is damaged is made anew; it is brought up to date with DIR, whose
    changes are named.
    """
    from emohop.config import FeatureSettings, checked, put
    from emohop.preparation import PROBLEMS, Running
    from emohop.preparation import prepare as run
    from emohop.reports.terminal.console import progress_bar

    asked = {
        "audio.encoder": audio,
        "text.encoder": text,
        "video.encoder": video,
        "prosody": prosody,
        "video.frames_per_second": frames_per_second,
        "precision": precision,
        "video.crop": crop,
        "audio.layer": audio_layer,
        "text.layer": text_layer,
        "video.layer": video_layer,
        "audio.pool": audio_pool,
        "text.context": context,
        "keep_incomplete": keep_incomplete or None,
        "repair": repair or None,
        "bandwidth": None if bandwidth is None else _rate(bandwidth),
    }
    given: dict[str, Any] = {}
    for key, value in asked.items():
        if value is not None:
            put(given, key, value)
    features = checked(FeatureSettings, given)
    reading: dict[str, Any] = given_only(
        seating=seating, channel=channel, allow_outside=allow_outside
    )
    with progress_bar("clips") as progress:
        done = run(
            corpus,
            source,
            out,
            features=features,
            labels=labels,
            jobs=processes(jobs),
            engine=engine,
            strict=strict,
            allow_failures=allow_failures,
            retry=retry,
            verify=verify,
            running=Running(device, None if cache is None else cache.absolute()),
            progress=progress,
            **reading,
        )
    _say_what_was_done(done, out)
    for problem in done.problems[:SHOWN_PROBLEMS]:
        typer.echo(f"left out {problem.id} ({problem.stage}): {problem.reason}", err=True)
    if done.problems:
        typer.echo(f"{len(done.problems)} clips were left out: see {out}/{PROBLEMS}", err=True)
        raise typer.Exit(INCOMPLETE)


def _say_what_was_done(done: Preparation, out: str) -> None:
    """What a prepared corpus holds, and what had to be done and noticed on the way."""
    from emohop.preparation import COPIES, NOTES

    manifest = done.manifest
    held = counted(manifest.label_counts)
    typer.echo(f"{out}: {manifest.clips} clips of {manifest.class_set} ({held})")
    if manifest.dropped:
        typer.echo(f"outside the class set: {counted(manifest.dropped)}")
    if done.repaired:
        typer.echo(f"made anew, because they were damaged: {', '.join(done.repaired)}")
    for change in done.changes:
        typer.echo(f"brought up to date: {change}")
    for copy, first in done.copies[:SHOWN_PROBLEMS]:
        typer.echo(f"{copy} is the same recording as {first}")
    if done.copies:
        typer.echo(
            f"copies: {len(done.copies)}, listed in {out}/{COPIES}; no fold has a recording on two "
            "sides"
        )
    if len(done.sample_rates) > 1:
        rates = ", ".join(f"{rate} Hz {count}" for rate, count in done.sample_rates.items())
        lowest = min(done.sample_rates)
        brought = manifest.features.bandwidth is not None
        said = "" if brought else f"; --bandwidth {lowest} would bring all to one"
        typer.echo(f"sample rates: {rates} clips{said}")
    for id_, note in done.notes[:SHOWN_NOTES]:
        typer.echo(f"noted {id_}: {note}")
    if done.notes:
        noted = len({id_ for id_, _ in done.notes})
        typer.echo(f"clips with notes: {noted}, listed in {out}/{NOTES}")
    if not (done.computed or done.changes or done.repaired):
        typer.echo("nothing to do: everything was prepared before, and is in order")


@command
def fetch(
    source: Annotated[
        str, typer.Argument(help="A prepared corpus: a URL such as s3://…, or a folder.")
    ],
    folder: Annotated[Path, typer.Argument(help="Where to copy it; continued if begun.")],
) -> None:
    """Copy a prepared corpus to this machine, every file compared with its checksum."""
    from emohop.reports.terminal.console import progress_bar
    from emohop.storage.fetching import fetch as run

    with progress_bar("files") as progress:
        manifest = run(source, folder, progress)
    typer.echo(f"{folder}: {manifest.clips} clips of {manifest.class_set}, all in order")


def _rate(text: str) -> int:
    """A sample rate in Hz, as 8000 or 8k."""
    number, thousand = (text[:-1], 1000) if text[-1:] in ("k", "K") else (text, 1)
    try:
        return round(float(number) * thousand)
    except (ValueError, OverflowError):
        raise EmohopError(f"--bandwidth {text}: a sample rate is accepted, as 8k or 8000") from None
