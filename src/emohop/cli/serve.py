"""emohop serve: a model as a web service with a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emohop.cli.commands import Encoder, command, encoders, given_only, leave_signals


@command
def serve(
    model: Annotated[Path, typer.Argument(help="A model folder: RUN/fold-0/seed-0/model.")],
    host: Annotated[
        str, typer.Option(help="Address to listen at; 0.0.0.0 opens it to the network.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen at.")] = 8000,
    asr: Annotated[
        str | None,
        typer.Option(help="A Whisper model that hears what no text is sent for."),
    ] = None,
    encoder: Encoder = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            help="A name by which it may be asked for, beside localhost, as emotions.example.com; "
            "as often as you like.",
            metavar="NAME",
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes that answer at one time. [default: 1]")
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="EMOHOP_TOKEN", show_envvar=True, help="What clients must send as bearer token."
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="A limit as upload_mb=20 (docs/serving.md)."),
    ] = None,
) -> None:
    """Serve a model over HTTP, with a page to try it at http://HOST:PORT/."""
    from emohop.config import ServingSettings, checked
    from emohop.errors import MissingExtraError
    from emohop.recipes import read_settings

    values = {**read_settings(set_ or ()), **given_only(workers=workers, token=token)}
    settings, folders = checked(ServingSettings, values), encoders(encoder or ())
    try:
        from emohop.serving.hosts import hosts_of, is_loopback
        from emohop.serving.server import run
    except ImportError:
        raise MissingExtraError("serve", "serve") from None
    named = (*(settings.hosts or ()), *(allow_host or ()))
    settings = settings.model_copy(update={"hosts": hosts_of(host, named)})

    typer.echo(f"http://{host}:{port}/ (limits: docs/serving.md; ctrl+c ends it)", err=True)
    if not is_loopback(host) and settings.token is not None:
        typer.echo(
            f"{host} is open to the network: whoever knows the token can send files to be decoded "
            "here, and without a proxy with HTTPS all can read it on its way.",
            err=True,
        )
    elif not is_loopback(host):
        typer.echo(
            f"{host} is open to the network, and no token is asked for: whoever reaches this port "
            "can send files to be decoded here. Set EMOHOP_TOKEN, or put a proxy before it.",
            err=True,
        )
    leave_signals()  # Uvicorn answers what it has begun, and ends by the signal that it got
    run(model, settings, asr, folders, host, port)
