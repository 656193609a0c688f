"""When which job runs: the schedule expected of a fan-out, and the one that a finished one had.

Longest first on equal slots (list scheduling; at most 4/3 of the best possible makespan, Graham 1969),
against a bound that no schedule beats. What a job takes comes from the timesheet of the last real run.
Nothing here runs or draws anything.
"""

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Bar:
    """One stretch of one job on one slot. Times from the start of the fan-out; ``end`` > ``start``."""

    name: str
    slot: int
    start: float
    end: float
    lost: bool = False  # its worker died; a later bar of the job goes on from its last epoch


@dataclass(frozen=True)
class Schedule:
    """Bars on ``slots`` slots; ``end`` is when all was done, where that is later than the last bar."""

    slots: int
    bars: tuple[Bar, ...]
    end: float = 0.0
    widths: Mapping[str, int] = field(default_factory=dict)  # of jobs with a bar on several slots

    @property
    def makespan(self) -> float:
        """Until the last job is done."""
        return max([self.end, *(bar.end for bar in self.bars)])

    @property
    def lower_bound(self) -> float:
        """No schedule of these jobs on these slots is shorter."""
        spent: dict[str, float] = {}
        for bar in self.bars:
            share = (bar.end - bar.start) / self.widths.get(bar.name, 1)
            spent[bar.name] = spent.get(bar.name, 0.0) + share
        return lower_bound(spent, self.slots, self.widths)


def lower_bound(
    durations: Mapping[str, float], slots: int, widths: Mapping[str, int] | None = None
) -> float:
    """The longest job; all spread evenly over ``slots``; or what must share a slot, if more.

    Of the k * slots + 1 longest jobs some slot gets k + 1, at best the shortest of them. ``widths`` is
    that of jobs which take several slots at once.
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
    """Give the longest job that is left to the slot that is free first.

    Args:
        durations: on one slot, by name.
        slots: how many there are.
        widths: jobs that share their work among as many slots (at most all), and take them at once.

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
    """How many tasks a node with these resources runs at once; a fraction of a GPU lies on one GPU."""
    most = math.floor(cpus / cpus_per_task)
    if gpus_per_task >= 1:
        most = min(most, math.floor(gpus / gpus_per_task))
    elif gpus_per_task > 0:
        most = min(most, math.floor(gpus) * math.floor(1 / gpus_per_task + 1e-9))
    return most


@dataclass(frozen=True)
class Pace:
    """What a job takes: ``start`` and, for each garment and epoch, ``rate``; in ``unit``."""

    start: float
    rate: float
    unit: str  # s, or garment-epochs where nothing was measured

    def of(self, cost: float) -> float:
        """Duration of a job of this cost (garments x epochs)."""
        return self.start + self.rate * cost


UNMEASURED = Pace(0.0, 1.0, "garment-epochs")


def pace(measured: Sequence[tuple[float, float]]) -> Pace:
    """Start-up and rate that fit (cost, seconds) of real jobs best, by least squares."""
    if not measured or sum(cost for cost, _ in measured) == 0:
        return UNMEASURED
    cost, seconds = np.array(measured, float).T
    if np.ptp(cost) > 0:
        rate, start = np.polyfit(cost, seconds, 1)
        if start >= 0 and rate > 0:
            return Pace(float(start), float(rate), "s")
    return Pace(0.0, float(seconds.sum() / cost.sum()), "s")
