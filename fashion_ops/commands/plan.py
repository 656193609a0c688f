"""``fashion-ops plan``: hours and GPU-hours of every step, and what limits it, before anything runs."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from fashion_ops.commands.shared import complain
from fashion_ops.files.outputs import FileKind, check_file
from fashion_ops.files.publishing import write_whole
from fashion_ops.params import load_params
from fashion_ops.steps import BY_CATEGORY, STEPS
from fashion_ops.workspace import Workspace, current_workspace

PLANS = FileKind("fashion-ops plan", "step,gpus,gpus_used,hours")
MOST_DIGITS = 5  # of a number of GPUs; the schedule of each is worked out
DRAWINGS = ("plan.png", "ran.png")


def plan(
    gpus: Annotated[str, typer.Option(help="Numbers of GPUs to plan for, with commas.")] = "1,8,64",
    device: Annotated[str, typer.Option(help="H200 | H100 | A100 | L4 | T4 | cpu (cores).")] = "H200",
    params: Annotated[Path | None, typer.Option(help="Default: params.yaml.")] = None,
    data: Annotated[str, typer.Option(help="catalog | deepfashion2 (its published size)")] = "catalog",
    assume: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE of an assumption that the plan prints.")
    ] = None,
    measured: Annotated[
        list[Path] | None,
        typer.Option(help="CSV with step and samples_per_second, or a timesheet (JSON)."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for plan.csv and the schedules, plan.png and ran.png.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Hours and GPU-hours of every step and of a bulk prediction, and what limits each."""
    from fashion_ops.distributed.planning.assumptions import Assumptions, apply
    from fashion_ops.distributed.planning.data import catalog_size, deepfashion2
    from fashion_ops.distributed.planning.devices import find_device
    from fashion_ops.distributed.planning.measured import read_rates

    numbers, ws = parse_numbers(gpus), current_workspace()
    settings = load_params(params or ws.params)
    on, assumptions = apply(assume or (), find_device(device), Assumptions())
    rates: dict[str, float] = {}
    for path in measured or ():
        rates |= read_rates(path, STEPS)
    if out is not None:
        check_file(out / "plan.csv", PLANS)
        check_drawings(out)
    size = deepfashion2() if choose_data(data) == "deepfashion2" else catalog_size(ws, settings)

    from fashion_ops.distributed.planning import report  # imports torch, after all that may be wrong
    from fashion_ops.distributed.planning.estimate import estimate
    from fashion_ops.distributed.planning.work import pipeline_work

    work = pipeline_work(settings, size, assumptions)
    estimates = {
        n: [estimate(step, n, on, assumptions, settings.distributed, rates) for step in work]
        for n in numbers
    }
    found = report.Plan(estimates, size, on, assumptions, settings.distributed.devices)
    typer.echo(report.as_json(found) if as_json else report.as_table(found))
    if out is not None:
        write_whole(out / "plan.csv", report.as_csv(found).encode())
        drawn = draw(ws, estimates, out)
        if not as_json:
            typer.echo("\n".join(f"written: {path}" for path in (out / "plan.csv", *drawn)))


def check_drawings(out: Path) -> None:
    """Refuse to replace a drawing that somebody else made."""
    from fashion_ops.distributed.gantt import SCHEDULES

    for name in DRAWINGS:
        check_file(out / name, SCHEDULES)


def draw(ws: Workspace, estimates: dict, out: Path) -> list[Path]:
    """Draw the schedules of ``finetune`` and ``refine`` as expected and as they last ran.

    Args:
        ws: its timesheets are those of the last runs.
        estimates: of all steps, by number of GPUs.
        out: folder of the drawings.

    Returns:
        The files that were written.
    """
    from fashion_ops.distributed.by_category import last_timesheet
    from fashion_ops.distributed.gantt import Panel, draw_schedules

    planned = [
        Panel(f"{e.step} on {number} GPU{'s' if number > 1 else ''}", e.schedule, "s")
        for step in BY_CATEGORY
        for number, found in estimates.items()
        for e in found
        if e.step == step and e.schedule is not None
    ]
    sheets = [last_timesheet(ws, step) for step in BY_CATEGORY]
    ran = [Panel(f"{sheet.step}, as it ran", sheet.schedule(), "s") for sheet in sheets if sheet]
    drawn = []
    for panels, name in zip((planned, ran), DRAWINGS, strict=True):
        if panels:
            draw_schedules(panels, out / name)
            drawn.append(out / name)
    return drawn


def choose_data(name: str) -> Literal["catalog", "deepfashion2"]:
    """Check the value of ``--data``.

    Raises:
        ValueError: it is neither.
    """
    if name == "catalog" or name == "deepfashion2":
        return name
    raise ValueError(f"--data {name}: must be catalog or deepfashion2")


def parse_numbers(text: str) -> list[int]:
    """Parse ``1,8,64``; returns each number once, in ascending order.

    Raises:
        ValueError: a part is not a whole number above 0, or has more than ``MOST_DIGITS``.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and len(part) <= MOST_DIGITS and int(part) > 0 for part in parts):
        raise ValueError(
            f"--gpus {text!r}: must be whole numbers above 0, of {MOST_DIGITS} digits at most, with "
            "commas, as in 1,8,64"
        )
    return sorted({int(part) for part in parts})


def moved(
    words: Annotated[list[str] | None, typer.Argument(help="Of the former command.")] = None,
) -> None:
    """Moved: ``fashion-ops plan`` plans the whole pipeline."""
    given = list(words or ())
    command = " ".join(["fashion-ops plan", *(given[1:] if given[:1] == ["plan"] else given)])
    complain(f"fashion-ops distributed plan is now fashion-ops plan; run: {command}")
    raise typer.Exit(2)
