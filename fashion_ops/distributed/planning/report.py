"""A plan as a table that reads at a glance, as JSON and as CSV."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fashion_ops.distributed.planning.assumptions import Assumptions
from fashion_ops.distributed.planning.data import DataSize
from fashion_ops.distributed.planning.devices import Device
from fashion_ops.distributed.planning.estimate import BOUNDS, Estimate
from fashion_ops.distributed.planning.work import PREDICT

FIELDS = ("step", "gpus", "gpus_used", "hours", "gpu_hours", "bound", "measured")


@dataclass(frozen=True)
class Plan:
    """The estimates of all steps on each number of GPUs, and what they rest on."""

    estimates: Mapping[int, Sequence[Estimate]]  # by number of GPUs, steps in order
    size: DataSize
    device: Device
    assumptions: Assumptions
    devices: int = 1  # ``distributed.devices``: GPUs that share one training

    def total(self, gpus: int) -> tuple[float, float]:
        """Seconds and GPU-seconds of the pipeline, one step after the other, without the prediction."""
        own = [e for e in self.estimates[gpus] if e.step != PREDICT]
        return sum(e.seconds for e in own), sum(e.gpu_seconds for e in own)


def rows(plan: Plan) -> list[dict[str, Any]]:
    """One record for each step and number of GPUs, and one for each total."""
    found = []
    for gpus, estimates in plan.estimates.items():
        for e in estimates:
            values = (e.step, gpus, e.gpus_used, e.seconds / 3600, e.gpu_seconds / 3600, e.bound)
            found.append(dict(zip(FIELDS, (*values, e.measured), strict=True)))
        seconds, gpu_seconds = plan.total(gpus)
        values = ("pipeline", gpus, gpus, seconds / 3600, gpu_seconds / 3600, "")
        found.append(dict(zip(FIELDS, (*values, False), strict=True)))
    return found


def as_csv(plan: Plan) -> str:
    """The records as CSV."""
    page = io.StringIO()
    writer: csv.DictWriter[str] = csv.DictWriter(page, FIELDS, lineterminator="\n")
    writer.writeheader()
    for row in rows(plan):
        writer.writerow({**row, "hours": f"{row['hours']:.4f}", "gpu_hours": f"{row['gpu_hours']:.4f}"})
    return page.getvalue()


def as_json(plan: Plan) -> str:
    """The records, the device and the assumptions as JSON."""
    size = {**asdict(plan.size), "train_garments": dict(plan.size.train_garments)}
    document = {
        "data": size,
        "device": asdict(plan.device),
        "assumptions": asdict(plan.assumptions),
        "steps": rows(plan),
    }
    return json.dumps(document, indent=1)


def as_table(plan: Plan) -> str:
    """A line for each step; hours, GPU-hours and bound for each number of GPUs."""
    unit = "core" if plan.device.is_cpu else "GPU"
    name = plan.device.name + ("" if plan.device.is_cpu else f" ({plan.device.precision})")
    size, a = plan.size, plan.assumptions
    lines = [
        f"{size.name}: {size.train_photos:,} train photos with {size.total:,} garments, "
        f"{size.photos:,} photos to evaluate on; {a.photos:,.0f} photos to predict; {name}",
        "",
    ]
    many = [f"{gpus} {unit}{'s' if gpus > 1 else ''}" for gpus in plan.estimates]
    lines.append(f"{'':19}" + "".join(f"{title:^31}" for title in many).rstrip())
    lines.append(f"{'step':19}" + f"{'hours':>9}{unit + '-h':>9}  {'bound':11}" * len(many))
    by_step = zip(*plan.estimates.values(), strict=True)
    body = [(same[0].step, [_cells(e) for e in same]) for same in by_step]
    totals = [_numbers(*plan.total(gpus)) + " " * 13 for gpus in plan.estimates]
    prediction = [row for row in body if row[0] == PREDICT]
    for step, cells in [
        *(row for row in body if row[0] != PREDICT),
        ("all of these", totals),
        *prediction,
    ]:
        lines.append(f"{step:19}" + "".join(cells).rstrip())
    used = {e.bound for estimates in plan.estimates.values() for e in estimates}
    lines += ["", "bound by"]
    lines += [f"  {name:12} {text}" for name, text in BOUNDS.items() if name in used]
    if any(e.measured for estimates in plan.estimates.values() for e in estimates):
        lines.append("*: from a measured rate")
    wide = max(e.shared for estimates in plan.estimates.values() for e in estimates)
    if wide > plan.devices and not plan.device.is_cpu:
        lines.append(
            f"up to {wide} GPUs share one training here; distributed.devices sets how many do, and is "
            f"{plan.devices}"
        )
    return "\n".join([*lines, f"assumed: {a.describe(plan.device)}"])


def _cells(e: Estimate) -> str:
    """Hours, GPU-hours and bound of one step."""
    return f"{_numbers(e.seconds, e.gpu_seconds)}{'*' if e.measured else ' '} {e.bound:11}"


def _numbers(seconds: float, gpu_seconds: float) -> str:
    """Hours and GPU-hours, with three digits."""
    return f"{_hours(seconds):>9}{_hours(gpu_seconds):>9}"


def _hours(seconds: float) -> str:
    """Hours, to be read at a glance."""
    hours = seconds / 3600
    if not hours:
        return "-"
    return f"{hours:,.0f}" if hours >= 100 else f"{hours:.1f}" if hours >= 1 else f"{hours:.2f}"
