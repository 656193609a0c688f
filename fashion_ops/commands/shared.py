"""What the commands share: how they complain, read parameters and print metrics."""

from typing import Any

import typer
from rich.console import Console

from fashion_ops.params import Params, load_params
from fashion_ops.workspace import Workspace

console = Console(stderr=True)


def complain(error: Exception | str) -> None:
    """Print an error message in red."""
    console.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)


def print_metrics(stage: str, metrics: dict[str, Any]) -> None:
    """Print a stage's metrics on one line."""
    values = ", ".join(
        f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in metrics.items()
    )
    console.print(f"[bold]{stage}[/bold]: {values}", highlight=False, soft_wrap=True)


def read_params() -> tuple[Params, Workspace]:
    """Parameters and workspace of the current folder; a mistake ends the command with status 2."""
    ws = Workspace()
    try:
        return load_params(ws.params), ws
    except ValueError as error:
        complain(error)
        raise typer.Exit(2) from error
