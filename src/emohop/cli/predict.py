"""emohop predict: a trained model on new clips."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emohop.cli.commands import FAILED, INCOMPLETE, Encoder, command, encoders, fail
from emohop.cli.media_files import GivenFiles, given_files
from emohop.cli.outputs import check_output_file
from emohop.cli.prediction_rows import KINDS, finished, rows_to, trim

if TYPE_CHECKING:
    from emohop.errors import MediaError
    from emohop.prediction import Prediction, Predictor
    from emohop.prediction.inputs import Source
    from emohop.processes import Progress

FIGURES = (".png", ".svg", ".pdf")
SEVERAL = 2
"""Of so many files, one that cannot be read does not end the command."""
CHANNELS = {"mix": None, "left": 0, "right": 1, "each": "each"}


@command
def predict(
    model: Annotated[Path, typer.Argument(help="A model folder: RUN/fold-0/seed-0/model.")],
    files: Annotated[
        list[str] | None,
        typer.Argument(
            help="Audio or video in any format, folders and patterns of such; - is standard input, "
            "audio, video or a list of files; none with --text."
        ),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(
            help="What is said. [default: an .srt, .vtt or .txt file of the same name beside it]"
        ),
    ] = None,
    asr: Annotated[
        str | None,
        typer.Option(
            help="Recognise speech with a Whisper model (whisper-tiny.en, hub name or folder) "
            "where no transcript is given."
        ),
    ] = None,
    previous_turn: Annotated[
        list[str] | None,
        typer.Option(help="A turn said before, the earliest first, for models with context."),
    ] = None,
    segments: Annotated[
        str | None,
        typer.Option(
            help="Cut recordings: speech (where somebody speaks), a number of seconds, or a .csv, "
            ".rttm, .srt or .vtt file; none: not at all. [default: speech, above 15 seconds and "
            "what the model reads]"
        ),
    ] = None,
    channel: Annotated[
        str | None,
        typer.Option(
            help="Of the audio: left, right, a number from 1, mix, or each (its own rows). "
            "[default: mix]"
        ),
    ] = None,
    audio_track: Annotated[
        str | None,
        typer.Option(help="Of video with several: a number from 1, or a language such as eng."),
    ] = None,
    recursive: Annotated[
        bool, typer.Option("--recursive", help="Of a folder, what is in its folders, too.")
    ] = False,
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Fetch files from addresses (https, s3, gs, …).")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON per clip.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="One row per clip.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Write rows into a .csv or .jsonl file instead, as they come."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with --out where it was interrupted.")
    ] = False,
    figure: Annotated[
        Path | None,
        typer.Option(help="Draw the clip, or the recording over time: OUT.png, .svg or .pdf."),
    ] = None,
    encoder: Encoder = None,
    device: Annotated[
        str, typer.Option(help="Of pretrained models: cpu, cuda, or auto (a GPU if there is one).")
    ] = "auto",
) -> None:
    """Say which emotion is heard, read and seen in clips. Exit status 3 if some cannot be read.

    Classes are listed most probable first; probabilities are as calibrated on the model's dev part.
    """
    from dataclasses import replace

    from emohop import load

    kind = _kind(as_json, as_csv, out)
    if figure is not None and (figure.suffix not in FIGURES or len(files or ()) >= SEVERAL):
        fail(f"--figure {figure}: a figure of one file, as {', '.join(FIGURES)}")
    check_output_file(figure, "--figure", FIGURES)
    if not files and text is None:
        fail("nothing to predict: name a file, or say --text")
    done_sources, size = _finished(out, kind, resume=resume)
    predictor = replace(load(model), encoders=encoders(encoder or ()), device=device)
    with given_files(files or (), recursive=recursive, allow_remote=allow_remote) as given:
        left = [path for path in given.paths if given.name(str(path)) not in done_sources]
        items: Sequence[Any] = [{"text": text}] if not files else left
        answers = predictor.predict(
            items,
            text if files else None,
            previous_turns=previous_turn or (),
            segments=segments,
            asr=asr,
            channel=_channel(channel),
            track=_track(audio_track),
        )
        told = _Told(given)
        done: list[tuple[Source, Prediction]] = []
        with rows_to(kind, out, size) as rows, _bar(len(items), kind, out) as advance:
            for source, found in told.predictions(answers, len(items), advance):
                if rows is not None:
                    rows.write(found)
                if rows is None or figure is not None or not done:
                    # of one clip everything is shown; of many not the attention of their hops
                    done.append((source, found if not done else found.without_attention()))
        if done and kind is None:
            from emohop.reports.terminal import predictions as shown
            from emohop.reports.terminal.console import show

            show(*shown.tables([found for _, found in done]))
        if done and figure is not None:
            _draw(predictor, done, figure)
            typer.echo(f"wrote {figure}", err=True)
    if told.wrong:
        several = len(given.paths) + len(given.faults) >= SEVERAL
        if several or told.good:
            typer.echo(told.summary, err=True)
        raise typer.Exit(INCOMPLETE if several or told.good else FAILED)


def _kind(as_json: bool, as_csv: bool, out: Path | None) -> str | None:
    """What rows are written as, csv or json; None for a table to look at."""
    if as_json and as_csv:
        fail("--json and --csv: choose one")
    kind = "json" if as_json else "csv" if as_csv else None
    if out is None:
        return kind
    check_output_file(out, "--out", tuple(KINDS))
    ending = KINDS[out.suffix.lower()]
    if kind not in (None, ending):
        fail(f"--{kind} --out {out}: its ending says {ending}")
    return ending


def _finished(out: Path | None, kind: str | None, *, resume: bool) -> tuple[set[str], int]:
    """The sources that are done, and the bytes of --out that are theirs."""
    if resume and out is None:
        fail("--resume goes on with a file: say --out, too")
    if out is None or kind is None or not out.exists():
        return set(), 0
    if not resume:
        fail(f"--out {out} exists: say --resume to go on with it, or choose another name")
    found, size = finished(out, kind)
    trim(out, size)
    return found, size


def _channel(name: str | None) -> Any:
    """A channel as `Span` counts it."""
    if name is None or name in CHANNELS:
        return CHANNELS[name or "mix"]
    if not name.isdecimal() or int(name) < 1:
        fail(f"--channel {name}: {', '.join(CHANNELS)} or a number from 1 is accepted")
    return int(name) - 1


def _track(name: str | None) -> int | str | None:
    return int(name) if name is not None and name.isdecimal() else name


@contextmanager
def _bar(files: int, kind: str | None, out: Path | None) -> Iterator[Progress | None]:
    """A bar with the time left, where there are many files and no rows go to the same terminal."""
    import sys

    from emohop.reports.terminal.console import progress_bar

    alone = kind is None or out is not None or not sys.stdout.isatty()
    if files < SEVERAL or not alone or not sys.stderr.isatty():
        yield None
    else:
        with progress_bar("files") as advance:
            yield advance


class _Told:
    """What is said of files as it comes: predictions to whoever asks, errors to the user."""

    def __init__(self, given: GivenFiles) -> None:
        self.given = given
        self.good: set[str] = set()
        """Files of which something was predicted,"""
        self.wrong: list[str] = []
        """and those of each clip of which nothing was."""
        for fault in given.faults:
            self._say(fault, fault)

    @property
    def summary(self) -> str:
        """How much was left out."""
        files = set(self.wrong) - self.good
        clips = sum(file in self.good for file in self.wrong)
        all_files = len(self.given.paths) + len(self.given.faults)
        said = [f"{len(files)} of {all_files} files could not be read"] if files else []
        return "; ".join([*said, *([f"clips that were left out: {clips}"] if clips else [])])

    def predictions(
        self,
        answers: Iterator[tuple[Source, Prediction | MediaError]],
        files: int,
        advance: Progress | None,
    ) -> Iterator[tuple[Source, Prediction]]:
        """The predictions under the names of their files; each error is said."""
        from emohop.prediction import Prediction

        before, seen = None, 0
        for source, found in answers:
            file = source.clip.id
            if file != before:
                if advance is not None:
                    advance(seen, files)
                before, seen = file, seen + 1
            name = self.given.name(file)
            if isinstance(found, Prediction):
                self.good.add(file)
                yield source, found.model_copy(update={"source": name})
            else:
                self._say(file, " ".join(str(found).replace(file, name).split()))
        if advance is not None:
            advance(files, files)

    def _say(self, file: str, fault: str) -> None:
        self.wrong.append(file)
        typer.echo(f"error: {fault}", err=True)


def _draw(predictor: Predictor, done: Sequence[tuple[Source, Prediction]], path: Path) -> None:
    """The figure of a clip, or of a recording's clips over time."""
    from emohop.reports.figures.clip_figure import clip_figure
    from emohop.reports.figures.theme import save
    from emohop.reports.figures.timeline import timeline

    source, first = done[0]
    if len(done) == 1 and first.segments:
        save(timeline(first.segments), path)
    elif len(done) == 1:
        save(clip_figure(first, source, predictor), path)
    else:
        save(timeline([found for _, found in done]), path)
