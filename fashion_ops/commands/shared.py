"""What several commands use: parameters and workspace, printed metrics, options that are numbers."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal

import typer

from fashion_ops.commands.answers import complain, console, report
from fashion_ops.files.writers import this_command
from fashion_ops.params import Params, load_params
from fashion_ops.workspace import Workspace, current_workspace

Device = Annotated[
    Literal["auto", "cpu", "cuda"] | None,
    typer.Option(help="Of the networks. Default: distributed.device of params.yaml, or auto."),
]

__all__ = [
    "Device",
    "between",
    "complain",
    "console",
    "params_or_defaults",
    "print_metrics",
    "print_status",
    "read_params",
    "report",
    "with_device",
    "writing_to",
]


@contextmanager
def writing_to(ws: Workspace, *stages: str) -> Iterator[None]:
    """Be the only process that writes these stages (none for any).

    Raises:
        WorkspaceBusy: another process does.
    """
    with ws.writing(this_command(), *stages):
        yield


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
    """Parameters and workspace of the current folder.

    Raises:
        ValueError: there is no workspace, or its parameters are not valid.
    """
    ws = current_workspace()
    return load_params(ws.params), ws


def params_or_defaults() -> Params:
    """The parameters of the current folder, or the defaults where it is no workspace.

    Raises:
        ValueError: there is a ``params.yaml``, and it is not valid.
    """
    ws = current_workspace()
    return load_params(ws.params) if ws.params.exists() else Params()


def with_device(params: Params, device: str | None) -> Params:
    """The same parameters with another ``distributed.device``, if the option ``--device`` is given."""
    if device is None:
        return params
    distributed = params.distributed.model_copy(update={"device": device})
    return params.model_copy(update={"distributed": distributed})


def between(low: float, high: float = math.inf, above: bool = False) -> Callable[[float], float]:
    """A check of an option: a number from ``low`` to ``high``, finite, and ``above`` low if so said."""
    what = f"above {low:g}" if above else f"from {low:g}"
    what += f" to {high:g}" if math.isfinite(high) else ""

    def check(value: float) -> float:
        if not (low <= value <= high) or math.isinf(value) or (above and value == low):
            raise typer.BadParameter(f"{value:g} is not a number {what}")
        return value

    return check
