"""emohop predict: a trained model on new clips."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emohop.cli.commands import INCOMPLETE, Encoder, command, encoders, fail
from emohop.cli.outputs import check_output_file

if TYPE_CHECKING:
    from emohop.features.transcription import Transcriber
    from emohop.prediction import Prediction, Predictor
    from emohop.prediction.inputs import Source

FIGURES = (".png", ".svg", ".pdf")
SEVERAL = 2
"""Of so many files, one that cannot be read does not end the command."""


@command
def predict(
    model: Annotated[Path, typer.Argument(help="A model folder: RUN/fold-0/seed-0/model.")],
    files: Annotated[
        list[Path] | None, typer.Argument(help="Audio or video in any format; none with --text.")
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
            ".rttm, .srt or .vtt file. [default: speech above a minute]"
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON a clip.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="One row a clip.")] = False,
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
    from emohop.errors import EmohopError
    from emohop.reports.terminal import predictions as shown

    if as_json and as_csv:
        fail("--json and --csv: choose one")
    if figure is not None and (figure.suffix not in FIGURES or len(files or ()) >= SEVERAL):
        fail(f"--figure {figure}: a figure of one file, as {', '.join(FIGURES)}")
    check_output_file(figure, "--figure", FIGURES)
    if not files and text is None:
        fail("nothing to predict: name a file, or say --text")
    predictor = replace(load(model), encoders=encoders(encoder or ()), device=device)
    hear = _recogniser(predictor, asr, device)
    done: list[tuple[Source, Prediction]] = []
    failed = 0
    paths: list[Path | None] = [*files] if files else [None]
    for path in paths:
        try:
            for source, found in _predicted(
                predictor, hear, path, text, previous_turn or (), segments
            ):
                if as_json:
                    typer.echo(found.model_dump_json())
                elif as_csv:
                    typer.echo(shown.csv_rows([found], header=not done), nl=False)
                # of one clip everything is shown; of many not the attention of their hops
                done.append((source, found if not done else found.without_attention()))
        except EmohopError as error:
            if len(files or ()) < SEVERAL:
                raise
            failed += 1
            typer.echo(f"error: {' '.join(str(error).split())}", err=True)
    if done and not as_json and not as_csv:
        from emohop.reports.terminal.console import show

        show(*shown.tables([found for _, found in done]))
    if done and figure is not None:
        _draw(predictor, done, figure)
        typer.echo(f"wrote {figure}", err=True)
    if failed:
        typer.echo(f"{failed} of {len(files or ())} files could not be read", err=True)
        raise typer.Exit(INCOMPLETE)


def _predicted(
    predictor: Predictor,
    hear: Transcriber | None,
    path: Path | None,
    text: str | None,
    before: Sequence[str],
    segments: str | None,
) -> Iterator[tuple[Source, Prediction]]:
    """What the model says of a file's clips, or of text alone; MediaError for a clip's error."""
    from emohop.errors import MediaError
    from emohop.prediction.inputs import source_of_text, transcribed
    from emohop.prediction.segmentation import clips_of

    clips: Iterator[Source]
    if path is None:
        clips = iter([source_of_text(text or "", before)])
    else:
        clips = clips_of(path, text, before, segments)
    if hear is not None:
        clips = (c if c.transcript is not None else transcribed(c, hear) for c in clips)
    for source, found in predictor.predict(clips):
        if isinstance(found, MediaError):
            raise found
        yield source, found


def _draw(predictor: Predictor, done: Sequence[tuple[Source, Prediction]], path: Path) -> None:
    """The figure of a clip, or of a recording's clips over time."""
    from emohop.reports.figures.clip_figure import clip_figure
    from emohop.reports.figures.theme import save
    from emohop.reports.figures.timeline import timeline

    source, first = done[0]
    if len(done) == 1:
        save(clip_figure(first, source, predictor), path)
    else:
        save(timeline([found for _, found in done]), path)


def _recogniser(predictor: Predictor, name: str | None, device: str) -> Transcriber | None:
    """The speech recogniser that is asked for; EmohopError for a model that reads no words."""
    from emohop.clips import Modality
    from emohop.features.transcription import Transcriber

    if name is None:
        return None
    if Modality.TEXT not in predictor.preprocessor.max_length:
        fail("--asr: this model has no text input: drop --asr")
    return Transcriber(name, device)
