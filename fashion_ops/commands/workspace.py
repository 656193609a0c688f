"""Commands that maintain a workspace: parameters, the cache, new data."""

from pathlib import Path
from typing import Annotated

import typer

from fashion_ops.commands.shared import complain, read_params
from fashion_ops.workspace import current_workspace, find_root


def batches() -> None:
    """Move labelled batches from data/inbox to the training data, or to data/rejected."""
    from fashion_ops.ledger import Ledger
    from fashion_ops.steps.batches import process_batches

    params, ws = read_params()
    results = process_batches(params, ws, Ledger(ws.root))
    for name in results.accepted:
        typer.echo(f"accepted {ws.batches / name}; `fashion-ops ingest` reads it")
    for name, why in results.rejected.items():
        complain(ValueError(f"rejected {ws.rejected / name}: {why}"))
    if results.waiting:
        typer.echo(f"waiting: {results.waiting}")


def configure(
    recipes: Annotated[list[Path], typer.Argument(help="YAML files, as in configs/deepmark/.")],
) -> None:
    """Merge recipes into params.yaml, comments kept; print what changed."""
    from fashion_ops.params.recipes import configure as merge

    try:
        changes = merge(current_workspace().params, recipes)
    except ValueError as error:
        complain(error)
        raise typer.Exit(2) from error
    for change in changes:
        typer.echo(f"{change.key}: {change.old} -> {change.new}")
    if not changes:
        typer.echo("nothing to change")


def check_cache(
    root: Annotated[Path | None, typer.Option(help="The repository. Default: this one.")] = None,
) -> None:
    """Check DVC's cache; restore damaged files from the workspace or the default remote."""
    from fashion_ops.ledger import Ledger, repair_cache

    ledger = Ledger(root or find_root())
    for stage, files in repair_cache(ledger).items():
        typer.echo(f"{stage}: {', '.join(files)} damaged in the cache")
    lost = ledger.stale()
    for stage, why in lost.items():
        typer.echo(f"{stage}: {'; '.join(why)}")
    if lost:
        typer.echo("`dvc repro` makes these again")
        raise typer.Exit(1)
