"""Commands on the model registry: promote, roll back, show the history, restore a version."""

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from fashion_ops.commands.shared import read_params
from fashion_ops.workspace import find_root

Again = Annotated[bool, typer.Option("--again", help="Allow a version that was rolled back.")]
ReplaceUnloadable = Annotated[
    bool,
    typer.Option(
        "--replace-unloadable",
        help="Replace a champion that this code can't load, without a comparison if need be.",
    ),
]
Name = Annotated[
    str | None,
    typer.Option(
        "--model", help="Registered model, such as garment-alignment. Default: register.model."
    ),
]


def promote(again: Again = False, replace_unloadable: ReplaceUnloadable = False) -> None:
    """Make the challenger champion if the gate holds; exit status 1 if it does not."""
    _promote("promote", again, replace_unloadable)


def promote_alignment(again: Again = False, replace_unloadable: ReplaceUnloadable = False) -> None:
    """Make the challenger of alignment champion if its gate holds; exit status 1 if it does not."""
    _promote("promote_alignment", again, replace_unloadable)


def _promote(name: str, again: bool, replace_unloadable: bool) -> None:
    """Run one of the steps ``PROMOTIONS`` and print its decision."""
    from fashion_ops.registry import client as registry

    params, ws = read_params()
    decisions: list[Mapping[str, Any]] = []
    registry.connect(ws.root, artifacts=True)  # says in time that it can't, before torch is loaded
    from fashion_ops.reports.decision_table import print_decision

    step = importlib.import_module(f"fashion_ops.steps.{name}")
    result = step.run(
        params, ws, again=again, replace_unloadable=replace_unloadable, on_decision=decisions.append
    )
    model, folder = params.registration.model, ws.promotions
    if name == "promote_alignment":
        model, folder = params.register_alignment.model, ws.alignment_promotions
    page = folder / "promotion.html"
    print_decision(model, result, decisions[0] if decisions else None, page, command=name)
    if not result["promoted"]:
        raise typer.Exit(1)


def rollback(
    why: Annotated[
        str, typer.Option(help="The reason, kept with the version that is taken out of service.")
    ],
    model: Name = None,
) -> None:
    """Make the previous champion champion again; the present one then needs `promote --again`."""
    from fashion_ops.registry import client as registry
    from fashion_ops.registry.transitions import begin_transition

    params, ws = read_params()
    name = model or params.registration.model
    with registry.failures_in_one_line():
        client = registry.connect(ws.root)
        with begin_transition(client, name, f"rollback: {why}") as transition:
            event = transition.roll_back(why)
    typer.echo(f"{name}: champion is version {event.champion[1]}, was {event.champion[0]}")


def history(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of lines.")] = False,
    model: Name = None,
) -> None:
    """List promotions, refusals and rollbacks, oldest first, and the version of each alias."""
    from dataclasses import asdict

    from fashion_ops.registry import client as registry
    from fashion_ops.registry import transitions

    params, ws = read_params()
    name = model or params.registration.model
    aliases = (registry.CHALLENGER, registry.CHAMPION, registry.PREVIOUS)
    with registry.failures_in_one_line():
        client = registry.connect(ws.root)
        events = transitions.history(client, name)
        versions = {alias: registry.with_alias(client, name, alias) for alias in aliases}
    if as_json:
        typer.echo(json.dumps([asdict(event) for event in events], indent=1))
        return
    for event in events:
        incomplete = "" if event.done else " (incomplete)"
        typer.echo(f"{event.time}  version {event.version}  {event.what}{incomplete}: {event.why}")
    for alias, version in versions.items():
        typer.echo(f"{alias}: {f'version {version.version}' if version else 'none'}")


def restore(
    version: Annotated[str, typer.Argument(help="Number of the version, or its alias.")],
    into: Annotated[
        Path | None, typer.Option(help="New folder. Default: one beside the repository.")
    ] = None,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Evaluate it again, with its own code, and compare the bytes."),
    ] = False,
    model: Name = None,
) -> None:
    """Restore a version's code, parameters, dvc.lock and data into a new git worktree."""
    from fashion_ops.registry import restore as restoring
    from fashion_ops.registry.client import failures_in_one_line

    params, _ = read_params()
    with failures_in_one_line():
        name = model or params.registration.model
        restored = restoring.restore(find_root(), name, version, into)
        stages = " ".join(restoring.stages_of(restored.version))
        where = f"{restored.folder}: version {restored.version.version}"
        typer.echo(f"{where}, `dvc status --with-deps {stages}` is clean")
        for line in restored.other_packages:
            typer.echo(f"another package: {line}")
        differences = restoring.verify(restored) if verify else []
    if verify:
        evaluated = restoring.stages_of(restored.version) == [restoring.EVALUATED]
        what = "models and evaluation" if evaluated else "models"
        equal = f"{what} are the recorded ones, bit for bit"
        typer.echo("\n".join(differences) or equal)
    if differences:
        raise typer.Exit(1)
