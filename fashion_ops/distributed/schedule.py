"""Schedules: when each job of a fan-out runs, expected or measured.

Jobs start longest first on equal slots; a slot is the CPUs and GPUs of one task. The makespan of such a
list schedule is at most 4/3 of the optimum (Graham, 1969), and ``lower_bound`` is a makespan that no
schedule can beat. Durations come from the timesheet of the last run. This module only computes.
"""

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Bar:
    """One interval of one job on one slot; times count from the start of the fan-out."""

    name: str
    slot: int
    start: float
    end: float
    lost: bool = False  # its worker died; a later bar of the job continues from its last epoch


@dataclass(frozen=True)
class Schedule:
    """When each job runs."""

    slots: int  # number of slots
    bars: tuple[Bar, ...]
    end: float = 0.0  # end of the fan-out, if it is later than the last bar
    widths: Mapping[str, int] = field(default_factory=dict)  # slots of jobs that take several at once

    @property
    def makespan(self) -> float:
        """Time from the start of the fan-out to its end, in the unit of the bars."""
        return max([self.end, *(bar.end for bar in self.bars)])

    @property
    def lower_bound(self) -> float:
        """A makespan that no schedule of these jobs on these slots can beat; see ``lower_bound``."""
        spent: dict[str, float] = {}
        for bar in self.bars:
            share = (bar.end - bar.start) / self.widths.get(bar.name, 1)
            spent[bar.name] = spent.get(bar.name, 0.0) + share
        return lower_bound(spent, self.slots, self.widths)


def lower_bound(
    durations: Mapping[str, float], slots: int, widths: Mapping[str, int] | None = None
) -> float:
    """A makespan that no schedule can beat: the largest of three bounds.

    - The duration of the longest job.
    - All work, spread evenly over the slots.
    - For each k, the k + 1 shortest of the k * slots + 1 longest jobs: some slot runs at least k + 1 of
      these jobs.

    Args:
        durations: duration of each job on one slot, by name, in any unit; the result has the same.
        slots: number of slots.
        widths: number of slots by name, for jobs that take several slots at once.
    """
    longest = sorted(durations.values(), reverse=True)
    shared = [
        sum(longest[last - last // slots : last + 1]) for last in range(slots, len(longest), slots)
    ]
    spread = sum(seconds * (widths or {}).get(name, 1) for name, seconds in durations.items()) / slots
    return max([0.0, *longest[:1], spread, *shared])


def longest_first(
    durations: Mapping[str, float], slots: int, widths: Mapping[str, int] | None = None
) -> Schedule:
    """Assign the longest remaining job to the slot that is free first, until all are assigned.

    Args:
        durations: duration of each job on one slot, by name, in any unit.
        slots: number of slots.
        widths: number of slots by name, for jobs that take several slots at once and are that many
            times as fast. More than ``slots`` counts as all.

    Raises:
        ValueError: there is no slot.
    """
    if slots < 1:
        raise ValueError(
            f"{slots} slots: no job can run; more GPUs, or a smaller distributed.gpus_per_task"
        )
    wide = {name: min(width, slots) for name, width in (widths or {}).items()}
    free = [(0.0, slot) for slot in range(slots)]
    bars = []
    for name, seconds in sorted(durations.items(), key=lambda item: (-item[1], item[0])):
        taken = [heapq.heappop(free) for _ in range(wide.get(name, 1))]
        start = max(since for since, _ in taken)
        end = start + seconds / len(taken)
        for _, slot in taken:
            bars.append(Bar(name, slot, start, end))
            heapq.heappush(free, (end, slot))
    return Schedule(slots, tuple(bars), widths=wide)


def tasks_at_once(cpus: float, gpus: float, cpus_per_task: float, gpus_per_task: float) -> int:
    """Number of tasks that a node with these resources runs at once.

    Args:
        cpus: CPUs of the node.
        gpus: GPUs of the node.
        cpus_per_task: CPUs of a task.
        gpus_per_task: GPUs of a task. A fraction below 1 must fit on one GPU: with 0.4, each GPU runs
            two tasks. 0 for tasks that need none.
    """
    most = math.floor(cpus / cpus_per_task)
    if gpus_per_task >= 1:
        most = min(most, math.floor(gpus / gpus_per_task))
    elif gpus_per_task > 0:
        most = min(most, math.floor(gpus) * math.floor(1 / gpus_per_task + 1e-9))
    return most


@dataclass(frozen=True)
class Pace:
    """The expected duration of jobs: ``start`` plus ``rate`` per garment and epoch, in ``unit``."""

    start: float
    rate: float
    unit: str  # s, or garment-epochs if nothing was measured

    def duration(self, cost: float) -> float:
        """Duration, in ``unit``, of a job with this cost (garments x epochs)."""
        return self.start + self.rate * cost


UNMEASURED = Pace(0.0, 1.0, "garment-epochs")


def pace(measured: Sequence[tuple[float, float]]) -> Pace:
    """Fit ``Pace`` to (cost, seconds) of finished jobs by least squares.

    If the fit makes no sense, such as with one job, ``start`` is 0 and ``rate`` the mean; without jobs
    the result is ``UNMEASURED``.
    """
    if not measured or sum(cost for cost, _ in measured) == 0:
        return UNMEASURED
    cost, seconds = np.array(measured, float).T
    if np.ptp(cost) > 0:
        rate, start = np.polyfit(cost, seconds, 1)
        if start >= 0 and rate > 0:
            return Pace(float(start), float(rate), "s")
    return Pace(0.0, float(seconds.sum() / cost.sum()), "s")
