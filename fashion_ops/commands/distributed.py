"""``fashion-ops distributed plan``: expected schedules of finetune and refine, and the last real ones.

Garments are counted in the catalog, epochs are set in ``params.yaml``, and seconds come from the
timesheet of the last run. Before the first run, times are relative.
"""

import math
from pathlib import Path
from typing import Annotated

import typer

from fashion_ops.distributed.gantt import SCHEDULES, Panel, draw_schedules
from fashion_ops.distributed.schedule import longest_first, pace, tasks_at_once
from fashion_ops.files.outputs import check_file
from fashion_ops.params import Distributed, Params, load_params
from fashion_ops.steps import BY_CATEGORY
from fashion_ops.workspace import Workspace, current_workspace

app = typer.Typer(no_args_is_help=True)
ROW = "{:26} {:>5} {:>5} {:>12} {:>12} {:>6}"


@app.callback()
def _group() -> None:
    """Plan the distributed runs of finetune and refine."""


@app.command()
def plan(
    gpus: Annotated[str, typer.Option(help="Numbers of GPUs to plan for, with commas.")] = "1,2,4,8",
    out: Annotated[Path, typer.Option(help="Folder for plan.png and ran.png.")] = Path(
        "outputs/distributed"
    ),
) -> None:
    """Draw when each category would run, and compare the makespan with its lower bound."""
    ws = current_workspace()
    for name in ("plan.png", "ran.png"):
        check_file(out / name, SCHEDULES)
    planned, ran = plan_panels(load_params(ws.params), ws, parse_numbers(gpus)), ran_panels(ws)
    for panels, name in ((planned, "plan.png"), (ran, "ran.png")):
        if panels:
            draw_schedules(panels, out / name)
            typer.echo("\n".join([*table(panels), f"drawn: {out / name}"]))


def parse_numbers(text: str) -> list[int]:
    """Parse ``1,2,4``; returns each number once, in ascending order.

    Raises:
        ValueError: a part is not a whole number above 0.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise ValueError(f"--gpus {text!r}: must be whole numbers above 0 with commas, as in 1,2,4,8")
    return sorted({int(part) for part in parts})


def slots_of(gpus: int, distributed: Distributed) -> int:
    """Number of tasks that run at once on this number of GPUs; one per GPU if tasks need none.

    Raises:
        ValueError: a task needs more GPUs.
    """
    slots = tasks_at_once(gpus, gpus, 1 / 1024, distributed.gpus_per_task or 1)
    if slots < 1:
        raise ValueError(
            f"{gpus} GPUs: distributed.gpus_per_task is {distributed.gpus_per_task:g}; plan for more"
        )
    return slots


def plan_panels(params: Params, ws: Workspace, gpus: list[int]) -> list[Panel]:
    """The expected schedule of each step on each number of GPUs.

    Raises:
        FileNotFoundError: there is no catalog yet.
        ValueError: a task needs more GPUs, or a timesheet is invalid.
    """
    from fashion_ops.distributed.by_category import job_costs, last_timesheet

    panels, distributed = [], params.distributed
    widths = {name: math.ceil(n / distributed.gpus_per_task) for name, n in distributed.gpus_of.items()}
    for step in BY_CATEGORY:
        sheet = last_timesheet(ws, step)
        measured = pace(sheet.measured() if sheet else ())
        durations = {
            name: measured.duration(cost) for name, cost in job_costs(step, params, ws).items()
        }
        for number in gpus:
            title = f"{step} on {number} GPU{'s' if number > 1 else ''}"
            schedule = longest_first(durations, slots_of(number, params.distributed), widths)
            panels.append(Panel(title, schedule, measured.unit))
    return panels


def ran_panels(ws: Workspace) -> list[Panel]:
    """The last real run of each step that has run."""
    from fashion_ops.distributed.by_category import last_timesheet

    sheets = [last_timesheet(ws, step) for step in BY_CATEGORY]
    return [Panel(f"{sheet.step}, as it ran", sheet.schedule(), "s") for sheet in sheets if sheet]


def table(panels: list[Panel]) -> list[str]:
    """Format one line per panel: slots, jobs, makespan, lower bound and their ratio."""
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
