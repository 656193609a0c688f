"""Gantt charts of schedules: one row per slot, one bar per job, a line at the lower bound."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from fashion_ops.distributed.schedule import Schedule
from fashion_ops.files.outputs import FileKind
from fashion_ops.files.publishing import write_whole

ROW_INCHES = 0.3
SCHEDULES = FileKind("fashion-ops plan", "fashion-ops schedules")


@dataclass(frozen=True)
class Panel:
    """A schedule with its title and the unit of its times."""

    title: str
    schedule: Schedule
    unit: str


def draw_schedules(panels: Sequence[Panel], target: Path) -> None:
    """Draw the panels below each other into the PNG file ``target``; same panels, same bytes.

    A job has the same colour in all panels. The bar of an attempt whose worker was lost is hatched. The
    file has the mark of ``SCHEDULES``, by which commands know what they may replace.
    """
    from matplotlib import colormaps
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = sorted({bar.name for panel in panels for bar in panel.schedule.bars})
    colors = {name: colormaps["tab20"](i % 20) for i, name in enumerate(names)}
    rows = [max([2, *(bar.slot + 1 for bar in panel.schedule.bars)]) for panel in panels]
    figure = Figure(figsize=(11, ROW_INCHES * sum(rows) + 0.9 * len(panels)), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=rows)[:, 0]
    for axis, panel in zip(axes, panels, strict=True):
        schedule = panel.schedule
        for bar in schedule.bars:
            axis.barh(
                bar.slot,
                bar.end - bar.start,
                left=bar.start,
                height=0.86,
                color=colors[bar.name],
                hatch="///" if bar.lost else None,
                edgecolor="white",
            )
            if bar.end - bar.start > 0.09 * schedule.makespan:
                middle = (bar.start + bar.end) / 2
                axis.text(middle, bar.slot, bar.name, ha="center", va="center", fontsize=7)
        axis.axvline(schedule.lower_bound, color="black", linestyle="--", linewidth=1)
        ratio = schedule.makespan / schedule.lower_bound if schedule.lower_bound else 1.0
        axis.set_title(
            f"{panel.title}: {schedule.makespan:.4g} {panel.unit}, {ratio:.3f} x lower bound (dashed)",
            loc="left",
            fontsize=9,
        )
        axis.set_yticks([])
        axis.set_xlim(0, 1.02 * max(schedule.makespan, schedule.lower_bound, 1e-9))
        axis.invert_yaxis()
    page = BytesIO()
    canvas.print_png(page, metadata={"Software": SCHEDULES.mark})
    write_whole(target, page.getvalue())
