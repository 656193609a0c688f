"""The timesheet of a fan-out: which worker ran which job from when to when, kept as a JSON file.

It is written again whenever a job ends, so that a killed driver leaves one too. The command ``plan``
reads it after the Ray cluster has gone. Neither MLflow nor Ray could replace it: MLflow's child runs
start with the first epoch and lack nodes and lost workers; Ray's timeline ends with the cluster and
lacks the cost of a job and whether it was resumed. It is a log and not an output of a step.
"""

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from fashion_ops.distributed.job_store import Event
from fashion_ops.distributed.schedule import Bar, Schedule
from fashion_ops.workspace import write_whole

COMPLETED, FAILED = "completed", "failed"


@dataclass(frozen=True)
class Attempt:
    """One worker's interval of a job, in seconds from the start of the fan-out."""

    node: str
    start: float
    end: float  # of a lost worker: its last report
    resumed: bool  # from a checkpoint


@dataclass(frozen=True)
class JobRecord:
    """One finished job."""

    name: str
    cost: float  # garments x epochs
    width: int  # number of slots that it took
    outcome: str  # completed | failed
    attempts: tuple[Attempt, ...]  # one for each worker that ran it


@dataclass(frozen=True)
class Timesheet:
    """The record of a fan-out."""

    step: str
    slots: int  # the largest number of tasks that could run at once
    end: float  # duration so far in seconds
    jobs: tuple[JobRecord, ...]  # the finished ones

    def write(self, path: Path) -> None:
        """Write the timesheet as JSON; the file is replaced as a whole or not at all."""
        write_whole(path, (json.dumps(asdict(self), indent=1) + "\n").encode())

    @classmethod
    def read(cls, path: Path) -> "Timesheet":
        """Read a file that ``write`` wrote.

        Raises:
            ValueError: the file is not a timesheet.
        """
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            step = data["step"] if "step" in data else data["what"]  # the latter in older files
            jobs = tuple(_job_record(job) for job in data["jobs"])
            return cls(step, data["slots"], data["end"], jobs)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: no timesheet of a fan-out ({error!r}); delete it") from error

    def schedule(self) -> Schedule:
        """The schedule that was measured, with one bar for each attempt.

        Ray does not tell which slot a task ran on. Attempts of a node that overlap get different slots,
        an attempt takes the first slot of its node that is free, and the slots of a node are adjacent.
        """
        rows = sorted(
            (attempt.node, attempt.start, attempt.end, job.name, attempt is not job.attempts[-1])
            for job in self.jobs
            for attempt in job.attempts
            for _ in range(job.width)
        )
        bars: list[Bar] = []
        lanes: list[tuple[str, float]] = []  # node, and the time until which the lane is taken
        for node, start, end, name, lost in rows:
            free = [i for i, (at, until) in enumerate(lanes) if at == node and until <= start]
            lane = free[0] if free else len(lanes)
            lanes[lane : lane + 1] = [(node, end)]
            bars.append(Bar(name, lane, start, end, lost))
        widths = {job.name: job.width for job in self.jobs if job.width > 1}
        return Schedule(self.slots, tuple(bars), self.end, widths)

    def measured(self) -> list[tuple[float, float]]:
        """(cost per slot, seconds) of each job that one worker completed from its start."""
        return [
            (job.cost / job.width, job.attempts[0].end - job.attempts[0].start)
            for job in self.jobs
            if job.outcome == COMPLETED and len(job.attempts) == 1 and not job.attempts[0].resumed
        ]


def _job_record(job: dict[str, Any]) -> JobRecord:
    """Read a ``JobRecord`` from its JSON object."""
    outcome = COMPLETED if job["outcome"] == "landed" else job["outcome"]  # "landed" in older files
    attempts = tuple(Attempt(**attempt) for attempt in job["attempts"])
    times = [time for attempt in attempts for time in (attempt.start, attempt.end)]
    if not all(map(math.isfinite, (job["cost"], *times))) or not job["width"] >= 1:
        raise ValueError(f"cost {job['cost']}, width {job['width']} or a time of {job['name']}")
    return JobRecord(job["name"], job["cost"], job["width"], outcome, attempts)


class Recorder:
    """Collects the timesheet of a step whose fan-out began at ``start`` (``time.monotonic``)."""

    def __init__(self, step: str, start: float) -> None:
        self._step, self._start, self._slots = step, start, 1
        self._attempts: dict[str, list[Attempt]] = {}
        self._jobs: list[JobRecord] = []

    def update(self, events: Iterable[Event]) -> None:
        """Record the starts and later reports of workers as attempts of their jobs."""
        for event in events:
            now = event.time - self._start
            attempts = self._attempts.setdefault(event.name, [])
            if event.kind == "started":
                attempts.append(Attempt(event.node, now, now, event.resumed))
            elif attempts:
                attempts[-1] = replace(attempts[-1], end=now)

    def update_slots(self, slots: int) -> None:
        """Record how many tasks can run at once now; the timesheet keeps the largest number."""
        self._slots = max(self._slots, slots)

    def finish(self, name: str, cost: float, width: int, outcome: str) -> None:
        """Record a finished job; the fields are those of ``JobRecord``."""
        attempts = tuple(self._attempts.pop(name, ()))
        self._jobs.append(JobRecord(name, cost, width, outcome, attempts))

    def timesheet(self, now: float) -> Timesheet:
        """The timesheet so far; ``now`` is ``time.monotonic``."""
        return Timesheet(self._step, self._slots, now - self._start, tuple(self._jobs))
