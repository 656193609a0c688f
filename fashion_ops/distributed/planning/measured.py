"""Measured rates, which replace what a plan would estimate: a table, or the timesheet of a fan-out."""

import csv
import io
from collections.abc import Collection
from pathlib import Path

from fashion_ops.distributed.schedule import pace
from fashion_ops.distributed.timesheet import Timesheet
from fashion_ops.errors.reading import readable

COLUMNS = ("step", "samples_per_second")


def read_rates(path: Path, steps: Collection[str]) -> dict[str, float]:
    """Samples a second on one device, by step; for a training, garments or photos that it trains on.

    Args:
        path: a CSV with the columns ``step`` and ``samples_per_second`` (others are ignored), or a JSON
            that a fan-out left in ``.checkpoints/timesheets``.
        steps: names that a table may have.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is neither, or a row is invalid; names the file and the row.
    """
    if path.suffix == ".json":
        sheet = Timesheet.read(path)
        found = pace(sheet.measured())
        if found.unit != "s" or not found.rate > 0:
            raise ValueError(f"{path}: no job was completed by one worker; there is nothing to measure")
        return {sheet.step: 1 / found.rate}
    with readable(path, "CSV"):
        table = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig")))
        rows = list(table)
    if not set(COLUMNS) <= set(table.fieldnames or ()):
        raise ValueError(f"{path}: needs the columns {', '.join(COLUMNS)}; it has {table.fieldnames}")
    rates: dict[str, float] = {}
    for number, row in enumerate(rows, start=2):
        step = row["step"]
        try:
            rate = float(row["samples_per_second"] or "")
        except ValueError:
            rate = 0.0
        if step not in steps:
            raise ValueError(f"{path}: line {number}: unknown step {step!r}; known: {', '.join(steps)}")
        if not 0 < rate < float("inf"):
            given = row["samples_per_second"]
            raise ValueError(f"{path}: line {number}: {given!r} must be a number above 0")
        rates[step] = rate
    return rates
