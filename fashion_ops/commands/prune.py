"""The command ``prune``: deletes what has grown and nothing needs."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from fashion_ops.commands.shared import read_params, writing_to


def prune(
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete what the table says goes. Default: only show it.")
    ] = False,
) -> None:
    """Show which old versions, records, tags, cached data and checkpoints may go, and why.

    Champion, previous, challenger and every version with an alias, a description or the tag `keep`
    stay, with all that restoring them needs.
    """
    from fashion_ops.registry import prune as pruning

    params, ws = read_params()
    freed = True
    if delete:
        with writing_to(ws):
            plan, freed = pruning.delete(params, ws)
    else:
        plan = pruning.plan(params, ws)
    console = Console()
    if not console.is_terminal:
        console = Console(width=300)  # one line a row
    table = Table("what", "name", "MB", "", "why", box=None, pad_edge=False)
    for item in sorted(plan.items, key=lambda item: (item.goes, item.kind)):
        size = f"{item.num_bytes / 1e6:,.1f}" if item.num_bytes else ""
        verdict = ("deleted" if delete else "goes") if item.goes else "stays"
        table.add_row(item.kind, item.name, size, verdict, item.why)
    console.print(table)
    going = [item for item in plan.items if item.goes]
    total = f"{sum(item.num_bytes for item in going) / 1e6:,.1f} MB in {len(going)} rows"
    if not going:
        typer.echo("nothing to delete")
    elif not delete:
        typer.echo(f"{total} may go: `fashion-ops prune --delete` deletes them")
    else:
        typer.echo(f"{total} deleted")
    if not freed:
        typer.echo("run `mlflow gc` on the registry's server: it frees the files of deleted versions")
