"""Promotion in the model registry, and the way back."""

import json
from pathlib import Path
from typing import Annotated

import typer

from fashion_ops.commands.shared import complain, print_metrics, read_params
from fashion_ops.workspace import find_root


def promote(
    again: Annotated[
        bool, typer.Option("--again", help="Also a version that was rolled back.")
    ] = False,
) -> None:
    """Make the challenger champion if the gate holds; exit status 1 if it does not."""
    from fashion_ops.steps import promote as promote_step

    params, ws = read_params()
    try:
        answer = promote_step.run(params, ws, again=again)
    except (ValueError, FileNotFoundError) as error:
        complain(error)
        raise typer.Exit(2) from error
    print_metrics("promote", answer)
    if not answer["promoted"]:
        raise typer.Exit(1)


def rollback(
    why: Annotated[str, typer.Option(help="Kept with the version that is taken out of service.")],
) -> None:
    """Make the previous champion champion again; the present one can only come back by force."""
    from fashion_ops.registry import client as registry
    from fashion_ops.registry import transitions

    params, ws = read_params()
    client, name = registry.connect(ws.root), params.registration.model
    try:
        with transitions.turn(client, name, f"rollback: {why}") as turn:
            event = turn.roll_back(why)
    except (ValueError, transitions.Busy) as error:
        complain(error)
        raise typer.Exit(2) from error
    typer.echo(f"{name}: champion is version {event.champion[1]}, was {event.champion[0]}")


def history(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of lines.")] = False,
) -> None:
    """Promotions, refusals and rollbacks, oldest first, and which version serves."""
    from dataclasses import asdict

    from fashion_ops.registry import client as registry
    from fashion_ops.registry import transitions

    params, ws = read_params()
    client, name = registry.connect(ws.root), params.registration.model
    events = transitions.history(client, name)
    if as_json:
        typer.echo(json.dumps([asdict(event) for event in events], indent=1))
        return
    for event in events:
        half = "" if event.done else " (half done)"
        typer.echo(f"{event.time}  version {event.version}  {event.what}{half}: {event.why}")
    for alias in (registry.CHALLENGER, registry.CHAMPION, registry.PREVIOUS):
        version = registry.with_alias(client, name, alias)
        typer.echo(f"{alias}: {f'version {version.version}' if version else 'none'}")


def restore(
    version: Annotated[str, typer.Argument(help="Number of the version, or its alias.")],
    into: Annotated[
        Path | None, typer.Option(help="New folder. Default: beside the repository.")
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Judge it again, with its own code, and compare the bytes.")
    ] = False,
) -> None:
    """Bring a version's code, parameters, dvc.lock and data back into a git worktree of their own."""
    from fashion_ops.ledger import LedgerError
    from fashion_ops.registry import restore as way_back
    from fashion_ops.registry.snapshot import SnapshotError

    params, _ = read_params()
    try:
        restored = way_back.restore(find_root(), params.registration.model, version, into)
        where = f"{restored.folder}: version {restored.version.version}"
        typer.echo(f"{where}, `dvc status --with-deps evaluate` is clean")
        for line in restored.other_packages:
            typer.echo(f"another package: {line}")
        wrong = way_back.verify(restored) if verify else []
    except (ValueError, OSError, way_back.RestoreError, SnapshotError, LedgerError) as error:
        complain(error)
        raise typer.Exit(2) from error
    if verify:
        typer.echo(
            "\n".join(wrong) if wrong else "models and evaluation are the recorded ones, bit for bit"
        )
    if wrong:
        raise typer.Exit(1)
