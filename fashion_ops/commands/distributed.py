"""``fashion-ops fleet plan``: what a fan-out will take on so many GPUs, and how the last one went.

A module of the command line. Counts come from the catalog, epochs from ``params.yaml``, seconds from
the timesheet that the last real run left beside its resume points; before it, times are relative.
"""

import math
from pathlib import Path
from typing import Annotated

import typer

from fashion_ops.distributed.gantt import Panel, draw_schedules
from fashion_ops.distributed.schedule import longest_first, pace, tasks_at_once
from fashion_ops.params import Distributed, Params, load_params
from fashion_ops.steps import BY_CATEGORY
from fashion_ops.workspace import Workspace

app = typer.Typer(no_args_is_help=True)
ROW = "{:26} {:>5} {:>5} {:>12} {:>12} {:>6}"


@app.callback()
def _group() -> None:
    """The fan-out of finetune and refine over a fleet."""


@app.command()
def plan(
    gpus: Annotated[str, typer.Option(help="Numbers of GPUs to plan for.")] = "1,2,4,8",
    out: Annotated[Path, typer.Option(help="Folder for plan.png and ran.png.")] = Path("outputs/fleet"),
) -> None:
    """Draw when each category would run, and how far that is from the best possible."""
    ws = Workspace()
    try:
        planned, ran = plan_panels(load_params(ws.params), ws, parse_numbers(gpus)), ran_panels(ws)
    except (ValueError, OSError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    for panels, name in ((planned, "plan.png"), (ran, "ran.png")):
        if panels:
            draw_schedules(panels, out / name)
            typer.echo("\n".join([*table(panels), f"drawn: {out / name}"]))


def parse_numbers(text: str) -> list[int]:
    """``1,2,4`` as numbers, each once, in order.

    Raises:
        ValueError: something in it is no whole number above 0.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise ValueError(f"--gpus {text!r}: must be whole numbers above 0 with commas, as in 1,2,4,8")
    return sorted({int(part) for part in parts})


def slots_of(gpus: int, distributed: Distributed) -> int:
    """Tasks at once on so many GPUs; where a task asks for none, one a GPU.

    Raises:
        ValueError: fewer GPUs than a task asks for.
    """
    slots = tasks_at_once(gpus, gpus, 1 / 1024, distributed.gpus_per_task or 1)
    if slots < 1:
        raise ValueError(
            f"{gpus} GPUs: distributed.gpus_per_task is {distributed.gpus_per_task:g}; plan for more"
        )
    return slots


def plan_panels(params: Params, ws: Workspace, gpus: list[int]) -> list[Panel]:
    """The schedule of each step on each number of GPUs.

    Raises:
        FileNotFoundError: there is no catalog yet.
        ValueError: a task doesn't fit on so few GPUs, or a timesheet is broken.
    """
    from fashion_ops.distributed.by_category import job_costs, last_timesheet

    panels, distributed = [], params.distributed
    widths = {name: math.ceil(n / distributed.gpus_per_task) for name, n in distributed.gpus_of.items()}
    for step in BY_CATEGORY:
        sheet = last_timesheet(ws, step)
        found = pace(sheet.measured() if sheet else ())
        durations = {name: found.of(cost) for name, cost in job_costs(step, params, ws).items()}
        for number in gpus:
            title = f"{step} on {number} GPU{'s' if number > 1 else ''}"
            schedule = longest_first(durations, slots_of(number, params.distributed), widths)
            panels.append(Panel(title, schedule, found.unit))
    return panels


def ran_panels(ws: Workspace) -> list[Panel]:
    """The last real run of each step, of those that ran."""
    from fashion_ops.distributed.by_category import last_timesheet

    sheets = [last_timesheet(ws, step) for step in BY_CATEGORY]
    return [Panel(f"{sheet.what}, as it ran", sheet.schedule(), "s") for sheet in sheets if sheet]


def table(panels: list[Panel]) -> list[str]:
    """One line a panel: slots, jobs, makespan, lower bound and their quotient."""
    lines = [ROW.format("", "slots", "jobs", "makespan", "lower bound", "ratio")]
    for panel in panels:
        schedule = panel.schedule
        times = [f"{value:.4g} {panel.unit[:1]}" for value in (schedule.makespan, schedule.lower_bound)]
        jobs = len({bar.name for bar in schedule.bars})
        ratio = schedule.makespan / schedule.lower_bound if schedule.lower_bound else 1.0
        lines.append(ROW.format(panel.title, schedule.slots, jobs, *times, f"{ratio:.3f}"))
    if any(panel.unit != "s" for panel in panels):
        lines.append("g: garments x epochs; seconds once a real run has been recorded")
    return lines
