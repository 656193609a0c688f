"""Overhead of the fan-out: makespan of 13 jobs on N slots of a local Ray against its lower bound.

``python -m bench.fan_out [--slots 4] [--seconds 480] [--work sleep|compute]``. The lengths of the jobs
have the proportions of DeepFashion2's train split (Ge et al., CVPR 2019).
``fashion_ops.distributed.schedule`` computes the bound from the task times that workers measured. The
rest is the cost of Ray, of starting processes, checkpoints, publishing and the order of the jobs.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import ray

import fashion_ops.distributed.fan_out as distributed
from fashion_ops.distributed.cluster import start_ray
from fashion_ops.distributed.gantt import SCHEDULES, Panel, draw_schedules
from fashion_ops.distributed.schedule import longest_first
from fashion_ops.distributed.timesheet import Timesheet
from fashion_ops.files.outputs import check_file
from fashion_ops.params import Distributed
from fashion_ops.taxonomy import CATEGORIES

EPOCHS = 10
CHECKPOINT = 1 << 20  # bytes


def pretend(job: dict[str, Any], checkpoint: Path | None, on_epoch: Any) -> int:
    """Sleep or multiply matrices for some epochs, each with a checkpoint; returns the last epoch."""
    assert checkpoint is not None
    matrix = np.ones((128, 128), np.float32)
    for epoch in range(EPOCHS):
        end = time.monotonic() + job["seconds"] / EPOCHS
        if job["work"] == "sleep":
            time.sleep(job["seconds"] / EPOCHS)
        while time.monotonic() < end:
            matrix = matrix @ matrix / 128
        checkpoint.write_bytes(bytes(CHECKPOINT))
        on_epoch(epoch + 1, {"loss": 1 / (epoch + 1)})
    return epoch


def main() -> None:
    """Run the jobs and print the ratio of makespan and bound."""
    parser = argparse.ArgumentParser("python -m bench.fan_out", description=__doc__)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=480.0, help="of all jobs together")
    parser.add_argument("--work", choices=("sleep", "compute"), default="sleep")
    parser.add_argument(
        "--image", type=Path, help="draw the planned and the real schedule into this file"
    )
    args = parser.parse_args()
    if args.image is not None:
        check_file(args.image, SCHEDULES)
    total = sum(category.train_count for category in CATEGORIES)
    durations = {c.name: args.seconds * c.train_count / total for c in CATEGORIES}
    jobs = [
        distributed.Job(
            name, name, cost, lambda s=cost: {"seconds": s, "work": args.work}, None, EPOCHS
        )
        for name, cost in durations.items()
    ]
    os.environ.pop("RAY_ADDRESS", None)
    os.environ.setdefault("RAY_AUTH_TOKEN", "bench")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        start_ray("local", num_cpus=args.slots, include_dashboard=False, log_to_driver=False)
        path = Path(folder, "timesheet.json")
        distributed.fan_out(
            "bench",
            jobs,
            pretend,
            lambda *_: None,
            Distributed(),
            Path(folder, "checkpoints"),
            timesheet=path,
        )
        sheet = Timesheet.read(path)
        ray.shutdown()
    ran, planned = sheet.schedule(), longest_first(durations, args.slots)
    print(
        f"{len(jobs)} jobs of {args.work}, {args.seconds:g} s in all, {args.slots} slots: makespan "
        f"{ran.makespan:.1f} s, bound from the measured task times {ran.lower_bound:.1f} s, ratio "
        f"{ran.makespan / ran.lower_bound:.3f}; planned {planned.makespan:.1f} s; "
        f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    )
    if args.image:
        draw_schedules([Panel("planned", planned, "s"), Panel("real", ran, "s")], args.image)


if __name__ == "__main__":
    main()
