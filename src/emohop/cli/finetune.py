"""emohop finetune: a pretrained encoder, trained further on one fold's training part."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emohop.cli.commands import Protocol, command, fail, given_only
from emohop.cli.data import Channel, Corpus, Outside
from emohop.cli.outputs import check_output_folder


@command
def finetune(
    corpus: Corpus,
    source: Annotated[Path, typer.Argument(help="The corpus's folder, or table.", metavar="DIR")],
    out: Annotated[Path, typer.Argument(help="The encoder's new folder, continued if begun.")],
    text: Annotated[
        str | None,
        typer.Option(help="The language model to start from: short name, hub name or folder."),
    ] = None,
    audio: Annotated[
        str | None, typer.Option(help="The speech model to start from, in place of --text.")
    ] = None,
    last_layers: Annotated[
        str | None, typer.Option(help="Layers that change, from the last; or all. [default: 2]")
    ] = None,
    lora_rank: Annotated[
        int | None,
        typer.Option(help="Train low-rank updates of this rank in their place (extra lora)."),
    ] = None,
    labels: Annotated[str | None, typer.Option(help="Class set, as in prepare.")] = None,
    context: Annotated[
        int, typer.Option(min=0, help="Turns of the dialog before a clip that are read too.")
    ] = 0,
    protocol: Protocol = None,
    groups: Annotated[
        int | None, typer.Option(help="Of protocol speaker: groups of speakers.")
    ] = None,
    fold: Annotated[int, typer.Option(min=0, help="The fold whose test clips stay unseen.")] = 0,
    epochs: Annotated[
        int | None, typer.Option(help="Times that each clip is seen. [default: 4]")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same encoder.")] = 0,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting as learning_rate=1e-4 (docs/finetuning.md)."),
    ] = None,
    device: Annotated[
        str, typer.Option(help="cpu, cuda, or auto (a GPU if there is one).")
    ] = "auto",
    channel: Channel = None,
    allow_outside: Outside = False,
) -> None:
    """Train a pretrained encoder further on the training part of one fold. Then prepare with it.

    `emohop prepare … --text OUT` notes which clips it has seen, and train and evaluate refuse
    folds that would test on them.
    """
    from emohop.clips import Modality
    from emohop.config import FinetuningSettings, checked
    from emohop.recipes import read_settings
    from emohop.training.finetuning import finetune as run
    from emohop.training.fold_run import Epoch

    if (text is None) == (audio is None):
        fail("name one encoder to start from: --text NAME or --audio NAME")
    values = {**read_settings(set_ or ()), **given_only(lora_rank=lora_rank, epochs=epochs)}
    if last_layers is not None:
        values["last_layers"] = None if last_layers == "all" else last_layers
    settings = checked(FinetuningSettings, values)

    def report(line: Epoch) -> None:
        typer.echo(
            f"epoch {line['epoch']} of {settings.epochs}: loss {line['train_loss']:.3f}, dev "
            f"{settings.monitor} {line[f'dev_{settings.monitor}']:.3f}"
        )

    check_output_folder(out, "OUT")
    record = run(
        corpus,
        source,
        out,
        Modality.AUDIO if text is None else Modality.TEXT,
        str(text or audio),
        settings,
        labels=labels,
        context=context,
        protocol=protocol,
        groups=groups,
        fold=fold,
        seed=seed,
        device=device,
        report=report,
        **given_only(channel=channel, allow_outside=allow_outside),
    )
    for part, scores in record.facts["scores"].items():
        shown = ", ".join(f"{name} {value:.3f}" for name, value in scores.items())
        typer.echo(f"{part}, by a linear layer on its mean state: {shown}")
    asked = f"--audio {out}" if text is None else f"--text {out}"
    if context:
        asked += f" --context {context}"
    typer.echo(f"\nfeatures with it: emohop prepare {corpus} {source} PREPARED {asked}")
