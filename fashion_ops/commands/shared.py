"""What several commands use: error messages, parameters and workspace, printed metrics."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console

from fashion_ops.params import Params, load_params
from fashion_ops.workspace import Workspace, current_workspace

console = Console(stderr=True)


def complain(error: Exception | str) -> None:
    """Print an error message in red."""
    console.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)


@contextmanager
def exit_on(*errors: type[Exception]) -> Iterator[None]:
    """Turn these errors into a message and exit status 2."""
    try:
        yield
    except errors as error:
        complain(error)
        raise typer.Exit(2) from error


def print_metrics(stage: str, metrics: dict[str, Any]) -> None:
    """Print the metrics of a stage on one line."""
    values = ", ".join(
        f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in metrics.items()
    )
    print_status(stage, values)


def print_status(stage: str, text: str) -> None:
    """Print the name of a stage and a text on one line."""
    console.print(f"[bold]{stage}[/bold]: {text}", highlight=False, soft_wrap=True)


def read_params() -> tuple[Params, Workspace]:
    """Parameters and workspace (``current_workspace``); an invalid file ends it with status 2."""
    ws = current_workspace()
    with exit_on(ValueError):
        return load_params(ws.params), ws
