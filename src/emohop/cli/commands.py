"""What every command shares: the program, its exit statuses, options that several take."""

from __future__ import annotations

import functools
import inspect
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emohop import __version__
from emohop.errors import EmohopError
from emohop.registry.core import add_plugin

if TYPE_CHECKING:
    from emohop.clips import Modality

FAILED = 1
INCOMPLETE = 3
INTERRUPTED = 130
STOPPING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""Signals that ask a command to stop."""
GRACE_SECONDS = 20.0
"""How long a command that was asked to stop may take."""
SIGNALLED = 128
"""Beside the signal's number: 143 for SIGTERM, 129 for SIGHUP."""
SHOWN_PROBLEMS = 50

app = typer.Typer(
    name="emohop",
    help="Speech emotion recognition from voice, words and face by attentive modality hopping.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Jobs = Annotated[
    int | None, typer.Option(min=1, help="Processes, one thread each. [default: the cores]")
]
Protocol = Annotated[
    str | None,
    typer.Option(
        help="session, speaker, script, random, official or cross. [default: official where the "
        "corpus has its own parts, cross with --test, else session, or speaker without sessions]"
    ),
]
Engine = Annotated[
    str, typer.Option(help="local: processes of this machine; ray: a Ray cluster's (extra ray).")
]

Plugin = Annotated[
    list[str] | None,
    typer.Option(
        help="A module, or FILE.py, that registers a model, feature encoder or corpus of one's own "
        "(docs/extending.md); as often as you like.",
        metavar="MODULE",
    ),
]
Encoder = Annotated[
    list[str] | None,
    typer.Option(
        help="Where a pretrained encoder lies here, as text=FOLDER, if not where it lay when "
        "the model was trained."
    ),
]

IncludeSeen = Annotated[
    bool,
    typer.Option(
        "--include-seen",
        help="Score clips that the model was trained on, too; for debugging, and no test.",
    ),
]


def command(body: Callable[..., None]) -> Callable[..., None]:
    """Register a command whose errors end as one line and an exit status, not a traceback."""

    @functools.wraps(body)
    def checked(*args: Any, plugin: list[str] | None = None, **options: Any) -> None:
        stopped: list[int] = []
        try:
            with _stopped_by_signals(stopped):
                for name in plugin or ():
                    add_plugin(name)
                body(*args, **options)
        except EmohopError as error:
            fail(str(error))
        except BrokenPipeError:
            raise  # whoever read it has enough, as `head` does: click ends without a word
        except OSError as error:
            where = f": {error.filename}" if error.filename else ""
            fail(f"{error.strerror or error}{where} (what is finished is kept)")
        except KeyboardInterrupt:
            name = f"stopped by {signal.Signals(stopped[0]).name}" if stopped else "interrupted"
            typer.echo(f"{name}: run the same command again to go on", err=True)
            status = SIGNALLED + stopped[0] if stopped else INTERRUPTED
            raise typer.Exit(status) from None

    # every command may meet a plug-in's model, features or corpus
    signature = inspect.signature(body, eval_str=True)
    option = inspect.Parameter("plugin", inspect.Parameter.KEYWORD_ONLY, default=None)
    given = [*signature.parameters.values(), option.replace(annotation=Plugin)]
    checked.__signature__ = signature.replace(parameters=given)  # type: ignore[attr-defined]
    checked.__annotations__ = {**body.__annotations__, "plugin": Plugin}
    return app.command(name=body.__name__.strip("_").replace("_", "-"))(checked)


@contextmanager
def _stopped_by_signals(stopped: list[int]) -> Iterator[None]:
    """Let SIGTERM and SIGHUP stop a command as Ctrl-C does; a second one ends it at once.

    So does the first after GRACE_SECONDS, should a library have swallowed the interruption.

    The signal's number is added to `stopped`, since libraries pass on a KeyboardInterrupt only.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's
        return
    before = {number: signal.getsignal(number) for number in STOPPING}
    timers: list[threading.Timer] = []

    def stop(number: int, frame: object) -> None:
        del frame
        signal.signal(number, signal.SIG_DFL)
        stopped.append(number)
        last = threading.Timer(GRACE_SECONDS, os.kill, (os.getpid(), number))
        last.daemon = True
        last.start()
        timers.append(last)
        raise KeyboardInterrupt

    for number in STOPPING:
        if before[number] is not signal.SIG_IGN:  # as nohup has it
            signal.signal(number, stop)
    try:
        yield
    finally:
        for timer in timers:
            timer.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)


def leave_signals() -> None:
    """Leave SIGTERM and SIGHUP to a library that has its own way to end by them."""
    for number in STOPPING:
        signal.signal(number, signal.SIG_DFL)


def fail(message: str) -> None:
    """End the program with one line of error."""
    typer.echo(f"error: {' '.join(message.split())}", err=True)
    raise typer.Exit(FAILED)


def counted(counts: Mapping[Any, int]) -> str:
    """Names with their counts, for a line."""
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def given_only(**options: object) -> dict[str, object]:
    """The options that were given, for functions with defaults of their own."""
    return {name: value for name, value in options.items() if not (value is None or value is False)}


def encoders(options: Sequence[str]) -> dict[Modality, str]:
    """Folders of encoders by modality, from text=FOLDER."""
    from emohop.clips import Modality

    found = {}
    for option in options:
        name, equals, folder = option.partition("=")
        if not equals or name not in [m.value for m in Modality]:
            fail(f"--encoder {option}: write audio=FOLDER, text=FOLDER or video=FOLDER")
        found[Modality(name)] = folder
    return found


def processes(jobs: int | None) -> int:
    """The number of processes: what was asked for, or the cores."""
    from emohop.processes import cores

    return jobs or cores()


def _version(asked: bool) -> None:
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    del version
